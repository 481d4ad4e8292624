"""One regression test per Xen Security Advisory about xenstored that a store can repeat.

XSA-38 (ring indices), XSA-325 and XSA-425 (guest reset) are in test_ring.py, XSA-206 in
test_quotas.py, XSA-420 in test_wire.py, XSA-349 in test_client.py.
"""

import sys

import pytest

from pvdrivers.testing.sync_store_client import SyncStoreClient
from pvdrivers.xenstore.errors import XenstoreError
from pvdrivers.xenstore.quotas import Quotas
from pvdrivers.xenstore.store import XenStore
from pvdrivers.xenstore.wire import Message, MessageType, encode


def refused(name):
    return pytest.raises(XenstoreError, match=rf"\b{name}\b")


@pytest.fixture
def store():
    return XenStore()


@pytest.fixture
def dom0(store):
    return SyncStoreClient(store)


def make_guest(dom0, domid=5):
    dom0.mkdir(f"/local/domain/{domid}")
    dom0.set_permissions(f"/local/domain/{domid}", f"n{domid}")
    dom0.introduce(domid)
    return SyncStoreClient(dom0.store, domid)


@pytest.fixture
def guest(dom0):
    return make_guest(dom0)


def test_xsa_72_reply_too_long(dom0):
    for i in range(100):
        dom0.write("/big/" + f"{i:03}" + "x" * 60)
    with refused("E2BIG"):
        dom0.directory("/big")
    assert dom0.read("/big") == b""


def test_xsa_115_no_events_for_unreadable_nodes(dom0, guest):
    dom0.mkdir("/secret")
    guest.watch("/", "all")
    guest.watch("/secret/inner", "inner")
    guest.take_events()
    dom0.write("/secret/inner", "x")
    dom0.set_permissions("/secret/inner", "n0")
    dom0.remove("/secret")
    assert guest.take_events() == []
    with refused("EACCES"):
        guest.request(MessageType.IS_DOMAIN_INTRODUCED, "5")


def test_xsa_115_events_for_what_was_readable(dom0, guest):
    dom0.write("/public", "x")
    dom0.set_permissions("/public", "r0")
    guest.watch("/public")
    guest.take_events()
    dom0.set_permissions("/public", "n0")
    assert guest.take_events() == [("/public", "token")]
    dom0.write("/public", "y")
    assert guest.take_events() == []


def test_xsa_322_and_417_rights_end_with_the_domain(dom0, guest):
    dom0.write("/shared", "x")
    dom0.set_permissions("/shared", "n0", "b5")
    dom0.mkdir("/given")
    dom0.set_permissions("/given", "n5")
    assert guest.read("/shared") == b"x"
    dom0.release(5)
    successor = make_guest(dom0)
    for path in ("/shared", "/given"):
        with refused("EACCES"):
            successor.read(path)
    dom0.write("/shared/child")  # nor does a new node inherit the void entry
    with refused("EACCES"):
        successor.read("/shared/child")
    dom0.set_permissions("/shared", "n0", "b5")
    assert successor.read("/shared") == b"x"


def test_xsa_417_naming_a_dead_domain():
    alive = {5}
    dom0 = SyncStoreClient(XenStore(exists=alive.__contains__))
    dom0.write("/shared", "x")
    dom0.set_permissions("/shared", "n0", "r6")
    with refused("ENOENT"):
        dom0.set_permissions("/shared", "n6")
    alive.add(6)
    with refused("EACCES"):
        make_guest(dom0, 6).read("/shared")


def test_xsa_323_path_lengths(store, dom0):
    longest = "/" + "x" * 3071
    dom0.write(longest, "value")
    assert dom0.read(longest) == b"value"
    with refused("EINVAL"):
        dom0.read(longest + "x")
    dom0.write("y" * 2048, "relative")
    with refused("EINVAL"):
        dom0.read("y" * 2049)


def test_xsa_324_event_too_long_for_a_message(dom0):
    path, token = "/" + "x" * 2000, "t" * 2090
    dom0.watch(path, token)  # 4091 bytes are allowed, though no event below has room
    dom0.take_events()
    dom0.write(path + "/" + "y" * 1000)
    assert dom0.take_events() == []
    assert dom0.read(path) == b""


