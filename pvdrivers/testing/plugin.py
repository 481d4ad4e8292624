"""The pytest plugin: a seed for every test, and machines to run drivers on.

It is active wherever pvdrivers is installed; nothing is made until a test asks for a fixture.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from pvdrivers.sim import Domain, Machine
    from pvdrivers.testing.loopback import Loopback

SEED = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("pvdrivers")
    group.addoption(
        "--pv-seed",
        type=int,
        metavar="N",
        help="seed of the tests that use pv_seed (default: a new one every run)",
    )


def pytest_configure(config: pytest.Config) -> None:
    given = config.getoption("--pv-seed")
    config.stash[SEED] = random.SystemRandom().randrange(1 << 32) if given is None else given


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and "pv_seed" in getattr(item, "fixturenames", ()):
        seed = item.config.stash[SEED]
        report.sections.append(("pvdrivers", f"to see this run again: --pv-seed={seed}"))
    return report


@pytest.fixture
def pv_seed(request: pytest.FixtureRequest) -> int:
    """The run's seed; it is printed when the test fails, and `--pv-seed` sets it."""
    return request.config.stash[SEED]


@pytest.fixture
def pv_machine() -> Iterator[Machine]:
    """A simulated machine of 256 MiB."""
    from pvdrivers.sim import Machine

    with Machine() as machine:
        yield machine


class DomainPair(NamedTuple):
    """The two ends of a split driver."""

    backend: Domain
    frontend: Domain


@pytest.fixture
def pv_domains(pv_machine: Machine) -> DomainPair:
    """dom0, privileged, for the backend, and a guest for the frontend."""
    backend = pv_machine.create_domain(privileged=True)
    return DomainPair(backend, pv_machine.create_domain())


@pytest.fixture
def pv_loopback(pv_seed: int) -> Iterator[Callable[..., Loopback]]:
    """Makes loopbacks of any device class, each `Loopback(device, mode=…, …)` with the run's seed.

    They are taken down when the test ends.
    """
    from pvdrivers.testing.loopback import Loopback

    with ExitStack() as stack:
        yield lambda device, **options: stack.enter_context(
            Loopback(device, **{"seed": pv_seed, **options})
        )
