"""Commands for a thin disk of 8 MiB in 512-byte blocks, which every target gets in this order."""

from __future__ import annotations

from case import BLOCK, OTHER, ask, reserve, tell, unmap

INQUIRIES = (
    ask("INQUIRY", "12 00 00 00 fc 00"),
    ask("INQUIRY, 5 bytes of it", "12 00 00 00 05 00"),
    ask("INQUIRY, no byte of it", "12 00 00 00 00 00", 0),
    ask("INQUIRY, a page without EVPD", "12 00 80 00 fc 00"),
    ask("INQUIRY, CMDDT", "12 02 00 00 fc 00"),
    *(
        ask(f"INQUIRY, page {page:02X}", f"12 01 {page:02x} 00 fc 00")
        for page in (0x00, 0x80, 0x83, 0x86, 0x87, 0xB0, 0xB1, 0xB2, 0xB3, 0xC0)
    ),
    ask("INQUIRY, page 8F", "12 01 8f 10 00 00", 4096),
)

CAPACITY = (
    ask("READ CAPACITY(10)", "25 00 00 00 00 00 00 00 00 00", 8),
    ask("READ CAPACITY(10), an LBA without PMI", "25 00 00 00 00 01 00 00 00 00", 8),
    ask("READ CAPACITY(16)", "9e 10" + " 00" * 8 + " 00 00 00 20 00 00", 32),
    ask("READ CAPACITY(16), 12 bytes of it", "9e 10" + " 00" * 8 + " 00 00 00 0c 00 00", 32),
    ask("SERVICE ACTION IN(16), an unknown one", "9e 1f" + " 00" * 8 + " 00 00 00 20 00 00", 32),
    ask("GET LBA STATUS", "9e 12" + " 00" * 8 + " 00 00 00 18 00 00", 24),
    ask("GET LBA STATUS beyond the end", "9e 12 00 00 00 00 00 00 40 00 00 00 00 18 00 00", 24),
    ask("GET LBA STATUS, 4 bytes of it", "9e 12" + " 00" * 8 + " 00 00 00 04 00 00", 24),
    ask("REPORT LUNS", "a0 00 00 00 00 00 00 00 00 fc 00 00"),
    ask("REPORT LUNS, well-known ones", "a0 00 01 00 00 00 00 00 00 fc 00 00"),
    ask("REPORT LUNS, all of them", "a0 00 02 00 00 00 00 00 00 fc 00 00"),
    ask("REPORT LUNS, an unknown selection", "a0 00 55 00 00 00 00 00 00 fc 00 00"),
    ask("REPORT LUNS, 8 bytes of it", "a0 00 00 00 00 00 00 00 00 08 00 00", 8),
)

PARAMETERS = (
    *(
        ask(f"MODE SENSE(6), page {page:02X}", f"1a 00 {page:02x} 00 fc 00")
        for page in (0x01, 0x02, 0x08, 0x0A, 0x1C, 0x3F, 0x05, 0x3E)
    ),
    ask("MODE SENSE(6), changeable", "1a 00 7f 00 fc 00"),
    ask("MODE SENSE(6), defaults", "1a 00 bf 00 fc 00"),
    ask("MODE SENSE(6), saved", "1a 00 ff 00 fc 00"),
    ask("MODE SENSE(6), all subpages", "1a 00 3f ff fc 00"),
    ask("MODE SENSE(6), an unknown subpage", "1a 00 08 7f fc 00"),
    ask("MODE SENSE(6), DBD", "1a 08 08 00 fc 00"),
    ask("MODE SENSE(6), 4 bytes of it", "1a 00 3f 00 04 00"),
    ask("MODE SENSE(10)", "5a 00 3f 00 00 00 00 02 00 00", 512),
    ask("MODE SENSE(10), LLBAA", "5a 10 08 00 00 00 00 02 00 00", 512),
    tell("MODE SELECT(6), nothing", "15 10 00 00 00 00"),
    tell("MODE SELECT(6), 2 bytes", "15 10 00 00 02 00", "00 00"),
    tell("MODE SELECT(6), a header alone", "15 10 00 00 04 00", "00 00 00 00"),
    tell("MODE SELECT(6), half a page", "15 10 00 00 08 00", "00 00 00 00 08 12 04 00"),
    tell("MODE SELECT(6), an unknown page", "15 10 00 00 08 00", "00 00 00 00 3e 02 00 00"),
    tell(
        "MODE SELECT(6), a wrong page length", "15 10 00 00 0c 00", "00 00 00 00 0a 06" + " 00" * 6
    ),
    tell("MODE SELECT(6), SP", "15 11 00 00 04 00", "00 00 00 00"),
    tell("MODE SELECT(6), without PF", "15 00 00 00 04 00", "00 00 00 00"),
    tell(
        "MODE SELECT(6), what cannot be changed",
        "15 10 00 00 10 00",
        "00 00 00 00 0a 0a ff ff 00 00 00 00 00 00 00 00",
    ),
    tell("MODE SELECT(10), a header alone", "55 10 00 00 00 00 00 00 08 00", " 00" * 8),
    ask("LOG SENSE, page 00", "4d 00 40 00 00 00 00 00 fc 00"),
    ask("LOG SENSE, all subpages", "4d 00 40 ff 00 00 00 00 fc 00"),
    ask("LOG SENSE, page 2F", "4d 00 6f 00 00 00 00 00 fc 00"),
    ask("LOG SENSE, an unknown page", "4d 00 7e 00 00 00 00 00 fc 00"),
)

