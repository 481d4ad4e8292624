"""Commands that the data plane carries out, as far as task management has to end them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from pvdrivers._core import ffi, lib

if TYPE_CHECKING:
    from pvdrivers.tools.pvbridge.iscsi.connection import Connection
    from pvdrivers.tools.pvbridge.iscsi.session import Session


class CarriedTask:
    """As `Task`; it may have been answered meanwhile."""

    def __init__(self, task: Any, session: Session) -> None:
        """`task`: a `struct pv_iscsi_task *`, which is released with this."""
        self._task = ffi.gc(task, lib.pv_iscsi_task_release)
        self._session = session
        self.cdata = ffi.addressof(task, "command")
        self.tag, self.lun = int(task.tag), int(task.command.lun)
        self._aborting: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, session: Session) -> list[CarriedTask]:
        """Those that a session has under way."""
        tasks = ffi.new("struct pv_iscsi_task *[]", session.cdata.nr_carried)
        lib.pv_iscsi_tasks(session.cdata, tasks)
        return [cls(task, session) for task in tasks]

    def is_of(self, connection: Connection) -> bool:
        return bool(self._task.connection == connection.wire.cdata)

    def cancel(self) -> None:
        """It is not answered any more."""
        initiator = self._session.initiator
        if lib.pv_iscsi_cancel(self._task) and initiator:
            self._aborting = asyncio.get_running_loop().create_task(initiator.abort(self))

    async def ended(self) -> None:
        """Waits for the end of one that was cancelled."""
        if self._aborting:
            await asyncio.wait([self._aborting])
