"""One page over HTTP, for clients that are not trusted.

h11 reads and writes the protocol; the limits are here. prometheus-client's own server answers any
path and has a thread for each connection, without a limit on their number or duration; uvicorn
keeps connections that ask nothing. Here each connection serves one request, with a time limit.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from urllib.parse import urlsplit

import h11

TIMEOUT = 10.0  # seconds from the connection to the last byte of the answer
CONNECTIONS_MAX = 32  # at once; others are refused
REFUSED_TIMEOUT = 0.1  # seconds; with more, refused clients would hold any number of descriptors
HEADERS_MAX = 8192  # bytes
REQUEST_MAX = 16384  # bytes, with a body, which is ignored
METHODS = ("GET", "HEAD")

Headers = Sequence[tuple[str, str]]


class HttpPage:
    """Answers GET and HEAD of `path` with what `make` makes, and nothing else."""

    def __init__(self, path: str, content_type: str, make: Callable[[], Awaitable[bytes]]) -> None:
        self.path = path
        self.content_type = content_type
        self.make = make
        self.connections = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection. A client that does not read its answer in time loses it."""
        self.connections += 1
        refused = self.connections > CONNECTIONS_MAX
        try:
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(REFUSED_TIMEOUT if refused else TIMEOUT):
                    writer.write(REFUSAL if refused else await self._converse(reader))
                    await writer.drain()
                    writer.write_eof()
                    # To close before the client does would take the answer away from one that is
                    # still sending.
                    while await reader.read(REQUEST_MAX):
                        pass
        finally:
            self.connections -= 1
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader) -> bytes:
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEADERS_MAX)
        try:
            request = await _read_request(http, reader)
        except h11.RemoteProtocolError as error:
            return _refusal(http, HTTPStatus(error.error_status_hint))
        method = request.method.decode()
        if _path_of(request.target.decode("ascii", "replace")) != self.path:
            return _refusal(http, HTTPStatus.NOT_FOUND, head=method == "HEAD")
        if method not in METHODS:
            return _refusal(http, HTTPStatus.METHOD_NOT_ALLOWED, [("Allow", ", ".join(METHODS))])
        headers = [("Content-Type", self.content_type)]
        return _response(http, HTTPStatus.OK, headers, await self.make(), method == "HEAD")


def _path_of(target: str) -> str:
    try:
        return urlsplit(target).path
    except ValueError:
        return ""


async def _read_request(http: h11.Connection, reader: asyncio.StreamReader) -> h11.Request:
    """Reads a whole request, so that nothing of it is still to come when it is answered."""
    request, received = None, 0
    while True:
        event = http.next_event()
        if isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.EndOfMessage) and request:
            return request
        elif event is h11.NEED_DATA:
            data = await reader.read(REQUEST_MAX)
            received += len(data)
            if received > REQUEST_MAX:
                raise h11.RemoteProtocolError("too long", error_status_hint=413)
            http.receive_data(data)
        elif isinstance(event, h11.ConnectionClosed):
            raise ConnectionResetError


def _refusal(
    http: h11.Connection, status: HTTPStatus, headers: Headers = (), head: bool = False
) -> bytes:
    body = f"{status} {status.phrase}\n".encode()
    return _response(http, status, [*headers, ("Content-Type", "text/plain")], body, head)


def _response(
    http: h11.Connection, status: HTTPStatus, headers: Headers, body: bytes, head: bool
) -> bytes:
    """With `head`, without the body."""
    fields = [*headers, ("Content-Length", str(len(body))), ("Connection", "close")]
    response = h11.Response(status_code=status, reason=status.phrase.encode(), headers=fields)
    return (http.send(response) or b"") + (b"" if head else http.send(h11.Data(body)) or b"")


REFUSAL = _refusal(h11.Connection(h11.SERVER), HTTPStatus.SERVICE_UNAVAILABLE)
