import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvdrivers.testing.sync_store_client import SyncStoreClient
from pvdrivers.xenstore import store as store_module
from pvdrivers.xenstore.errors import XenstoreError
from pvdrivers.xenstore.store import HANDLERS, XenStore
from pvdrivers.xenstore.wire import MessageType, strings


@pytest.fixture
def store():
    return XenStore()


@pytest.fixture
def dom0(store):
    return SyncStoreClient(store)


@pytest.fixture
def guest(store, dom0):
    """Domain 5 with a home of its own, as a toolstack makes it."""
    dom0.mkdir("/local/domain/5")
    dom0.set_permissions("/local/domain/5", "n5")
    dom0.introduce(5)
    return SyncStoreClient(store, 5)


def refused(name):
    return pytest.raises(XenstoreError, match=rf"\b{name}\b")


def test_write_creates_missing_parents_with_empty_values(dom0):
    dom0.write("/a/b/c", "value")
    assert dom0.read("/a/b/c") == b"value"
    assert dom0.read("/a/b") == b""
    assert dom0.directory("/a") == ["b"]


def test_mkdir_leaves_an_existing_value(dom0):
    dom0.write("/a", "value")
    dom0.mkdir("/a")
    assert dom0.read("/a") == b"value"


def test_values_are_bytes(dom0):
    value = bytes(range(256))
    dom0.write("/a", value)
    assert dom0.read("/a") == value


def test_remove_takes_everything_below(dom0):
    dom0.write("/a/b/c")
    dom0.remove("/a/b")
    assert dom0.directory("/a") == []
    dom0.remove("/a/b")  # gone already, and its parent is there
    with refused("ENOENT"):
        dom0.remove("/a/b/c")
    with refused("EINVAL"):
        dom0.remove("/")


@pytest.mark.parametrize(
    "path", ["", "//", "/a//b", "/a/", "/a b", "/a.b", "/\xe4", "@releaseDomain", "/local/domain/"]
)
def test_what_is_no_path(dom0, path):
    with refused("EINVAL"):
        dom0.read(path)


def test_relative_paths_start_at_home(dom0, guest):
    guest.write("device/vbd", "x")
    assert dom0.read("/local/domain/5/device/vbd") == b"x"
    guest.watch("device")
    dom0.write("/local/domain/5/device/vbd", "y")
    assert guest.take_events() == [("device", "token"), ("device/vbd", "token")]


def test_malformed_requests(dom0):
    without_arguments = {
        MessageType.TRANSACTION_START,
        MessageType.RESET_WATCHES,
        MessageType.GET_FEATURE,
        MessageType.GET_QUOTA,
    }
    for kind in MessageType:
        if kind in without_arguments:
            continue
        with pytest.raises(XenstoreError, match=r"EINVAL|ENOSYS|ENOENT"):
            dom0.request(kind, tail=b"no end")
    with refused("ENOSYS"):
        dom0.request(20, "")
    with refused("ENOSYS"):
        dom0.request(MessageType.INVALID, "")


@given(st.integers(0, 30), st.binary(max_size=60), st.integers(0, 3))
def test_any_request_is_answered(kind, payload, tx_id):
    store = XenStore()
    for domid in (0, 5):
        peer = SyncStoreClient(store, domid)
        peer.send(kind, tail=payload, tx_id=tx_id)
        store.run()
        assert len(peer.take_replies()) == 1
        assert store.check() == []


class TestDefects:
    """A defect of the store itself affects one client, and is logged once."""

    def test_a_request_is_answered(self, dom0, guest, monkeypatch, caplog):
        def defect(request):
            raise ZeroDivisionError("a defect")

        dom0.write("/local/domain/5/key", "value")
        monkeypatch.setattr(store_module, "HANDLERS", {**HANDLERS, MessageType.READ: defect})
        for _ in range(3):
            with refused("EIO"):
                guest.read("key")
        guest.write("other", "x")  # its connection goes on
        monkeypatch.undo()
        assert dom0.read("/local/domain/5/key") == b"value"
        assert len(caplog.records) == 1
        assert "a defect" in caplog.text

    @pytest.mark.parametrize("step", ["reply", "advance", "next_request"])
    def test_a_client_that_cannot_be_answered_loses_its_connection(
        self, store, dom0, guest, step, monkeypatch, caplog
    ):
        def defect(*arguments):
            raise ZeroDivisionError("a defect")

        guest.send(MessageType.DIRECTORY, "")
        monkeypatch.setattr(guest.connection, step, defect)
        dom0.send(MessageType.DIRECTORY, "/")
        while store.run() is not None:
            pass
        assert guest.connection.closed
        assert len(dom0.take_replies()) == 1
        assert "a defect" in caplog.text

    def test_a_watcher_that_cannot_be_told_harms_neither_the_writer_nor_other_watchers(
        self, store, dom0, caplog
    ):
        def defect():
            raise OSError("its event channel is gone")

        deaf, other = SyncStoreClient(store), SyncStoreClient(store)
        for watcher in (deaf, other):
            watcher.watch("/a")
            watcher.take_events()
        deaf.connection.on_output = defect
        dom0.write("/a/b", "x")
        assert other.take_events() == [("/a/b", "token")]
        assert deaf.connection.closed
        assert store.check() == []


