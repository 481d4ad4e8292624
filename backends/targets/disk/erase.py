"""SANITIZE and FORMAT UNIT, at once or in the background (SBC-3 4.11, 5.3, 5.22)."""

from __future__ import annotations

from itertools import cycle, islice

from pvdrivers.backends.targets.background import Background, Steps
from pvdrivers.backends.targets.command import (
    CheckCondition,
    Command,
    Nexus,
    invalid_field,
    invalid_parameter,
)
from pvdrivers.backends.targets.disk.block_unit import BlockUnit
from pvdrivers.backends.targets.disk.medium import CHUNK
from pvdrivers.backends.targets.journal import Journal
from pvdrivers.backends.targets.operations import operation
from pvdrivers.backends.targets.persistent import UnitState
from pvdrivers.scsi.sense import SKSV, Sense, SenseKey

_SANITIZING, _FORMATTING = (0x04, 0x1B), (0x04, 0x04)
_SANITIZE_FAILED = Sense(SenseKey.MEDIUM_ERROR, 0x31, 0x03)
_FORMAT_FAILED = Sense(SenseKey.MEDIUM_ERROR, 0x31, 0x01)
_FAILURES = {_SANITIZING: _SANITIZE_FAILED, _FORMATTING: _FORMAT_FAILED}

_IMMED, _AUSE = 0x80, 0x20  # of SANITIZE
_INVERT, _TEST, _OVERWRITE_COUNT = 0x80, 0x60, 0x1F  # of its parameter list
_FMTDATA, _LONGLIST = 0x10, 0x20  # of FORMAT UNIT
_IP, _FORMAT_IMMED = 0x08, 0x02  # of its parameter list


