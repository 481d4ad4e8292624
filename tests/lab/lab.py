"""Boots Xen, and runs the steps in dom0 with this checkout's wheel against a real Linux guest.

Usage: lab.py FOLDER [NAME...]   keeps images and logs in FOLDER; a NAME is one of a step, or of
a file of steps; without any it runs all that do not wait to be named, on several machines, two at
once
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from choices import ChoiceError, choose, xen_arguments
from machine import LabError, LabMachine, verdict_of

HERE = Path(__file__).parent
CHECKOUT = HERE.parent.parent
PROGRAMS = {  # and the Debian packages that have them
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "cpio": "cpio",
    "depmod": "kmod",
    "apt-get": "apt",
}
MACHINES_AT_ONCE = 2  # for two processors; each needs 3 GiB of memory
BOOT_PATIENCE = 900.0  # seconds
RUN_PATIENCE = 3600.0


def check_programs() -> None:
    missing = [package for program, package in PROGRAMS.items() if not shutil.which(program)]
    if missing:
        raise LabError(f"needs the Debian packages {' '.join(missing)}")
    if sys.version_info[:2] != (3, 11):
        raise LabError("needs Python 3.11, which dom0's Debian has, to build the wheel for it")


def digest() -> str:
    """Changes when something does that the images and the saved states are made of."""
    sums = hashlib.sha256(repr(LabMachine(Path(), Path()).command()).encode())
    for pattern in ("images", "extract_vmlinux.py", "dom0/**/*", "domu/*"):
        for path in filter(Path.is_file, sorted(HERE.glob(pattern))):
            sums.update(path.read_bytes())
    return sums.hexdigest()


def build(folder: Path, machines: list[LabMachine]) -> None:
    """Images and saved states, unless they are there and were made by the same files."""
    made_by = digest()
    stamp = folder / "made-by"
    if not stamp.exists() or stamp.read_text() != made_by:
        stamp.unlink(missing_ok=True)
        for state in folder.glob("state*"):
            state.unlink()
        print("building the images", flush=True)
        with (folder / "images.log").open("wb") as log:
            if subprocess.run([HERE / "images", folder], stdout=log, stderr=log).returncode:
                raise LabError(f"the images cannot be built: see {log.name}")
        stamp.write_text(made_by)
    for machine in machines:
        if not machine.state.exists():
            print(f"booting Xen, dom0 and the guest {machine.xen_arguments}".rstrip(), flush=True)
            machine.save_state(BOOT_PATIENCE)


def prepare_payload(folder: Path) -> Path:
    """This checkout's wheel with what it needs, as pip installs them, and the steps."""
    payload, wheels = folder / "payload", folder / "wheels"
    for old in (payload, wheels):
        shutil.rmtree(old, ignore_errors=True)
    python = [sys.executable, "-m"]
    pip = [*python, "pip", "--disable-pip-version-check", "--quiet"]
    wheel = [*pip, "wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", wheels, CHECKOUT]
    subprocess.run(wheel, check=True)
    (path,) = wheels.glob("*.whl")
    site = payload / "site"
    subprocess.run(
        [*pip, "install", "--no-compile", "--target", site, f"{path}[uvloop]"], check=True
    )
    # dom0 would take minutes to compile it, and its clock is behind.
    compile_all = [*python, "compileall", "-q", "--invalidation-mode", "unchecked-hash", site]
    subprocess.run(compile_all, check=True)
    caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(HERE / "payload", payload, ignore=caches, dirs_exist_ok=True)
    return payload


def run_steps(payload: Path, machine: LabMachine, steps: list[str]) -> bool:
    """Prints what the machine says, behind the processor time that it has used; whether all steps
    have passed."""
    passed = False
    for line in machine.run(payload, steps, RUN_PATIENCE):
        print(f"{machine.folder.name} {machine.durations.used:6.1f}: {line}", flush=True)
        passed = bool(verdict_of(line))
    return passed


def main(folder: Path, names: list[str]) -> int:
    begun = time.monotonic()
    try:
        chosen = choose(names)
    except ChoiceError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    told = xen_arguments()
    machines = [LabMachine(folder, folder / name, told.get(name, "")) for name in chosen]
    try:
        check_programs()
        build(folder, machines)
        payload = prepare_payload(folder)
        with ThreadPoolExecutor(MACHINES_AT_ONCE) as pool:
            passed = list(pool.map(partial(run_steps, payload), machines, chosen.values()))
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 2
    for machine in machines:
        print(f"{machine.folder.name}: {machine.durations}")
    seconds = time.monotonic() - begun
    logs = f"{folder}/machine*/*.log"
    print(f"lab {'passed' if all(passed) else 'FAILED'} after {seconds:.0f} s; consoles: {logs}")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
