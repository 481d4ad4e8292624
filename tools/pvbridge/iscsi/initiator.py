"""What an iSCSI session needs of the guest whose PV-SCSI host it speaks for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from pvdrivers.frontends.scsi.command import CommandResult


class Running(Protocol):
    """A command that was submitted."""

    @property
    def done(self) -> asyncio.Future[Any]:
        """Its end."""

    @property
    def result(self) -> CommandResult:
        """When it is done."""


class RingOwner(Protocol):
    """A scsifront, as `pvdrivers.frontends.scsi.device` has it."""

    on_handed_out: set[Callable[[], None]]

    @property
    def ring(self) -> Any:
        """A `struct pv_scsifront_queue *`, or NULL."""

    def ring_used(self) -> None: ...


class Initiator(Protocol):
    """A guest, by an initiator's name."""

    @property
    def max_transfer(self) -> int:
        """Bytes of one command at most."""

    @property
    def luns(self) -> Sequence[int]:
        """LUNs of the target, in order."""

    def block_size(self, lun: int) -> int:
        """Bytes of a logical block; 0: the unit has none."""

    @property
    def frontend(self) -> RingOwner | None:
        """For commands that C carries out; None: there is no ring."""

    def submit(self, lun: int, cdb: bytes, data_out: bytes | memoryview, room: int) -> Running:
        """Begins a command."""

    async def abort(self, running: Any) -> None:
        """ABORT TASK of one that `submit` has returned."""

    async def reset(self, lun: int) -> bool:
        """LOGICAL UNIT RESET; whether it was done."""


class Guests(Protocol):
    async def join(self, name: str) -> Initiator:
        """The guest for an initiator's name; the same as long as it has a session. OSError: there
        can be no more."""

    async def leave(self, name: str) -> None:
        """Its last session has ended (I_T nexus loss)."""
