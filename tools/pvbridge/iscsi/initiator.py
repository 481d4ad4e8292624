"""What an iSCSI session needs of the guest whose PV-SCSI host it speaks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pvdrivers.frontends.scsi.command import CommandResult


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

    async def execute(
        self, lun: int, cdb: bytes, data_out: bytes | memoryview, room: int
    ) -> CommandResult:
        """Carries a command out. When cancelled, the command is aborted."""

    async def reset(self, lun: int) -> bool:
        """LOGICAL UNIT RESET; whether it was done."""


class Guests(Protocol):
    async def join(self, name: str) -> Initiator:
        """The guest for an initiator's name; the same as long as it has a session. OSError: there
        can be no more."""

    async def leave(self, name: str) -> None:
        """Its last session has ended (I_T nexus loss)."""
