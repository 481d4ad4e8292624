"""A loopback knows no device class: one of a few lines gets every mode, kills and plugging."""

import ast
import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pvdrivers.testing
from pvdrivers.ring.errors import UsageError
from pvdrivers.testing.checks import CHECKS, Check
from pvdrivers.testing.device_pair import DevicePair
from pvdrivers.testing.device_under_test import DeviceUnderTest
from pvdrivers.testing.loopback import Loopback

from .doubler import (
    DOUBLER,
    DoublerBackend,
    DoublerFrontend,
    double_some,
    doubler_config,
    serve_doublers,
)

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend's process imports the service by the name of its module."""
    monkeypatch.syspath_prepend(ROOT)


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_a_class_of_a_few_lines(check: Check) -> None:
    check(DOUBLER, double_some)


def test_the_fixture(pv_loopback: Callable[..., Loopback], pv_seed: int) -> None:
    loopback = pv_loopback(DOUBLER, mode="deterministic")
    assert loopback.seed == pv_seed
    loopback.run(double_some)


def test_ends_driven_by_hand(pv_domains: Any) -> None:
    async def main() -> None:
        dom0, guest = pv_domains.backend.hypervisor, pv_domains.frontend.hypervisor
        config = doubler_config(guest.domid)
        async with DevicePair(dom0, guest, config, DoublerBackend, DoublerFrontend) as pair:
            await double_some(pair.frontend)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("device", "mode"),
    [
        (DeviceUnderTest(doubler_config, DoublerFrontend), "loop"),
        (DeviceUnderTest(doubler_config, DoublerFrontend, daemon=["true"]), "threads"),
        (DeviceUnderTest(doubler_config, DoublerFrontend, serve_doublers, ["true"]), "processes"),
    ],
)
def test_one_of_service_and_daemon(device: DeviceUnderTest, mode: str) -> None:
    with pytest.raises(UsageError, match="a service, or in mode processes a daemon"):
        Loopback(device, mode=mode)


def test_unknown_mode() -> None:
    with pytest.raises(UsageError, match="'fibres' is none of loop, deterministic, threads"):
        Loopback(DOUBLER, mode="fibres")


def test_what_is_shared_imports_no_class() -> None:
    folder = Path(pvdrivers.testing.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            module = getattr(node, "module", None) or ""
            assert "vbd" not in module.split("."), f"{path.name} imports {module}"
