import pytest

from pvdrivers.testing.sync_store_client import SyncStoreClient
from pvdrivers.xenstore.errors import XenstoreError
from pvdrivers.xenstore.quotas import QUOTAS, Quotas
from pvdrivers.xenstore.store import XenStore
from pvdrivers.xenstore.wire import MessageType


def refused(name):
    return pytest.raises(XenstoreError, match=rf"\b{name}\b")


def make_guest(store, domid=5):
    dom0 = SyncStoreClient(store)
    dom0.mkdir(f"/local/domain/{domid}")
    dom0.set_permissions(f"/local/domain/{domid}", f"n{domid}")
    dom0.introduce(domid)
    return SyncStoreClient(store, domid)


def guest_with(**quotas):
    return make_guest(XenStore(quotas=Quotas(**quotas)))


def test_defaults_are_those_of_the_c_server():
    values = {name: quota.default for name, quota in QUOTAS.items()}
    assert values["nodes"] == 1000
    assert values["watches"] == 128
    assert values["transactions"] == 10
    assert values["outstanding"] == 20
    assert values["transaction-nodes"] == 1024
    assert values["permissions"] == 5
    assert values["node-size"] == values["path-length"] == 2048
    assert values["memory"] == 2.5 * 2**20
    assert values["memory-soft"] == 2 * 2**20


def test_nodes():
    guest = guest_with(nodes=10)  # the home is one
    for i in range(9):
        guest.write(f"n{i}")
    with refused("ENOSPC"):
        guest.write("more")
    guest.write("n0", "still changeable")
    guest.remove("n0")
    with refused("ENOSPC"):
        guest.write("x/y")  # two nodes
    assert "x" not in guest.directory("/local/domain/5")  # neither
    guest.write("x")


def test_nodes_of_domain_0_are_not_limited():
    dom0 = SyncStoreClient(XenStore(quotas=Quotas(nodes=1)))
    for i in range(5):
        dom0.write(f"/n{i}")


def test_watches():
    guest = guest_with(watches=2)
    guest.watch("a")
    guest.watch("b")
    with refused("ENOSPC"):
        guest.watch("c")
    guest.unwatch("a")
    guest.watch("c")


def test_transactions():
    guest = guest_with(transactions=2)
    first = guest.begin()
    guest.begin()
    with refused("ENOSPC"):
        guest.begin()
    guest.abort(first)
    guest.begin()


def test_nodes_touched_in_a_transaction():
    guest = guest_with(transaction_nodes=5)
    tx = guest.begin()
    for i in range(4):
        guest.write(f"n{i}", tx_id=tx)  # each, and once their parent
    with refused("ENOSPC"):
        guest.write("n4", tx_id=tx)
    guest.read("n3", tx)
    guest.commit(tx)


def test_permissions():
    guest = guest_with(permissions=2)
    guest.write("a")
    guest.set_permissions("a", "n5", "r1")
    with refused("ENOSPC"):
        guest.set_permissions("a", "n5", "r1", "r2")


def test_node_size():
    guest = guest_with(node_size=100)
    guest.write("a", "x" * 92)  # and one permission entry of 8
    with refused("ENOSPC"):
        guest.write("a", "x" * 93)
    with refused("ENOSPC"):
        guest.write("b", "x" * 93)
    with refused("ENOSPC"):
        guest.write("a/b")  # the parent's list of children would grow
    assert guest.directory("a") == []


def test_path_length_does_not_count_the_home():
    guest = guest_with(path_length=10)
    guest.write("x" * 10)
    guest.write("/local/domain/5/" + "y" * 10)
    with refused("EINVAL"):
        guest.write("x" * 11)


def test_memory_refuses_what_would_exceed_it():
    guest = guest_with(memory=4000)
    for i in range(3):
        guest.write(f"n{i}", "x" * 1000)
    with refused("ENOMEM"):
        guest.write("n3", "x" * 1000)
    tx = guest.begin()
    with refused("ENOMEM"):
        guest.write("n3", "x" * 1000, tx)
    guest.remove("n0")
    guest.write("n3", "x" * 1000)


