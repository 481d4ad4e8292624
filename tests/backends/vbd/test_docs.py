"""The examples of docs/stores.md run."""

import re
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).parents[3] / "docs" / "stores.md"


def test_examples() -> None:
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL):
        exec(code, names)
    operation, request = names["Operation"], names["Request"]
    with names["MemoryStore"](4096) as store:
        write = request(operation.WRITE, 1, 1, b"w" * 512)
        read = request(operation.READ, 0, 2)
        assert store.handle([write, read]) == [None, bytes(512) + b"w" * 512]
