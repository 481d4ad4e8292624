"""The examples of docs/scsi.md run."""

import re
from pathlib import Path
from typing import Any

from pvdrivers.backends.targets.command import Command, Nexus
from pvdrivers.backends.targets.journal import Journal, journal_size

DOCUMENT = Path(__file__).parents[2] / "docs" / "scsi.md"


def test_examples() -> None:
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL):
        exec(code, names)
    nexus = Nexus("guest")
    inquiry = names["Lamp"]().execute(Command(nexus, bytes([0x12, 0, 0, 0, 255, 0]), room=255))
    assert inquiry.data[16:20] == b"lamp"
    assert len(inquiry.data) == 36
    memory = bytearray(journal_size(8))
    for identity, number in ((b"a" * 16, 1), (b"b" * 16, 2), (b"a" * 16, 1)):
        counter = names["Counter"]()
        counter.take_up(Journal(memory, counter.journal_room))
        answer = counter.execute(Command(nexus, b"\xc0" + bytes(5), room=8, identity=identity))
        assert int.from_bytes(answer.data, "big") == number
