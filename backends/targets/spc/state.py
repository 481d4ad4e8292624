"""What is asked of a unit's state and of its target: TEST UNIT READY, SEND DIAGNOSTIC, REQUEST
SENSE, REPORT LUNS and REPORT TARGET PORT GROUPS (SPC-4 6.47, 6.42, 6.39, 6.33, 6.37)."""

from __future__ import annotations

import struct

from pvdrivers.backends.targets.command import Command, invalid_field
from pvdrivers.backends.targets.emulated_unit import REPORTED_LUNS_CHANGED, EmulatedUnit
from pvdrivers.backends.targets.operations import Access, Needs, operation
from pvdrivers.backends.targets.spc.inquiry import TARGET_PORT_GROUP
from pvdrivers.scsi.lun import encode_report
from pvdrivers.scsi.sense import Sense, SenseKey

_ALL_BUT_WELL_KNOWN, _WELL_KNOWN, _ALL = 0, 1, 2  # SELECT REPORT
_ACTIVE_OPTIMIZED, _SUPPORTS_ACTIVE_OPTIMIZED = 0x0, 0x01


class State(EmulatedUnit):
    @operation(0x00, "TEST UNIT READY", "00 00 00 00 00 00", access=Access.NONE, needs=Needs.READY)
    def test_unit_ready(self, command: Command) -> None:
        """What forbids it was found before."""

    @operation(0x1D, "SEND DIAGNOSTIC", "1d 04 00 00 00 00", needs=Needs.READY)
    def send_diagnostic(self, command: Command) -> None:
        """The default self-test, which finds nothing. There are no diagnostic pages."""

    @operation(
        0x03, "REQUEST SENSE", "03 01 00 00 ff 00", access=Access.NONE, despite_attention=True
    )
    def request_sense(self, command: Command) -> bytes:
        attention = self.take_attention(command.nexus)
        if attention:
            sense = Sense(SenseKey.UNIT_ATTENTION, *attention)
        else:
            sense = self.condition() or Sense(SenseKey.NO_SENSE, 0, 0)
        data = sense.descriptor() if command.cdb[1] & 0x01 else sense.fixed()
        return data[: command.cdb[4]]

    @operation(
        0xA0,
        "REPORT LUNS",
        "a0 00 ff 00 00 00 ff ff ff ff 00 00",
        access=Access.NONE,
        despite_attention=True,
    )
    def report_luns(self, command: Command) -> bytes:
        data = luns_of(command)
        self.clear_attention(command.nexus, REPORTED_LUNS_CHANGED)
        return data

    @operation(
        0xA3,
        "REPORT TARGET PORT GROUPS",
        "a3 ea 00 00 00 00 ff ff ff ff 00 00",
        service_action=0x0A,
        access=Access.NONE,
    )
    def report_target_port_groups(self, command: Command) -> bytes:
        """One group, active and optimized, with the ports that initiators have come by."""
        extended = command.cdb[1] >> 5
        if extended > 1:
            raise invalid_field(1, 7)
        ports = self.target_ports
        group = struct.pack(
            ">BBHxxxB",
            _ACTIVE_OPTIMIZED,
            _SUPPORTS_ACTIVE_OPTIMIZED,
            TARGET_PORT_GROUP,
            len(ports),
        ) + b"".join(struct.pack(">HH", 0, port) for port in ports)
        header = bytes((0x10, 0, 0, 0)) if extended else b""
        data = struct.pack(">I", len(header + group)) + header + group
        return data[: command.number(6, 4)]


def luns_of(command: Command) -> bytes:
    """What REPORT LUNS tells an initiator. CheckCondition: it does not ask for what there is."""
    select = command.cdb[2]
    if select not in (_ALL_BUT_WELL_KNOWN, _WELL_KNOWN, _ALL):
        raise invalid_field(2)
    luns = () if select == _WELL_KNOWN else command.nexus.luns
    return encode_report(luns)[: command.number(6, 4)]
