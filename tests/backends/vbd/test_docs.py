"""The examples of docs/stores.md run."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pvdrivers.backends.stores.python_store import PythonStore

DOCUMENT = Path(__file__).parents[3] / "docs" / "stores.md"


@contextmanager
def serving(store: PythonStore) -> Iterator[None]:
    stop = threading.Event()

    def serve() -> None:
        while not stop.wait(0.0005):
            store.serve()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_examples() -> None:
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL):
        exec(code, names)
    with names["MemoryStore"](4096) as store, serving(store):
        store.write(1, b"w" * 512)
        store.write(2, b"x" * 512)
        store.discard(2, 1)
        store.flush()
        assert store.read(0, 3) == bytes(512) + b"w" * 512 + bytes(512)
    with names["NullStore"](4096) as store, serving(store):
        store.write(1, b"w" * 512)
        assert store.read(0, 3) == bytes(1536)
        assert store.moved == 4
