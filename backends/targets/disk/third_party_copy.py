"""EXTENDED COPY(LID1): a disk copies blocks between disks of its service (SPC-4 5.17, 6.4)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from pvdrivers.backends.targets.command import (
    Answer,
    CheckCondition,
    Command,
    CommandError,
    Nexus,
)
from pvdrivers.backends.targets.disk.copy_list import (
    NOT_REACHABLE,
    UNREACHABLE_TARGET,
    WRONG_DEVICE_TYPE,
    CopyList,
    CopySegment,
    CopyTarget,
    aborted,
    parse_copy_list,
)
from pvdrivers.backends.targets.disk.copy_results import EXTENDED_COPY, CopyResult, CopyResults
from pvdrivers.backends.targets.disk.medium import CHUNK
from pvdrivers.backends.targets.operations import operation
from pvdrivers.backends.targets.persistent import UnitState
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.scsi.sense import Sense, SenseKey

THIRD_PARTY_FAILURE = Sense(SenseKey.COPY_ABORTED, 0x0D, 0x01)
BEYOND_THE_END = Sense(SenseKey.COPY_ABORTED, 0x00, 0x00)  # SPC-4 names no code for it

READ, WRITE = 0x88, 0x8A
_COPIES = {0x00, 0x11}  # service actions


class ThirdPartyCopy(CopyResults):
    """`find_copy_target`: the disk of that NAA that copies of that initiator may read and write;
    by itself a disk knows itself alone. Not `joins_copies`: none go between it and others."""

    find_copy_target: Callable[[Nexus, int], ThirdPartyCopy | None] | None = None
    joins_copies = True
    is_closed = False

    # The identity of a copy that is under way, its segment, and how many blocks of it are done.
    _copying: tuple[bytes, int, int] | None = None

    def __init__(self, identity: Identity) -> None:
        super().__init__(identity)
        self.lock = threading.Lock()

    def execute(self, command: Command) -> Answer:
        """One command has the medium at a time, with another disk's copy among them. A copy of this
        disk's takes it part by part, since it needs that of others too."""
        cdb = command.cdb
        if len(cdb) > 1 and cdb[0] == EXTENDED_COPY and cdb[1] & 0x1F in _COPIES:
            return super().execute(command)
        with self.lock:
            return super().execute(command)

    # ---- EXTENDED COPY -------------------------------------------------------------------------

    @operation(
        EXTENDED_COPY,
        "EXTENDED COPY(LID1)",
        "83 00 00 00 00 00 00 00 00 00 ff ff ff ff 00 00",
        service_action=0x00,
        excludes_direct_access=True,
    )
    def extended_copy(self, command: Command) -> None:
        """Done when it is answered. Segments are copied in their order, each from the side from
        which overlapping blocks are not written before they are read."""
        data = command.parameters(command.number(10, 4))
        if not data:
            return
        wanted = parse_copy_list(data)
        result = CopyResult()
        if wanted.identifier is not None:
            self.copy_results.keep(command.nexus, wanted.identifier, result)
        try:
            with self.failure_kept_in(result):
                self._copy(command, wanted, result)
        finally:
            self._copying = None

    def _copy(self, command: Command, wanted: CopyList, result: CopyResult) -> None:
        units = [self._find(target, command.nexus) for target in wanted.targets]
        first, done = self._begun_before(command.identity)
        result.segments = first
        for index, segment in list(enumerate(wanted.segments))[first:]:
            try:
                self._copy_segment(command, units, index, segment, done, result)
            except CheckCondition as error:
                raise aborted(error.sense, index) from error
            except CommandError as error:
                raise aborted(THIRD_PARTY_FAILURE, index) from error
            result.segments, done = index + 1, 0

    def _begun_before(self, identity: bytes) -> tuple[int, int]:
        """Where a killed process was with the same command: segment and blocks."""
        if self._copying and identity and self._copying[0] == identity:
            return self._copying[1:]
        return 0, 0

    def copy_target(self, nexus: Nexus, naa: int) -> ThirdPartyCopy | None:
        """None: there is none for copies of this initiator."""
        if naa == self.identity.naa:
            return self
        if not self.find_copy_target or not self.joins_copies:
            return None
        found = self.find_copy_target(nexus, naa)
        return found if found and found.joins_copies else None

    def _find(self, target: CopyTarget, nexus: Nexus) -> ThirdPartyCopy | None:
        if target.naa is None:
            return None
        unit = self.copy_target(nexus, target.naa)
        if unit is None:
            raise CheckCondition(NOT_REACHABLE)
        if target.device_type != unit.device_type:
            raise CheckCondition(WRONG_DEVICE_TYPE)
        if target.block_size != unit.medium.block_size:
            raise CheckCondition(Sense(SenseKey.COPY_ABORTED, 0x26, 0x00))
        return unit

    def _copy_segment(
        self,
        command: Command,
        units: list[ThirdPartyCopy | None],
        index: int,
        segment: CopySegment,
        done: int,
        result: CopyResult,
    ) -> None:
        source, destination = (
            _target_at(units, place) for place in (segment.source, segment.destination)
        )
        block_size = source.medium.block_size
        if destination.medium.block_size != block_size:
            raise CheckCondition(Sense(SenseKey.COPY_ABORTED, 0x26, 0x0C))
        with held(source, destination):
            if (
                segment.source_lba + segment.blocks > source.medium.blocks
                or segment.destination_lba + segment.blocks > destination.medium.blocks
            ):
                raise CheckCondition(BEYOND_THE_END)
        distance = segment.destination_lba - segment.source_lba
        step = CHUNK // block_size
        if source is destination and abs(distance) < segment.blocks:
            if distance == 0:
                return
            step = min(step, abs(distance))
        backwards = source is destination and distance > 0
        while done < segment.blocks:
            count = min(step, segment.blocks - done)
            offset = segment.blocks - done - count if backwards else done
            with held(source, destination):
                source.check_open(command.nexus, READ)
                destination.check_open(command.nexus, WRITE)
                data = source.medium.read(segment.source_lba + offset, count)
                destination.medium.write(segment.destination_lba + offset, data)
                destination.written(durable=False)
            done += count
            result.size += len(data)
            self._copying = command.identity, index, done
            self.commit()

    def close(self) -> None:
        """A copy that another disk is making ends at its next part."""
        with self.lock:
            self.is_closed = True
        super().close()

    def state(self) -> UnitState:
        return super().state() | ({"copying": self._copying} if self._copying else {})

    def restore(self, state: UnitState) -> None:
        super().restore(state)
        if copying := state.get("copying"):
            self._copying = copying[0], copying[1], copying[2]


@contextmanager
def held(*units: ThirdPartyCopy) -> Iterator[None]:
    """In an order that is the same for all, so that two copies never wait for each other.
    CheckCondition: one has been closed."""
    with ExitStack() as stack:
        for unit in sorted(set(units), key=id):
            stack.enter_context(unit.lock)
        if any(unit.is_closed for unit in units):
            raise CheckCondition(NOT_REACHABLE)
        yield


def _target_at(units: list[ThirdPartyCopy | None], index: int) -> ThirdPartyCopy:
    unit = units[index] if index < len(units) else None
    if unit is None:
        raise CheckCondition(UNREACHABLE_TARGET)
    return unit
