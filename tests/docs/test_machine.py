"""The commands of docs/machine.md do what the page says."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.until import wait_until

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "machine.md").read_text()
BLOCK = re.compile(r"^```(\w+) (\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = BLOCK.findall(PAGE)
COMMANDS = {name: text for kind, name, text in BLOCKS if kind == "sh"}
SAID = {name: text for kind, name, text in BLOCKS if kind == "text"}
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
PATIENCE = 120.0


class Terminal:
    """A shell in an empty folder, with the page's host in another one."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.host = folder, folder / "pvxl"
        self._environment = {**ENVIRONMENT, "PVXL_HOST": str(self.host)}

    def type(self, commands: str) -> str:
        """What the lines print; all must end well."""
        script = commands.replace("/tmp/pvxl-$(id -u)", str(self.host))
        done = subprocess.run(
            ["sh", "-ec", script],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def type_until(self, commands: str, text: str) -> str:
        deadline = time.monotonic() + PATIENCE
        while text not in (said := self.type(commands)):
            assert time.monotonic() < deadline, said
        return said

    def start(self, command: str) -> "subprocess.Popen[str]":
        """A command that goes on running."""
        script = "exec " + command.replace("\\\n", "")
        return subprocess.Popen(
            ["sh", "-ec", script], cwd=self.folder, env=self._environment, text=True
        )


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path)
    yield made
    if made.host.exists():
        made.type("pvxl host stop")


def without_times(listed: str) -> list[list[str]]:
    """Of domains the time that they have had is another each time."""
    return [line.split()[:5] for line in listed.splitlines()]


def test_from_nothing_to_a_guest(terminal: Terminal) -> None:
    assert terminal.type(COMMANDS["start"]) == SAID["start"].replace(
        "/tmp/pvxl-1000", str(terminal.host)
    )
    said = terminal.type_until(COMMANDS["look"], "network device")
    assert without_times(said) == without_times(SAID["look"])
    assert "connected" in terminal.type(COMMANDS["status"]).lower()
    if shutil.which("xenstore-ls"):
        lines = terminal.type(COMMANDS["xenstore"]).splitlines()
        assert '/local/domain/1/name = "web"' in lines
    assert terminal.type(COMMANDS["stop"]) == ""
    assert sorted(path.name for path in terminal.folder.iterdir()) == ["web.cfg", "web.img"]
    assert (terminal.folder / "web.img").read_bytes() == bytes(64 << 20)


def test_a_program_of_ones_own(terminal: Terminal) -> None:
    program = re.search(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert program
    (terminal.folder / "mine.py").write_text(program[1])
    terminal.type(COMMANDS["start"].replace('"check"', '"mine.py"'))
    terminal.type_until("pvxl list", "Domain-0")
    image = terminal.folder / "web.img"
    wait_until(lambda: image.read_bytes().startswith(b"hello "))


def test_embedding(terminal: Terminal) -> None:
    """The first program of docs/embedding.md, by the commands that the page gives."""
    page = (DOCS / "embedding.md").read_text()
    blocks = {name: text for _, name, text in BLOCK.findall(page)}
    (terminal.folder / "embedded.py").write_text(blocks["embedded.py"])
    image = terminal.folder / "web.img"
    image.write_bytes(bytes(1 << 20))
    (terminal.folder / "web.cfg").write_text(
        f'name="web"\nkernel="check"\ndisk=["{image},raw,xvda,rw"]\n'
    )
    with terminal.start(blocks["machine"]) as host:
        try:
            deadline = time.monotonic() + PATIENCE
            while not (terminal.folder / "host" / "guests").exists():
                assert host.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.01)
            terminal.type(blocks["guest"])
            terminal.type_until("cat host/guests/*.log || true", "2048 sectors of 512 bytes")
        finally:
            host.terminate()
        assert host.wait(PATIENCE) == 128 + signal.SIGTERM
