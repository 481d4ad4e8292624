"""The control socket, and clients that do not keep to its one line."""

import asyncio
from pathlib import Path

import pytest

from pvdrivers.tools.pvbackd.control import COMMAND_MAX, ask, serve_control


@pytest.mark.parametrize("sent", [b"", b"x" * 3 * COMMAND_MAX, b"status"])
def test_what_is_no_command_is_no_error(
    tmp_path: Path, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = str(tmp_path / "control")

    async def main() -> None:
        async with serve_control(path, {"status": lambda: "all is well"}):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(sent)
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
            assert await ask(path, "status") == "all is well\n"

    asyncio.run(main())
    assert caplog.text == ""
