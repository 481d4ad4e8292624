"""A network backend that writes whatever it likes into xenstore: one sentence, and other devices of
the guest go on. What it does on the rings is for the tests in C, and for the fuzz targets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pvdrivers.backends.uplinks.uplink import HairpinUplink
from pvdrivers.ring.errors import PeerError
from pvdrivers.sim import Machine
from pvdrivers.testing.vnif.frames import frame
from pvdrivers.testing.vnif.pair import VnifPair
from pvdrivers.vnif.keys import BACKEND_KEYS, LINK_KEYS, TOOLSTACK_KEYS
from pvdrivers.xenbus.states import XenbusState

words = st.one_of(
    st.integers(-2, 70).map(str),
    st.sampled_from(["", "0", "1", "4", "9000", "1e9", " 7\n", "0x10", "٤", "-1", str(2**32),
                     str(2**64), "9" * 2000, "\x00", "yes", "00:16:3e:00:00:01"]),
    st.text(max_size=8),
)  # fmt: skip
tables = st.dictionaries(st.sampled_from([*BACKEND_KEYS, *LINK_KEYS]), words, max_size=6)
toolstack_tables = st.dictionaries(st.sampled_from(TOOLSTACK_KEYS), words, max_size=2)
states = st.lists(st.integers(0, 9).map(str) | st.sampled_from(["", "x", "4 "]), max_size=4)


class Ends:
    def __init__(self, machine: Machine) -> None:
        dom0 = machine.create_domain(privileged=True)
        guest = machine.create_domain(memory="128M")
        self.ends = dom0.hypervisor, guest.hypervisor
        self.uplink = HairpinUplink(4)
        self.neighbour = VnifPair(*self.ends, self.uplink, devid=1)

    def hostile(self) -> VnifPair:
        """Its backend's keys are the test's; nothing drives the backend."""
        xenstore = self.neighbour.xenstore
        return VnifPair(*self.ends, self.uplink, xenstore=xenstore, connect=False)

    async def check_neighbour(self) -> None:
        await self.neighbour.frontend.send([frame(1)])
        assert [packet.data for packet in await self.neighbour.frontend.receive()] == [frame(1)]


@pytest.fixture
def ends() -> Iterator[Ends]:
    with Machine("256M") as machine:
        made = Ends(machine)
        yield made
        made.uplink.close()


async def close(pair: VnifPair) -> None:
    """The backend closes in the end, so that the frontend can."""
    closing = asyncio.create_task(pair.frontend.close())
    await asyncio.sleep(0.001)
    await pair.toolstack.write(f"{pair.config.backend_path}/state", "6")
    await closing
    assert pair.frontend.state is XenbusState.CLOSED


async def attack(pair: VnifPair, back: dict[str, str], front: dict[str, str]) -> str:
    """What the frontend says of keys that the backend and the toolstack have written."""
    for path, keys in ((pair.config.backend_path, back), (pair.config.frontend_path, front)):
        for key, value in keys.items():
            await pair.toolstack.write(f"{path}/{key}", value.encode())
    frontend, state = pair.frontend, f"{pair.config.backend_path}/state"
    frontend.start()
    await pair.toolstack.write(state, "2")
    await pair.wait(lambda: frontend.last_error or frontend.state is XenbusState.INITIALISED)
    if not frontend.last_error:
        await pair.toolstack.write(state, "4")
        await pair.wait(lambda: frontend.last_error or frontend.accepts)
    return frontend.last_error or ""


@pytest.mark.parametrize(
    ("back", "front", "says"),
    [
        ({"feature-rx-copy": "0"}, {}, "the backend does not copy (feature-rx-copy)"),
        ({"feature-sg": "on"}, {}, "feature-sg is 'on', not a number"),
        ({"multi-queue-max-queues": "-4"}, {}, "multi-queue-max-queues is '-4', not a number"),
        ({"feature-ctrl-ring": "4294967296"}, {}, "feature-ctrl-ring is 4294967296, at most"),
        ({"carrier": "up"}, {}, "carrier is 'up', not a number"),
        ({"speed": "fast"}, {}, "speed is 'fast', not a number"),
        ({}, {"mac": "none"}, "mac: 'none' is no MAC address"),
        ({}, {"mac": "ff:ff:ff:ff:ff:ff"}, "a group's or zero"),
        ({}, {"mtu": "67"}, "mtu is 67, 68 at least can be"),
        ({}, {"mtu": "70000"}, "mtu is 70000, at most 65521 can be"),
        ({}, {"disconnect": "perhaps"}, "disconnect is 'perhaps', not a number"),
    ],
)
def test_each_mistake_is_one_sentence(
    ends: Ends,
    back: dict[str, str],
    front: dict[str, str],
    says: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)

    async def main() -> None:
        async with asyncio.timeout(20), ends.neighbour, ends.hostile() as pair:
            said = await attack(pair, {"feature-rx-copy": "1"} | back, front)
            assert says in said
            assert "\n" not in said
            assert pair.frontend.peer_errors == 1
            with pytest.raises(PeerError):
                await pair.frontend.connected()
            await ends.check_neighbour()
            await close(pair)

    asyncio.run(main())
    assert "Traceback" not in caplog.text


def test_a_link_that_is_garbled_while_connected_closes_this_device_alone(ends: Ends) -> None:
    async def main() -> None:
        async with asyncio.timeout(20), ends.neighbour, ends.hostile() as pair:
            pair.backend.start()
            pair.frontend.start()
            await pair.frontend.connected()
            await pair.toolstack.write(f"{pair.config.backend_path}/carrier", "maybe")
            await pair.wait(lambda: pair.frontend.last_error)
            assert pair.frontend.last_error == "carrier is 'maybe', not a number"
            await ends.check_neighbour()

    asyncio.run(main())


def test_a_backend_without_queue_keys_is_served_as_an_old_one(ends: Ends) -> None:
    async def main() -> None:
        async with asyncio.timeout(20), ends.neighbour, ends.hostile() as pair:
            assert await attack(pair, {"feature-rx-copy": "1"}, {}) == ""
            agreement = pair.frontend.agreement
            assert agreement
            assert agreement.queues == 1
            assert not agreement.split_event_channels
            await close(pair)

    asyncio.run(main())


@pytest.mark.slow
def test_whatever_a_backend_writes(ends: Ends) -> None:
    with asyncio.Runner() as runner:

        @settings(max_examples=100)
        @given(tables, toolstack_tables, states)
        @example({"multi-queue-max-queues": "64", "feature-split-event-channels": "1"}, {}, [])
        @example({}, {}, ["1", "2", "4", "7", "8"])
        def check(back: dict[str, str], front: dict[str, str], written: list[str]) -> None:
            async def one() -> None:
                async with asyncio.timeout(20), ends.hostile() as pair:
                    said = await attack(pair, {"feature-rx-copy": "1"} | back, front)
                    assert not said.startswith(("connect failed", "attach failed"))  # a bug's
                    for state in written:
                        path = f"{pair.config.backend_path}/state"
                        await pair.toolstack.write(path, state)
                        await asyncio.sleep(0.001)
                    assert not pair.frontend.finished
                    await close(pair)
                await ends.check_neighbour()

            runner.run(one())

        runner.run(ends.neighbour.__aenter__())
        check()
        runner.run(ends.neighbour.__aexit__())
