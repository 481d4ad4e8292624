"""What all commands of a tape stand on: cartridge, position, and how commands fail."""

from __future__ import annotations

from pvdrivers.backends.targets.command import CheckCondition
from pvdrivers.backends.targets.spc.removal import MEDIUM_NOT_PRESENT
from pvdrivers.backends.targets.spc.unit import PrimaryUnit
from pvdrivers.backends.targets.tape.image import ImageError, Position, TapeImage, TapeObject
from pvdrivers.scsi.sense import Sense, SenseKey

END_OF_MEDIUM = (0x00, 0x02)
BEGINNING_OF_MEDIUM = (0x00, 0x04)
WRITE_ERROR, READ_ERROR, ERASE_FAILURE = (0x0C, 0x00), (0x11, 0x00), (0x51, 0x00)

# TapeAlert flags (SSC-4 table A.1)
READ_FAILURE, WRITE_FAILURE, WRITE_PROTECTED_ALERT, REMOVAL_PREVENTED_ALERT = 5, 6, 9, 10


class TapeUnit(PrimaryUnit):
    """`block_length`: of blocks when a CDB has FIXED; 0: it may not have."""

    image: TapeImage | None = None
    loaded = False
    position = Position()
    block_length = 0
    capacity: int
    early_warning: int
    alerts: set[int]

    @property
    def tape(self) -> TapeImage:
        """What is loaded. CheckCondition: nothing is."""
        if self.image is None or not self.loaded:
            raise CheckCondition(MEDIUM_NOT_PRESENT)
        return self.image

    @property
    def in_early_warning(self) -> bool:
        return self.position.offset >= self.capacity - self.early_warning

    # ---- from object to object ---------------------------------------------------------------

    def object_after(self, position: Position) -> TapeObject | None:
        """None: data end there. CheckCondition: the image is damaged."""
        try:
            return self.tape.after(position)
        except (ImageError, OSError) as error:
            raise self.read_failure() from error

    def object_before(self, position: Position) -> TapeObject | None:
        """None: the tape begins there."""
        try:
            return self.tape.before(position)
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
