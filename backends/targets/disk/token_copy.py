"""POPULATE TOKEN, WRITE USING TOKEN and RECEIVE ROD TOKEN INFORMATION: copies by tokens, which
another disk of the service may be given (SBC-3 5, SPC-4 6)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pvdrivers.backends.targets.command import (
    PARAMETER_LIST_LENGTH,
    CheckCondition,
    Command,
    CommandError,
    Nexus,
    illegal_request,
    invalid_parameter,
)
from pvdrivers.backends.targets.disk.copy_list import IDENTIFICATION, TOO_MANY_SEGMENTS
from pvdrivers.backends.targets.disk.copy_results import (
    EXTENDED_COPY,
    RECEIVE_COPY_RESULTS,
    KeptResult,
    KeptResults,
    page_descriptor,
)
from pvdrivers.backends.targets.disk.third_party_copy import (
    READ,
    THIRD_PARTY_FAILURE,
    WRITE,
    ThirdPartyCopy,
    held,
)
from pvdrivers.backends.targets.disk.tokens import (
    CHANGE_VULNERABLE,
    DEFAULT_TIMEOUT,
    MAX_TIMEOUT,
    ZERO,
    Token,
    Tokens,
    check_token,
    unknown_token,
)
from pvdrivers.backends.targets.operations import Access, Needs, operation
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.scsi.block_range import BlockRange
from pvdrivers.scsi.result import Status

MAX_RANGES = 64
MAX_BLOCKS = 1 << 20  # that a token represents, and that one command writes

_POPULATE, _WRITE_USING, _RECEIVE = 0x10, 0x11, 0x07
_RTV, _DEL_TKN = 0x02, 0x02
_LOGICAL_BLOCKS = 0xF1  # TRANSFER COUNT UNITS


@dataclass(slots=True)
class TokenResult(KeptResult):
    action: int = 0
    blocks: int = 0
    token: bytes = b""


class TokenCopy(ThirdPartyCopy):
    """While a token could be revoked by a write, no write goes to the store without asking."""

    def __init__(self, identity: Identity) -> None:
        super().__init__(identity)
        self.tokens = Tokens()
        self.medium.changing.append(self.tokens.changing)
        self.token_results: KeptResults[TokenResult] = KeptResults()

    def detach(self, nexus: Nexus) -> None:
        self.token_results.discard_all_of(nexus)
        super().detach(nexus)

    # ---- POPULATE TOKEN ------------------------------------------------------------------------

    @operation(
        EXTENDED_COPY,
        "POPULATE TOKEN",
        "83 10 00 00 00 00 ff ff ff ff ff ff ff ff 3f 00",
        service_action=_POPULATE,
        access=Access.READ,
        needs=Needs.READY,
        excludes_direct_access=True,
    )
    def populate_token(self, command: Command) -> None:
        with self._result_of(command, _POPULATE) as result:
            data = _parameters(command, 16)
            flags, timeout, kind, length = struct.unpack_from(">xxBxIIxxH", data)
            if flags & _RTV and kind != CHANGE_VULNERABLE:
                raise invalid_parameter(8)
            if timeout > MAX_TIMEOUT:
                raise invalid_parameter(4)
            ranges = self._ranges(data, 16, length)
            size = self.medium.block_size
            creator = struct.pack(">B3x12s12xI", IDENTIFICATION, self.identity.designator, size)
            token = Token(ranges, timeout or DEFAULT_TIMEOUT, creator, size)
            self.tokens.add(token)
            result.token, result.blocks = token.encoded, token.blocks

    def _ranges(self, data: bytes, start: int, length: int) -> list[BlockRange]:
        if length != len(data) - start or length % 16 or length == 0:
            raise invalid_parameter(start - 2)
        if length > MAX_RANGES * 16:
            raise illegal_request(TOO_MANY_SEGMENTS)
        ranges = BlockRange.list_of(data[start:])
        for one in ranges:
            self.check_range(*one)
        if not 0 < sum(one.blocks for one in ranges) <= MAX_BLOCKS:
            raise invalid_parameter(start + 8)
        return ranges

    # ---- WRITE USING TOKEN ---------------------------------------------------------------------

    @operation(
        EXTENDED_COPY,
        "WRITE USING TOKEN",
        "83 11 00 00 00 00 ff ff ff ff ff ff ff ff 3f 00",
        service_action=_WRITE_USING,
        needs=Needs.WRITABLE,
        excludes_direct_access=True,
    )
    def write_using_token(self, command: Command) -> None:
        """All that is asked for has to be in the token, and nothing of it on what it stands for."""
        with self._result_of(command, _WRITE_USING) as result:
            data = _parameters(command, 536)
            flags, offset, encoded, length = struct.unpack_from(">xxB5xQ512s6xH", data)
            ranges = self._ranges(data, 536, length)
            kind, naa = check_token(encoded)
            if kind == ZERO:
                self._write_zeros(ranges, result)
                return
            source = self._source(command.nexus, naa)
            with held(source):
                token = source.tokens.find(encoded)
            self._write_token(command, source, token, offset, ranges, result)
            if flags & _DEL_TKN:
                with held(source):
                    source.tokens.delete(token)

    def _source(self, nexus: Nexus, naa: int | None) -> TokenCopy:
        unit = self.copy_target(nexus, naa) if naa is not None else None
        if not isinstance(unit, TokenCopy):
            raise unknown_token()
        return unit

    def _write_zeros(self, ranges: list[BlockRange], result: TokenResult) -> None:
        for lba, count in ranges:
            with held(self):
                self.medium.zero(lba, count)
                self.written(durable=False)
            result.blocks += count

    def _write_token(
        self,
        command: Command,
        source: TokenCopy,
        token: Token,
        offset: int,
        ranges: list[BlockRange],
        result: TokenResult,
    ) -> None:
        if offset + sum(one.blocks for one in ranges) > token.blocks:
            raise invalid_parameter(8)
        if source.medium.block_size != self.medium.block_size:
            raise invalid_parameter(16)
        if source is self and any(token.overlaps(*one) for one in ranges):
            raise invalid_parameter(536)
        for lba, count in ranges:
            for start, blocks in token.parts(offset, count):
                for place, part in source.medium.chunks(start, blocks):
                    with held(source, self):
                        source.check_open(command.nexus, READ)
                        self.check_open(command.nexus, WRITE)
                        data = source.medium.read(place, part)
                        # Behind the read: a snapshot is replaced by its disk's thread.
                        source.tokens.check(token)
                        self.medium.write(lba, data)
                        self.written(durable=False)
                    lba += part
                    result.blocks += part
            offset += count

    # ---- RECEIVE ROD TOKEN INFORMATION ---------------------------------------------------------

    @operation(
        RECEIVE_COPY_RESULTS,
        "RECEIVE ROD TOKEN INFORMATION",
        "84 07 ff ff ff ff 00 00 00 00 ff ff ff ff 00 00",
        service_action=_RECEIVE,
        access=Access.READ,
    )
    def receive_rod_token_information(self, command: Command) -> bytes:
        result = self.token_results.find(command.nexus, command.number(2, 4))
        token = struct.pack(">xx512s", result.token) if result.token else b""
        data = struct.pack(
            ">BBHIBBBBQH6x",
            result.action,
            result.status,
            1,
            0xFFFFFFFE,  # no estimate
            Status.CHECK_CONDITION if result.sense else Status.GOOD,
            len(result.sense),
            len(result.sense),
            _LOGICAL_BLOCKS,
            result.blocks,
            0,
        )
        data += result.sense + struct.pack(">I", len(token)) + token
        return (struct.pack(">I", len(data)) + data)[: command.number(10, 4)]

    @contextmanager
    def _result_of(self, command: Command, action: int) -> Iterator[TokenResult]:
        result = TokenResult(action=action)
        self.token_results.keep(command.nexus, command.number(6, 4), result)
        with self.failure_kept_in(result):
            try:
                yield result
            except CheckCondition:
                raise
            except CommandError as error:  # as a reservation of the other disk
                raise CheckCondition(THIRD_PARTY_FAILURE) from error

    # ---- vital product data --------------------------------------------------------------------

    def third_party_descriptors(self) -> list[bytes]:
        limits = struct.pack(
            ">6xHIIQQ", MAX_RANGES, MAX_TIMEOUT, DEFAULT_TIMEOUT, MAX_BLOCKS, MAX_BLOCKS
        )
        features = struct.pack(">12xIII18xH", DEFAULT_TIMEOUT, MAX_TIMEOUT, MAX_TIMEOUT, 0)
        kinds = b"".join(
            struct.pack(">IBxH56x", kind, flags, preference)
            for kind, flags, preference in ((CHANGE_VULNERABLE, 0x03, 1), (ZERO, 0x02, 0))
        )
        return [
            page_descriptor(0x0000, limits),
            *super().third_party_descriptors(),
            page_descriptor(0x0106, features),
            page_descriptor(0x0108, struct.pack(">xxH", len(kinds)) + kinds),
        ]


def _parameters(command: Command, shortest: int) -> bytes:
    data = command.parameters(command.number(10, 4))
    if len(data) < shortest or int.from_bytes(data[:2], "big") != len(data) - 2:
        raise illegal_request(PARAMETER_LIST_LENGTH)
    return data
