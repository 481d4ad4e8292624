"""One TCP connection of an initiator: login, and then the full feature phase."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from functools import partial

from pvdrivers.tools.address import format_address
from pvdrivers.tools.pvbridge.iscsi import text
from pvdrivers.tools.pvbridge.iscsi.chap import LoginRefusedError
from pvdrivers.tools.pvbridge.iscsi.login import (
    PORTAL_GROUP,
    Login,
    TargetInfo,
    refusal,
    refuse_protocol_error,
)
from pvdrivers.tools.pvbridge.iscsi.parameters import MAX_RECEIVED, Parameters
from pvdrivers.tools.pvbridge.iscsi.pdu import NO_TAG, Opcode, Pdu, ProtocolError
from pvdrivers.tools.pvbridge.iscsi.session import Session, Sessions
from pvdrivers.tools.pvbridge.iscsi.task import Task
from pvdrivers.tools.pvbridge.iscsi.task_management import manage
from pvdrivers.tools.pvbridge.iscsi.wire import Wire

log = logging.getLogger("pvdrivers.pvbridge")

LOGIN_TIMEOUT = 30.0  # seconds
NOT_SUPPORTED, TASK_IN_PROGRESS, INVALID_FIELD = 0x05, 0x07, 0x09  # reasons of a reject
CLOSE_SESSION = 0


class Connection:
    def __init__(self, sock: socket.socket, target: TargetInfo, sessions: Sessions) -> None:
        """The socket is closed with it. OSError: there is no memory."""
        self.session: Session
        self.parameters = Parameters()
        self.wire = Wire(sock)
        self._target, self._sessions = target, sessions
        self._handlers: dict[int, Callable[[Pdu], None]] = {
            Opcode.NOP_OUT: self._nop,
            Opcode.TASK_MANAGEMENT: self._task_management,
            Opcode.TEXT: self._text,
            Opcode.LOGOUT: self._logout,
        }
        self._background: set[asyncio.Task[None]] = set()
        self._peer = sock.getpeername()

    def close(self) -> None:
        """When what was sent has gone out."""
        self.wire.close()

    # ---- its life --------------------------------------------------------------------------

    async def run(self) -> None:
        try:
            if await self._log_in():
                try:
                    await self._serve()
                finally:
                    await self._sessions.leave(self.session, self)
        except ProtocolError as error:
            log.warning("%s: %s", self, error)
        finally:
            self.close()
            await self.wire.closed()

    async def _log_in(self) -> bool:
        """Whether the full feature phase begins."""
        login = Login(self._target)
        try:
            async with asyncio.timeout(LOGIN_TIMEOUT):
                while not login.done:
                    pdu = await self.wire.read(text.MAX_TEXT)
                    if pdu is None:
                        return False
                    await self._answer_login(login, pdu)
        except LoginRefusedError as error:
            log.warning("%s: login refused: %s", self, error)
            self._send_login(refusal(pdu or Pdu(), error), login)
            return False
        except TimeoutError:
            log.warning("%s: no login in %.0f seconds", self, LOGIN_TIMEOUT)
            return False
        self.parameters = login.parameters
        return True

    async def _answer_login(self, login: Login, pdu: Pdu) -> None:
        try:
            answer = login.handle(pdu)
        except ProtocolError as error:
            raise refuse_protocol_error(error) from None
        if login.done:
            self.session = await self._sessions.enter(login, self)
            answer.header[14:16] = self.session.tsih.to_bytes(2, "big")
        self._send_login(answer, login)

    def _send_login(self, pdu: Pdu, login: Login) -> None:
        pdu.put_window(login.cmd_sn, login.cmd_sn)
        self.wire.send(pdu, counts=True)

    async def _serve(self) -> None:
        session, parameters = self.session, self.parameters
        ring = session.initiator.frontend if session.initiator else None
        self.wire.enter(session.cdata, ring, parameters.max_data, parameters.max_burst)
        while (pdu := await self.wire.read(MAX_RECEIVED)) is not None:
            self._handle(pdu)

    def _handle(self, pdu: Pdu) -> None:
        if pdu.opcode == Opcode.DATA_OUT:
            self._data_out(pdu)
        elif begin := self._accept(pdu):
            ready = [begin] if pdu.immediate else self.session.window.put(pdu.cmd_sn, begin)
            for each in ready:
                each()

    def _accept(self, pdu: Pdu) -> Callable[[], None] | None:
        """What is to be done in the request's turn. None: it is rejected, and its CmdSN counts as
        not received (RFC 7143, section 7.3): the initiator sends another request with it."""
        if pdu.opcode == Opcode.SCSI_COMMAND:
            return self._admit(pdu)
        if handler := self._handlers.get(pdu.opcode):
            return partial(handler, pdu)
        self._reject(pdu, NOT_SUPPORTED)
        return None

    # ---- requests --------------------------------------------------------------------------

    def _admit(self, pdu: Pdu) -> Callable[[], None] | None:
        """Makes the task of a command, which may have to wait for its turn: data can come before.
        None: it cannot be one."""
        session, tag = self.session, pdu.tag
        if session.initiator is None:
            self._reject(pdu, NOT_SUPPORTED)
            return None
        if tag == NO_TAG or session.has(tag):
            self._reject(pdu, INVALID_FIELD if tag == NO_TAG else TASK_IN_PROGRESS)
            return None
        task = Task(self, pdu, session.initiator)
        session.add(task)
        return task.start

    def _data_out(self, pdu: Pdu) -> None:
        task = self.session.tasks.get(pdu.tag)
        if task and task.connection is self:
            task.add_data(pdu)
        elif not task and self.session.has(pdu.tag):
            raise ProtocolError("data for a command that has them all")
        # What comes for a task that has ended is on its way still.

    def _nop(self, pdu: Pdu) -> None:
        if pdu.tag != NO_TAG:
            answer = Pdu.of(Opcode.NOP_IN, pdu.tag)
            answer.header[8:16] = pdu.header[8:16]
            answer.transfer_tag = NO_TAG
            answer.data = pdu.data[: self.parameters.max_data]
            self.wire.send(answer, counts=True)

    def _text(self, pdu: Pdu) -> None:
        keys = text.decode(pdu.data)
        answer = Pdu.of(Opcode.TEXT_RESPONSE, pdu.tag)
        answer.header[8:16] = pdu.header[8:16]
        answer.transfer_tag = NO_TAG
        answers = {key: "NotUnderstood" for key in keys if key != "SendTargets"}
        if keys.get("SendTargets") in ("All", "", self._target.name):
            answers["TargetName"] = self._target.name
            address = format_address(*self.wire.socket.getsockname()[:2])
            answers["TargetAddress"] = f"{address},{PORTAL_GROUP}"
        answer.data = text.encode(answers)
        self.wire.send(answer, counts=True)

    def _task_management(self, pdu: Pdu) -> None:
        task = asyncio.get_running_loop().create_task(manage(self, pdu))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _logout(self, pdu: Pdu) -> None:
        answer = Pdu.of(Opcode.LOGOUT_RESPONSE, pdu.tag)
        self.wire.send(answer, counts=True)
        others = [*self.session.connections.values()] if pdu.flags & 0x7F == CLOSE_SESSION else []
        for connection in {self, *others}:
            connection.close()

    def _reject(self, pdu: Pdu, reason: int) -> None:
        answer = Pdu.of(Opcode.REJECT)
        answer.header[2] = reason
        answer.data = bytes(pdu.header)
        self.wire.send(answer, counts=True)

    def __str__(self) -> str:
        return f"iSCSI connection from {format_address(*self._peer[:2])}"
