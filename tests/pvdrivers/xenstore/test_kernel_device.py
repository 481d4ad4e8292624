"""The client over a kernel's xenbus device: a socket of whole messages stands in for the device."""

import asyncio
import errno
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pvdrivers.xenstore import XenstoreClient, XenstoreError
from pvdrivers.xenstore.kernel_device import DeviceTransport
from pvdrivers.xenstore.wire import Decoder, Message, MessageType, encode

Answer = Callable[[Message], list[Message]]


class FakeKernel:
    """Reads one whole message at a time, as the device takes them, and answers a moment later.

    Linux reads a message's payload only then, so that nothing may have been written in between.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._socket, device = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.device = device.detach()
        self.seen: list[Message] = []
        self.overwritten = 0
        self._answering = False
        self._socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self._socket, self._readable)

    def _readable(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            self.hang_up()
            return
        decoder = Decoder()
        decoder.feed(data)
        message = decoder.next_message()
        assert message is not None
        assert decoder.buffered == 0
        self.seen.append(message)
        self.overwritten += self._answering
        self._answering = True
        asyncio.get_running_loop().call_later(0.002, self._answer_to, message)

    def _answer_to(self, message: Message) -> None:
        if self._socket.fileno() < 0:
            return
        self._answering = False
        for reply in self._answer(message):
            data = encode(reply)
            for part in (data[:7], data[7:20], data[20:]):  # a read may end anywhere
                if part:
                    self._socket.send(part)

    def hang_up(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()


def over(device: int) -> XenstoreClient:
    client = XenstoreClient()
    client._transport = DeviceTransport(device, client)
    return client


def echo(message: Message) -> list[Message]:
    """Replies with the payload; a watch fires once, at once."""
    reply = [message]
    if message.type == MessageType.WATCH:
        reply.append(Message(MessageType.WATCH_EVENT, 0, 0, message.payload))
    return reply


def on_device(answer: Answer, body: Callable[[FakeKernel, XenstoreClient], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        kernel = FakeKernel(answer)
        async with over(kernel.device) as client, asyncio.timeout(60):
            outcome = await body(kernel, client)
            assert kernel.overwritten == 0
            return outcome

    return asyncio.run(main())


def test_requests_sent_in_one_go_are_a_write_each() -> None:
    async def body(kernel: FakeKernel, client: XenstoreClient) -> None:
        assert await client.read_present(["a", "b", "c"]) == ["a\0", "b\0", "c\0"]
        assert [message.payload for message in kernel.seen] == [b"a\0", b"b\0", b"c\0"]

    on_device(echo, body)


def test_requests_and_watches() -> None:
    async def body(kernel: FakeKernel, client: XenstoreClient) -> None:
        assert await client.read_str("domid") == "domid\0"
        both = await asyncio.gather(client.read("a"), client.read("b"))
        assert both == [b"a\0", b"b\0"]
        async with await client.watch("device") as watch:
            assert await anext(watch) == "device"
        await client.read("c")  # UNWATCH is not waited for, but requests stay in order
        kinds = [MessageType(message.type).name for message in kernel.seen]
        assert kinds == ["READ", "READ", "READ", "WATCH", "UNWATCH", "READ"]

    on_device(echo, body)


def test_a_long_message_is_one_write() -> None:
    async def body(kernel: FakeKernel, client: XenstoreClient) -> None:
        await client.write("a", b"x" * 4000)
        assert len(kernel.seen[0].payload) == 4002

    on_device(echo, body)


def test_a_refused_write_is_the_requests_error(monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write

    def refuse(fd: int, data: bytes) -> int:
        if b"refused" in data:
            raise OSError(errno.EINVAL, "Invalid argument")
        return write(fd, data)

    monkeypatch.setattr(os, "write", refuse)

    async def body(kernel: FakeKernel, client: XenstoreClient) -> None:
        with pytest.raises(XenstoreError) as refused:
            await client.read("refused")
        assert refused.value.errno == errno.EINVAL
        assert await client.read("taken") == b"taken\0"

    on_device(echo, body)


def test_the_device_ends() -> None:
    async def body(kernel: FakeKernel, client: XenstoreClient) -> None:
        request = asyncio.ensure_future(client.read("a"))
        await asyncio.sleep(0)
        kernel.hang_up()
        with pytest.raises(ConnectionResetError):
            await request

    on_device(lambda message: [], body)


def test_no_device(tmp_path: Any) -> None:
    async def main() -> None:
        with pytest.raises(FileNotFoundError):
            XenstoreClient.over_device(tmp_path / "xenbus")

    asyncio.run(main())