def test_xsa_326_a_flood_with_unread_responses_is_bounded(store, guest):
    written = 0
    for i in range(20000):
        if not guest.connection.wants_input:
            break
        guest.send(MessageType.WATCH, f"w{i}", "t")
        written += 1
        store.run()
    assert written < 1000
    assert guest.connection.domain.usage.memory < 100_000


def test_xsa_330_reset_watches_leaks_nothing(guest):
    guest.watch("first")
    guest.request(MessageType.RESET_WATCHES, "")
    usage, watches = str(guest.connection), len(guest.store.watches)
    for _ in range(1000):
        guest.watch("again")
        guest.begin()
        guest.request(MessageType.RESET_WATCHES, "")
        guest.take_events()
    assert (str(guest.connection), len(guest.store.watches)) == (usage, watches)
    assert guest.connection.domain.usage.memory == 0


def test_xsa_352_only_dom0_changes_an_owner(dom0, guest):
    guest.write("mine")
    with refused("EPERM"):
        guest.set_permissions("mine", "n0")
    dom0.set_permissions("/local/domain/5/mine", "n0")


def test_xsa_353_the_root_is_a_node_like_others(guest):
    for action in (guest.write, guest.remove, guest.mkdir, guest.read):
        with refused("EACCES"):
            action("/")
    with refused("EACCES"):
        guest.set_permissions("/", "b5")


@pytest.mark.parametrize("limit", ["nodes", "memory", "node-size"])
@pytest.mark.parametrize("in_transaction", [False, True])
def test_xsa_414_and_415_a_failed_creation_leaves_nothing(dom0, guest, limit, in_transaction):
    dom0.request(MessageType.SET_QUOTA, "5", limit, "20")
    tx = guest.begin() if in_transaction else 0
    for i in range(20):
        try:
            guest.write(f"a{i}/b/c/d", "x" * i, tx)
        except XenstoreError as error:
            assert error.name in ("ENOSPC", "ENOMEM")
            break
    else:
        pytest.fail("no limit was reached")
    if tx:
        guest.commit(tx)
    assert guest.store.check() == []
    for name in guest.directory("/local/domain/5"):
        assert guest.read(f"{name}/b/c/d") is not None


def test_xsa_416_events_of_a_client_that_never_reads(dom0, guest):
    dom0.request(MessageType.SET_QUOTA, "5", "memory", str(512 * 1024))
    guest.watch("x", "t" * 1000)
    guest.take_events()
    for i in range(1000):
        dom0.write(f"/local/domain/5/x/n{i}")
        dom0.remove(f"/local/domain/5/x/n{i}")
    assert guest.connection.domain.usage.memory <= 512 * 1024
    assert not guest.connection.closed


def test_xsa_418_the_deepest_tree(store, dom0):
    deepest = "/a" * 1536
    assert len(deepest) == 3072
    limit = sys.getrecursionlimit()
    assert limit < 1536
    dom0.write(deepest, "bottom")
    dom0.watch(deepest)
    tx = dom0.begin()
    dom0.write(deepest, "changed", tx)
    dom0.write("/elsewhere")
    dom0.commit(tx)
    assert dom0.read(deepest) == b"changed"
    assert dom0.request(MessageType.CONTROL, "check") == b"OK\0"
    dom0.take_events()
    dom0.remove("/a")
    assert dom0.take_events() == [(deepest, "token")]
    assert store.check() == []


def test_xsa_419_nodes_of_dead_domains_go(dom0, guest):
    dom0.mkdir("/tool")
    dom0.set_permissions("/tool", "b0")
    guest.write("/tool/deep/er", "x")
    dom0.write("/tool/deep/er/dom0", "x")
    dom0.watch("/tool")
    dom0.take_events()
    dom0.release(5)
    assert dom0.directory("/tool") == []
    assert dom0.directory("/local/domain") == []
    assert dom0.take_events() == [("/tool/deep", "token")]
    assert dom0.store.check() == []


