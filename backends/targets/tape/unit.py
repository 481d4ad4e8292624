"""A tape drive, as SCSI initiators know it, on a file in SIMH format."""

from __future__ import annotations

from pathlib import Path

from pvdrivers.backends.targets.command import Nexus
from pvdrivers.backends.targets.logical_unit import UnitStatus
from pvdrivers.backends.targets.persistent import UnitState
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.backends.targets.tape.image import LARGEST_RECORD
from pvdrivers.backends.targets.tape.loading import Loading
from pvdrivers.backends.targets.tape.logs import Logs
from pvdrivers.backends.targets.tape.pages import Pages
from pvdrivers.backends.targets.tape.partitions import Partitions
from pvdrivers.backends.targets.tape.positioning import Positioning
from pvdrivers.backends.targets.tape.volume import SMALLEST_PARTITION
from pvdrivers.ring.errors import UsageError

SSC_4_DESCRIPTOR = 0x0520
CAPACITY = 100 * 10**9  # bytes of a cartridge's file, unless told otherwise


class Tape(Positioning, Loading, Partitions, Pages, Logs):
    """`cartridge`: what is in the drive at first; `take_up` finds in the journal of a process that
    was killed what was in it then.

    `capacity`: bytes of a cartridge's files at most, unless it has been partitioned by another
    drive. `block_length`: until an initiator chooses another.

    UsageError: a number is out of range, or the cartridge is no tape image.
    """

    device_type = 0x01
    removable = True
    standards = (SSC_4_DESCRIPTOR,)

    def __init__(
        self,
        identity: Identity,
        cartridge: Path | None = None,
        *,
        read_only: bool = False,
        capacity: int = CAPACITY,
        block_length: int = 0,
    ) -> None:
        if capacity < SMALLEST_PARTITION:
            raise UsageError(f"a tape has a capacity of at least {SMALLEST_PARTITION} bytes")
        if not 0 <= block_length <= LARGEST_RECORD:
            raise UsageError(f"a tape's block_length is 0 (variable) to {LARGEST_RECORD}")
        self.capacity = capacity
        self.block_length = self._default_block_length = block_length
        self.alerts = set()
        super().__init__(identity)
        if cartridge:
            self.insert(cartridge, read_only=read_only)

    # ---- over a kill -------------------------------------------------------------------------

    def state(self) -> UnitState:
        return super().state() | {
            "block_length": self.block_length,
            "alerts": sorted(self.alerts),
            "transferred": (self.bytes_written, self.bytes_read),
        }

    def restore(self, state: UnitState) -> None:
        super().restore(state)
        self.block_length, self.alerts = state["block_length"], set(state["alerts"])
        self.bytes_written, self.bytes_read = state["transferred"]

    def reset(self, nexus: Nexus) -> None:
        """The tape stays where it is."""
        self.block_length = self._default_block_length
        super().reset(nexus)

    def close(self) -> None:
        super().close()
        with self.lock:
            if self.volume:
                self.volume.close()
                self.volume, self.loaded = None, False

    def status(self) -> UnitStatus:
        volume, moved = self.volume, {"written": self.bytes_written, "read": self.bytes_read}
        medium = volume.path.name if volume else "empty"
        if volume and not self.loaded:
            medium += ", unloaded"
        counts = {f"tape_bytes_{name}": count for name, count in moved.items()}
        return UnitStatus("tape", medium, counts)

    def __repr__(self) -> str:
        return f"<Tape {self.identity.serial} with {self.volume or 'no cartridge'!r}>"