CAPABILITIES = (
    ask("REPORT SUPPORTED OPERATION CODES", "a3 0c 00 00 00 00 00 00 20 00 00 00", 8192),
    ask("REPORT SUPPORTED OPERATION CODES, RCTD", "a3 0c 80 00 00 00 00 00 20 00 00 00", 8192),
    ask("REPORT SUPPORTED OPERATION CODES, INQUIRY", "a3 0c 01 12 00 00 00 00 00 fc 00 00"),
    ask("REPORT SUPPORTED OPERATION CODES, none such", "a3 0c 01 ff 00 00 00 00 00 fc 00 00"),
    ask(
        "REPORT SUPPORTED OPERATION CODES, an action of INQUIRY",
        "a3 0c 02 12 00 01 00 00 00 fc 00 00",
    ),
    ask(
        "REPORT SUPPORTED OPERATION CODES, 9E without action", "a3 0c 01 9e 00 00 00 00 00 fc 00 00"
    ),
    ask(
        "REPORT SUPPORTED OPERATION CODES, READ CAPACITY(16)", "a3 0c 02 9e 00 10 00 00 00 fc 00 00"
    ),
    ask("REPORT SUPPORTED OPERATION CODES, unknown options", "a3 0c 07 12 00 00 00 00 00 fc 00 00"),
    ask("REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", "a3 0d 00 00 00 00 00 00 00 10 00 00", 16),
    ask("REPORT TARGET PORT GROUPS", "a3 0a 00 00 00 00 00 00 00 fc 00 00"),
    ask("REPORT TARGET PORT GROUPS, extended", "a3 2a 00 00 00 00 00 00 00 fc 00 00"),
    ask("MAINTENANCE IN, an unknown action", "a3 1e 00 00 00 00 00 00 00 fc 00 00"),
    ask(
        "RECEIVE COPY RESULTS, OPERATING PARAMETERS",
        "84 03" + " 00" * 8 + " 00 00 02 00 00 00",
        512,
    ),
)

STATES = (
    tell("TEST UNIT READY", "00 00 00 00 00 00"),
    tell("TEST UNIT READY, a reserved bit", "00 01 00 00 00 00"),
    tell("TEST UNIT READY, NACA", "00 00 00 00 00 04"),
    ask("REQUEST SENSE", "03 00 00 00 12 00"),
    ask("REQUEST SENSE, DESC", "03 01 00 00 12 00"),
    tell("SEND DIAGNOSTIC, the default test", "1d 04 00 00 00 00"),
    tell("START STOP UNIT, start", "1b 00 00 00 01 00"),
    tell("START STOP UNIT, a power condition", "1b 00 00 00 f0 00"),
    tell("PREVENT ALLOW MEDIUM REMOVAL", "1e 00 00 00 00 00"),
    tell("an unknown command", "ff 00 00 00 00 00"),
    tell("a command of variable length", "7f 00 00 00 00 00 00 18 7f ff 00 00 00 00 00 00"),
)

