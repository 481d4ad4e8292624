"""pvxl's commands for domains, on a host that runs."""

import time
from pathlib import Path

import pytest

from tests.tools.pvxl.command import PATIENCE, Pvxl

pytestmark = pytest.mark.slow


def until_logged(pvxl: Pvxl, domid: int, text: str) -> str:
    deadline = time.monotonic() + PATIENCE
    while text not in (log := pvxl.log(domid)):
        assert time.monotonic() < deadline, log
        time.sleep(0.01)
    return log


def until_state(pvxl: Pvxl, name: str, state: str | None) -> None:
    deadline = time.monotonic() + PATIENCE
    while (found := pvxl.domains().get(name)) != state:
        assert time.monotonic() < deadline, found


def test_a_guest_uses_its_devices(pvxl: Pvxl, config: Path) -> None:
    pvxl("create", config)
    log = until_logged(pvxl, 1, "network device")
    assert log.splitlines() == [
        "xvda: 2048 sectors of 512 bytes, and can be read",
        "network device 0: 00:16:3e:00:01:00",
    ]
    heading, dom0, web = pvxl("list").splitlines()
    assert heading.split() == ["Name", "ID", "Mem", "VCPUs", "State", "Time(s)"]
    assert dom0.split()[:5] == ["Domain-0", "0", "64", "2", "-b----"]
    assert web.split()[:5] == ["web", "1", "16", "2", "-b----"]
    assert pvxl("list", "web").splitlines() == [heading, pvxl("list", "1").splitlines()[1]]


def test_names_and_numbers(pvxl: Pvxl, config: Path) -> None:
    pvxl("create", config)
    assert (pvxl("domid", "web"), pvxl("domname", 1)) == ("1\n", "web\n")
    pvxl("rename", "web", "mail")
    assert (pvxl("domid", "mail"), pvxl("domname", 1)) == ("1\n", "mail\n")
    pvxl("create", config)
    assert pvxl.refused("rename", "mail", "web") == "domain 2 has the name web already"


def test_a_paused_guest_begins_when_it_is_unpaused(pvxl: Pvxl, config: Path) -> None:
    pvxl("create", "-p", config)
    assert pvxl.domains()["web"] == "--p---"
    assert pvxl.log(1) == ""
    pvxl("unpause", "web")
    until_logged(pvxl, 1, "can be read")
    pvxl("pause", "web")
    assert pvxl.domains()["web"] == "--p---"


def test_destroyed_it_is_gone(pvxl: Pvxl, config: Path) -> None:
    pvxl("create", config)
    assert len(list((pvxl.folder / "configs").iterdir())) == 1
    pvxl("destroy", "web")
    assert pvxl.domains() == {"Domain-0": "-b----"}
    assert list((pvxl.folder / "configs").iterdir()) == []
    pvxl("create", config)
    assert pvxl.domains()["web"] == "-b----"


def test_programs_of_ones_own(pvxl: Pvxl, config: Path, tmp_path: Path) -> None:
    """Their end is the guest's."""
    (tmp_path / "writer.py").write_text(
        "async def main(kernel):\n"
        "    disk = await kernel.disk('xvda')\n"
        "    await disk.write(3, kernel.arguments[0].encode().ljust(512))\n"
        "    await disk.flush()\n"
    )
    kernel = f'kernel="{tmp_path}/writer.py"'
    pvxl("create", config, kernel, 'extra="hello"', 'on_poweroff="preserve"')
    until_state(pvxl, "web", "---s--")
    assert (tmp_path / "web.img").read_bytes()[1536:].startswith(b"hello ")


@pytest.mark.parametrize(
    ("command", "action", "state"),
    [
        ("shutdown", 'on_poweroff="destroy"', None),
        ("shutdown", 'on_poweroff="preserve"', "---s--"),
        ("reboot", 'on_reboot="destroy"', None),
        ("reboot", 'on_reboot="preserve"', "---s--"),
    ],
)
def test_what_becomes_of_a_guest_that_ends(
    pvxl: Pvxl, config: Path, command: str, action: str, state: str | None
) -> None:
    pvxl("create", config, action)
    pvxl(command, "-w", "web")
    until_state(pvxl, "web", state)


@pytest.mark.parametrize(
    ("action", "names"),
    [
        ("restart", {"Domain-0": "-b----", "web": "-b----"}),
        ("rename-restart", {"Domain-0": "-b----", "web-1": "---sc-", "web": "-b----"}),
        ("preserve", {"Domain-0": "-b----", "web": "---sc-"}),
        ("destroy", {"Domain-0": "-b----", "web": None}),
    ],
)
def test_a_guest_whose_program_fails_has_crashed(
    pvxl: Pvxl, config: Path, tmp_path: Path, action: str, names: dict[str, str | None]
) -> None:
    """The first time; then the file says nothing against going on."""
    (tmp_path / "fails.py").write_text(
        "import asyncio, pathlib\n"
        "async def main(kernel):\n"
        "    await kernel.disk('xvda')\n"
        "    first = pathlib.Path(kernel.arguments[0])\n"
        "    if not first.exists():\n"
        "        first.touch()\n"
        "        raise ValueError('on purpose')\n"
        "    print('again', flush=True)\n"
        "    await asyncio.Event().wait()\n"
    )
    pvxl(
        "create",
        config,
        f'kernel="{tmp_path}/fails.py"',
        f'extra="{tmp_path}/first"',
        f'on_crash="{action}"',
    )
    until_logged(pvxl, 1, "ValueError: on purpose")
    for name, state in names.items():
        until_state(pvxl, name, state)
    assert pvxl.domains() == {name: state for name, state in names.items() if state}


def test_refusals(pvxl: Pvxl, config: Path, tmp_path: Path) -> None:
    assert pvxl.refused("create", tmp_path / "no.cfg").endswith("No such file or directory")
    assert "at most 262144 bytes" in pvxl.refused("create", "/dev/zero")
    assert "no-such: no such program" in pvxl.refused("create", config, 'kernel="no-such"')
    assert "web.cfg:8:8: " in pvxl.refused("create", config, "memory=,")
    assert 'extra is "\'", whose words cannot be told' in pvxl.refused(
        "create", config, 'extra="\'"'
    )
    assert "Cannot allocate memory" in pvxl.refused("create", config, "memory=5000", "maxmem=5000")
    lost = pvxl.refused("create", config, f'disk=["{tmp_path}/no.img,raw,xvda,rw"]')
    assert "no.img" in lost
    assert pvxl.domains() == {"Domain-0": "-b----"}
    assert pvxl.refused("destroy", "web") == "there is no domain web; there are Domain-0"
    assert "is dom0" in pvxl.refused("shutdown", "Domain-0")
    assert pvxl.refused("domname", 5) == "there is no domain 5"
