"""What an iSCSI session needs of the guest whose PV-SCSI host it speaks for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager
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

    def together(self) -> AbstractContextManager[object]:
        """Commands that are submitted inside, without waiting for anything, begin at its end."""

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
