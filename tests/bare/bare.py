"""What README tells to type, on a Debian with nothing but make and python3. Run by `make bare`.

Root gets what is missing installed. An ordinary user, whose home is not writable, is told it in
one line and goes on once the administrator has installed just that. Both work on a tree without
.git, in a folder with a space in its name.

Usage: bare.py FOLDER COMMAND...   needs root and debootstrap; the systems are made in FOLDER
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from ast import literal_eval
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
TREE = "/srv/pv drivers"
NOT_COPIED = (".git", ".venv", "build", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info")
USER = 1000
SHARED = "/srv/host"  # below it are files and folders of this machine, none of the system's own
# How a machine reaches its registries, apart from pip's own settings.
NETWORK = re.compile(r"(https?|no|all)_proxy|SSL_CERT_FILE|REQUESTS_CA_BUNDLE", re.IGNORECASE)
PATIENCE = 3600.0  # seconds for one command

# $1: the root, $2: the user, $3: the command, $4: where below the root the files and folders are
# seen that follow.
ENTER = """
set -e
root=$1 user=$2 command=$3 shared=$1$4
shift 4
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
for path; do
    if [ -d "$path" ]; then mkdir -p "$shared$path"
    else mkdir -p "$shared${path%/*}"; touch "$shared$path"; fi
    mount --bind "$path" "$shared$path"
done
exec /usr/sbin/chroot --userspec="$user:$user" "$root" sh -c "$command"
"""


class BareError(Exception):
    """The system could not be made, or does not do what README says, in one sentence."""


def output_of(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def pip_environment() -> dict[str, str]:
    """This machine's settings of pip as variables; the environment's come first, as in pip."""
    settings: dict[str, str] = {}
    lines = output_of(sys.executable, "-m", "pip", "config", "list").splitlines()
    for line in sorted(lines, key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        key = name.rpartition(".")[2].upper().replace("-", "_")
        settings[f"PIP_{key}"] = literal_eval(value)
    return settings


class Host:
    """What the bare systems take from this machine: a mirror, and the way to the registries."""

    def __init__(self) -> None:
        variables = pip_environment()
        variables |= {k: v for k, v in os.environ.items() if NETWORK.fullmatch(k)}
        self.paths: set[str] = set()
        self.environment = {name: self._shared(value) for name, value in variables.items()}
        system = dict(
            line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines()
        )
        self.suite = system["VERSION_CODENAME"].strip('"')
        where = ("Created-By: Packages", f"Codename: {self.suite}", "Component: main")
        mirrors = output_of("apt-get", "indextargets", "--format", "$(REPO_URI)", *where).split()
        if not mirrors:
            raise BareError(f"apt knows no mirror of {self.suite}")
        self.mirror = mirrors[0]
        dump = output_of("apt-config", "dump").splitlines()
        self.apt_settings = [line for line in dump if line.startswith("Acquire::")]

    def _shared(self, value: str) -> str:
        """The value with this machine's paths as a bare system sees them; notes which they are."""
        words = []
        for word in value.split():
            scheme, path = ("file://", word[7:]) if word.startswith("file://") else ("", word)
            if path.startswith("/") and Path(path).exists():
                # An index of files names them by their place beside it.
                self.paths.add(str(Path(path).parent) if scheme else path)
                path = SHARED + path
            words.append(scheme + path)
        return " ".join(words)


def make_base(host: Host, base: Path) -> None:
    """A Debian with what debootstrap cannot leave out, make and python3, unless it is there."""
    if base.exists():
        return
    print(f"making a bare {host.suite}", flush=True)
    unfinished = base.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    log = base.with_suffix(".log")
    # In a mount namespace, so that nothing stays mounted below the folder.
    command = ["unshare", "--mount", "debootstrap", "--variant=minbase", "--include=make,python3"]
    with log.open("wb") as file:
        made = subprocess.run([*command, host.suite, unfinished, host.mirror], stdout=file)
    if made.returncode:
        raise BareError(f"debootstrap failed: see {log}")
    (unfinished / "etc/apt/apt.conf.d/90host").write_text("\n".join(host.apt_settings) + "\n")
    for name in ("resolv.conf", "hosts"):
        shutil.copy(Path("/etc") / name, unfinished / "etc" / name)
    unfinished.rename(base)


class System:
    """A copy of the bare system with this tree in it."""

    def __init__(self, host: Host, folder: Path, name: str) -> None:
        self.name = name
        self._host = host
        self._root = folder / name
        self._log = folder / f"{name}.log"
        self._log.unlink(missing_ok=True)
        shutil.rmtree(self._root, ignore_errors=True)
        subprocess.run(["cp", "-a", folder / "base", self._root], check=True)
        tree = self._root / TREE.lstrip("/")
        shutil.copytree(CHECKOUT, tree, ignore=shutil.ignore_patterns(*NOT_COPIED), symlinks=True)
        subprocess.run(["chown", "-R", f"{USER}:{USER}", tree], check=True)

    def run(self, command: str, user: int = 0) -> tuple[int, str]:
        """A shell command in the tree: its exit status, and what it wrote to stderr."""
        print(f"{self.name}: {command}", flush=True)
        variables = {"HOME": "/nonexistent" if user else "/root", "PATH": os.defpath}
        if not user:
            variables["PATH"] = f"/usr/sbin:/sbin:{os.defpath}"
        namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        inside = ["sh", "-c", ENTER, "sh", str(self._root), str(user)]
        command_there = f"cd {shlex.quote(TREE)} && {command}"
        done = subprocess.run(
            [*namespaces, *inside, command_there, SHARED, *sorted(self._host.paths)],
            env=self._host.environment | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        with self._log.open("a") as log:
            log.write(f"$ {command}\n{done.stdout}{done.stderr}")
        return done.returncode, done.stderr

    def succeed(self, command: str, user: int = 0) -> str:
        begun = time.monotonic()
        status, stderr = self.run(command, user)
        if status:
            raise BareError(f"{self.name}: `{command}` ended with {status}: see {self._log}")
        print(f"{self.name}: done after {time.monotonic() - begun:.0f} s", flush=True)
        return stderr


def as_root(system: System, commands: list[str]) -> None:
    stderr = system.succeed(commands[0])
    if "Installing" not in stderr or "\nE: " in stderr:
        raise BareError(f"{system.name}: what was missing was not installed: see the log")
    for command in commands[1:]:
        system.succeed(command)


def as_user(system: System, commands: list[str]) -> None:
    status, stderr = system.run(commands[0], USER)
    said = [line for line in stderr.splitlines() if not line.startswith("make: ***")]
    if status != 2 or len(said) != 1 or "; on Debian: " not in said[0]:
        raise BareError(f"{system.name}: not one line with the packages, but {stderr!r}")
    advice = said[0].partition("; on Debian: ")[2]
    system.succeed(f"apt-get update && {advice} --yes --no-install-recommends")
    # What is left when Python is replaced, or when `python -m venv` is interrupted.
    system.succeed("mkdir -p .venv/bin && ln -s /usr/bin/python3.0 .venv/bin/python", USER)
    for command in commands:
        system.succeed(command, USER)


def main(folder: Path, commands: list[str]) -> int:
    if os.getuid() or not shutil.which("debootstrap"):
        print("bare: needs root, and the Debian package debootstrap", file=sys.stderr)
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    try:
        host = Host()
        make_base(host, folder / "base")
        for name, follow in (("root", as_root), ("user", as_user)):
            system = System(host, folder, name)
            follow(system, commands)
    except BareError as error:
        print(f"bare: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute(), sys.argv[2:]))
