"""The HTTP server of the metrics, to clients of all kinds: curl's and Python's, and rude ones."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from http.client import HTTPConnection, HTTPResponse

import pytest

from pvdrivers.ring.errors import UsageError
from pvdrivers.tools.pvbackd import http_page
from pvdrivers.tools.pvbackd.config import Metrics
from pvdrivers.tools.pvbackd.http_page import HttpPage
from pvdrivers.tools.pvbackd.metrics import serve_metrics

from .conftest import PATIENCE, until

BODY = b"pages 1\n"
Client = Callable[[str, int], Awaitable[None]]


def serve(client: Client) -> None:
    """Runs `client(host, port)` against a page at /metrics."""

    async def main() -> None:
        async def make() -> bytes:
            return BODY

        page = HttpPage("/metrics", "text/plain; version=1", make)
        server = await asyncio.start_server(page.answer, "127.0.0.1", 0)
        async with server:
            await client(*server.sockets[0].getsockname())

    asyncio.run(main())


async def ask(
    host: str, port: int, method: str, path: str, body: bytes = b""
) -> tuple[HTTPResponse, bytes]:
    def talk() -> tuple[HTTPResponse, bytes]:
        connection = HTTPConnection(host, port, timeout=PATIENCE)
        connection.request(method, path, body or None)
        response = connection.getresponse()
        return response, response.read()

    return await asyncio.to_thread(talk)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/metrics", 200),
        ("GET", "/metrics?name=a", 200),
        ("HEAD", "/metrics", 200),
        ("GET", "/", 404),
        ("HEAD", "/other", 404),
        ("GET", "/metrics/", 404),
        ("GET", "/../metrics", 404),
        ("POST", "/metrics", 405),
        ("DELETE", "/metrics", 405),
        ("POST", "/", 404),
    ],
)
def test_one_page_by_two_methods(method: str, path: str, status: int) -> None:
    async def client(host: str, port: int) -> None:
        response, body = await ask(
            host, port, method, path, b"x" * 100 if method == "POST" else b""
        )
        assert response.status == status
        assert int(response.headers["Content-Length"]) > 0
        assert response.headers["Connection"] == "close"
        assert bool(body) is (method != "HEAD")
        if status == 200:
            assert response.headers["Content-Type"] == "text/plain; version=1"
            assert body == (BODY if method == "GET" else b"")
        if status == 405:
            assert response.headers["Allow"] == "GET, HEAD"

    serve(client)


async def exchange(host: str, port: int, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(sent)
    try:
        return await asyncio.wait_for(reader.read(), PATIENCE)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\xff\xfe\r\n\r\n", 400),
        (b"GET /metrics\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET /metrics HTTP/1.0\r\n\r\n", 200),
        (b"GET http://anywhere/metrics HTTP/1.1\r\nHost: anywhere\r\n\r\n", 200),
        (b"GET //[ HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        (b"GET /metrics HTTP/1.1\r\nHost: " + b"a" * 20000, 431),
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n" + b"b" * 20000, 413),
    ],
)
def test_requests_no_library_makes(sent: bytes, status: int) -> None:
    async def client(host: str, port: int) -> None:
        answer = await exchange(host, port, sent)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert len(answer) < 1000

    serve(client)


def test_who_does_not_ask_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also who asks a byte at a time."""
    monkeypatch.setattr(http_page, "TIMEOUT", 0.2)

    async def client(host: str, port: int) -> None:
        assert await exchange(host, port, b"") == b""
        reader, writer = await asyncio.open_connection(host, port)
        gone = asyncio.ensure_future(reader.read())
        while not gone.done():
            writer.write(b"G")
            await asyncio.sleep(0.01)
        assert gone.exception() is not None or gone.result() == b""

    serve(client)


def test_a_refused_client_that_stays_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_page, "CONNECTIONS_MAX", 3)
    monkeypatch.setattr(http_page, "TIMEOUT", 10 * PATIENCE)

    async def client(host: str, port: int) -> None:
        silent = [await asyncio.open_connection(host, port) for _ in range(20)]
        for reader, _ in silent[3:]:
            assert (await reader.read()).startswith(b"HTTP/1.1 503 ")  # to the end
        for _, writer in silent:
            writer.close()

    serve(client)


def test_connections_are_limited_and_leave_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_page, "CONNECTIONS_MAX", 3)
    monkeypatch.setattr(http_page, "TIMEOUT", 10 * PATIENCE)

    async def client(host: str, port: int) -> None:
        idle = [await asyncio.open_connection(host, port) for _ in range(3)]

        async def answers(expected: bytes) -> bool:
            answer = await exchange(host, port, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
            return answer.startswith(b"HTTP/1.1 %s " % expected)

        await until(lambda: answers(b"503"))
        for _, writer in idle:
            writer.close()
        await until(lambda: answers(b"200"))

    serve(client)


def test_who_does_not_read_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_page, "TIMEOUT", 0.2)

    async def main() -> None:
        made, let_go_of = asyncio.Event(), asyncio.Event()

        async def make() -> bytes:
            made.set()
            return bytes(64 << 20)

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await page.answer(reader, writer)
            let_go_of.set()

        page = HttpPage("/metrics", "text/plain", make)
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            while not made.is_set():  # one that was held up may have had no time to make anything
                with socket.create_connection(server.sockets[0].getsockname()) as rude:
                    rude.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
                    await let_go_of.wait()
                    let_go_of.clear()
            assert page.connections == 0

    asyncio.run(main())


def test_a_port_in_use_names_the_key() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            where = f"127.0.0.1:{taken.getsockname()[1]}"
            with pytest.raises(UsageError, match=f"metrics.listen {where}: .*in use"):
                async with serve_metrics(Metrics(listen=where), dict, lambda: 0):
                    raise AssertionError

    asyncio.run(main())
