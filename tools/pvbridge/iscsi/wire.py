"""A connection's socket as the loop has it: the data plane in C reads and writes it, and leaves to
Python what it does not carry out."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

from pvdrivers._core import ffi, lib
from pvdrivers.frontends.scsi.command import CommandResult
from pvdrivers.scsi.result import Result
from pvdrivers.tools.pvbridge.iscsi.initiator import RingOwner
from pvdrivers.tools.pvbridge.iscsi.pdu import HEADER, Pdu, ProtocolError

LINGER = 10.0  # seconds that the other end has to take what was sent before the close
MAX_UNSENT = int(lib.PV_ISCSI_MAX_UNSENT)


class Wire:
    """Nothing more is taken while the other end does not take what it is sent."""

    def __init__(self, sock: socket.socket) -> None:
        """The socket is closed with it. OSError: there is no memory."""
        sock.setblocking(False)
        self.socket = sock
        connection = lib.pv_iscsi_open(sock.fileno())
        if connection == ffi.NULL:
            raise OSError(ffi.errno, os.strerror(ffi.errno))
        self.cdata = ffi.gc(connection, lib.pv_iscsi_free)
        self._ring: RingOwner | None = None
        self._pdu = ffi.new("struct pv_iscsi_pdu *")
        self._loop = asyncio.get_running_loop()
        self._closed = self._loop.create_future()
        self._wanted: asyncio.Future[Pdu | None] | None = None  # by `read`
        self._reads = self._writes = False  # what the loop looks for
        self._will_flush = self._is_closing = False

    def enter(self, session: Any, ring: RingOwner | None, max_data: int, max_burst: int) -> None:
        """Login is over. `session`: a `struct pv_iscsi_session *`. `max_data`: bytes of a PDU that
        the initiator takes; `max_burst`: of a sequence of them."""
        lib.pv_iscsi_enter(self.cdata, session)
        self.cdata.max_data, self.cdata.max_burst = max_data, max_burst
        self._ring = ring

    # ---- what comes ------------------------------------------------------------------------

    async def read(self, max_data: int) -> Pdu | None:
        """The next one for Python; None: the connection has ended. ProtocolError: it announces more
        data than was agreed."""
        self.cdata.max_received = max_data
        self._wanted = self._loop.create_future()
        self._take()
        return await self._wanted

    @property
    def _is_wanted(self) -> bool:
        return bool(self._wanted and not self._wanted.done())

    def _take(self) -> None:
        """Goes through what has been received, as far as it is not somebody's to wait for."""
        wanted = self._wanted
        if not wanted or wanted.done():
            return
        if self._is_closing:
            wanted.set_result(None)
            return
        connection, pdu, ring = self.cdata, self._pdu, self._ring
        carried = connection.carried
        taken = lib.pv_iscsi_take(connection, ring.ring if ring else ffi.NULL, pdu)
        if ring and connection.carried != carried:
            ring.ring_used()
            self._flush_soon()  # what the ring did not take has been answered
        if taken == lib.PV_ISCSI_PDU:
            data = bytes(ffi.buffer(pdu.data, pdu.length))
            wanted.set_result(Pdu(bytearray(ffi.buffer(pdu.header, HEADER)), data))
        elif taken == lib.PV_ISCSI_ENDED:
            wanted.set_result(None)
        elif taken == lib.PV_ISCSI_TOO_LONG:
            reason = f"a PDU with {pdu.length} bytes of data, where {connection.max_received}"
            wanted.set_exception(ProtocolError(f"{reason} were agreed"))
        else:
            self._watch(connection.out.end < MAX_UNSENT, self._writes)

    def _readable(self) -> None:
        if self._is_wanted:
            lib.pv_iscsi_receive(self.cdata)
            self._take()
        else:
            self._watch(False, self._writes)

    # ---- what goes -------------------------------------------------------------------------

    def send(self, pdu: Pdu, *, counts: bool) -> None:
        """`counts`: it has a status number of its own. What is sent in one turn of the loop goes to
        the system in one piece."""
        header = ffi.from_buffer("uint8_t[]", pdu.header)
        data = ffi.from_buffer("uint8_t[]", pdu.data)
        lib.pv_iscsi_send(self.cdata, header, data, len(pdu.data), counts)
        self._flush_soon()

    def answer(self, command: Pdu, result: CommandResult, overflow: int) -> None:
        """A SCSI command's data and status. `overflow`: bytes that it moved beyond what was
        expected."""
        data = ffi.from_buffer("uint8_t[]", result.data)
        sense = ffi.from_buffer("uint8_t[]", result.sense)
        fields = {
            "tag": command.tag,
            "lun": bytes(command.header[8:16]),
            "rslt": Result(result.status, result.host).word,
            "overflow": overflow,
            "residual": result.residual,
            "data": data,
            "length": len(data),
            "sense": sense,
            "sense_length": len(sense),
        }
        lib.pv_iscsi_answer(self.cdata, ffi.new("struct pv_iscsi_answer *", fields))
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._will_flush:
            self._will_flush = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Sends what the socket takes, and has the loop look for what comes next."""
        self._will_flush = False
        if self._closed.done():
            return
        unsent = lib.pv_iscsi_flush(self.cdata)
        if self.cdata.error and not self._is_closing:
            self.close()
        elif self._is_closing and not unsent:
            self._close_socket()
        else:
            self._watch(self._is_wanted and unsent < MAX_UNSENT, unsent > 0)

    # ---- what the loop looks for -----------------------------------------------------------

    def _watch(self, reads: bool, writes: bool) -> None:
        if reads != self._reads:
            self._reads = reads
            if reads:
                self._loop.add_reader(self.socket, self._readable)
            else:
                self._loop.remove_reader(self.socket)
        if writes != self._writes:
            self._writes = writes
            if writes:
                self._loop.add_writer(self.socket, self.flush)
            else:
                self._loop.remove_writer(self.socket)

    def close(self) -> None:
        """Takes no more. What was sent before goes out, if the other end takes it in time."""
        if self._is_closing:
            return
        self._is_closing = True
        self._take()
        self.flush()
        if not self._closed.done():
            self._watch(False, True)
            self._loop.call_later(LINGER, self._close_socket)

    async def closed(self) -> None:
        await self._closed

    def _close_socket(self) -> None:
        if not self._closed.done():
            self._watch(False, False)
            self.socket.close()
            self._closed.set_result(None)
