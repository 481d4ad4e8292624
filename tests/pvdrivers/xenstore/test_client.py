import asyncio
import errno

import pytest

from pvdrivers.xenstore import Permission, XenStore, XenstoreClient, XenstoreError
from pvdrivers.xenstore.client_watch import PENDING_PATHS_MAX
from pvdrivers.xenstore.operations import asks_read, asks_remove, asks_write, raise_first
from pvdrivers.xenstore.server import SocketServer


@pytest.fixture(params=["in process", "socket"])
def with_client(request, tmp_path):
    """Runs a coroutine function with a client of a new store."""

    async def over_socket(body):
        path = str(tmp_path / "socket")
        async with SocketServer(XenStore(), path), await XenstoreClient.connect(path) as client:
            await body(client)

    async def in_process(body):
        async with XenstoreClient.in_process(XenStore()) as client:
            await body(client)

    run = in_process if request.param == "in process" else over_socket
    return lambda body: asyncio.run(asyncio.wait_for(run(body), 30))


def test_values(with_client):
    async def body(client):
        await client.write("/a/bytes", b"\xff\0")
        await client.write("/a/text", "t")
        await client.write("/a/number", 7)
        assert await client.read("/a/bytes") == b"\xff\0"
        assert await client.read_str("/a/number") == "7"
        assert await client.directory("/a") == ["bytes", "text", "number"]
        assert await client.exists("/a/text")
        await client.remove("/a/text")
        assert not await client.exists("/a/text")
        await client.mkdir("/a/text")
        assert await client.read("/a/text") == b""

    with_client(body)


def test_errors_are_os_errors(with_client):
    async def body(client):
        with pytest.raises(OSError, match=r"ENOENT READ /nothing") as caught:
            await client.read("/nothing")
        assert caught.value.errno == errno.ENOENT
        assert caught.value.name == "ENOENT"
        with pytest.raises(ValueError, match="NUL"):
            await client.read("/a\0b")
        with pytest.raises(XenstoreError, match="E2BIG"):
            await client.write("/a", b"x" * 5000)

    with_client(body)


def test_permissions(with_client):
    async def body(client):
        await client.mkdir("/a")
        await client.set_permissions("/a", [Permission.parse("n0"), "r5"])
        assert [str(entry) for entry in await client.get_permissions("/a")] == ["n0", "r5"]

    with_client(body)


def test_a_directory_of_any_size(with_client):
    async def body(client):
        names = [f"a-long-name-for-node-{i}" for i in range(400)]
        await asyncio.gather(*(client.write(f"/big/{name}", "") for name in names))
        assert sorted(await client.directory("/big")) == sorted(names)

    with_client(body)


def test_many_requests_at_once(with_client):
    async def body(client):
        await asyncio.gather(*(client.write(f"/a/{i}", i) for i in range(200)))
        values = await asyncio.gather(*(client.read_str(f"/a/{i}") for i in range(200)))
        assert values == [str(i) for i in range(200)]

    with_client(body)


def test_requests_in_one_go_are_carried_out_in_order_and_refused_one_by_one(with_client):
    async def body(client):
        asked = [
            asks_write("/a", "1"),
            asks_read("/a"),
            asks_write("/a", "2"),
            asks_read("/nothing"),
            asks_read("/a"),
            asks_remove("/a"),
            asks_read("/a"),
        ]
        replies = await client.request_all(asked)
        assert [reply for reply in replies if isinstance(reply, bytes)] == [
            b"OK\0",
            b"1",
            b"OK\0",
            b"2",
            b"OK\0",
        ]
        refused = [reply for reply in replies if isinstance(reply, XenstoreError)]
        assert [str(error).split("] ")[1] for error in refused] == [
            "ENOENT READ /nothing",
            "ENOENT READ /a",
        ]
        with pytest.raises(XenstoreError, match="ENOENT READ /nothing"):
            raise_first(replies)
        too_long = asks_write("/b", b"x" * 5000)
        with pytest.raises(XenstoreError, match="E2BIG"):
            await client.request_all([asks_write("/a", "3"), too_long])
        assert await client.read_present(["/a", "/b"]) == [None, None]  # none of them was sent

    with_client(body)


