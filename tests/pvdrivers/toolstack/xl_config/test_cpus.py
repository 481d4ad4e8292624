"""Lists of CPUs on a host with two nodes. What they come to for xl: tests/pvdrivers/dropin."""

import pytest

from pvdrivers.toolstack.xl_config.cpus import LONGEST, parse_cpus
from pvdrivers.toolstack.xl_config.text import Atom, ConfigError

NODES = [(0, 1, 4), (2, 3, 5)]


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("all", (0, 1, 2, 3, 4, 5)),
        ("0-3,^2", (0, 1, 3)),
        ("^2,0-3", (0, 1, 2, 3)),
        ("node:1", (2, 3, 5)),
        ("nodes:0-1,^node:1,2", (0, 1, 2, 4)),
        ("all,^4-99", (0, 1, 2, 3)),
        ("7", ()),
        ("node:2", ()),
        ("", ()),
    ],
)
def test_steps_go_from_left_to_right(text: str, cpus: tuple[int, ...]) -> None:
    assert parse_cpus(Atom.of(text)).on(NODES) == cpus


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,x", "1:3: found 'x': there are CPUs 3, 0-3, node:1, nodes:0-1 and all, and ^ before"),
        ("1,3-2", "1:3: the range 3-2 ends before it begins"),
        ("^all", "1:1: 'all' is never taken away, so no ^ can be before it"),
        ("1," * LONGEST, f"1:1: a list of CPUs has at most {LONGEST} characters"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_cpus(Atom.of(text))
    assert str(error.value).startswith(f"command line:{message}")