class TestPermissions:
    def test_others_get_the_owners_letter(self, dom0, guest):
        dom0.write("/shared", "x")
        with refused("EACCES"):
            guest.read("/shared")
        dom0.set_permissions("/shared", "r0")
        assert guest.read("/shared") == b"x"
        with refused("EACCES"):
            guest.write("/shared", "y")

    def test_an_entry_is_for_one_domain(self, store, dom0, guest):
        dom0.write("/shared", "x")
        dom0.set_permissions("/shared", "n0", "b5")
        guest.write("/shared", "y")
        with refused("EACCES"):
            SyncStoreClient(store, 6).read("/shared")

    def test_the_first_entry_for_a_domain_counts(self, dom0, guest):
        dom0.write("/shared", "x")
        dom0.set_permissions("/shared", "r0", "n5", "b5")
        with refused("EACCES"):
            guest.read("/shared")

    def test_any_domain_may_be_named(self, dom0, guest):
        dom0.write("/shared", "x")
        dom0.set_permissions("/shared", "n0", f"r{0x7FF5}")
        assert guest.read("/shared") == b"x"

    def test_what_a_guest_creates_is_its_own(self, dom0, guest):
        dom0.write("/shared", "x")
        dom0.set_permissions("/shared", "w0", "r6")
        guest.write("/shared/child", "y")
        assert [str(p) for p in dom0.get_permissions("/shared/child")] == ["w5", "r6"]

    def test_absence_is_hidden_from_clients_that_may_not_read(self, guest):
        with refused("EACCES"):
            guest.read("/tool/nothing")
        with refused("ENOENT"):
            guest.read("nothing")

    @pytest.mark.parametrize("entry", ["", "x0", "r", "r-1", "r65536", "r1x", "r 1"])
    def test_malformed_entries(self, dom0, entry):
        with refused("EINVAL"):
            dom0.set_permissions("/", entry)

    def test_a_stub_domain_acts_for_its_target(self, store, dom0, guest):
        stub = SyncStoreClient(store, 9)
        with refused("EACCES"):
            stub.write("/local/domain/5/x")
        dom0.request(MessageType.SET_TARGET, "9", "5")
        stub.write("/local/domain/5/x", "1")
        dom0.release(5)
        with refused("EACCES"):
            stub.read("/local")


