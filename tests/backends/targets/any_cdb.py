"""CDBs that a hostile initiator may send, and data with them."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import strategies as st

from pvdrivers.backends.targets.operations import Operation, OperationTable

_NUMBERS = st.sampled_from([0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 24, 63, 64, 65, 127, 128, 255])
BYTES = _NUMBERS | st.integers(0, 255)


@st.composite
def cdbs(draw: st.DrawFn, operations: OperationTable) -> bytes:
    """Of an operation there is, mostly with bits that it may have, or anything."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=16))
    found: Operation = draw(st.sampled_from(list(operations)))
    cdb = bytearray(draw(st.lists(BYTES, min_size=16, max_size=16)))
    for place, mask in enumerate(found.usage):
        cdb[place] &= mask
    if len(found.usage) == 16:
        cdb[2:9] = bytes(7)  # else hardly any block would be on the medium
    if found.service_action is not None:
        cdb[1] = cdb[1] & 0xE0 | found.service_action
    cdb[0] = found.opcode
    if draw(st.integers(0, 9)) == 0:
        cdb[draw(st.integers(1, 15))] = draw(BYTES)
    return bytes(cdb)


def reserved_bits(found: Operation) -> Iterator[tuple[bytes, bytes]]:
    """A CDB with each bit that it may not have, and the sense key specific field that tells so."""
    for place in range(1, len(found.usage)):
        for bit in range(8):
            is_action = found.service_action is not None and place == 1 and bit < 5
            if not found.usage[place] >> bit & 1 and not is_action:
                cdb = bytearray(len(found.usage))
                cdb[0] = found.opcode
                cdb[1] = found.service_action or 0
                cdb[place] |= 1 << bit
                yield bytes(cdb), bytes((0xC8 | bit, 0, place))