class Erase(BlockUnit):
    """While one of these is under way, a command that needs the medium is answered with NOT READY
    and the progress. After one has failed, with MEDIUM ERROR, until one succeeds."""

    background: Background

    _under_way: tuple[int, int] | None = None
    _progress = 0.0
    _failure: Sense | None = None
    _may_exit_failure_mode = False
    _begun: tuple[bytes, bytes] | None = None  # CDB and parameters of what is in the background

    # ---- SANITIZE ----------------------------------------------------------------------------

    @operation(
        0x48,
        "SANITIZE OVERWRITE",
        "48 a1 00 00 00 00 00 ff ff 00",
        service_action=0x01,
        excludes_direct_access=True,
    )
    def sanitize_overwrite(self, command: Command) -> None:
        """A pattern of 1 byte to a block, up to 31 times, inverted every other time if wanted."""
        data, size = command.parameters(command.number(7, 2)), self.medium.block_size
        if not 4 < len(data) <= size + 4 or int.from_bytes(data[2:4], "big") != len(data) - 4:
            raise invalid_field(7)
        passes = data[0] & _OVERWRITE_COUNT
        if data[0] & _TEST or passes == 0:
            raise invalid_field(7)
        block = bytes(islice(cycle(data[4:]), size))
        inverted = bytes(byte ^ 0xFF for byte in block)
        blocks = cycle((block, inverted if data[0] & _INVERT else block))
        self._sanitize(command, self._overwrite(list(islice(blocks, passes))))

    @operation(
        0x48,
        "SANITIZE BLOCK ERASE",
        "48 a2 00 00 00 00 00 00 00 00",
        service_action=0x02,
        excludes_direct_access=True,
    )
    def sanitize_block_erase(self, command: Command) -> None:
        """Zeros are written, and then, on a thin disk, given back to the host."""
        self._sanitize(command, self._erase())

    @operation(
        0x48,
        "SANITIZE EXIT FAILURE MODE",
        "48 9f 00 00 00 00 00 00 00 00",
        service_action=0x1F,
        excludes_direct_access=True,
    )
    def exit_failure_mode(self, command: Command) -> None:
        self._check_startable()
        if self._failure == _SANITIZE_FAILED:
            if not self._may_exit_failure_mode:
                raise invalid_field(1, 4)
            self._failure = None

    def _sanitize(self, command: Command, steps: Steps) -> None:
        self._check_startable()
        self._may_exit_failure_mode = bool(command.cdb[1] & _AUSE)
        self._begin(_SANITIZING, command, steps, immediately=bool(command.cdb[1] & _IMMED))

    # ---- FORMAT UNIT -------------------------------------------------------------------------

    @operation(0x04, "FORMAT UNIT", "04 3f 00 00 00 00", excludes_direct_access=True)
    def format_unit(self, command: Command) -> None:
        """All blocks are zeros then. Protection information, defect lists and initialization
        patterns are refused."""
        immediately = False
        if command.cdb[1] & _FMTDATA:
            header = command.parameters(8 if command.cdb[1] & _LONGLIST else 4)
            immediately = bool(header[1] & _FORMAT_IMMED)
            if header[0]:
                raise invalid_parameter(0)
            if header[1] & _IP:
                raise invalid_parameter(1, 3)
            if any(header[2:]):
                raise invalid_parameter(2)
        self._check_startable()
        self._begin(_FORMATTING, command, self._zero(), immediately=immediately)

    # ---- the unit's state --------------------------------------------------------------------

    def condition(self) -> Sense | None:
        return self._progress_sense() or super().condition() or self._failure

    def _progress_sense(self) -> Sense | None:
        under_way = self._under_way
        if under_way is None:
            return None
        progress = min(int(self._progress * 0x10000), 0xFFFF)
        specific = bytes((SKSV,)) + progress.to_bytes(2, "big")
        return Sense(SenseKey.NOT_READY, *under_way, specific=specific)

    def _check_startable(self) -> None:
        """After a failure it may be tried again."""
        blocking = self._progress_sense() or super().condition() or self.write_protection()
        if blocking:
            raise CheckCondition(blocking)

    def _begin(
        self, kind: tuple[int, int], command: Command, steps: Steps, *, immediately: bool
    ) -> None:
        self._under_way, self._progress, self._failure = kind, 0.0, None
        steps = self._run_steps(kind, steps)
        if immediately:
            self._begun = bytes(command.cdb), bytes(command.data_out)
            self.background.start(steps)
            return
        for _ in steps:
            pass
        if self._failure:
            raise CheckCondition(self._failure)

    def _run_steps(self, kind: tuple[int, int], steps: Steps) -> Steps:
        """On any thread; the attributes here are all that commands see of it meanwhile."""
        try:
            for self._progress in steps:
                yield self._progress
            self.medium.flush()
        except CheckCondition:
            self._failure = _FAILURES[kind]
        finally:
            self._under_way = self._begun = None

    def state(self) -> UnitState:
        own: UnitState = {}
        if begun := self._begun:
            own["erasing"] = begun
        if failure := self._failure:
            own["erase failed"] = failure == _SANITIZE_FAILED, self._may_exit_failure_mode
        return super().state() | own

    def restore(self, state: UnitState) -> None:
        super().restore(state)
        self._begun = state.get("erasing")
        if failed := state.get("erase failed"):
            self._failure = _SANITIZE_FAILED if failed[0] else _FORMAT_FAILED
            self._may_exit_failure_mode = failed[1]

    def take_up(self, journal: Journal) -> None:
        """Begins again what was under way in the background, and had been answered."""
        super().take_up(journal)
        if begun := self._begun:
            again = Command(Nexus("the unit itself"), *begun)
            self.method_of(self.operations.find(again.cdb))(again)

    def close(self) -> None:
        """What is under way in the background ends, unfinished."""
        self.background.stop()
        super().close()

    # ---- the work ----------------------------------------------------------------------------

    def _overwrite(self, blocks: list[bytes]) -> Steps:
        for turn, block in enumerate(blocks):
            for progress in self._fill(block):
                yield (turn + progress) / len(blocks)
            self.medium.flush()  # so that each turn reaches the medium

    def _erase(self) -> Steps:
        yield from self._fill(bytes(self.medium.block_size))
        self.medium.flush()
        if self.medium.is_thin:
            self.medium.zero(0, self.medium.blocks)

    def _fill(self, block: bytes) -> Steps:
        for lba, count in self.medium.chunks(0, self.medium.blocks):
            self.medium.fill(lba, count, block)
            yield (lba + count) / self.medium.blocks

    def _zero(self) -> Steps:
        for lba, count in self.medium.chunks(0, self.medium.blocks, 64 * CHUNK):
            self.medium.zero(lba, count)
            yield (lba + count) / self.medium.blocks
