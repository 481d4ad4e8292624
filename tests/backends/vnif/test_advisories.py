"""Xen's security advisories about network devices: each has a test that bears its number, or the
test that is named here."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from pvdrivers.backends.uplinks.uplink import HairpinUplink
from pvdrivers.hypervisor import HypervisorError
from pvdrivers.sim import Machine
from pvdrivers.testing.vnif.frames import frame
from pvdrivers.testing.vnif.pair import VnifPair
from pvdrivers.vnif.features import FrontendFeatures
from pvdrivers.xenbus.states import XenbusState

TESTS = Path(__file__).parents[2]
NETBACK, NETFRONT = "backends/vnif/c/", "frontends/vnif/c/"

# By advisory: the file, and the function in it.
ADVISORIES = {
    "XSA-39": (f"{NETBACK}test_tx_errors.c", "test_xsa_39_many_bad_packets"),
    "XSA-68": ("pvdrivers/vnif/test_config.py", "test_xls_rates"),
    "XSA-90": (f"{NETBACK}test_tx_errors.c", "expect_fatal"),
    "XSA-155": (f"{NETFRONT}test_netfront_hostile.c", "test_packet_is_a_private_copy"),
    "XSA-270": (f"{NETBACK}test_control.c", "test_xsa_270"),
    "XSA-362": (f"{NETBACK}test_tx_errors.c", "test_xsa_367_bad_grant"),
    "XSA-367": (f"{NETBACK}test_tx_errors.c", "test_xsa_367_bad_grant"),
    "XSA-374": (f"{NETBACK}test_starved.c", "test_xsa_374_destroyed"),
    "XSA-376": (f"{NETFRONT}test_netfront_hostile.c", "test_ids"),
    "XSA-391": (f"{NETFRONT}test_netfront_hostile.c", "test_cut_short"),
    "XSA-392": (f"{NETBACK}test_starved.c", "test_xsa_392"),
    "XSA-396": (f"{NETFRONT}test_netfront_life.c", "test_pages_in_use_are_leaked"),
    "XSA-403": ("backends/vnif/test_advisories.py", "test_xsa_403"),
    "XSA-405": (f"{NETFRONT}test_netfront_hostile.c", "test_rx_statuses"),
    "XSA-423": (f"{NETBACK}test_tx.c", "test_xsa_423_432_448"),
    "XSA-424": (f"{NETBACK}test_starved.c", "test_xsa_392"),
    "XSA-432": (f"{NETBACK}test_tx.c", "test_xsa_423_432_448"),
    "XSA-448": (f"{NETBACK}test_tx.c", "test_xsa_423_432_448"),
    "XSA-465": ("backends/vnif/test_advisories.py", "test_xsa_465"),
    "zero queues": ("backends/vnif/test_hostile_frontend.py", "test_each_mistake_is_one_sentence"),
    "statistics read while it ends": (f"{NETBACK}test_threads.c", "disturb"),
    "a short Ethernet header": (f"{NETFRONT}test_netfront_hostile.c", "test_rx_statuses"),
}


@pytest.mark.parametrize("advisory", ADVISORIES)
def test_has_a_test(advisory: str) -> None:
    file, function = ADVISORIES[advisory]
    text = (TESTS / file).read_text()
    assert re.search(rf"^(static void|def) {function}\(", text, re.MULTILINE), function


def test_xsa_403() -> None:
    """A backend sees no bytes of the guest but those of packets: pages that held other things are
    granted empty."""
    secret = b"\xa5\x5a\xc3\x3c"

    async def main(machine: Machine) -> None:
        dom0, guest = machine.create_domain(privileged=True), machine.create_domain()
        used = guest.hypervisor.allocate_pages(1024)
        used.view[:] = secret * (len(used.view) // len(secret))
        guest.hypervisor.free_pages(used)
        with HairpinUplink() as uplink:
            pair = VnifPair(dom0.hypervisor, guest.hypervisor, uplink, trusted=False)
            async with asyncio.timeout(60), pair:
                await pair.frontend.send([frame(number) for number in range(300)])
                await pair.frontend.flush()
                seen = 0
                for ref in range(8, 1024):
                    try:
                        page = dom0.hypervisor.copy_from_grant(guest.domid, ref, 0, 4096)
                    except HypervisorError:
                        continue
                    seen += 1
                    assert secret not in page, ref
                assert seen >= 512

    with Machine() as machine:
        asyncio.run(main(machine))


@pytest.mark.parametrize("state", [*XenbusState][1:], ids=lambda state: state.name)
def test_xsa_465(state: XenbusState) -> None:
    """A frontend that writes any state before it has a ring, and a device that is removed then, end
    that device alone."""

    async def main(machine: Machine) -> None:
        dom0 = machine.create_domain(privileged=True)
        guests = [machine.create_domain() for _ in range(2)]
        with HairpinUplink() as one, HairpinUplink() as other:
            neighbour = VnifPair(dom0.hypervisor, guests[0].hypervisor, one)
            odd = VnifPair(
                dom0.hypervisor,
                guests[1].hypervisor,
                other,
                features=FrontendFeatures(),
                xenstore=neighbour.xenstore,
                connect=False,
            )
            async with asyncio.timeout(60), neighbour, odd:
                odd.backend.start()
                await odd.backend.wait_for(XenbusState.INIT_WAIT)
                await odd.toolstack.write(f"{odd.config.frontend_path}/state", str(int(state)))
                await neighbour.frontend.send([frame(1)])
                assert [each.data for each in await neighbour.frontend.receive()] == [frame(1)]
                await odd.unplug_forced()
                await odd.wait(lambda: odd.backend.is_gone)

    with Machine() as machine:
        asyncio.run(main(machine))
