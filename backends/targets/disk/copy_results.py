"""RECEIVE COPY RESULTS: what has become of a disk's copies, and which it can make (SPC-4 6.18 to
6.21, 7.8.17)."""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from pvdrivers.backends.targets.command import CheckCondition, Command, Nexus, invalid_field
from pvdrivers.backends.targets.disk.block_unit import BlockUnit
from pvdrivers.backends.targets.disk.copy_list import (
    BLOCKS_TO_BLOCKS,
    IDENTIFICATION,
    MAX_LIST,
    MAX_SEGMENTS,
    MAX_TARGETS,
)
from pvdrivers.backends.targets.operations import Access, operation
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.backends.targets.spc.inquiry import VpdPages
from pvdrivers.scsi.result import Status

EXTENDED_COPY, RECEIVE_COPY_RESULTS = 0x83, 0x84

MAX_RESULTS = 64  # that are kept; then the oldest goes
_RECEIVE = "00 00 00 00 00 00 00 00 ff ff ff ff 00 00"
_BY_LIST = "ff 00 00 00 00 00 00 00 ff ff ff ff 00 00"


@dataclass(slots=True)
class KeptResult:
    sense: bytes = b""  # of what it has failed with

    @property
    def status(self) -> int:
        """COPY MANAGER STATUS: done, or failed."""
        return 2 if self.sense else 1


@dataclass(slots=True)
class CopyResult(KeptResult):
    segments: int = 0  # that are done
    size: int = 0  # bytes that were copied


R = TypeVar("R", bound=KeptResult)


class KeptResults(Generic[R]):
    """Of copies, by their initiators and the list identifiers that these have given."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, int], R] = OrderedDict()

    def keep(self, nexus: Nexus, identifier: int, result: R) -> None:
        """In the place of an earlier one."""
        self._kept.pop((nexus.name, identifier), None)
        self._kept[nexus.name, identifier] = result
        if len(self._kept) > MAX_RESULTS:
            self._kept.popitem(last=False)

    def find(self, nexus: Nexus, identifier: int) -> R:
        """CheckCondition: there is none."""
        result = self._kept.get((nexus.name, identifier))
        if result is None:
            raise invalid_field(2)
        return result

    def discard(self, nexus: Nexus, identifier: int) -> None:
        del self._kept[nexus.name, identifier]

    def discard_all_of(self, nexus: Nexus) -> None:
        for key in [key for key in self._kept if key[0] == nexus.name]:
            del self._kept[key]


class CopyResults(BlockUnit):
    """Results are kept as long as their initiator is there. They end with the process."""

    third_party_copy = True

    def __init__(self, identity: Identity) -> None:
        super().__init__(identity)
        self.copy_results: KeptResults[CopyResult] = KeptResults()

    def detach(self, nexus: Nexus) -> None:
        self.copy_results.discard_all_of(nexus)
        super().detach(nexus)

    # ---- RECEIVE COPY RESULTS ------------------------------------------------------------------

    @operation(
        RECEIVE_COPY_RESULTS,
        "RECEIVE COPY STATUS(LID1)",
        f"84 00 {_BY_LIST}",
        service_action=0x00,
    )
    def receive_copy_status(self, command: Command) -> bytes:
        result = self.copy_results.find(command.nexus, command.cdb[2])
        kibibytes = result.size >> 10
        data = struct.pack(">IBHBI", 8, result.status, result.segments, 1, kibibytes)
        return data[: command.number(10, 4)]

    @operation(
        RECEIVE_COPY_RESULTS,
        "RECEIVE COPY FAILURE DETAILS(LID1)",
        f"84 04 {_BY_LIST}",
        service_action=0x04,
    )
    def receive_copy_failure_details(self, command: Command) -> bytes:
        """They are discarded then."""
        result = self.copy_results.find(command.nexus, command.cdb[2])
        if not result.sense:
            raise invalid_field(2)
        self.copy_results.discard(command.nexus, command.cdb[2])
        details = struct.pack(">BxH", Status.CHECK_CONDITION, len(result.sense)) + result.sense
        data = struct.pack(">I52x", 56 - 4 + len(details)) + details
        return data[: command.number(10, 4)]

    @operation(
        RECEIVE_COPY_RESULTS,
        "RECEIVE COPY OPERATING PARAMETERS",
        f"84 03 {_RECEIVE}",
        service_action=0x03,
        access=Access.READ,
    )
    def receive_copy_operating_parameters(self, command: Command) -> bytes:
        codes = bytes((BLOCKS_TO_BLOCKS, IDENTIFICATION))
        data = struct.pack(
            ">BxxxHHIIIIIxxHBBBBxxxB",
            1,  # SNLID: list identifiers are not needed
            MAX_TARGETS,
            MAX_SEGMENTS,
            MAX_LIST,
            0xFFFF * self.medium.block_size,
            0,  # inline data
            0,  # held data
            0,  # stream devices
            1,  # concurrent copies of all initiators
            1,  # and of one
            self.medium.block_size.bit_length() - 1,
            0,
            0,
            len(codes),
        )
        data += codes
        return (struct.pack(">I", len(data)) + data)[: command.number(10, 4)]

    @contextmanager
    def failure_kept_in(self, result: KeptResult) -> Iterator[None]:
        """The sense data of what fails are in the result too."""
        try:
            yield
        except CheckCondition as error:
            result.sense = self.encode_sense(error.sense)
            raise

    # ---- vital product data --------------------------------------------------------------------

    def vpd_pages(self) -> VpdPages:
        return {**super().vpd_pages(), 0x8F: self._third_party_copy_page}

    def _third_party_copy_page(self) -> bytes:
        return b"".join(sorted(self.third_party_descriptors()))  # by their types

    def third_party_descriptors(self) -> list[bytes]:
        """Of the third-party copy page; subclasses add theirs."""
        commands = b"".join(
            bytes((opcode, len(actions), *actions))
            for opcode in (EXTENDED_COPY, RECEIVE_COPY_RESULTS)
            if (actions := self.operations.service_actions(opcode))
        )
        codes = bytes((BLOCKS_TO_BLOCKS, IDENTIFICATION))
        limits = struct.pack(">4xHHII12x", MAX_TARGETS, MAX_SEGMENTS, MAX_LIST, 0)
        segment = 0xFFFF * self.medium.block_size
        granularity = self.medium.block_size.bit_length() - 1
        general = struct.pack(">IIIBB18x", 1, 1, segment, granularity, 0)
        return [
            page_descriptor(0x0001, bytes((len(commands),)) + commands),
            page_descriptor(0x0004, limits),
            page_descriptor(0x0008, bytes((len(codes),)) + codes),
            page_descriptor(0x8001, general),
        ]


def page_descriptor(kind: int, value: bytes) -> bytes:
    padded = value.ljust(-(-len(value) // 4) * 4, b"\0")
    return struct.pack(">HH", kind, len(padded)) + padded
