"""The data of one command that writes: immediate, unsolicited, and what is asked for by R2T
(RFC 7143, sections 4.2.5 and 11.7 to 11.8)."""

from __future__ import annotations

from dataclasses import dataclass, field

from pvdrivers.tools.pvbridge.iscsi.parameters import Parameters
from pvdrivers.tools.pvbridge.iscsi.pdu import NO_TAG, Opcode, Pdu, ProtocolError


@dataclass(slots=True)
class WriteData:
    """`data` fills from its start to its end: sequences and PDUs come in order."""

    command: Pdu
    parameters: Parameters
    transfer_tag: int  # of the R2Ts
    data: bytearray = field(init=False)
    _received: int = 0
    _unsolicited: bool = False  # Data-Out without R2T comes
    _until: int = 0  # end of the sequence that was asked for last
    _r2t_sn: int = 0
    _data_sn: int = 0  # of the next Data-Out of the sequence

    def __post_init__(self) -> None:
        self.data = bytearray(self.command.transfer_tag)  # the expected data transfer length
        if self.command.data:
            if not self.parameters.immediate_data:
                raise ProtocolError("immediate data, which were not agreed")
            self._append(0, self.command.data, min(self.parameters.first_burst, len(self.data)))
        self._unsolicited = not self.command.final
        if self._unsolicited and self.parameters.initial_r2t:
            raise ProtocolError("unsolicited data, which were not agreed")

    @property
    def complete(self) -> bool:
        return self._received == len(self.data) and not self._unsolicited

    def add(self, pdu: Pdu) -> None:
        """A Data-Out. ProtocolError: it is not the one that comes next."""
        if pdu.data_sn != self._data_sn:
            raise ProtocolError(f"DataSN {pdu.data_sn} where {self._data_sn} comes next")
        self._data_sn = 0 if pdu.final else self._data_sn + 1
        if self._unsolicited:
            if pdu.transfer_tag != NO_TAG:
                raise ProtocolError("solicited data before the unsolicited ones have ended")
            limit = min(self.parameters.first_burst, len(self.data))
            self._unsolicited = not pdu.final
        elif self._received < self._until and pdu.transfer_tag == self.transfer_tag:
            limit = self._until
        else:
            raise ProtocolError("data that nobody has asked for")
        self._append(pdu.buffer_offset, pdu.data, limit)
        if not self._unsolicited and pdu.final and self._received < self._until:
            raise ProtocolError("a sequence that ends too early")

    def _append(self, offset: int, data: bytes, limit: int) -> None:
        if offset != self._received or offset + len(data) > limit:
            raise ProtocolError(
                f"{len(data)} bytes at {offset}: {self._received} to {limit} may come"
            )
        self.data[offset : offset + len(data)] = data
        self._received += len(data)

    def next_r2t(self) -> Pdu | None:
        """Asks for the next sequence, when the last one is here; its numbers are the session's."""
        if self._unsolicited or self._received < self._until or self.complete:
            return None
        length = min(self.parameters.max_burst, len(self.data) - self._received)
        self._until = self._received + length
        pdu = Pdu.of(Opcode.R2T, self.command.tag)
        pdu.header[8:16] = self.command.header[8:16]
        pdu.transfer_tag = self.transfer_tag
        pdu.data_sn = self._r2t_sn
        pdu.buffer_offset = self._received
        pdu.residual = length  # at the same place: the desired data transfer length
        self._r2t_sn += 1
        return pdu
