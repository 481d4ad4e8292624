"""libxenvchan's real server and client, in two domains."""

import os
import subprocess

import pytest

from .conftest import finish

pytestmark = pytest.mark.slow

PATH = "/local/domain/1/data/vchan"


# Rings inside the shared page, and in 2 to 64 pages of their own.
@pytest.mark.parametrize("size", [1024, 2048, 8192, 262144])
def test_echo(world, xenstored, build, size):
    vchan = build("vchan", "xenvchan")
    subprocess.run(
        ["xenstore-write", "/local/domain/0/domid", "0"],
        env=os.environ | {"XENSTORED_PATH": str(xenstored)},
        check=True,
    )
    server = world.start(world.guest.domid, vchan, "server", 0, PATH, size)
    assert server.stdout.readline() == "ready\n"
    client = world.run(0, vchan, "client", world.guest.domid, PATH, size)
    assert client == "echoed: 4194304\n"
    assert finish(server) == "closed: 0\n"