WRITES = (
    tell("WRITE(6)", "0a 00 00 08 01 00", BLOCK),
    tell("WRITE(10)", "2a 00 00 00 00 09 00 00 01 00", BLOCK),
    tell("WRITE(10), FUA", "2a 08 00 00 00 09 00 00 01 00", BLOCK),
    tell("WRITE(12)", "aa 00 00 00 00 0a 00 00 00 01 00 00", BLOCK),
    tell("WRITE(16)", "8a 00 00 00 00 00 00 00 00 0b 00 00 00 01 00 00", BLOCK),
    tell("WRITE(10) of no block", "2a 00 00 00 00 09 00 00 00 00"),
    tell("WRITE(10) behind the last block", "2a 00 00 00 40 00 00 00 00 00"),
    tell("WRITE(10) beyond the end", "2a 00 00 00 40 00 00 00 01 00", BLOCK),
    tell("WRITE(10), WRPROTECT", "2a 20 00 00 00 09 00 00 01 00", BLOCK),
    tell("WRITE AND VERIFY(10)", "2e 00 00 00 00 0c 00 00 01 00", BLOCK),
    tell("WRITE AND VERIFY(10), BYTCHK 1", "2e 02 00 00 00 0c 00 00 01 00", BLOCK),
    tell("WRITE SAME(10)", "41 00 00 00 00 10 00 00 08 00", BLOCK),
    tell("WRITE SAME(16)", "93 00 00 00 00 00 00 00 00 10 00 00 00 08 00 00", BLOCK),
    tell("WRITE SAME(16), UNMAP", "93 08 00 00 00 00 00 00 00 18 00 00 00 08 00 00", bytes(512)),
    tell("WRITE SAME(16), NDOB", "93 01 00 00 00 00 00 00 00 18 00 00 00 08 00 00"),
    tell("WRITE SAME(16) beyond the end", "93 00 00 00 00 00 00 00 3f ff 00 00 00 02 00 00", BLOCK),
    tell("WRITE SAME(16), ANCHOR", "93 10 00 00 00 00 00 00 00 18 00 00 00 08 00 00", bytes(512)),
    tell("UNMAP", "42 00 00 00 00 00 00 00 18 00", unmap((0x20, 8))),
    tell("UNMAP of nothing", "42 00 00 00 00 00 00 00 00 00"),
    tell("UNMAP, a header alone", "42 00 00 00 00 00 00 00 08 00", unmap()),
    tell("UNMAP, 4 bytes", "42 00 00 00 00 00 00 00 04 00", "00 02 00 00"),
    tell(
        "UNMAP, a list longer than what came",
        "42 00 00 00 00 00 00 00 18 00",
        unmap((0x20, 8), length=32),
    ),
    tell("UNMAP beyond the end", "42 00 00 00 00 00 00 00 18 00", unmap((0x3FFF, 2))),
    tell("UNMAP of too much", "42 00 00 00 00 00 00 00 18 00", unmap((0, 0xFFFFFFFF))),
    tell("UNMAP, ANCHOR", "42 01 00 00 00 00 00 00 18 00", unmap((0x20, 8))),
    tell(
        "COMPARE AND WRITE, equal", "89 00 00 00 00 00 00 00 00 08 00 00 00 01 00 00", BLOCK + OTHER
    ),
    tell(
        "COMPARE AND WRITE, not equal",
        "89 00 00 00 00 00 00 00 00 08 00 00 00 01 00 00",
        BLOCK + OTHER,
    ),
    tell(
        "COMPARE AND WRITE beyond the end",
        "89 00 00 00 00 00 00 00 40 00 00 00 00 01 00 00",
        BLOCK * 2,
    ),
    tell("COMPARE AND WRITE of no block", "89 00 00 00 00 00 00 00 00 08 00 00 00 00 00 00"),
    tell(
        "COMPARE AND WRITE of too much",
        "89 00 00 00 00 00 00 00 00 08 00 00 00 ff 00 00",
        BLOCK * 2 * 255,
    ),
    tell("ORWRITE(16)", "8b 00 00 00 00 00 00 00 00 0d 00 00 00 01 00 00", BLOCK),
)