def test_memory_of_unread_replies_stops_the_reading():
    guest = guest_with(memory=3000, outstanding=0)
    guest.write("n", "x" * 1000)
    for _ in range(10):
        guest.send(MessageType.READ, "n")
    guest.store.run()
    assert guest.connection.stalled
    answered = 0
    while replies := guest.take_replies():
        answered += len(replies)
        guest.store.run()
    assert answered == 10


def test_soft_memory_limit_is_logged_once(caplog):
    guest = guest_with(memory_soft=1000)
    for i in range(5):
        guest.write(f"n{i}", "x" * 500)
    assert len([r for r in caplog.records if "soft memory limit" in r.message]) == 1


def test_unread_replies():
    guest = guest_with(outstanding=3)
    for _ in range(10):
        guest.send(MessageType.READ, "/local/domain/5")
    guest.store.run()
    assert len(guest.take_replies()) == 3
    guest.store.run()
    assert len(guest.take_replies()) == 3


def test_input_is_bounded():
    guest = guest_with(outstanding=1)
    sent = 0
    for _ in range(3):
        while guest.connection.wants_input:
            guest.send(MessageType.READ, "x" * 1000)
            sent += 1
        guest.store.run()
    assert not guest.connection.wants_input
    assert sent < 20
    guest.collect()
    for _ in range(5):
        guest.store.run()
        guest.collect()
    assert guest.connection.wants_input


def test_zero_is_no_limit():
    guest = guest_with(watches=0)
    for i in range(200):
        guest.watch(f"w{i}")


def test_quotas_over_the_wire():
    store = XenStore()
    guest, dom0 = make_guest(store), SyncStoreClient(store)
    assert dom0.request(MessageType.GET_QUOTA) == " ".join(QUOTAS).encode() + b"\0"
    dom0.request(MessageType.SET_QUOTA, "5", "watches", "1")
    assert dom0.request(MessageType.GET_QUOTA, "5", "watches") == b"1\0"
    assert dom0.request(MessageType.GET_QUOTA, "watches") == b"128\0"
    guest.watch("a")
    with refused("ENOSPC"):
        guest.watch("b")
    dom0.request(MessageType.SET_QUOTA, "nodes", "7")
    assert dom0.request(MessageType.GET_QUOTA, "5", "nodes") == b"7\0"
    with refused("EINVAL"):
        dom0.request(MessageType.SET_QUOTA, "bananas", "7")
    with refused("EINVAL"):
        dom0.request(MessageType.GET_QUOTA, "bananas")


class TestFairness:
    def test_turns_are_shared(self):
        """XSA-206: a client with a thousand requests waiting delays others by one request each."""
        store = XenStore(quotas=Quotas(outstanding=0))
        storm, other = make_guest(store, 5), make_guest(store, 6)
        for _ in range(200):
            storm.send(MessageType.WRITE, "x", tail=b"y")
        other.send(MessageType.READ, "/local/domain/6")
        store.run(budget=2)
        assert len(other.take_replies()) == 1

    def test_the_write_rate_is_limited(self):
        now = 0.0
        store = XenStore(quotas=Quotas(write_rate=10, write_burst=5), clock=lambda: now)
        guest = make_guest(store)
        for _ in range(30):
            guest.send(MessageType.WRITE, "x", tail=b"y")
        delay, times = store.run(), []
        while delay is not None and len(times) < 100:
            guest.collect()
            now += delay
            times.append(now)
            delay = store.run()
        served = len(guest.take_replies())
        assert served == 30
        # 5 at once and one more until the credit is used up, then 10 a second.
        assert times[-1] == pytest.approx((30 - 5 - 1) / 10, abs=0.11)

    def test_reading_is_not_limited_by_it(self):
        store = XenStore(quotas=Quotas(write_rate=1, write_burst=1), clock=lambda: 0.0)
        guest = make_guest(store)
        for _ in range(10):
            guest.read("/local/domain/5")

    def test_a_throttled_domain_does_not_hold_up_others(self):
        store = XenStore(quotas=Quotas(write_rate=1, write_burst=1), clock=lambda: 0.0)
        storm, other = make_guest(store, 5), make_guest(store, 6)
        for _ in range(10):
            storm.send(MessageType.WRITE, "x", tail=b"y")
        other.send(MessageType.READ, "/local/domain/6")
        store.run()
        assert len(other.take_replies()) == 1
        assert len(storm.take_replies()) < 10
