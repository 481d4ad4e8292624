"""Workloads on QEMU's backend."""

import json

import pytest

from pvdrivers.testing.qemu import PROGRAM
from pvdrivers.tools.pvbench.__main__ import run


@pytest.fixture
def image(tmp_path):
    if not PROGRAM.exists():
        pytest.skip(f"needs {PROGRAM.name} (Debian package qemu-system-xen)")
    path = tmp_path / "image"
    path.write_bytes(bytes(range(256)) * 4096 * 4)
    return path


@pytest.mark.parametrize("where", [[], ["--processes"]], ids=["threads", "processes"])
def test_verified(image, where, capsys):
    words = ["--rw=randrw", "--iodepth=8", "--verify=crc32c", f"--filename={image}", "--size=1m"]
    assert run(["vbd", *words, *where, "--backend=qemu"]) == 0
    shown = capsys.readouterr().out
    assert "blocks right" in shown
    assert "wrong" not in shown


def test_what_qemu_costs(image, capsys):
    words = ["--rw=write", "--bs=32k", f"--filename={image}", "--output-format=json"]
    assert run(["vbd", *words, "--backend=qemu"]) == 0
    (job,) = json.loads(capsys.readouterr().out)["jobs"]
    assert job["error"] == 0
    assert job["write"]["io_bytes"] == 4 << 20
    accounts = job["pvbench"]["backend_accounts"]
    assert accounts["bytes_copied"] == 4 << 20  # every byte once, by the hypervisor
    assert accounts["grants_mapped"] == 0
