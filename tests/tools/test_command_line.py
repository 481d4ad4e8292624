"""What the command lines say to mistakes, and their man pages and completion."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAMS = {
    "pvbackd": [sys.executable, "-m", "pvdrivers.tools.pvbackd"],
    "pvbench": [sys.executable, "-m", "pvdrivers.tools.pvbench"],
    "pvbridge": [sys.executable, "-m", "pvdrivers.tools.pvbridge"],
    "pvsim": [sys.executable, "-m", "pvdrivers.tools.pvsim"],
    "pvstored": [sys.executable, "-m", "pvdrivers.tools.pvstored"],
    "pvxl": [sys.executable, "-m", "pvdrivers.tools.pvxl"],
}


def said(program: str, *arguments: object) -> str:
    """The one sentence of a program that refuses."""
    command = [*PROGRAMS[program], *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout) == (2, ""), run.stderr
    (line,) = run.stderr.splitlines()
    assert line.startswith(f"{program}: ")
    return line


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("pvbackd stauts", "there is no command 'stauts': did you mean status?"),
        ("pvbackd zzz", "there are run, status, check"),
        ("pvbackd run extra", "'extra' is too much: pvbackd run --help"),
        ("pvbackd --machne x", "--machne. Did you mean --machine?"),
        ("pvbackd --mode idle", 'Choose from: "poll", "hybrid", "event"'),
        ("pvbackd --loop x", '"auto", "uvloop", "asyncio"'),
        ("pvbackd --domid x", '--domid: unable to convert "x" into int'),
        ("pvbackd --machine /nowhere/m --xenstore /nowhere/x", "no xenstore answers at /nowhere/x"),
        (
            "pvbackd status --control /nowhere/control",
            "no daemon answers at /nowhere/control",
        ),
        ("pvbackd check /nowhere/file", "/nowhere/file: No such file"),
        ("pvbackd --config /nowhere/file", "/nowhere/file: No such file"),
        ("pvsim /nowhere/x.toml", "/nowhere/x.toml: No such file or directory"),
        ("pvsim x.toml --output-format=csv", 'Choose from: "normal", "json"'),
        ("pvstored extra --socket /nowhere/x", "there is no command 'extra': there are man"),
        ("pvstored --socket /nowhere/x", "/nowhere/x: No such file"),
        ("pvstored --socket x --quota node=1", "there is no quota 'node': did you mean nodes?"),
        ("pvstored --sokcet x", "Did you mean --socket instead of"),
        ("pvstored --socket x --machine /nowhere/m", "/nowhere/m"),
        ("pvbridge iscsy", 'Unknown command "iscsy". Did you mean "iscsi"?'),
        ("pvxl hots", 'Unknown command "hots". Did you mean "host"?'),
        ("pvxl host run --host /dev/null/folder", "/dev/null/folder: Not a directory"),
    ],
)
def test_a_mistake_is_one_sentence_with_the_way_out(command: str, sentence: str) -> None:
    program, *arguments = command.split()
    assert sentence in said(program, *arguments)


def test_where_there_is_no_xen_the_simulated_machine_is_named() -> None:
    if Path("/dev/xen/xenbus").exists():
        pytest.skip("needs a machine without Xen")
    assert "--machine" in said("pvbackd")


def test_check(tmp_path: Path) -> None:
    config = tmp_path / "pvbackd.toml"
    config.write_text("[[disk]]\n")
    told = subprocess.check_output([*PROGRAMS["pvbackd"], "check", config], text=True)
    assert told == f"{config}: can be used, 1 disk rule, 0 vif rules, 0 scsi rules\n"
    tape = "[[scsi]]\nlun = 'lto-*'\nunit = {kind = 'tape', cartridge = ''}\n"
    robot = "[[scsi]]\nunit = {kind = 'changer', drives = ['lto-1']}\n"
    config.write_text(tape + tape + robot)
    told = subprocess.check_output([*PROGRAMS["pvbackd"], "check", config], text=True)
    assert told.endswith("0 vif rules, 3 scsi rules (1 changer, 2 tape)\n")
    config.write_text("[[dsk]]\n")
    assert "'dsk': did you mean disk?" in said("pvbackd", "check", config)


@pytest.mark.parametrize("program", PROGRAMS)
def test_man_page(program: str) -> None:
    """groff finds nothing to warn of, and every option that --help has is there."""
    if not shutil.which("groff"):
        pytest.skip("needs groff (Debian package groff-base)")
    page = subprocess.check_output([*PROGRAMS[program], "man"], text=True)
    render = ["groff", "-ww", "-man", "-Tascii", "-P-cbou"]
    shown = subprocess.run(render, input=page, capture_output=True, text=True)
    assert (shown.returncode, shown.stderr) == (0, "")
    words = {word.strip(",:") for word in shown.stdout.split()}
    commands = {"pvbench": ["vbd"], "pvbridge": ["iscsi", "sg"], "pvxl": ["host run"]}
    for command in commands.get(program, [""]):
        asked = [*PROGRAMS[program], *command.split(), "--help"]
        help_text = subprocess.check_output(asked, text=True)
        options = {word.strip(",:`.") for word in help_text.split() if word.startswith("--")}
        options -= {"--", "--help", "--version"}
        assert options
        assert options <= words


def complete(program: str, line: str) -> list[str]:
    """What bash offers at the end of a line."""
    script = subprocess.check_output([*PROGRAMS[program], "completion", "bash"], text=True)
    words = line.split(" ")
    ask = f"""
        COMP_WORDS=({" ".join(f"'{word}'" for word in words)})
        COMP_CWORD={len(words) - 1}
        _{program} {program} '{words[-1]}' '{words[-2]}'
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    bash = ["bash", "--norc", "-c", f"{script}\n{ask}"]
    return subprocess.check_output(bash, text=True).split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("pvbackd st", "status"),
        ("pvbackd run --mach", "--machine"),
        ("pvbackd run --mode h", "hybrid"),
        ("pvbench vbd --random_d", "--random_distribution"),
        ("pvbench vbd --mode h", "hybrid"),
        ("pvstored --so", "--socket"),
    ],
)
def test_completion(line: str, offered: str) -> None:
    assert offered in complete(line.split()[0], line)
