"""The emulated computer of the lab: boots Xen once, saves its state, and runs payloads from it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from durations import Durations, processor_seconds

MEMORY = "3072"
# With SMAP or SMEP a PV dom0 dies early under QEMU 7.2's emulation; with AVX and XSAVE, new in that
# version, copied bytes were wrong now and then. With ERMS kernels copy byte by byte, each of which
# is emulated for itself.
PROCESSOR = "max,-smap,-smep,-avx,-avx2,-f16c,-fma,-xsave,-erms"
# Nobody attacks this computer, and what guards the processor is dear under emulation.
XEN_ARGUMENTS = "console=com1 com1=115200,8n1 dom0_mem=1536M,max:1536M loglvl=warning spec-ctrl=no"
# A comma would start the next boot module.
DOM0_ARGUMENTS = "console=hvc0 panic=1 loglevel=5 mitigations=off"
DISK_SIZE = 64 << 20  # bytes of the disk that hands the payload over
REAL_DISKS = ("disk0", "disk1")  # QEMU's names of what the steps serve, after that disk in dom0
REAL_DISK_SIZE = 128 << 20
READY = "the guest is ready"
VERDICTS = {"LAB PASSED": True, "LAB FAILED": False}


class LabError(Exception):
    """The lab itself did not work; what it was to test is not even known."""


def verdict_of(line: str) -> bool | None:
    """Whether all steps have passed, when a console's line says so."""
    found = [passed for verdict, passed in VERDICTS.items() if line.endswith(verdict)]
    return found[0] if found and line.startswith("###") else None


class Monitor:
    """QEMU's machine protocol."""

    def __init__(self, path: Path, patience: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        until = time.monotonic() + patience
        while True:
            try:
                self._socket.connect(os.fspath(path))
                break
            except OSError:
                if time.monotonic() > until:
                    raise LabError("QEMU does not answer") from None
                time.sleep(0.1)
        self._lines = self._socket.makefile("rw")
        self._lines.readline()
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: object) -> Any:
        self._lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._lines.flush()
        while True:
            answer = json.loads(self._lines.readline() or '{"error": "QEMU is gone"}')
            if "error" in answer:
                raise LabError(f"{command}: {answer['error']}")
            if "return" in answer:
                return answer["return"]


