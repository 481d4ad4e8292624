"""An iSCSI session of one initiator for one LUN, through libiscsi."""

from __future__ import annotations

import asyncio
import re
import select
import socket
from typing import Any, Self

from pvdrivers.backends.targets.command import ABORTED, Answer, Command
from pvdrivers.backends.targets.passthrough import libiscsi
from pvdrivers.backends.targets.passthrough.iscsi_lun import IscsiLun
from pvdrivers.backends.targets.passthrough.iscsi_transfer import IscsiTransfer
from pvdrivers.backends.targets.passthrough.libiscsi import library, when_ended
from pvdrivers.backends.targets.passthrough.session import Session
from pvdrivers.scsi.result import Status

LOGIN_TIME = 15.0  # seconds for the connection and the login
NOP_INTERVAL = 10.0  # seconds between two questions whether the target is there
NOP_TIME = 30.0  # seconds it has to answer
_LUN_RESET = 5  # function of task management
_ALL = 0xFFFFFFFF  # instead of a task's tag
_INITIATOR_ERROR = 2  # class of a login's status


class LoginRefused(OSError):
    """The target will refuse it the next time, too."""


class IscsiSession(Session):
    """Has one connection. When that is lost, so is the session."""

    def __init__(self, lun: IscsiLun, initiator: str, isid: int) -> None:
        """Not logged in yet. `isid`: 24 bits that tell this session from others of the initiator
        at the target; the target takes the two together for the same initiator port again."""
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._lun = lun
        self._lib = library()
        self._fd = -1
        self._is_logged_in = False
        self._has_ended = False  # something, since the last look
        self._transfers: dict[Command, IscsiTransfer] = {}
        self._unanswered: list[IscsiTransfer] = []  # over, but libiscsi may still know them
        self._nops: asyncio.Task[None] | None = None
        self._context = self._lib.iscsi_create_context(initiator.encode())
        if not self._context:
            raise MemoryError
        self._lib.iscsi_set_session_type(self._context, libiscsi.SESSION_NORMAL)
        self._lib.iscsi_set_targetname(self._context, lun.target.encode())
        self._lib.iscsi_set_isid_random(self._context, isid, 0)
        self._lib.iscsi_set_noautoreconnect(self._context, 1)
        if lun.user:
            self._lib.iscsi_set_initiator_username_pwd(
                self._context, lun.user.encode(), lun.secret.encode()
            )

    @classmethod
    async def open(cls, lun: IscsiLun, initiator: str, isid: int) -> Self:
        """LoginRefused, or another OSError: the target is not there, or not now."""
        failure = OSError(f"{lun.host} has no address")
        for address in await lun.addresses():
            session = cls(lun, initiator, isid)
            try:
                await session._log_in(address)
            except LoginRefused:
                session.close()
                raise
            except OSError as error:
                session.close()
                failure = error
            except BaseException:
                session.close()
                raise
            else:
                return session
        raise failure

    async def _log_in(self, address: str) -> None:
        failure: asyncio.Future[OSError | None] = self._loop.create_future()

        def ended(status: int) -> None:  # what libiscsi says of it now, it soon says of another
            if not failure.done():
                failure.set_result(self._error() if status != Status.GOOD else None)

        callback, number = when_ended(ended)
        try:
            failed = self._lib.iscsi_full_connect_async(
                self._context, address.encode(), -1, callback, number
            )
            if failed:
                raise self._error()
            self._watch()
            async with asyncio.timeout(LOGIN_TIME):
                both: list[asyncio.Future[Any]] = [failure, self.lost]
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError as error:
            raise OSError(f"no answer for {LOGIN_TIME:.0f} s") from error
        finally:
            libiscsi.forget(number)
        if not failure.done():
            raise OSError(self.lost.result())
        if refusal := failure.result():
            raise refusal
        self._is_logged_in = True
        self._nops = self._loop.create_task(self._ask_whether_there())

    def _error(self) -> OSError:
        """What libiscsi says has gone wrong with the login."""
        text = self._said()
        refused = re.search(r"Status: (.*)\((\d+)\)$", text)
        if refused and int(refused[2]) >> 8 == _INITIATOR_ERROR:
            return LoginRefused(refused[1].strip())
        return OSError(refused[1].strip() if refused else text)

    def _said(self) -> str:
        """What libiscsi says has gone wrong last."""
        text = self._lib.iscsi_get_error(self._context).decode(errors="replace")
        return " ".join(text.split()) or "the connection is lost"

    # ---- commands --------------------------------------------------------------------------

    async def execute(self, command: Command) -> Answer:
        self.check_open()
        transfer = IscsiTransfer(command)
        callback, number = when_ended(lambda status: self._transfer_ended(transfer, status))
        failed = self._lib.iscsi_scsi_command_async(
            self._context, self._lun.lun, transfer.task, callback, None, number
        )
        if failed:
            libiscsi.forget(number)
            transfer.free()
            self._lose(self._said())
            self.check_open()
        self._transfers[command] = transfer
        self._watch()
        try:
            return await transfer.answer
        finally:
            del self._transfers[command]
            if self._context and not transfer.is_answered:
                self._unanswered.append(transfer)
            else:
                transfer.free()

    def _transfer_ended(self, transfer: IscsiTransfer, status: int) -> None:
        self._has_ended = True
        answer = transfer.ended(status)
        if answer is None:
            self._loop.call_soon(self._lose, "the target has closed the connection")
        elif not transfer.answer.done():
            transfer.answer.set_result(answer)

    def abort(self, command: Command) -> None:
        transfer = self._transfers[command]
        transfer.is_aborted = True
        callback, number = when_ended(
            # Later: not while libiscsi goes through what it waits for.
            lambda status: self._loop.call_soon(self._abort_ended, transfer, status)
        )
        if self._lib.iscsi_task_mgmt_abort_task_async(
            self._context, transfer.task, callback, number
        ):
            libiscsi.forget(number)
        self._watch()

    def _abort_ended(self, transfer: IscsiTransfer, status: int) -> None:
        if status == Status.GOOD and not self.lost.done() and not transfer.answer.done():
            self._lib.iscsi_scsi_cancel_task(self._context, transfer.task)

    def reset(self) -> None:
        self.check_open()
        callback, number = when_ended(lambda status: None)
        if self._lib.iscsi_task_mgmt_async(
            self._context, self._lun.lun, _LUN_RESET, _ALL, 0, callback, number
        ):
            libiscsi.forget(number)
            raise ConnectionError("the LUN cannot be reset")
        self._watch()

    # ---- the connection --------------------------------------------------------------------

    def _watch(self) -> None:
        """For what libiscsi waits for now."""
        if self.lost.done():
            return
        fd = self._lib.iscsi_get_fd(self._context)
        if fd != self._fd or not self._is_logged_in:  # a redirection makes another socket
            self._unwatch()
            self._fd = fd
            self._loop.add_reader(fd, self._service, select.POLLIN)
        if self._lib.iscsi_which_events(self._context) & select.POLLOUT:
            self._loop.add_writer(fd, self._service, select.POLLOUT)
        else:
            self._loop.remove_writer(fd)

    def _unwatch(self) -> None:
        if self._fd >= 0 and not self._loop.is_closed():
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
        self._fd = -1

    def _service(self, events: int) -> None:
        if self.lost.done():
            return
        if not self._is_logged_in:
            events = _events(self._fd)  # an error tells libiscsi why there is no connection
        self._has_ended = False
        failed = self._lib.iscsi_service(self._context, events) < 0
        is_quiet = events == select.POLLIN and not self._has_ended
        if failed or (is_quiet and _is_closed(self._fd)):
            self._lose(self._said())
        self._watch()

    async def _ask_whether_there(self) -> None:
        """A connection may be dead without a sign of it."""
        try:
            while True:
                await self._ask()
                await asyncio.sleep(NOP_INTERVAL)
        except OSError as error:
            self._lose(str(error))

    async def _ask(self) -> None:
        """OSError: there is no answer."""
        answered: asyncio.Future[int] = self._loop.create_future()
        callback, number = when_ended(lambda status: _set(answered, status))
        try:
            if self._lib.iscsi_nop_out_async(self._context, callback, None, 0, number):
                raise OSError("the target cannot be asked whether it is there")
            self._watch()
            async with asyncio.timeout(NOP_TIME):
                if await answered != Status.GOOD:
                    raise OSError("the target has closed the connection")
        except TimeoutError as error:
            raise OSError(f"the target has not answered for {NOP_TIME:.0f} s") from error
        finally:
            libiscsi.forget(number)

    def _lose(self, reason: str) -> None:
        if self.lost.done():
            return
        self._unwatch()
        self.lost.set_result(reason)
        for transfer in self._transfers.values():
            if transfer.answer.done():
                continue
            if transfer.is_aborted:
                transfer.answer.set_result(ABORTED)
            else:
                transfer.answer.set_exception(ConnectionError(reason))

    def close(self) -> None:
        if not self._context:
            return
        self._unwatch()
        if not self._loop.is_closed():
            if self._nops:
                self._nops.cancel()
            self._say_goodbye()
            self._lose("it was closed")
        self._lib.iscsi_destroy_context(self._context)
        self._context = None
        for transfer in self._unanswered:
            transfer.free()
        self._unanswered.clear()

    def _say_goodbye(self) -> None:
        """So that the target lets go of reservations at once. As much as the socket takes now."""
        if self._is_logged_in and not self.lost.done():
            callback, number = when_ended(lambda status: None)
            if not self._lib.iscsi_logout_async(self._context, callback, number):
                self._lib.iscsi_service(self._context, select.POLLOUT)
            libiscsi.forget(number)


def _set(future: asyncio.Future[int], status: int) -> None:
    if not future.done():
        future.set_result(status)


def _events(fd: int) -> int:
    poll = select.poll()
    poll.register(fd, select.POLLIN | select.POLLOUT)
    return sum(events for _, events in poll.poll(0))


def _is_closed(fd: int) -> bool:
    """Whether the peer has closed a connection on which all has been read."""
    peer = socket.socket(fileno=fd)
    try:
        return not peer.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        peer.detach()
