"""A tape's log pages and LOG SELECT (SSC-4 8.2, SPC-4 6.7)."""

from __future__ import annotations

import struct

from pvdrivers.backends.targets.command import Command, invalid_field
from pvdrivers.backends.targets.operations import operation
from pvdrivers.backends.targets.spc.log import LogPages, LogParameter
from pvdrivers.backends.targets.tape.tape_unit import TapeUnit

LOG_PARAMETERS_CHANGED = (0x2A, 0x02)

_TRANSFERS, _TAPE_ALERT, _CAPACITY = 0x0C, 0x2E, 0x31
_RESET = 0x02  # PCR
_MEBIBYTE = 1 << 20


class Logs(TapeUnit):
    def log_pages(self) -> LogPages:
        return super().log_pages() | {
            _TRANSFERS: self._transfer_log,
            _TAPE_ALERT: self._alert_log,
            _CAPACITY: self._capacity_log,
        }

    def _transfer_log(self) -> list[LogParameter]:
        """Bytes from initiators and to the tape, from the tape and to initiators, which are as
        many, since nothing is compressed."""
        counts = self.bytes_written, self.bytes_written, self.bytes_read, self.bytes_read
        return [LogParameter(code, struct.pack(">Q", count)) for code, count in enumerate(counts)]

    def _alert_log(self) -> list[LogParameter]:
        """A flag stays until another cartridge is loaded, as the configuration page says."""
        return [LogParameter(flag, bytes((flag in self.alerts,))) for flag in range(1, 65)]

    def _capacity_log(self) -> list[LogParameter]:
        """What is left and what there is at most, of both partitions."""
        left, sizes = [0, 0], [0, 0]
        if self.volume and self.loaded:
            for i, image in enumerate(self.volume.images):
                used = self.position.offset if i == self.position.partition else image.size
                sizes[i] = self.volume.sizes[i]
                left[i] = max(sizes[i] - used, 0)
        return [
            LogParameter(code, struct.pack(">I", min(number // _MEBIBYTE, 0xFFFFFFFF)))
            for code, number in enumerate(left + sizes, 1)
        ]

    @operation(0x4C, "LOG SELECT", "4c 02 c0 00 00 00 00 ff ff 00")
    def log_select(self, command: Command) -> None:
        """PCR: counters and alerts begin again. No parameter can be set."""
        if command.number(7, 2):
            raise invalid_field(7)
        if command.cdb[1] & _RESET:
            self.bytes_written = self.bytes_read = 0
            self.alerts.clear()
            self.establish_attention(LOG_PARAMETERS_CHANGED, but=command.nexus)