class LabMachine:
    """One computer, with disks and logs in `folder`. The images and the saved state are in
    `images`; others may use them at the same time. `xen_arguments`: what Xen is told besides."""

    def __init__(self, images: Path, folder: Path, xen_arguments: str = "") -> None:
        self.images = images
        self.folder = folder
        self.xen_arguments = xen_arguments
        self.state = images / f"state {xen_arguments}".strip()
        self.disk = folder / "payload.disk"
        self.log = folder / "console.log"
        self.durations = Durations()  # of the steps it has run

    def save_state(self, patience: float) -> None:
        """Boots to the ready guest and keeps the machine's state. LabError after `patience` s."""
        self.folder.mkdir(exist_ok=True)
        self.disk.write_bytes(b"")
        os.truncate(self.disk, DISK_SIZE)
        log = self.log
        with self._qemu() as (process, monitor):
            for line in self._lines(log, process, patience):
                if READY in line and line.startswith("###"):
                    break
            else:
                raise LabError(f"Xen did not come up: see {log}")
            monitor.execute("stop")
            monitor.execute("migrate", uri=f"exec:cat > '{self.state}.part'")
            while (status := monitor.execute("query-migrate")["status"]) != "completed":
                if status in ("failed", "cancelled"):
                    raise LabError(f"saving the state: {status}")
                time.sleep(0.2)
            monitor.execute("quit")
        os.rename(f"{self.state}.part", self.state)

    def run(self, payload: Path, arguments: list[str], patience: float) -> Iterator[str]:
        """Runs `payload`/run in dom0, from the saved state, which finds its arguments in a file
        beside it. Yields the lines of the consoles; they are kept in dom0.log and guest.log.

        LabError when there is no verdict (`verdict_of`) after `patience` seconds.
        """
        self.folder.mkdir(exist_ok=True)
        (self.folder / "arguments").write_text(" ".join(arguments))
        with self.disk.open("wb") as disk:
            command = ["tar", "--mtime=@0", "-c"]  # dom0's clock is behind
            command += ["-C", os.fspath(payload), ".", "-C", os.fspath(self.folder), "arguments"]
            subprocess.run(command, stdout=disk, check=True)
        if self.disk.stat().st_size > DISK_SIZE:
            raise LabError(f"the payload exceeds {DISK_SIZE} bytes")
        os.truncate(self.disk, DISK_SIZE)
        try:
            with self._qemu("-incoming", f"exec:cat '{self.state}'") as (process, monitor):
                while monitor.execute("query-status")["status"] == "inmigrate":
                    time.sleep(0.1)
                monitor.execute("cont")  # it was saved while stopped
                for line in self._lines(self.log, process, patience):
                    self.durations.see(line, processor_seconds(process.pid))
                    yield line
                    if verdict_of(line) is not None:
                        return
            raise LabError(f"no verdict after {patience:.0f} s: see {self.log}")
        finally:
            self._split()

    def command(self) -> list[str]:
        """QEMU and its arguments; a saved state is good only for the same."""
        images, folder = self.images, self.folder
        modules = f"{images}/vmlinux {DOM0_ARGUMENTS},{images}/dom0.cpio"
        disks = []  # in the order in which dom0 names them
        for name, cache in (("payload", "none"), *((name, "unsafe") for name in REAL_DISKS)):
            disk = f"file={folder}/{name}.disk,if=none,id={name},format=raw,cache={cache}"
            disks += ["-drive", disk, "-device", f"virtio-blk-pci,drive={name}"]
        xen_arguments = f"{XEN_ARGUMENTS} {self.xen_arguments}".strip()
        # QEMU's own machine protocol on a port in dom0: the steps slow the disks down by it.
        monitor = f"{folder}/dom0.socket"
        return [
            *("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", PROCESSOR),
            *("-m", MEMORY, "-smp", "1", "-display", "none", "-no-reboot", "-net", "none"),
            *("-serial", f"file:{folder}/console.log", *disks),
            *("-qmp", f"unix:{monitor},server=on,wait=off", "-device", "virtio-serial-pci"),
            *("-chardev", f"socket,id=dom0,path={monitor}"),
            *("-device", "virtserialport,chardev=dom0,name=qemu"),
            *("-kernel", f"{images}/xen", "-append", xen_arguments),
            *("-initrd", modules),
        ]

    @contextmanager
    def _qemu(self, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], Monitor]]:
        control = self.folder / "monitor.socket"
        for disk in REAL_DISKS:
            path = self.folder / f"{disk}.disk"
            path.write_bytes(b"")
            os.truncate(path, REAL_DISK_SIZE)
        control.unlink(missing_ok=True)
        self.log.write_bytes(b"")
        command = self.command()
        command += ["-qmp", f"unix:{control},server,nowait", *arguments]
        with (self.folder / "qemu.log").open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            yield process, Monitor(control, patience=30)
        finally:
            process.kill()
            process.wait()

    @staticmethod
    def _lines(log: Path, process: subprocess.Popen[bytes], patience: float) -> Iterator[str]:
        """The lines of a growing log, until the machine is off or time is up."""
        until = time.monotonic() + patience
        waiting = b""
        with log.open("rb") as stream:
            while time.monotonic() < until:
                off = process.poll() is not None
                waiting += stream.read()
                *lines, waiting = waiting.split(b"\n")
                yield from (line.decode("latin-1").strip() for line in lines)
                if off:
                    return
                time.sleep(0.1)

    def _split(self) -> None:
        lines = self.log.read_text("latin-1").splitlines()
        guest = [line.removeprefix("[guest] ") for line in lines if line.startswith("[guest] ")]
        dom0 = [line for line in lines if not line.startswith("[guest] ")]
        (self.folder / "guest.log").write_text("\n".join(guest) + "\n")
        (self.folder / "dom0.log").write_text("\n".join(dom0) + "\n")
