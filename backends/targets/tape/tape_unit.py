"""What all commands of a tape stand on: cartridge, position, and how commands fail."""

from __future__ import annotations

from pvdrivers.backends.targets.command import CheckCondition
from pvdrivers.backends.targets.spc.removal import MEDIUM_NOT_PRESENT
from pvdrivers.backends.targets.spc.unit import PrimaryUnit
from pvdrivers.backends.targets.tape.image import ImageError, Position, TapeImage, TapeObject
from pvdrivers.backends.targets.tape.volume import Volume
from pvdrivers.scsi.sense import Sense, SenseKey

END_OF_MEDIUM, PROGRAMMABLE_WARNING = (0x00, 0x02), (0x00, 0x07)
BEGINNING_OF_MEDIUM = (0x00, 0x04)
WRITE_ERROR, READ_ERROR, ERASE_FAILURE = (0x0C, 0x00), (0x11, 0x00), (0x51, 0x00)

# TapeAlert flags (SSC-4 table A.1)
EARLY_WARNING = 64 << 20  # bytes before a partition's end, or a sixteenth of it if that is less
CONFIGURATION_PAGE = 0x10  # device configuration, and with subcode 1 its extension

READ_FAILURE, WRITE_FAILURE, WRITE_PROTECTED_ALERT, REMOVAL_PREVENTED_ALERT = 5, 6, 9, 10


class TapeUnit(PrimaryUnit):
    """`block_length`: of blocks when a CDB has FIXED; 0: it may not have. `capacity`: bytes of a
    cartridge. `bytes_written` and `bytes_read`: as the log counts them."""

    volume: Volume | None = None
    loaded = False
    position = Position()
    block_length = 0
    capacity: int
    alerts: set[int]
    bytes_written = bytes_read = 0

    @property
    def partitions(self) -> int:
        """Of what is loaded; 0: nothing is."""
        return len(self.volume.images) if self.volume and self.loaded else 0

    def image_at(self, position: Position) -> TapeImage:
        """CheckCondition: nothing is loaded, or no such partition."""
        volume = self.volume
        if volume is None or not self.loaded or position.partition >= len(volume.images):
            raise CheckCondition(MEDIUM_NOT_PRESENT)
        return volume.images[position.partition]

    @property
    def tape(self) -> TapeImage:
        """Where the tape is."""
        return self.image_at(self.position)

    @property
    def beginning(self) -> Position:
        """Of the partition."""
        return Position(partition=self.position.partition)

    @property
    def partition_size(self) -> int:
        """Bytes, at most, of the partition where the tape is, which is loaded."""
        assert self.volume
        return self.volume.sizes[self.position.partition]

    @property
    def left(self) -> int:
        """Bytes until the partition's end; at least 0."""
        return max(self.partition_size - self.position.offset, 0)

    @property
    def early_warning(self) -> int:
        """Bytes before the partition's end where every WRITE warns."""
        return min(EARLY_WARNING, self.partition_size // 16)

    @property
    def programmable_warning(self) -> int:
        """Bytes before the partition's end where one WRITE warns, since initiators want it (PEWS);
        -1: they do not."""
        megabytes = int.from_bytes(self.mode_page(CONFIGURATION_PAGE, 0x01)[2:4], "big")
        return self.early_warning + megabytes * 10**6 if megabytes else -1

    # ---- from object to object ---------------------------------------------------------------

    def object_after(self, position: Position) -> TapeObject | None:
        """None: data end there. CheckCondition: the image is damaged."""
        try:
            return self.image_at(position).after(position)
        except (ImageError, OSError) as error:
            raise self.read_failure() from error

    def object_before(self, position: Position) -> TapeObject | None:
        """None: the tape begins there."""
        try:
            return self.image_at(position).before(position)
        except (ImageError, OSError) as error:
            raise self.read_failure() from error

    def read_failure(self, information: int | None = None) -> CheckCondition:
        self.alerts.add(READ_FAILURE)
        return CheckCondition(Sense(SenseKey.MEDIUM_ERROR, *READ_ERROR, information=information))

    def end_tape_here(self) -> None:
        """Before what is behind the position is overwritten. The new end is committed, so that a
        successor knows what a kill has left behind it for what it is."""
        if self.tape.size > self.position.offset:
            self.tape.cut(self.position.offset)
            self.commit()


def at_filemark(left: int) -> Sense:
    """`left`: what the command had still to pass or to transfer, in the unit of its CDB."""
    return Sense(SenseKey.NO_SENSE, 0x00, 0x01, information=left, filemark=True)


def at_end_of_data(left: int | None) -> Sense:
    """As above; None: it does not count."""
    return Sense(SenseKey.BLANK_CHECK, 0x00, 0x05, information=left)