READS = (
    ask("READ(6)", "08 00 00 09 01 00", 512),
    ask("READ(10)", "28 00 00 00 00 09 00 00 01 00", 512),
    ask("READ(12)", "a8 00 00 00 00 0a 00 00 00 01 00 00", 512),
    ask("READ(16)", "88 00 00 00 00 00 00 00 00 0b 00 00 00 01 00 00", 512),
    ask("READ(10) of what was compared and written", "28 00 00 00 00 08 00 00 01 00", 512),
    ask("READ(10) of what is unmapped", "28 00 00 00 00 18 00 00 01 00", 512),
    ask("READ(10) beyond the end", "28 00 00 00 3f ff 00 00 02 00", 1024),
    ask("READ(6) beyond the end", "08 00 40 00 01 00", 512),
    ask("READ(16) of the last LBA that there is", "88 00" + " ff" * 8 + " 00 00 00 01 00 00", 512),
    ask("READ(10) of no block", "28 00 00 00 00 09 00 00 00 00", 0),
    ask("READ(10), RDPROTECT", "28 20 00 00 00 09 00 00 01 00", 512),
    tell("VERIFY(10)", "2f 00 00 00 00 09 00 00 01 00"),
    tell("VERIFY(10), BYTCHK 1, equal", "2f 02 00 00 00 09 00 00 01 00", BLOCK),
    tell("VERIFY(10), BYTCHK 1, not equal", "2f 02 00 00 00 09 00 00 01 00", OTHER),
    tell("VERIFY(10), BYTCHK 2", "2f 04 00 00 00 09 00 00 01 00", BLOCK),
    tell("VERIFY(10), BYTCHK 3", "2f 06 00 00 00 10 00 00 02 00", BLOCK),
    tell("VERIFY(10) beyond the end", "2f 00 00 00 40 00 00 00 01 00"),
    tell("SYNCHRONIZE CACHE(10)", "35 00 00 00 00 00 00 00 00 00"),
    tell("SYNCHRONIZE CACHE(10) beyond the end", "35 00 00 00 40 00 00 00 01 00"),
    tell("SYNCHRONIZE CACHE(16), IMMED", "91 02 00 00 00 00 00 00 00 00 00 00 00 00 00 00"),
    tell("PRE-FETCH(10)", "34 00 00 00 00 00 00 00 08 00"),
    tell("PRE-FETCH(10) beyond the end", "34 00 00 00 40 00 00 00 01 00"),
    ask("READ DEFECT DATA(10)", "37 00 0d 00 00 00 00 00 fc 00"),
    tell("EXTENDED COPY of nothing", "83 00" + " 00" * 14),
    tell("EXTENDED COPY, 4 bytes", "83 00" + " 00" * 8 + " 00 00 00 04 00 00", " 00" * 4),
)

