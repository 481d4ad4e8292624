"""A host in the background, and a guest for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools.pvxl.command import Pvxl


@pytest.fixture
def pvxl(tmp_path: Path) -> Iterator[Pvxl]:
    """For a host that runs."""
    command = Pvxl(tmp_path / "host")
    command("host", "start")
    try:
        yield command
    finally:
        command.run("host", "stop")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A guest `web` with a disk and a network device, whose program tries both."""
    image, file = tmp_path / "web.img", tmp_path / "web.cfg"
    image.write_bytes(bytes(1 << 20))
    file.write_text(
        f'name = "web"\nkernel = "check"\nmemory = 16\nvcpus = 2\n'
        f'disk = ["{image},raw,xvda,rw"]\nvif = ["bridge=xenbr0"]\n'
    )
    return file
