"""A network frontend that writes whatever it likes into xenstore: one sentence, and nobody else
notices. What it does on its rings is for the tests in C, and for the fuzz targets."""

from __future__ import annotations

import asyncio
import logging

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pvdrivers.backends.uplinks.uplink import HairpinUplink
from pvdrivers.sim import Machine
from pvdrivers.testing.vnif.frames import frame
from pvdrivers.testing.vnif.pair import VnifPair
from pvdrivers.vnif.features import FrontendFeatures
from pvdrivers.vnif.keys import FRONTEND_HEAD_KEYS, queue_key_names
from pvdrivers.xenbus.states import XenbusState

KEYS = [*FRONTEND_HEAD_KEYS, *queue_key_names(2)]
GARBLED = ["", "-1", "yes", "0x10", "4294967296", "9" * 2000, "٤", " 1\n", "1e3", "\x00"]
words = (
    st.sampled_from(GARBLED)
    | st.integers(-2, 70).map(str)
    | st.integers(0, 2**33).map(str)
    | st.text(max_size=8)
)


class Ends:
    """A correct vif, and one whose frontend's keys the test writes over."""

    def __init__(self, machine: Machine) -> None:
        self.dom0 = machine.create_domain(privileged=True)
        self.guests = [machine.create_domain() for _ in range(2)]
        self.uplinks = [HairpinUplink(4) for _ in range(2)]
        self.neighbour = VnifPair(self.dom0.hypervisor, self.guests[0].hypervisor, self.uplinks[0])

    def hostile(self, queues: int) -> VnifPair:
        return VnifPair(
            self.dom0.hypervisor,
            self.guests[1].hypervisor,
            self.uplinks[1],
            features=FrontendFeatures(max_queues=queues),
            xenstore=self.neighbour.xenstore,
            connect=False,
        )

    async def attack(self, keys: dict[str, str | None], queues: int = 1) -> str:
        """What the backend says of a frontend that has written other keys; None: it removes one."""
        pair = self.hostile(queues)
        async with asyncio.timeout(20), pair:
            frontend, path = pair.frontend, pair.config.frontend_path
            honest = frontend.publish_keys

            async def publish(written: dict[str, str]) -> None:
                await honest(written)
                for key, value in keys.items():
                    if value is None:
                        await pair.toolstack.remove(f"{path}/{key}")
                    else:
                        await pair.toolstack.write(f"{path}/{key}", value.encode())

            frontend.publish_keys = publish  # type: ignore[method-assign]
            pair.backend.start()
            frontend.start()
            await pair.wait(
                lambda: pair.backend.last_error or frontend.state is XenbusState.CONNECTED
            )
            assert not pair.backend.finished
            return pair.backend.last_error or ""

    async def check_neighbour(self) -> None:
        await self.neighbour.frontend.send([frame(1)])
        assert [packet.data for packet in await self.neighbour.frontend.receive()] == [frame(1)]


@pytest.fixture
def ends() -> Ends:
    with Machine() as machine:
        made = Ends(machine)
        yield made
        for uplink in made.uplinks:
            uplink.close()


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"request-rx-copy": "0"}, "request-rx-copy is not 1"),
        ({"request-rx-copy": None}, "request-rx-copy is not 1"),
        ({"multi-queue-num-queues": "0"}, "multi-queue-num-queues is 0, 1 to 4 can be"),
        ({"multi-queue-num-queues": "5"}, "multi-queue-num-queues is 5, 1 to 4 can be"),
        ({"multi-queue-num-queues": "2"}, "tx-ring-ref is there beside"),
        ({"tx-ring-ref": None}, "tx-ring-ref is missing"),
        ({"rx-ring-ref": "ring"}, "rx-ring-ref is 'ring', not a number"),
        ({"event-channel-rx": None}, "event-channel-rx is missing"),
        ({"event-channel": "3"}, "event-channel is there beside event-channel-tx"),
        ({"protocol": "vax-abi"}, "protocol 'vax-abi' is not known"),
        ({"feature-sg": "both"}, "feature-sg is 'both', not a number"),
        ({"xdp-headroom": "65536"}, "xdp-headroom is 65536, at most 2048 can be"),
        # Keys that can be read, and rings that cannot be used:
        ({"tx-ring-ref": "1"}, "cannot use"),
        ({"rx-ring-ref": "4000000000"}, "cannot use"),
        ({"event-channel-tx": "0"}, "cannot use"),
        ({"event-channel-rx": "4000"}, "cannot use"),
        ({"protocol": "ia64-abi"}, "cannot use"),  # whose pages are larger than this guest's
    ],
)
def test_each_mistake_is_one_sentence(
    ends: Ends, keys: dict[str, str | None], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)

    async def main() -> None:
        async with ends.neighbour:
            said = await ends.attack(keys)
            assert says in said
            assert "\n" not in said
            await ends.check_neighbour()

    asyncio.run(main())
    assert "Traceback" not in caplog.text


def test_a_queue_without_keys_connects_no_queue(ends: Ends) -> None:
    async def main() -> None:
        async with ends.neighbour:
            said = await ends.attack({"queue-1": None}, queues=2)
            assert said == "queue-1/event-channel is missing"
        mapped = ends.dom0.accounts
        assert mapped["grants_mapped"] == mapped["grants_unmapped"]

    asyncio.run(main())


def test_a_garbled_request_while_connected_closes_this_device_alone(ends: Ends) -> None:
    async def main() -> None:
        pair = ends.hostile(1)
        async with asyncio.timeout(20), ends.neighbour, pair:
            pair.backend.start()
            pair.frontend.start()
            await pair.frontend.connected()
            path = f"{pair.config.frontend_path}/request-multicast-control"
            await pair.toolstack.write(path, "perhaps")
            await pair.wait(lambda: pair.backend.last_error)
            said = "request-multicast-control is 'perhaps', not a number"
            assert pair.backend.last_error == said
            assert pair.backend.peer_errors == 1
            await ends.check_neighbour()

    asyncio.run(main())


def test_a_guest_that_rewrites_its_keys_in_a_loop_costs_no_memory(ends: Ends) -> None:
    async def main() -> None:
        pair = ends.hostile(1)
        async with asyncio.timeout(20), ends.neighbour, pair:
            pair.backend.start()
            pair.frontend.start()
            await pair.frontend.connected()
            path = f"{pair.config.frontend_path}/request-multicast-control"
            for number in range(300):
                await pair.toolstack.write(path, str(number % 2))
            await pair.frontend.send([frame(5)])
            assert [packet.data for packet in await pair.frontend.receive()] == [frame(5)]
            assert pair.backend.peer_errors == 0

    asyncio.run(main())


@pytest.mark.slow
def test_whatever_a_frontend_writes(ends: Ends) -> None:
    with asyncio.Runner() as runner:

        @settings(max_examples=150)
        @given(
            st.dictionaries(st.sampled_from(KEYS), words, min_size=1, max_size=6),
            st.integers(1, 2),
        )
        @example({"feature-rx-notify": "0", "feature-sg": "0"}, 2)
        def check(keys: dict[str, str], queues: int) -> None:
            async def one() -> str:
                said = await ends.attack(dict(keys), queues)
                await ends.check_neighbour()
                return said

            assert not runner.run(one()).startswith("connect failed")  # that is a bug's

        runner.run(ends.neighbour.__aenter__())
        check()
        runner.run(ends.neighbour.__aexit__())
