"""Snapshots that a guest takes of a disk by a command to it, and the disks at which it reads them.

The commands are MAINTENANCE OUT and IN with the service action that SPC-4 leaves to vendors (1Fh).
Snapshot disks are there before they are filled, as cartridge drives are, so that a guest needs no
other LUN than those it has.
"""

from __future__ import annotations

import struct

from pvdrivers.backends.targets.command import Answer, CheckCondition, Command, invalid_field
from pvdrivers.backends.targets.disk.block_unit import BlockUnit, Limits
from pvdrivers.backends.targets.disk.capacity import Capacity
from pvdrivers.backends.targets.disk.defects import Defects
from pvdrivers.backends.targets.disk.medium import WRITE_ERROR
from pvdrivers.backends.targets.disk.pages import Pages
from pvdrivers.backends.targets.disk.power import Power
from pvdrivers.backends.targets.disk.snapshot import Snapshot, SnapshotMedium
from pvdrivers.backends.targets.disk.token_copy import TokenCopy
from pvdrivers.backends.targets.disk.transfers import Transfers
from pvdrivers.backends.targets.logical_unit import UnitStatus
from pvdrivers.backends.targets.operations import Access, Needs, operation
from pvdrivers.backends.targets.persistent import UnitState
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.backends.targets.spc.mode import HARDWARE_PROTECTED
from pvdrivers.backends.targets.spc.removal import MEDIUM_MAY_HAVE_CHANGED, MEDIUM_NOT_PRESENT
from pvdrivers.scsi.sense import Sense, SenseKey

SNAPSHOT_LOST = Sense(SenseKey.NOT_READY, 0x3E, 0x01)  # logical unit failure

_TAKE, _DROP = 0, 1


class Snapshots(BlockUnit):
    """While one is taken, no write goes to the store without asking."""

    def __init__(self, identity: Identity) -> None:
        super().__init__(identity)
        self.snapshots: dict[int, Snapshot] = {}  # by the number that commands call them by

    @operation(
        0xA4,
        "CONTROL SNAPSHOT",
        "a4 1f 01 00 00 00 ff ff 00 00 00 00",
        service_action=0x1F,
        needs=Needs.READY,
        excludes_direct_access=True,
    )
    def control_snapshot(self, command: Command) -> None:
        """Byte 2: 0 takes it, in the place of one taken before; 1 drops it. Bytes 6, 7: which."""
        snapshot = self.snapshots.get(command.number(6, 2))
        if snapshot is None:
            raise invalid_field(6)
        try:
            if command.cdb[2] == _TAKE:
                snapshot.take()
            else:
                snapshot.drop()
        except OSError as error:
            raise CheckCondition(Sense(*WRITE_ERROR)) from error

    @operation(
        0xA3,
        "REPORT SNAPSHOTS",
        "a3 1f 00 00 00 00 ff ff ff ff 00 00",
        service_action=0x1F,
        access=Access.READ,
    )
    def report_snapshots(self, command: Command) -> bytes:
        """A length of 4 bytes, then for each: number (2 bytes), flags (1: taken 01h, lost 02h), 5
        bytes that are reserved, bytes that were copied for it (8)."""
        data = b"".join(
            struct.pack(">HB5xQ", number, one.is_taken | one.has_failed << 1, one.copied_bytes)
            for number, one in sorted(self.snapshots.items())
        )
        return (struct.pack(">I", len(data)) + data)[: command.number(6, 4)]

    @property
    def has_snapshots(self) -> bool:
        return any(one.is_taken for one in self.snapshots.values())

    def close(self) -> None:
        for snapshot in self.snapshots.values():
            snapshot.close()
        self.snapshots.clear()
        super().close()


class SnapshotDisk(Transfers, Capacity, Defects, Pages, Power, TokenCopy):
    """Reads as its origin did when the snapshot was taken; not ready while none is. It ends before
    its origin does."""

    device_type = 0x00

    def __init__(self, snapshot: Snapshot, identity: Identity) -> None:
        self.snapshot = snapshot
        self.medium = SnapshotMedium(snapshot)
        self.limits = Limits.for_block_size(self.medium.block_size)
        self._number = snapshot.number
        super().__init__(identity)
        snapshot.ending.append(self.tokens.changing)

    def condition(self) -> Sense | None:
        if not self.snapshot.is_taken:
            return SNAPSHOT_LOST if self.snapshot.has_failed else MEDIUM_NOT_PRESENT
        return super().condition()

    def write_protection(self) -> Sense | None:
        return HARDWARE_PROTECTED

    def execute(self, command: Command) -> Answer:
        """Initiators are told when it is another snapshot, which the origin's thread has taken."""
        if self._number != self.snapshot.number:
            self._number = self.snapshot.number
            self.establish_attention(MEDIUM_MAY_HAVE_CHANGED)
        return super().execute(command)

    def close(self) -> None:
        if not self.is_closed:
            self.snapshot.ending.remove(self.tokens.changing)
        super().close()

    def state(self) -> UnitState:
        return super().state() | {"snapshot": self._number}

    def restore(self, state: UnitState) -> None:
        super().restore(state)
        self._number = state["snapshot"]

    def status(self) -> UnitStatus:
        return UnitStatus("snapshot", self.snapshot.condition)

    def __repr__(self) -> str:
        return f"<SnapshotDisk {self.identity.serial} of {self.snapshot!r}>"