def test_xsa_421_transactions_stay_within_the_quota():
    dom0 = SyncStoreClient(XenStore(quotas=Quotas(nodes=5)))
    guest = make_guest(dom0)
    tx = guest.begin()
    for i in range(4):
        guest.write(f"n{i}", tx_id=tx)
    with refused("ENOSPC"):
        guest.write("n4", tx_id=tx)
    guest.remove("n0", tx)
    guest.write("n4", tx_id=tx)
    other = guest.begin()
    guest.write("/local/domain/5/elsewhere", tx_id=other)
    guest.commit(tx)
    with pytest.raises(XenstoreError, match=r"EAGAIN|ENOSPC"):
        guest.commit(other)
    assert len(guest.directory("/local/domain/5")) == 4
    assert dom0.store.check() == []


def test_xsa_421_two_transactions_share_the_quota():
    """Neither conflicts with the other, but together they exceed the limit."""
    dom0 = SyncStoreClient(XenStore(quotas=Quotas(nodes=7)))
    guest = make_guest(dom0)
    for name in ("a", "b"):
        guest.mkdir(name)
    first, second = guest.begin(), guest.begin()
    for i in range(3):
        guest.write(f"a/{i}", tx_id=first)
        guest.write(f"b/{i}", tx_id=second)
    guest.commit(first)
    with refused("ENOSPC"):
        guest.commit(second)
    assert guest.directory("b") == []
    assert dom0.store.check() == []


def test_xsa_440_conflicting_commits_with_quota_errors(store, dom0):
    guests = [make_guest(dom0, domid) for domid in (5, 6)]
    dom0.mkdir("/shared")
    dom0.set_permissions("/shared", "b0")
    dom0.request(MessageType.SET_QUOTA, "6", "nodes", "3")
    transactions = [guest.begin() for guest in guests]
    for guest, tx in zip(guests, transactions, strict=True):
        with pytest.raises(XenstoreError) if guest is guests[1] else refused("EACCES"):
            guest.write("/tool/x", tx_id=tx)
        for i in range(5):
            try:
                guest.write(f"/shared/n{i}", str(i), tx)
            except XenstoreError as error:
                assert error.name == "ENOSPC"
    guests[0].commit(transactions[0])
    with refused("EAGAIN"):
        guests[1].commit(transactions[1])
    assert len(dom0.directory("/shared")) == 5
    assert store.check() == []


@pytest.mark.parametrize(
    "kind",
    [
        MessageType.READ,
        MessageType.DIRECTORY,
        MessageType.GET_PERMS,
        MessageType.WRITE,
        MessageType.MKDIR,
        MessageType.RM,
    ],
)
def test_xsa_481_trailing_slash(dom0, kind):
    with refused("EINVAL"):
        dom0.request(kind, "/local/domain/")


def test_xsa_481_trailing_slash_with_more_arguments(dom0):
    for kind, argument in {
        MessageType.SET_PERMS: "n0",
        MessageType.WATCH: "token",
        MessageType.UNWATCH: "token",
        MessageType.DIRECTORY_PART: "0",
    }.items():
        with refused("EINVAL"):
            dom0.request(kind, "/local/domain/", argument)


def test_xsa_483_a_reused_domid_has_its_whole_quota(dom0):
    dom0.request(MessageType.SET_QUOTA, "nodes", "4")
    for _ in range(3):
        guest = make_guest(dom0)
        for i in range(3):
            guest.write(f"n{i}")
            guest.watch(f"n{i}")
            guest.begin()
        with refused("ENOSPC"):
            guest.write("n3")
        dom0.release(5)
        assert dom0.store.view.nodes_of(5) == 0


def test_xsa_484_reset_within_a_transaction(guest):
    tx = guest.begin()
    guest.write("x", tx_id=tx)
    assert guest.request(MessageType.RESET_WATCHES, "", tx_id=tx) == b"OK\0"
    with refused("ENOENT"):
        guest.commit(tx)
    tx = guest.begin()
    guest.write("x", tx_id=tx)
    guest.connection.receive(encode(Message(2, 1, tx, b""))[:12] + b"\xff\xff\xff\xff")
    assert guest.connection.closed
    assert guest.connection.domain.usage.transactions == 0
    assert guest.store.check() == []


def test_an_owner_that_dies_before_the_commit(dom0, guest):
    tx = dom0.begin()
    dom0.write("/x", tx_id=tx)
    dom0.set_permissions("/x", "n5", tx_id=tx)
    dom0.release(5)
    with refused("EAGAIN"):
        dom0.commit(tx)
    assert dom0.store.check() == []
