"""The oracle guest: Linux under emulation, with targets of other people's."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

from case import BLOCKS, Case
from outcome import Outcome, read_sg_raw

HERE = Path(__file__).parent
TARGETS = ("scsi_debug", "LIO", "QEMU")
PATIENCE = 1800.0  # seconds
ARGUMENTS = "console=ttyS0 quiet mitigations=off panic=-1 task=cases"


def build(folder: Path) -> None:
    """The guest's image in `folder`, unless it is there and was built from the same files."""
    sums = hashlib.sha256()
    for path in (HERE / "image", *sorted((HERE / "guest").iterdir())):
        sums.update(path.read_bytes())
    stamp = folder / "made-by"
    if stamp.exists() and stamp.read_text() == sums.hexdigest():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "image.log").open("wb") as log:
        subprocess.run([HERE / "image", folder], stdout=log, stderr=log, check=True)
    stamp.write_text(sums.hexdigest())


def ask(folder: Path, cases: Sequence[Case]) -> dict[str, dict[str, Outcome]]:
    """How each case ends on each target."""
    _hand_over(folder, cases)
    _boot(folder)
    results = folder / "results"
    shutil.rmtree(results, ignore_errors=True)
    with tarfile.open(folder / "results.disk") as archive:
        archive.extractall(results, filter="data")
    return {target: _read((results / target).read_text("latin-1"), cases) for target in TARGETS}


def _hand_over(folder: Path, cases: Sequence[Case]) -> None:
    """Behind the image, since the kernel unpacks one archive after the other."""
    sent = folder / "cases"
    shutil.rmtree(sent, ignore_errors=True)
    sent.mkdir()
    lines = []
    for number, case in enumerate(cases):
        data = f"sent{number}" if case.data else "-"
        if case.data:
            (sent / data).write_bytes(case.data)
        lines.append(f"{number} {case.initiator} {case.room} {data} {case.cdb.hex(' ')}\n")
    (sent / "cases.txt").write_text("".join(lines))
    names = "\n".join(os.listdir(sent)).encode()
    pack = ["cpio", "-o", "-H", "newc", "--quiet"]
    packed = subprocess.run(pack, cwd=sent, input=names, stdout=subprocess.PIPE, check=True).stdout
    (folder / "initrd").write_bytes((folder / "guest.cpio").read_bytes() + packed)


def _boot(folder: Path) -> None:
    drives = []
    for name in ("results", "disk"):
        with (folder / f"{name}.disk").open("wb") as disk:
            disk.truncate(BLOCKS * 512)
        file = f"file={folder}/{name}.disk,if=none,id={name},format=raw,cache=unsafe,discard=unmap"
        drives += ["-drive", file]
    command = [
        *("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", "512"),
        *("-display", "none", "-no-reboot", "-nic", "none", "-append", ARGUMENTS),
        *("-kernel", folder / "vmlinuz", "-initrd", folder / "initrd", *drives),
        *("-device", "virtio-blk-pci,drive=results", "-device", "virtio-scsi-pci"),
        *("-device", "scsi-hd,drive=disk", "-serial", f"file:{folder}/console.log"),
    ]
    with (folder / "qemu.log").open("wb") as log:
        subprocess.run(command, stdout=log, stderr=log, check=True, timeout=PATIENCE)


def _read(text: str, cases: Sequence[Case]) -> dict[str, Outcome]:
    parts = re.split(r"^== (\d+)\n", text, flags=re.MULTILINE)[1:]
    return {
        cases[int(number)].name: read_sg_raw(words)
        for number, words in zip(parts[::2], parts[1::2], strict=True)
    }
