"""pvxl config: what it prints of a file, and what it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FILE = """
name = "web"
type = "hvm"
vcpus = 2
cpus = "all,^1"
disk = ["phy:vg/web,hda,w", ",hdc:cdrom"]
vif = ["rate=1MB/s@20ms,untrusted"]
vscsi = ["1:0:0:0,0:0:0:0,san"]
serial = "pty"
boot = "dc"
"""


def config(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pvdrivers.tools.pvxl", "config", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "web.cfg"
    path.write_text(FILE)
    return path


def test_a_file_in_libxls_words(file: Path) -> None:
    process = config(file, "--cpus", "4")
    assert process.returncode == 0
    assert process.stderr == f"pvxl: {file}:10:1: boot is not used here\n"
    assert json.loads(process.stdout) == {
        "c_info": {"type": "hvm", "name": "web", "driver_domain": "False"},
        "b_info": {
            "max_vcpus": 2,
            "avail_vcpus": [0, 1],
            "vcpu_hard_affinity": [[0, 2, 3], [0, 2, 3]],
            "max_memkb": 32768,
            "target_memkb": 32768,
            "sched_params": {"weight": 256, "cap": 0},
            "type.hvm": {"serial": "pty"},
        },
        "disks": [
            {
                "pdev_path": "vg/web",
                "vdev": "hda",
                "format": "raw",
                "removable": 0,
                "readwrite": 1,
                "is_cdrom": 0,
                "direct_io_safe": False,
                "discard_enable": "True",
                "specification": "xen",
                "trusted": "True",
            },
            {
                "vdev": "hdc",
                "format": "empty",
                "removable": 1,
                "readwrite": 0,
                "is_cdrom": 1,
                "direct_io_safe": False,
                "discard_enable": "False",
                "specification": "xen",
                "trusted": "True",
            },
        ],
        "nics": [
            {
                "devid": 0,
                "mtu": 1500,
                "model": "rtl8139",
                "bridge": "xenbr0",
                "script": "vif-bridge",
                "nictype": "vif_ioemu",
                "rate_bytes_per_interval": 20000,
                "rate_interval_usecs": 20000,
                "trusted": "False",
            }
        ],
        "vscsi": [
            {
                "backend_domname": "san",
                "devid": 0,
                "feature_host": False,
                "devs": [{"p_dev": "1:0:0:0", "v_dev": "0:0:0:0"}],
            }
        ],
        "on_poweroff": "destroy",
        "on_reboot": "restart",
        "on_watchdog": "destroy",
        "on_crash": "destroy",
        "on_soft_reset": "soft_reset",
    }


def test_a_host_without_a_word_is_this_one(file: Path) -> None:
    affinity = json.loads(config(file).stdout)["b_info"]["vcpu_hard_affinity"][0]
    assert affinity == [cpu for cpu in range(os.cpu_count() or 1) if cpu != 1]


def test_what_is_wrong(file: Path) -> None:
    file.write_text('name = "web\n')
    process = config(file)
    assert process.returncode == 2
    assert not process.stdout
    assert process.stderr == (
        f'pvxl: {file}:1:8: the string that begins here needs another " on the same line\n'
    )
    for path, said in ((file.parent / "none.cfg", "No such file"), (file.parent, "a directory")):
        process = config(path)
        assert process.returncode == 2
        assert process.stderr.startswith(f"pvxl: {path}: ")
        assert said in process.stderr
        assert process.stderr.count("\n") == 1
