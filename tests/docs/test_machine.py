"""The commands of docs/machine.md do what the page says."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Timer

import pytest

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "machine.md").read_text()
BLOCK = re.compile(r"^```(\w+) (\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = BLOCK.findall(PAGE)
COMMANDS = {name: text for kind, name, text in BLOCKS if kind == "sh"}
MACHINE_SAYS = "".join(text for kind, name, text in BLOCKS if (kind, name) == ("text", "machine"))
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
PATIENCE = 120.0


class Terminals:
    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack

    def start(self, commands: str) -> "subprocess.Popen[str]":
        """Types the lines; the last one is the program that goes on running."""
        *first, last = commands.replace("\\\n", "").splitlines()
        script = "\n".join([*first, f"exec {last}"])
        process = self._stack.enter_context(
            subprocess.Popen(
                ["sh", "-ec", script],
                cwd=self.folder,
                env=ENVIRONMENT,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        self._stack.callback(process.kill)
        timer = Timer(PATIENCE, process.kill)
        self._stack.callback(timer.cancel)
        timer.start()
        return process

    def run(self, name: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["sh", "-c", COMMANDS[name]],
            cwd=self.folder,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[Terminals]:
    with ExitStack() as stack:
        yield Terminals(tmp_path, stack)


def read_until(process: "subprocess.Popen[str]", text: str) -> str:
    assert process.stderr
    seen = ""
    while text not in seen:
        line = process.stderr.readline()
        assert line, f"it ended with {seen}"
        seen += line
    return seen


def test_three_terminals(terminals: Terminals) -> None:
    machine = terminals.start(COMMANDS["machine"])
    said = read_until(machine, "pvbackd run")
    daemon = terminals.start(COMMANDS["daemon"])
    said += read_until(machine, "can be read")
    assert said == MACHINE_SAYS
    status = terminals.run("status")
    assert status.returncode == 0, status.stderr
    assert "connected" in status.stdout.lower()

    daemon.kill()
    daemon.wait()
    daemon = terminals.start(COMMANDS["daemon"])
    while "connected" not in terminals.run("status").stdout.lower():
        assert daemon.poll() is None

    daemon.send_signal(signal.SIGINT)
    assert daemon.wait(PATIENCE) == 0
    machine.send_signal(signal.SIGINT)
    rest = machine.communicate(timeout=PATIENCE)[1]
    assert (machine.returncode, rest) == (0, "")
    assert (terminals.folder / "web.img").read_bytes() == bytes(64 << 20)


def test_xenstore_tools(terminals: Terminals) -> None:
    if shutil.which("xenstore-ls") is None:
        pytest.skip("needs xenstore-ls (Debian package xenstore-utils)")
    read_until(terminals.start(COMMANDS["machine"]), "pvbackd run")
    done = terminals.run("xenstore")
    assert done.returncode == 0, done.stderr
    assert '/local/domain/1/name = "web"' in done.stdout.splitlines()


def test_captive(terminals: Terminals) -> None:
    (terminals.folder / "web.img").write_bytes(bytes(1 << 20))
    done = terminals.run("captive")
    assert done.returncode == 0, done.stderr
    assert "connected" in done.stdout.lower()


def test_embedding(terminals: Terminals) -> None:
    """The first program of docs/embedding.md, by the command that the page gives."""
    page = (DOCS / "embedding.md").read_text()
    blocks = {name: text for _, name, text in BLOCK.findall(page)}
    (terminals.folder / "embedded.py").write_text(blocks["embedded.py"])
    (terminals.folder / "web.img").write_bytes(bytes(1 << 20))
    host = terminals.start(blocks["machine"])
    read_until(host, "2048 sectors of 512 bytes, and can be read")
    host.terminate()
    assert host.wait(PATIENCE) == 128 + signal.SIGTERM
