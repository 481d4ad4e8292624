"""A client's bytes over the kernel's xenbus device (/dev/xen/xenbus), in dom0 and in guests."""

import asyncio
import errno
import os
from collections import deque
from typing import Self

from pvdrivers.xenstore.transports import Receiver
from pvdrivers.xenstore.wire import HEADER, Decoder, Message, MessageType, encode

READ_SIZE = 65536


class DeviceTransport:
    """The kernel passes requests on, and keeps this file's watches and transactions apart.

    It takes one whole message at a write, and refuses some by the errno of the write instead of
    an answer; they become the answer here. A request waits until the one before it is answered:
    Linux sends a message after the write has returned, from a buffer that the next write changes.
    The device is owned from now on.
    """

    def __init__(self, fd: int, receiver: Receiver) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._receiver = receiver
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._decoder = Decoder()
        self._requests: deque[bytes] = deque()  # not answered; the first one has been written
        self._loop.add_reader(fd, self._readable)

    @classmethod
    def open(cls, path: str, receiver: Receiver) -> Self:
        return cls(os.open(path, os.O_RDWR | os.O_CLOEXEC), receiver)

    def write(self, *messages: bytes) -> None:
        idle = not self._requests
        self._requests.extend(messages)
        if idle:
            self._write_first()

    def _write_first(self) -> None:
        if self._closed or not self._requests:
            return
        message = self._requests[0]
        try:
            os.write(self._fd, message)
        except OSError as error:
            _, req_id, tx_id, _ = HEADER.unpack_from(message)
            name = errno.errorcode.get(error.errno or 0, "EIO")
            answer = Message(MessageType.ERROR, req_id, tx_id, name.encode() + b"\0")
            self._loop.call_soon(self._received, encode(answer))

    def _received(self, data: bytes) -> None:
        self._decoder.feed(data)
        while (message := self._decoder.next_message()) is not None:
            if message.type != MessageType.WATCH_EVENT and self._requests:
                self._requests.popleft()
                self._write_first()
        self._receiver.data_received(data)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._fd)
            os.close(self._fd)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(error)
            return
        if data:
            self._received(data)
        else:
            self._fail(ConnectionResetError("the xenbus device has ended"))

    def _fail(self, reason: Exception) -> None:
        self.close()
        self._receiver.connection_lost(reason)