class TestTransactions:
    def test_changes_are_seen_when_committed(self, dom0):
        dom0.write("/a", "old")
        tx = dom0.begin()
        dom0.write("/a", "new", tx)
        dom0.write("/b/c", "x", tx)
        assert (dom0.read("/a"), dom0.read("/a", tx)) == (b"old", b"new")
        dom0.commit(tx)
        assert (dom0.read("/a"), dom0.read("/b/c")) == (b"new", b"x")

    def test_reads_come_from_the_snapshot(self, dom0):
        dom0.write("/a", "old")
        tx = dom0.begin()
        dom0.write("/a", "new")
        assert dom0.read("/a", tx) == b"old"
        with refused("EAGAIN"):
            dom0.commit(tx)

    @pytest.mark.parametrize("change", ["write", "remove", "set_permissions", "child"])
    def test_what_was_read_must_not_change(self, dom0, change):
        dom0.write("/a/b", "old")
        tx = dom0.begin()
        dom0.read("/a/b", tx)
        match change:
            case "write":
                dom0.write("/a/b", "old")
            case "remove":
                dom0.remove("/a")
            case "set_permissions":
                dom0.set_permissions("/a/b", "r0")
            case "child":
                dom0.write("/a/b/c")
        with refused("EAGAIN"):
            dom0.commit(tx)

    def test_an_absence_that_was_read_counts_too(self, dom0):
        tx = dom0.begin()
        with refused("ENOENT"):
            dom0.read("/a", tx)
        dom0.write("/a")
        with refused("EAGAIN"):
            dom0.commit(tx)

    def test_independent_changes_do_not_conflict(self, dom0):
        dom0.write("/a/x/y", "1")
        dom0.write("/b", "1")
        tx = dom0.begin()
        dom0.write("/a/x", "2", tx)
        dom0.write("/b", "2")
        dom0.write("/a/x/y/z", "2")
        dom0.commit(tx)
        found = [dom0.read(path) for path in ("/a/x", "/a/x/y/z", "/b")]
        assert found == [b"2", b"2", b"2"]

    def test_remove_and_recreate(self, dom0):
        dom0.write("/a/b/c", "1")
        tx = dom0.begin()
        dom0.remove("/a/b", tx)
        dom0.write("/a/b", "2", tx)
        dom0.write("/elsewhere")
        dom0.commit(tx)
        assert dom0.directory("/a/b") == []
        assert dom0.read("/a/b") == b"2"
        assert dom0.store.check() == []

    def test_errors(self, store, dom0):
        tx = dom0.begin()
        with refused("EBUSY"):
            dom0.request(MessageType.TRANSACTION_START, "", tx_id=tx)
        with refused("ENOENT"):
            dom0.read("/", tx + 1)
        with refused("ENOENT"):
            SyncStoreClient(store).read("/", tx)  # another connection's
        with refused("EINVAL"):
            dom0.request(MessageType.TRANSACTION_END, "X", tx_id=tx)
        dom0.abort(tx)
        with refused("ENOENT"):
            dom0.abort(tx)

    def test_events_come_with_the_commit(self, dom0):
        dom0.watch("/a")
        dom0.take_events()
        tx = dom0.begin()
        dom0.write("/a/b", "1", tx)
        dom0.write("/a/b", "2", tx)
        assert dom0.take_events() == []
        dom0.commit(tx)
        assert dom0.take_events() == [("/a/b", "token")]
        tx = dom0.begin()
        dom0.write("/a/b", "3", tx)
        dom0.abort(tx)
        assert dom0.take_events() == []


class TestWatches:
    def test_first_event_follows_the_reply(self, dom0):
        dom0.send(MessageType.WATCH, "/a", "token")
        dom0.store.run()
        data = dom0.connection.data_to_send()
        assert data[0] == MessageType.WATCH
        assert data.endswith(b"/a\0token\0")

    def test_removal_tells_watches_below_their_own_path(self, dom0):
        dom0.write("/a/b/c")
        dom0.watch("/a/b/c", "deep")
        dom0.watch("/a", "high")
        dom0.watch("/a/b/x", "none")
        dom0.take_events()
        dom0.remove("/a/b")
        assert sorted(dom0.take_events()) == [("/a/b", "high"), ("/a/b/c", "deep")]

    @pytest.mark.parametrize(("depth", "seen"), [("0", 1), ("1", 2), ("2", 3), ("9", 3)])
    def test_depth(self, dom0, depth, seen):
        dom0.mkdir("/a/b/c")
        dom0.watch("/a", "token", depth)
        dom0.take_events()
        for path in ("/a", "/a/b", "/a/b/c"):
            dom0.write(path, "x")
        assert len(dom0.take_events()) == seen

    def test_errors(self, dom0):
        dom0.watch("/a")
        with refused("EEXIST"):
            dom0.watch("/a")
        dom0.watch("/a", "other")
        with refused("ENOENT"):
            dom0.unwatch("/b")
        dom0.unwatch("/a")
        dom0.take_events()
        dom0.write("/a")
        assert dom0.take_events() == [("/a", "other")]

    def test_reset(self, dom0):
        dom0.watch("/a")
        tx = dom0.begin()
        dom0.request(MessageType.RESET_WATCHES, "")
        dom0.take_events()
        dom0.write("/a")
        assert dom0.take_events() == []
        with refused("ENOENT"):
            dom0.commit(tx)

    def test_equal_events_wait_once(self, dom0):
        dom0.watch("/a")
        dom0.take_events()
        writer = SyncStoreClient(dom0.store)
        for _ in range(100):
            writer.write("/a", "x")
        assert dom0.take_events() == [("/a", "token")]