KEY1, KEY2 = 0x1111, 0x2222
RESERVATIONS = (
    ask("PERSISTENT RESERVE IN, READ KEYS", "5e 00 00 00 00 00 00 00 fc 00"),
    ask("PERSISTENT RESERVE IN, READ RESERVATION", "5e 01 00 00 00 00 00 00 fc 00"),
    ask("PERSISTENT RESERVE IN, REPORT CAPABILITIES", "5e 02 00 00 00 00 00 00 fc 00"),
    ask("PERSISTENT RESERVE IN, an unknown action", "5e 1f 00 00 00 00 00 00 fc 00"),
    tell("PERSISTENT RESERVE OUT, a list of 8 bytes", "5f 00 00 00 00 00 00 00 08 00", " 00" * 8),
    reserve("RESERVE without a key", 1, 5),
    reserve("REGISTER with a wrong key", 0, keys=(9, KEY1)),
    reserve("REGISTER", 0, keys=(0, KEY1)),
    reserve("REGISTER, the other one", 6, keys=(0, KEY2), initiator=2),
    reserve("RESERVE of an unknown type", 1, 2, (KEY1, 0)),
    reserve("RESERVE of an unknown scope", 1, 0x15, (KEY1, 0)),
    reserve("RESERVE write exclusive", 1, 1, (KEY1, 0)),
    reserve("RESERVE again", 1, 1, (KEY1, 0)),
    reserve("RESERVE again, another type", 1, 3, (KEY1, 0)),
    reserve("RESERVE, the other one", 1, 1, (KEY2, 0), initiator=2),
    ask("PERSISTENT RESERVE IN, READ RESERVATION, of one", "5e 01 00 00 00 00 00 00 fc 00"),
    ask("PERSISTENT RESERVE IN, READ FULL STATUS", "5e 03 00 00 00 00 00 00 fc 00"),
    ask("write exclusive: READ(10)", "28 00 00 00 00 09 00 00 01 00", 512, 2),
    tell("write exclusive: WRITE(10)", "2a 00 00 00 00 09 00 00 01 00", BLOCK, 2),
    tell("write exclusive: UNMAP", "42 00 00 00 00 00 00 00 08 00", unmap(), 2),
    ask("write exclusive: INQUIRY", "12 00 00 00 fc 00", 252, 2),
    tell("write exclusive: TEST UNIT READY", "00 00 00 00 00 00", initiator=2),
    ask("write exclusive: MODE SENSE(6)", "1a 00 08 00 fc 00", 252, 2),
    tell("write exclusive: MODE SELECT(6)", "15 10 00 00 04 00", "00 00 00 00", 2),
    tell("write exclusive: SYNCHRONIZE CACHE(10)", "35 00 00 00 00 00 00 00 00 00", initiator=2),
    tell("write exclusive: RESERVE(6)", "16 00 00 00 00 00", initiator=2),
    reserve("RELEASE of another type", 2, 3, (KEY1, 0)),
    reserve("RELEASE, the other one", 2, 1, (KEY2, 0), initiator=2),
    reserve("RELEASE", 2, 1, (KEY1, 0)),
    reserve("RESERVE exclusive access", 1, 3, (KEY1, 0)),
    ask("exclusive access: READ(10)", "28 00 00 00 00 09 00 00 01 00", 512, 2),
    ask("exclusive access: READ CAPACITY(10)", "25 00 00 00 00 00 00 00 00 00", 8, 2),
    ask("exclusive access: MODE SENSE(6)", "1a 00 08 00 fc 00", 252, 2),
    ask("exclusive access: LOG SENSE", "4d 00 40 00 00 00 00 00 fc 00", 252, 2),
    ask("exclusive access: REPORT LUNS", "a0 00 00 00 00 00 00 00 00 fc 00 00", 252, 2),
    tell("exclusive access: START STOP UNIT, start", "1b 00 00 00 01 00", initiator=2),
    reserve("PREEMPT, without a victim", 4, 3, (KEY2, 0x9999), initiator=2),
    reserve("PREEMPT", 4, 5, (KEY2, KEY1), initiator=2),
    tell("preempted: TEST UNIT READY", "00 00 00 00 00 00"),
    tell("for registrants: WRITE(10)", "2a 00 00 00 00 09 00 00 01 00", BLOCK),
    reserve("CLEAR without a key", 3, keys=(KEY1, 0)),
    reserve("CLEAR", 3, keys=(KEY2, 0), initiator=2),
    tell("RESERVE(6)", "16 00 00 00 00 00"),
    tell("reserved: TEST UNIT READY", "00 00 00 00 00 00", initiator=2),
    ask("reserved: READ(10)", "28 00 00 00 00 09 00 00 01 00", 512, 2),
    ask("reserved: INQUIRY", "12 00 00 00 fc 00", 252, 2),
    ask("reserved: PERSISTENT RESERVE IN", "5e 00 00 00 00 00 00 00 fc 00", 252, 2),
    tell("RELEASE(6), the other one", "17 00 00 00 00 00", initiator=2),
    tell("RELEASE(6)", "17 00 00 00 00 00"),
)

CASES = (
    *INQUIRIES,
    *CAPACITY,
    *PARAMETERS,
    *CAPABILITIES,
    *STATES,
    *WRITES,
    *READS,
    *RESERVATIONS,
)
assert len({case.name for case in CASES}) == len(CASES)

# Where there is but one right answer, to the last byte.
SAME_DATA = (
    "READ CAPACITY(10)",
    "READ CAPACITY(16), 12 bytes of it",
    "REPORT LUNS",
    "REQUEST SENSE",
    "READ(6)",
    "READ(10)",
    "READ(12)",
    "READ(16)",
    "READ(10) of what is unmapped",
    "PERSISTENT RESERVE IN, READ KEYS",
    "PERSISTENT RESERVE IN, READ RESERVATION, of one",
)
