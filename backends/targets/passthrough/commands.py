"""The commands that may be passed on, by device type: what each does, and whether a guest has it
unless it is allowed by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pvdrivers.backends.targets.command_table import CommandTable

DISK, TAPE, CHANGER = 0x00, 0x01, 0x08


@dataclass(frozen=True, slots=True)
class Passed:
    """`writes`: it changes what is on the medium, or the device's settings; a read-only LUN refuses
    it. `sends`: it has data for the device. `once`: carried out twice it is not the same as once.
    `allowed`: a guest has it by default."""

    name: str
    opcode: int
    service_action: int | None
    writes: bool
    sends: bool
    once: bool
    allowed: bool


# Opcode, or opcode/service action; w: writes, o: sends data and does not write, 1: once, x: only
# where it is allowed by name; and the name.
_PRIMARY = """
00 - TEST UNIT READY
03 - REQUEST SENSE
12 - INQUIRY
15 wx MODE SELECT(6)
16 - RESERVE(6)
17 - RELEASE(6)
1a - MODE SENSE(6)
1c x RECEIVE DIAGNOSTIC RESULTS
1d wx1 SEND DIAGNOSTIC
1e - PREVENT ALLOW MEDIUM REMOVAL
3b wx1 WRITE BUFFER
3c x READ BUFFER
4c wx LOG SELECT
4d - LOG SENSE
55 wx MODE SELECT(10)
56 o RESERVE(10)
57 o RELEASE(10)
5a - MODE SENSE(10)
5e - PERSISTENT RESERVE IN
5f o1 PERSISTENT RESERVE OUT
83/00 wx1 EXTENDED COPY(LID1)
83/01 wx1 EXTENDED COPY
83/10 ox1 POPULATE TOKEN
83/11 wx1 WRITE USING TOKEN
83/1c wx1 COPY OPERATION ABORT
84/00 x RECEIVE COPY STATUS(LID1)
84/01 x RECEIVE COPY DATA(LID1)
84/03 x RECEIVE COPY OPERATING PARAMETERS
84/04 x RECEIVE COPY FAILURE DETAILS(LID1)
84/05 x RECEIVE COPY STATUS
84/07 x RECEIVE ROD TOKEN INFORMATION
8c - READ ATTRIBUTE
8d w WRITE ATTRIBUTE
a0 - REPORT LUNS
a2 x SECURITY PROTOCOL IN
a3/05 - REPORT IDENTIFYING INFORMATION
a3/0a - REPORT TARGET PORT GROUPS
a3/0c - REPORT SUPPORTED OPERATION CODES
a3/0d - REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS
a3/0f - REPORT TIMESTAMP
a4/06 wx SET IDENTIFYING INFORMATION
a4/0a wx1 SET TARGET PORT GROUPS
a4/0f wx SET TIMESTAMP
b5 wx1 SECURITY PROTOCOL OUT
"""

_DISK = """
01 - REZERO UNIT
04 wx1 FORMAT UNIT
07 wx1 REASSIGN BLOCKS
08 - READ(6)
0a w WRITE(6)
0b - SEEK(6)
1b wx START STOP UNIT
25 - READ CAPACITY(10)
28 - READ(10)
2a w WRITE(10)
2b - SEEK(10)
2e w WRITE AND VERIFY(10)
2f o VERIFY(10)
34 - PRE-FETCH(10)
35 - SYNCHRONIZE CACHE(10)
37 - READ DEFECT DATA(10)
3e x READ LONG(10)
3f wx WRITE LONG(10)
41 w WRITE SAME(10)
42 w UNMAP
48/01 wx1 SANITIZE OVERWRITE
48/02 wx1 SANITIZE BLOCK ERASE
48/03 wx1 SANITIZE CRYPTOGRAPHIC ERASE
48/1f wx1 SANITIZE EXIT FAILURE MODE
88 - READ(16)
89 w1 COMPARE AND WRITE
8a w WRITE(16)
8b w1 ORWRITE(16)
8e w WRITE AND VERIFY(16)
8f o VERIFY(16)
90 - PRE-FETCH(16)
91 - SYNCHRONIZE CACHE(16)
93 w WRITE SAME(16)
9c w WRITE ATOMIC(16)
9e/10 - READ CAPACITY(16)
9e/11 x READ LONG(16)
9e/12 - GET LBA STATUS
9f/11 wx WRITE LONG(16)
a8 - READ(12)
aa w WRITE(12)
ae w WRITE AND VERIFY(12)
af o VERIFY(12)
b7 - READ DEFECT DATA(12)
"""

_TAPE = """
01 - REWIND
04 wx1 FORMAT MEDIUM
05 - READ BLOCK LIMITS
08 1 READ(6)
0a w1 WRITE(6)
0b wx1 SET CAPACITY
0f 1 READ REVERSE(6)
10 w1 WRITE FILEMARKS(6)
11 1 SPACE(6)
13 1o VERIFY(6)
14 1 RECOVER BUFFERED DATA
15 o MODE SELECT(6)
19 w1 ERASE(6)
1b - LOAD UNLOAD
2b - LOCATE(10)
34 - READ POSITION
44 - REPORT DENSITY SUPPORT
55 o MODE SELECT(10)
91 1 SPACE(16)
92 - LOCATE(16)
93 w1 ERASE(16)
"""

_CHANGER = """
07 - INITIALIZE ELEMENT STATUS
1b wx1 OPEN/CLOSE IMPORT/EXPORT ELEMENT
2b 1 POSITION TO ELEMENT
37 - INITIALIZE ELEMENT STATUS WITH RANGE
a5 w1 MOVE MEDIUM
a6 w1 EXCHANGE MEDIUM
b5 - REQUEST VOLUME ELEMENT ADDRESS
b6 w1 SEND VOLUME TAG
b8 - READ ELEMENT STATUS
e7 - INITIALIZE ELEMENT STATUS WITH RANGE (E7)
"""


def _parse(text: str) -> Iterator[Passed]:
    for line in text.strip().splitlines():
        code, flags, name = line.split(" ", 2)
        opcode, _, action = code.partition("/")
        yield Passed(
            name,
            int(opcode, 16),
            int(action, 16) if action else None,
            "w" in flags,
            "w" in flags or "o" in flags,
            "1" in flags,
            "x" not in flags,
        )


_TABLES = {
    device_type: CommandTable([*_parse(_PRIMARY), *_parse(own)])
    for device_type, own in ((DISK, _DISK), (TAPE, _TAPE), (CHANGER, _CHANGER))
}
_OTHERS = CommandTable(_parse(_PRIMARY))
_LIKE_DISKS = (0x04, 0x05, 0x07, 0x0E)  # write once, CD, optical, reduced block commands


def table_of(device_type: int) -> CommandTable[Passed]:
    return _TABLES.get(DISK if device_type in _LIKE_DISKS else device_type, _OTHERS)


def all_names() -> list[str]:
    """Of commands that can be allowed."""
    tables = (*_TABLES.values(), _OTHERS)
    return sorted({each.name for table in tables for each in table})