def test_a_look_at_one_moment(with_client):
    async def body(client):
        await client.write("/a", "before")
        async with client.transaction(commit=False) as snapshot:
            await client.write("/a", "after")
            assert await snapshot.read_present(["/a", "/b"]) == ["before", None]
            await snapshot.write("/b", "never")
        assert await client.read_present(["/a", "/b"]) == ["after", None]

    with_client(body)


def test_many_requests_in_one_go_may_be_given_up(with_client):
    async def body(client):
        await client.write("/a", "x")
        task = asyncio.create_task(client.read_present(["/a", "/nothing"] * 50))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await client.read_present(["/a"] * 50) == ["x"] * 50

    with_client(body)


def test_a_watch_that_calls_back(with_client):
    async def body(client):
        calls = []
        watch = await client.watch("/a", on_event=lambda: calls.append(len(calls)))
        await client.write("/a/b", "x")
        await client.read("/a/b")
        assert calls == [0, 1]
        assert watch.pending == 0
        await watch.close()
        await client.write("/a/b", "y")
        await client.read("/a/b")
        assert calls == [0, 1]
        await client.watch("/a", on_event=lambda: calls.append(len(calls)))
        await client.read("/a/b")
        client.close()
        assert calls == [0, 1, 2, 3]  # the last: the connection is gone

    with_client(body)


def test_a_cancelled_request_disturbs_no_other(with_client):
    async def body(client):
        await client.write("/a", "x")
        task = asyncio.create_task(client.read("/a"))
        await asyncio.sleep(0)
        task.cancel()
        assert await client.read("/a") == b"x"

    with_client(body)


def test_watch(with_client):
    async def body(client):
        async with await client.watch("/a") as watch:
            assert await anext(watch) == "/a"
            await client.write("/a/b", "x")
            assert await anext(watch) == "/a/b"
            with pytest.raises(ValueError, match="in use"):
                await client.watch("/elsewhere", watch.token)
        with pytest.raises(StopAsyncIteration):
            await anext(watch)

    with_client(body)


def test_waiting_events_are_bounded(with_client):
    """XSA-349: a peer that writes without pause while the events are not taken."""

    async def body(client):
        watch = await client.watch("/a")
        for _ in range(100):
            await client.write("/a/same", "x")
        assert watch.pending == 2
        for i in range(PENDING_PATHS_MAX + 10):
            await client.write(f"/a/{i}", "x")
        assert watch.pending <= PENDING_PATHS_MAX
        assert await anext(watch) == "/a"  # everything below may have changed

    with_client(body)


def test_transactions(with_client):
    async def body(client):
        await client.write("/count", 0)

        async def increment(transaction):
            value = int(await transaction.read("/count"))
            await transaction.write("/count", value + 1)
            return value

        seen = await asyncio.gather(*(client.transact(increment) for _ in range(10)))
        assert sorted(seen) == list(range(10))
        assert await client.read("/count") == b"10"

        async def interrupted():
            async with client.transaction() as transaction:
                await transaction.write("/count", 0)
                raise RuntimeError

        with pytest.raises(RuntimeError):
            await interrupted()
        assert await client.read("/count") == b"10"

        with pytest.raises(XenstoreError, match="EAGAIN"):
            await client.transact(lambda transaction: _conflict(client, transaction), attempts=2)

    with_client(body)


async def _conflict(client, transaction):
    await transaction.read("/count")
    await client.write("/count", 12)


def test_domains(with_client):
    async def body(client):
        assert await client.get_domain_path(5) == "/local/domain/5"
        await client.introduce(5, 1, 1)
        assert await client.is_domain_introduced(5)
        await client.set_target(5, 0)
        await client.resume(5)
        await client.release(5)
        assert not await client.is_domain_introduced(5)
        assert await client.control("check") == "OK"
        watch = await client.watch("/a")
        await client.reset_watches()
        await client.write("/a", "x")
        assert watch.pending == 1  # the first event only

    with_client(body)


