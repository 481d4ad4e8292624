"""What a comparison asks of the machine, and the Debian package that brings it."""

import os
import shutil
import subprocess
from functools import cache

from pvdrivers.testing.qemu import PROGRAM as QEMU
from pvdrivers.tools.pvbench.compare.model import Comparison, Need, Setting


@cache
def _fio_engines() -> frozenset[str]:
    shown = subprocess.run(["fio", "--enghelp"], capture_output=True, text=True, check=False)
    return frozenset(word for line in shown.stdout.splitlines()[1:] for word in line.split())


def program(name: str, package: str) -> Need:
    def missing(_: Setting) -> str | None:
        return None if shutil.which(name) else f"there is no {name}"

    return Need(package, missing, name)


def fio_engine(name: str) -> Need:
    def missing(_: Setting) -> str | None:
        known = shutil.which("fio") is None or name in _fio_engines()
        return None if known else f"fio has no {name} engine"

    return Need(None, missing)


def _without_qemu(_: Setting) -> str | None:
    return None if QEMU.exists() else f"there is no {QEMU}"


def _without_disk(setting: Setting) -> str | None:
    return None if setting.disk_file else "there is no disk: choose a folder with --disk"


def _without_two_processors(_: Setting) -> str | None:
    return None if len(os.sched_getaffinity(0)) > 1 else "there is one processor"


FIO = program("fio", "fio")
NBDKIT = program("nbdkit", "nbdkit")
XEN_QEMU = Need("qemu-system-xen", _without_qemu, str(QEMU))
DISK = Need(None, _without_disk)
TWO_PROCESSORS = Need(None, _without_two_processors)


def unmet(comparison: Comparison, setting: Setting) -> list[tuple[Need, str]]:
    """What both contenders need and this machine has not, and why."""
    return [(need, reason) for need in comparison.needs if (reason := need.missing(setting))]


def sentence(need: Need, reason: str) -> str:
    return f"{reason} (Debian package {need.package})" if need.package else reason