class TestDomains:
    def test_special_watches(self, dom0):
        dom0.watch("@introduceDomain", "in")
        dom0.watch("@releaseDomain", "out")
        dom0.watch("@releaseDomain", "which", "1")
        dom0.watch("@releaseDomain/7", "seven")
        dom0.take_events()
        dom0.introduce(6)
        assert dom0.take_events() == [("@introduceDomain", "in")]
        dom0.store.domain_shutdown(6)
        dom0.store.domain_shutdown(6)  # told once
        expected = [("@releaseDomain", "out"), ("@releaseDomain/6", "which")]
        assert dom0.take_events() == expected
        dom0.request(MessageType.RESUME, "6")
        dom0.store.domain_shutdown(6)
        assert dom0.take_events() == expected
        dom0.introduce(7)
        dom0.release(7)
        assert ("@releaseDomain/7", "seven") in dom0.take_events()

    def test_special_watches_need_a_grant(self, dom0, guest):
        guest.watch("@introduceDomain", "in")
        guest.watch("@releaseDomain", "out")
        guest.take_events()
        dom0.introduce(6)
        dom0.release(6)
        assert guest.take_events() == []
        with refused("EACCES"):
            guest.set_permissions("@releaseDomain", "r0")
        dom0.set_permissions("@releaseDomain", "n0", "r5")
        dom0.introduce(6)
        dom0.release(6)
        assert guest.take_events() == [("@releaseDomain", "out")]

    def test_introduced(self, dom0, guest):
        assert dom0.request(MessageType.IS_DOMAIN_INTRODUCED, "5") == b"T\0"
        assert dom0.request(MessageType.IS_DOMAIN_INTRODUCED, "6") == b"F\0"
        assert guest.request(MessageType.GET_DOMAIN_PATH, "6") == b"/local/domain/6\0"
        dom0.release(5)
        assert dom0.request(MessageType.IS_DOMAIN_INTRODUCED, "5") == b"F\0"
        assert guest.connection.closed

    @pytest.mark.parametrize("arguments", [("0", "1", "1"), ("32752", "1", "1"), ("5", "x", "1")])
    def test_introduce_refuses(self, dom0, arguments):
        with refused("EINVAL"):
            dom0.request(MessageType.INTRODUCE, *arguments)

    def test_only_dom0(self, guest):
        for kind, arguments in {
            MessageType.INTRODUCE: ("6", "1", "1"),
            MessageType.RELEASE: ("5",),
            MessageType.RESUME: ("5",),
            MessageType.SET_TARGET: ("5", "0"),
            MessageType.IS_DOMAIN_INTRODUCED: ("5",),
            MessageType.SET_FEATURE: ("5", "1"),
            MessageType.GET_QUOTA: (),
            MessageType.SET_QUOTA: ("nodes", "0"),
            MessageType.CONTROL: ("help",),
            MessageType.GET_FEATURE: ("0",),
        }.items():
            with refused("EACCES"):
                guest.request(kind, *arguments)

    def test_features(self, dom0, guest):
        assert guest.request(MessageType.GET_FEATURE) == b"15\0"
        dom0.request(MessageType.SET_FEATURE, "6", "3")
        assert dom0.request(MessageType.GET_FEATURE, "6") == b"3\0"
        with refused("EINVAL"):
            dom0.request(MessageType.SET_FEATURE, "6", "1024")
        with refused("EBUSY"):
            dom0.request(MessageType.SET_FEATURE, "5", "3")

    def test_control(self, dom0, guest):
        assert dom0.request(MessageType.CONTROL, "check") == b"OK\0"
        assert b"check" in dom0.request(MessageType.CONTROL, "help")
        assert b"domain 5" in dom0.request(MessageType.CONTROL, "quota", "5")
        with refused("EINVAL"):
            dom0.request(MessageType.CONTROL, "reboot")


def test_directory_in_parts(dom0):
    names = [f"node-{i}" for i in range(1500)]
    for name in names:
        dom0.write(f"/big/{name}")
    with refused("E2BIG"):
        dom0.directory("/big")
    found, generations = b"", set()
    while not found.endswith(b"\0\0"):
        reply = dom0.request(MessageType.DIRECTORY_PART, "/big", str(len(found)))
        generation, _, part = reply.partition(b"\0")
        generations.add(generation)
        assert part.endswith(b"\0")  # whole names
        found += part
    assert [name.decode() for name in strings(found[:-1])] == names
    assert len(generations) == 1
    dom0.write("/big/another")
    reply = dom0.request(MessageType.DIRECTORY_PART, "/big", "0")
    assert reply.partition(b"\0")[0] not in generations
    with refused("EINVAL"):
        dom0.request(MessageType.DIRECTORY_PART, "/big", "1000000")
