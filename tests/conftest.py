"""What all tests share."""

import shutil
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from pvdrivers.backends.targets.passthrough.libiscsi import library
from pvdrivers.ring.errors import UsageError
from pvdrivers.testing.scsi.tgt import PROGRAMS, Tgt

# A busy machine is no reason for a property test to fail. CI tries the same examples each time, so
# that a change is judged by what it changes; whoever runs the tests tries others.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("busy"), derandomize=True)
settings.load_profile("busy")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fail-on-skip",
        action="store_true",
        help="fail when a test was skipped: CI has everything that a test may need",
    )
    parser.addoption(
        "--kills",
        type=int,
        default=20,
        metavar="N",
        help="how often tests/tools/pvbackd kills the daemon (default 20)",
    )


@pytest.fixture
def libiscsi() -> None:
    """The library by which LUNs of a SAN are reached."""
    try:
        library()
    except UsageError:
        pytest.skip("needs libiscsi (Debian package libiscsi7)")


@pytest.fixture
def san(libiscsi: None) -> Iterator[Tgt]:
    """A SAN, which Debian's tgt plays."""
    if not all(map(shutil.which, PROGRAMS)):
        pytest.skip("needs tgtd (Debian package tgt)")
    with Tgt() as daemon:
        yield daemon


def pytest_configure() -> None:
    # What a shell runs in the background ignores SIGINT, and so would the programs under test.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if session.config.getoption("--fail-on-skip") and skipped:
        reporter.write_line(f"{len(skipped)} tests were skipped, and --fail-on-skip forbids it")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