def test_a_closed_connection(with_client):
    async def body(client):
        watch = await client.watch("/a")
        await anext(watch)
        waiting = asyncio.create_task(anext(watch))
        await asyncio.sleep(0)
        client.close()
        with pytest.raises(ConnectionResetError):
            await waiting
        with pytest.raises(ConnectionResetError):
            await client.read("/a")

    with_client(body)


def test_clients_of_several_domains():
    async def body():
        store = XenStore()
        dom0 = XenstoreClient.in_process(store)
        guest = XenstoreClient.in_process(store, 5)
        await dom0.write("/local/domain/5/name", "five")
        await dom0.set_permissions("/local/domain/5/name", ["n0", "r5"])
        assert await guest.read("name") == b"five"
        with pytest.raises(XenstoreError, match="EACCES"):
            await guest.write("name", "six")
        await dom0.release(5)
        with pytest.raises(ConnectionResetError):
            await guest.read("name")

    asyncio.run(body())


def test_in_process_runs_alike_every_time():
    """The same program gives the same order of everything."""

    async def body(log):
        store = XenStore()
        clients = [XenstoreClient.in_process(store) for _ in range(3)]

        async def work(number, client):
            watch = await client.watch("/shared")
            for i in range(5):
                await client.write(f"/shared/{i}", number)
                log.append((number, await anext(watch)))

        await asyncio.gather(*(work(*pair) for pair in enumerate(clients)))

    logs = [[], []]
    for log in logs:
        asyncio.run(body(log))
    assert logs[0] == logs[1]


def test_connect_finds_the_socket_by_environment(tmp_path, monkeypatch):
    path = str(tmp_path / "socket")
    monkeypatch.setenv("XENSTORED_PATH", path)

    async def body():
        with pytest.raises(FileNotFoundError):
            await XenstoreClient.connect()
        async with SocketServer(XenStore(), path), await XenstoreClient.connect() as client:
            assert await client.directory("/") == []

    asyncio.run(body())


def test_more_clients_at_once_than_the_server_has_room_for(tmp_path):
    path = str(tmp_path / "socket")

    async def body():
        async with SocketServer(XenStore(), path):
            clients = await asyncio.gather(*(XenstoreClient.connect(path) for _ in range(300)))
            for client in clients:
                assert await client.directory("/") == []
                client.close()

    asyncio.run(asyncio.wait_for(body(), 30))


def test_a_socket_client_that_breaks_the_protocol_is_alone_in_it(tmp_path):
    path = str(tmp_path / "socket")

    async def body():
        async with SocketServer(XenStore(), path), await XenstoreClient.connect(path) as client:
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"\xff" * 64)
            assert await reader.read() == b""
            writer.close()
            assert await client.directory("/") == []

    asyncio.run(asyncio.wait_for(body(), 30))


@pytest.mark.slow
def test_a_socket_client_that_never_reads_is_bounded(tmp_path):
    path = str(tmp_path / "socket")

    async def body():
        store = XenStore()
        async with SocketServer(store, path), await XenstoreClient.connect(path) as client:
            await client.write("/a", b"x" * 4000)
            (served,) = store.connections
            _, writer = await asyncio.open_unix_connection(path)
            request = b"\2\0\0\0" + b"\1\0\0\0" + b"\0\0\0\0" + b"\3\0\0\0" + b"/a\0"

            async def write_for_ever():
                while True:
                    writer.write(request * 1000)
                    await writer.drain()

            with pytest.raises(TimeoutError):
                await asyncio.wait_for(write_for_ever(), 1)
            (stuck,) = set(store.connections) - {served}
            assert stuck.domain.usage.output_bytes < 1_000_000
            assert await client.read("/a") == b"x" * 4000
            writer.transport.abort()

    asyncio.run(asyncio.wait_for(body(), 60))
