"""Debian's own xl asks the machine; what it prints is what the machine knows."""

from pathlib import Path

import pytest

XEN = Path("/usr/lib/xen-4.17/bin")
pytestmark = pytest.mark.skipif(
    not (XEN / "xl").exists(), reason="needs xl (Debian package xen-utils-4.17)"
)


@pytest.fixture
def xl(world, xenstored):
    """Runs xl in domain 0, or in another one."""
    return lambda *arguments, domid=0: world.run(domid, XEN / "xl", *arguments)


def test_dmesg(world, xl):
    world.guest.crash()
    text = xl("dmesg")
    assert text == world.machine.console
    assert "(XEN) System RAM: 64MB (65536kB)\n" in text
    assert text.endswith("(XEN) d1 crashed\n")
    assert xl("dmesg", "-c") == text
    assert xl("dmesg") == ""


def test_debug_keys(world, xl):
    xl("dmesg", "-c")
    assert xl("debug-keys", "hq") == ""
    lines = world.machine.console.splitlines()
    assert lines[0] == "(XEN) 'h' pressed -> showing installed handlers"
    assert "(XEN) 'q' pressed -> dump domain info" in lines
    assert "(XEN) General information for domain 1:" in lines
    assert xl("dmesg").splitlines() == lines


def test_a_guest_is_refused(world, xenstored):
    process = world.start(world.guest.domid, XEN / "xl", "debug-keys", "q")
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Operation not permitted" in errors
    assert "pressed" not in world.machine.console
