"""RECEIVE COPY RESULTS: what has become of a disk's copies, and which it can make (SPC-4 6.18 to
6.21, 7.8.17)."""

from __future__ import annotations

import struct
from collections import OrderedDict
from dataclasses import dataclass

from pvdrivers.backends.targets.command import Command, Nexus, invalid_field
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

_DONE, _FAILED = 1, 2  # COPY MANAGER STATUS
MAX_RESULTS = 64  # that are kept; then the oldest goes
_RECEIVE = "00 00 00 00 00 00 00 00 ff ff ff ff 00 00"
_BY_LIST = "ff 00 00 00 00 00 00 00 ff ff ff ff 00 00"


@dataclass(slots=True)
class CopyResult:
    segments: int = 0  # that are done
    size: int = 0  # bytes that were copied
    sense: bytes = b""  # of what it has failed with


class CopyResults(BlockUnit):
    """Results are an initiator's, by the list identifier that it has given, as long as it is there.
    They end with the process."""

    third_party_copy = True

    def __init__(self, identity: Identity) -> None:
        super().__init__(identity)
        self._results: OrderedDict[tuple[str, int], CopyResult] = OrderedDict()

    def detach(self, nexus: Nexus) -> None:
        for key in [key for key in self._results if key[0] == nexus.name]:
            del self._results[key]
        super().detach(nexus)

    # ---- RECEIVE COPY RESULTS ------------------------------------------------------------------

    @operation(
        RECEIVE_COPY_RESULTS,
        "RECEIVE COPY STATUS(LID1)",
        f"84 00 {_BY_LIST}",
        service_action=0x00,
    )
    def receive_copy_status(self, command: Command) -> bytes:
        result = self._result_of(command)
        status = _FAILED if result.sense else _DONE
        data = struct.pack(">IBHBI", 8, status, result.segments, 1, result.size >> 10)  # KiB
        return data[: command.number(10, 4)]

    @operation(
        RECEIVE_COPY_RESULTS,
        "RECEIVE COPY FAILURE DETAILS(LID1)",
        f"84 04 {_BY_LIST}",
        service_action=0x04,
    )
    def receive_copy_failure_details(self, command: Command) -> bytes:
        """They are discarded then."""
        result = self._result_of(command)
        if not result.sense:
            raise invalid_field(2)
        self._results.pop((command.nexus.name, command.cdb[2]))
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

    def keep_result(self, initiator: str, identifier: int, result: CopyResult) -> None:
        self._results.pop((initiator, identifier), None)
        self._results[initiator, identifier] = result
        if len(self._results) > MAX_RESULTS:
            self._results.popitem(last=False)

    def _result_of(self, command: Command) -> CopyResult:
        result = self._results.get((command.nexus.name, command.cdb[2]))
        if result is None:
            raise invalid_field(2)
        return result

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
