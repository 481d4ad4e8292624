"""The asyncio drivers on an in-process store: connect, close, unplug, faults, and storms."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Sequence

import pytest

from pvdrivers.ring.errors import PeerError, UsageError
from pvdrivers.toolstack.devices import DeviceConfig, add_device, destroy_device, unplug_device
from pvdrivers.xenbus.bus import backend_bus, frontend_bus
from pvdrivers.xenbus.device import BackendDevice, FrontendDevice
from pvdrivers.xenbus.states import Event, XenbusState
from pvdrivers.xenstore.client import XenstoreClient
from pvdrivers.xenstore.errors import XenstoreError
from pvdrivers.xenstore.operations import Ask
from pvdrivers.xenstore.store import XenStore

CONFIG = DeviceConfig("vtest", 7, frontend_domid=1, backend_keys={"params": "x"})


class Back(BackendDevice):
    """Writes down what it is asked to do; `fault` is raised from the next connect."""

    def __init__(self, client: XenstoreClient, path: str) -> None:
        super().__init__(client, path)
        self.calls: list[str] = []
        self.fault: Exception | None = None
        self.may_connect = True

    async def offer(self) -> None:
        self.calls.append("offer")
        await self.write_keys({"limit": "3"})

    async def ready(self) -> bool:
        return self.may_connect

    async def connect(self) -> None:
        self.calls.append("connect")
        if self.fault:
            raise self.fault

    async def update_size(self) -> None:
        self.calls.append("update_size")
        await self.write_keys({"size": "9", "state": str(int(self.state))})

    async def disconnect(self) -> None:
        self.calls.append("disconnect")

    async def removed(self) -> None:
        self.calls.append("removed")


class Front(FrontendDevice):
    def __init__(self, client: XenstoreClient, path: str) -> None:
        super().__init__(client, path)
        self.calls: list[str] = []
        self.hold_drain = False
        self.fault: Exception | None = None
        self.seen_limit: str | None = None

    async def connect(self) -> None:
        self.calls.append("connect")
        if self.fault:
            raise self.fault
        self.seen_limit = (await self.read_peer_keys(["limit", "absent"])).get("limit")

    async def attach(self) -> None:
        self.calls.append("attach")

    async def drain(self) -> None:
        self.calls.append("drain")
        if not self.hold_drain:
            self.drained()

    async def disconnect(self) -> None:
        self.calls.append("disconnect")


class House:
    """A store, a toolstack, and both ends of one device."""

    def __init__(self, store: XenStore, config: DeviceConfig = CONFIG) -> None:
        self.config = config
        self.store = store
        self.toolstack = XenstoreClient.in_process(store, 0)
        self.back_client = XenstoreClient.in_process(store, 0)
        self.front_client = XenstoreClient.in_process(store, config.frontend_domid)
        self.back = Back(self.back_client, config.backend_path)
        self.front = Front(self.front_client, config.frontend_path)

    async def connect(self) -> None:
        await add_device(self.toolstack, self.config)
        self.back.start()
        self.front.start()
        await self.front.wait_for(XenbusState.CONNECTED)
        await self.back.wait_for(XenbusState.CONNECTED)

    async def new_back(self) -> Back:
        self.back = Back(self.back_client, self.config.backend_path)
        self.back.start()
        return self.back

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0)

    async def state(self, path: str) -> str:
        return await self.toolstack.read_str(f"{path}/state")


def run(body: Callable[[House], Awaitable[None]], config: DeviceConfig = CONFIG) -> None:
    async def main() -> None:
        house = House(XenStore(), config)
        async with asyncio.timeout(60):
            await house.toolstack.mkdir("/local/domain/1")
            await house.toolstack.set_permissions("/local/domain/1", ["n1"])
            await body(house)
            for device in (house.front, house.back):
                await device.abort()

    asyncio.run(main())


def test_connects_and_the_front_sees_the_offer() -> None:
    async def body(house: House) -> None:
        await house.connect()
        assert house.front.seen_limit == "3"
        assert house.back.calls == ["offer", "connect"]
        assert house.front.calls[:2] == ["connect", "attach"]
        assert await house.state(CONFIG.frontend_path) == "4"
        assert "connected" in house.back.describe()

    run(body)


def test_a_connected_end_looks_again_when_a_watched_key_changes() -> None:
    class Watching(Back):
        own_watches = ("state", "online", "rate")
        peer_watches = ("state", "request")

        async def reread(self) -> None:
            keys = await self.read_peer_keys(["request"])
            rate = await self.client.read_optional(f"{self.path}/rate")
            self.calls.append(f"{rate} {keys.get('request')}")

    async def body(house: House) -> None:
        house.back = Watching(house.back_client, CONFIG.backend_path)
        await house.connect()
        await house.toolstack.write(f"{CONFIG.backend_path}/rate", "5")
        await house.until(lambda: house.back.calls[-1] == "5 None")
        await house.front_client.write(f"{CONFIG.frontend_path}/request", "1")
        await house.until(lambda: house.back.calls[-1] == "5 1")

    run(body)


def test_orderly_unplug() -> None:
    async def body(house: House) -> None:
        await house.connect()
        assert await unplug_device(house.toolstack, CONFIG)
        await house.until(lambda: house.front.finished and house.back.finished)
        assert house.back.calls[-2:] == ["disconnect", "removed"]
        assert house.front.calls[-2:] == ["drain", "disconnect"]
        for path in (CONFIG.frontend_path, CONFIG.backend_path, CONFIG.private_path):
            assert not await house.toolstack.exists(path)

    run(body)


def test_unplug_waits_for_a_busy_frontend_and_gives_up() -> None:
    async def body(house: House) -> None:
        house.front.hold_drain = True
        await house.connect()
        assert not await unplug_device(house.toolstack, CONFIG, patience=0.05)
        assert await house.state(CONFIG.backend_path) == "5"
        house.front.drained()
        assert await unplug_device(house.toolstack, CONFIG)

    run(body)


def test_forced_removal() -> None:
    async def body(house: House) -> None:
        house.front.hold_drain = True
        await house.connect()
        await destroy_device(house.toolstack, CONFIG)
        await house.until(lambda: house.front.finished and house.back.finished)
        assert house.front.calls[-1] == house.back.calls[-2] == "disconnect"
        # Neither end has written to a directory that was removed.
        assert not await house.toolstack.exists(CONFIG.frontend_path)
        assert not await house.toolstack.exists(CONFIG.backend_path)

    run(body)


def test_unplug_of_a_device_no_frontend_took() -> None:
    async def body(house: House) -> None:
        await add_device(house.toolstack, CONFIG)
        house.back.start()
        await house.back.wait_for(XenbusState.INIT_WAIT)
        assert await unplug_device(house.toolstack, CONFIG)

    run(body)


def test_toolstack_keys_and_permissions() -> None:
    async def body(house: House) -> None:
        await add_device(house.toolstack, CONFIG)
        client = house.toolstack
        for path, entries in (
            (CONFIG.frontend_path, ["n1", "r0"]),
            (CONFIG.backend_path, ["n0", "r1"]),
            (CONFIG.private_path, ["n0", "r1"]),
            (f"{CONFIG.frontend_path}/state", ["n1", "r0"]),
        ):
            assert [str(entry) for entry in await client.get_permissions(path)] == entries
        assert await client.read_str(f"{CONFIG.private_path}/backend") == CONFIG.backend_path
        assert await client.read_str(f"{CONFIG.backend_path}/online") == "1"
        with pytest.raises(XenstoreError, match="EACCES"):
            await house.front_client.write(f"{CONFIG.backend_path}/params", "forged")
        with pytest.raises(FileExistsError):
            await add_device(client, CONFIG)

    run(body)


def test_frontend_closes_and_another_takes_over() -> None:
    async def body(house: House) -> None:
        await house.connect()
        await house.front.close()
        assert await house.state(CONFIG.backend_path) == "6"
        assert house.front.calls[-1] == "disconnect"
        house.front = Front(house.front_client, CONFIG.frontend_path)
        house.front.start()
        await house.front.wait_for(XenbusState.CONNECTED)

    run(body)


@pytest.mark.parametrize("orderly", [True, False])
def test_backend_restart(orderly: bool) -> None:
    async def body(house: House) -> None:
        await house.connect()
        await (house.back.close() if orderly else house.back.abort())
        await (await house.new_back()).wait_for(XenbusState.CONNECTED)
        await house.front.wait_for(XenbusState.CONNECTED)
        assert house.front.calls.count("connect") == 2
        assert house.front.calls.count("disconnect") == 1

    run(body)


def test_resume() -> None:
    async def body(house: House) -> None:
        await house.connect()
        house.front.resume()
        await house.until(lambda: house.front.calls.count("attach") == 2)
        assert house.front.calls.count("disconnect") == house.back.calls.count("disconnect") == 1

    run(body)


def test_guest_reboots_without_a_word() -> None:
    async def body(house: House) -> None:
        await house.connect()
        await house.front.abort()
        house.front = Front(house.front_client, CONFIG.frontend_path)
        house.front.start()
        await house.front.wait_for(XenbusState.CONNECTED)
        assert house.back.calls == ["offer", "connect", "disconnect", "offer", "connect"]

    run(body)


def test_resize_rewrites_the_state() -> None:
    async def body(house: House) -> None:
        await house.connect()
        sizes = await house.front_client.watch(f"{CONFIG.backend_path}/state")
        await anext(sizes)
        house.back.request(Event.RESIZE)
        await anext(sizes)
        assert await house.toolstack.read_str(f"{CONFIG.backend_path}/size") == "9"
        assert await house.state(CONFIG.backend_path) == "4"
        await sizes.close()

    run(body)


def test_connect_waits_until_ready() -> None:
    async def body(house: House) -> None:
        house.back.may_connect = False
        await add_device(house.toolstack, CONFIG)
        house.back.start()
        house.front.start()
        await house.front.wait_for(XenbusState.INITIALISED)
        await house.until(lambda: house.back.peer_state is XenbusState.INITIALISED)
        assert house.back.calls == ["offer"]
        house.back.may_connect = True
        await house.toolstack.write(f"{CONFIG.backend_path}/state", "2")
        await house.front.wait_for(XenbusState.CONNECTED)

    run(body)


@pytest.mark.parametrize("fault", [PeerError("bad ring-ref"), OSError(12, "no memory")])
def test_a_fault_costs_the_device_and_nothing_else(fault: Exception) -> None:
    other = DeviceConfig("vtest", 8, frontend_domid=1)

    async def body(house: House) -> None:
        healthy = House.__new__(House)
        healthy.__dict__.update(house.__dict__)
        healthy.config = other
        healthy.back = Back(house.back_client, other.backend_path)
        healthy.front = Front(house.front_client, other.frontend_path)
        await healthy.connect()
        house.back.fault = fault
        await add_device(house.toolstack, CONFIG)
        house.back.start()
        house.front.start()
        await house.until(lambda: house.front.state is house.back.state is XenbusState.CLOSED)
        node = "/local/domain/0/error/backend/vtest/1/7/error"
        assert str(fault) in await house.toolstack.read_str(node)
        assert house.back.peer_errors == isinstance(fault, PeerError)
        assert house.back.calls == ["offer", "connect"]
        assert not house.back.finished
        assert healthy.back.state is XenbusState.CONNECTED
        # Mended, the frontend may try again.
        house.back.fault = None
        await house.front.abort()
        house.front = Front(house.front_client, CONFIG.frontend_path)
        house.front.start()
        await house.front.wait_for(XenbusState.CONNECTED)
        for device in (healthy.front, healthy.back):
            await device.abort()

    run(body)


def test_an_offer_that_fails_is_made_again_when_the_frontend_starts_again() -> None:
    """And not while it waits: a toolstack writes Initialising long before a guest boots."""

    class Unable(Back):
        async def offer(self) -> None:
            await super().offer()
            if self.calls.count("offer") < 3:
                raise UsageError("there is no such interface")

    async def body(house: House) -> None:
        await add_device(house.toolstack, CONFIG)
        house.back = back = Unable(house.back_client, CONFIG.backend_path)
        back.start()
        for tries, own in ((1, "6"), (2, "6"), (3, "2")):
            while back.calls.count("offer") < tries or await house.state(back.path) != own:  # noqa: ASYNC110
                await asyncio.sleep(0)
            for _ in range(20):
                await house.toolstack.write(f"{back.path}/online", "1")  # it looks again
            assert back.calls.count("offer") == tries
            await house.toolstack.write(f"{CONFIG.frontend_path}/state", "6")
            await house.until(lambda: back.peer_state is XenbusState.CLOSED)
            await house.toolstack.write(f"{CONFIG.frontend_path}/state", "1")

    run(body)


def test_a_state_is_reached_when_its_actions_are_done() -> None:
    async def body(house: House) -> None:
        attached = asyncio.Event()
        house.front.attach = attached.wait  # type: ignore[method-assign, assignment]
        connecting = asyncio.create_task(house.connect())
        await house.until(lambda: house.front.state is XenbusState.CONNECTED)
        late = asyncio.create_task(house.front.wait_for(XenbusState.CONNECTED))
        await asyncio.sleep(0.01)
        assert not late.done()
        attached.set()
        await asyncio.gather(connecting, late)

    run(body)


@pytest.mark.parametrize("end", ["front", "back"])
def test_waiting_for_a_connection_that_fails(end: str) -> None:
    """Whichever end fails, and whether the wait began before that or after."""

    async def body(house: House) -> None:
        getattr(house, end).fault = OSError(12, "no memory for a ring")
        why = "no memory for a ring" if end == "front" else "closed before it was connected"
        with pytest.raises(PeerError, match=why):
            await house.connect()
        with pytest.raises(PeerError, match=why):
            await house.front.wait_for(XenbusState.CONNECTED)
        await house.front.wait_for(XenbusState.CLOSED)
        house.front.fault = None
        if end == "front":
            house.front.resume()  # what failed is over
            await house.front.wait_for(XenbusState.CONNECTED)

    run(body)


def test_xsa_349_350_a_frontend_that_flips_its_state_for_ever() -> None:
    """XSA-349, XSA-350: one look pends at most, connections alternate, and others go on."""

    async def body(house: House) -> None:
        await add_device(house.toolstack, CONFIG)
        house.back.start()
        await house.back.wait_for(XenbusState.INIT_WAIT)
        state = f"{CONFIG.frontend_path}/state"
        for flip in range(2_000):
            await house.front_client.write(state, "36"[flip % 2])
            assert all(watch.pending <= 1 for watch in house.back._watches)
        await house.front_client.write(state, "1")
        house.front.start()
        await house.front.wait_for(XenbusState.CONNECTED)
        held = [call for call in house.back.calls if call.endswith("connect")]
        assert held == (["connect", "disconnect"] * len(held))[: len(held)]
        assert held.count("connect") > 10

    run(body)


@pytest.mark.parametrize("state", ["0", "9", "-4", "", "\x00\xff", "7", "8", "5", "2", "4" * 500])
def test_a_frontend_that_writes_any_state(state: str) -> None:
    async def body(house: House) -> None:
        await house.connect()
        await house.front_client.write(f"{CONFIG.frontend_path}/state", state.encode("latin-1"))
        for _ in range(200):
            await asyncio.sleep(0)
        assert not house.back.finished
        assert await unplug_device(house.toolstack, CONFIG) or state in "2478"

    run(body)


@pytest.mark.parametrize("end", ["close", "fatal"])
def test_loss_of_xenstore_leaves_a_connection_alone(end: str) -> None:
    async def body(house: House) -> None:
        await house.connect()
        house.back_client.close()
        await asyncio.sleep(0.01)
        assert not house.back.finished
        assert house.back.calls == ["offer", "connect"]
        if end == "close":
            await house.back.close()
        else:
            house.back.fatal("the ring is broken")
        await house.until(lambda: house.back.finished)
        assert house.back.calls[-2:] == ["disconnect", "removed"]

    run(body)


def test_loss_of_xenstore_ends_a_device_that_is_not_connected() -> None:
    async def body(house: House) -> None:
        await add_device(house.toolstack, house.config)
        house.back.start()
        await house.back.wait_for(XenbusState.INIT_WAIT)
        house.back_client.close()
        await house.until(lambda: house.back.finished)
        assert house.back.calls[-1] == "removed"

    run(body)


def test_a_bus_whose_xenstore_is_gone_says_so() -> None:
    async def body(house: House) -> None:
        bus = frontend_bus(house.front_client, 1, "vtest", Front)
        bus.start()
        waiting = asyncio.create_task(bus.wait_for("/never"))
        await asyncio.sleep(0)
        house.front_client.close()
        with pytest.raises(ConnectionResetError, match="not watched any more"):
            await waiting

    run(body)


def test_the_end_of_a_bus_need_not_be_asked_for() -> None:
    """asyncio reports a task whose error was never read when the garbage collector finds the task,
    perhaps in the middle of another test."""

    async def body(house: House) -> None:
        complaints: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context["message"]))
        bus = frontend_bus(house.front_client, 1, "vtest", Front)
        bus.start()
        house.front_client.close()
        assert bus.task
        await asyncio.wait({bus.task})
        del bus
        gc.collect()
        assert complaints == []

    run(body)


def test_a_bus_that_was_ended_asks_nothing_more() -> None:
    async def body(house: House) -> None:
        await add_device(house.toolstack, CONFIG)
        bus = backend_bus(house.back_client, 0, "vtest", Back)
        bus.start()
        await (await bus.wait_for(CONFIG.backend_path)).wait_for(XenbusState.INIT_WAIT)
        await bus.abort()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(body)


def test_a_bus_that_was_ended_takes_up_nothing_more() -> None:
    async def body(house: House) -> None:
        bus = backend_bus(house.back_client, 0, "vtest", Back)
        bus.start()
        await bus.abort()
        await add_device(house.toolstack, CONFIG)
        await bus.look()
        await bus.forget(CONFIG.backend_path)
        assert not bus.devices
        house.back_client.close()
        await bus.look()

    run(body)


def test_a_waiter_gets_what_a_probe_raised_and_no_other_device_suffers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = DeviceConfig("vtest", 8, frontend_domid=1)
    probed: list[str] = []

    def probe(client: XenstoreClient, path: str) -> Back:
        probed.append(path)
        if path == CONFIG.backend_path and probed.count(path) == 1:
            raise ZeroDivisionError("a bug")
        return Back(client, path)

    async def body(house: House) -> None:
        await add_device(house.toolstack, CONFIG)
        bus = backend_bus(house.back_client, 0, "vtest", probe)
        bus.start()
        with pytest.raises(ZeroDivisionError, match="a bug"):
            await bus.wait_for(CONFIG.backend_path)
        await house.toolstack.write(f"{CONFIG.backend_path}/params", "y")
        await add_device(house.toolstack, other)
        await bus.wait_for(other.backend_path)
        assert probed == [CONFIG.backend_path, other.backend_path]
        # A new device in its place is probed again.
        await destroy_device(house.toolstack, CONFIG)
        await add_device(house.toolstack, CONFIG)
        await (await bus.wait_for(CONFIG.backend_path)).wait_for(XenbusState.INIT_WAIT)
        await bus.abort()

    run(body)
    assert caplog.text.count("cannot be probed") == 1


class Counted(XenstoreClient):
    """Counts what it asks of the store, and how often it waits for an answer."""

    requests = round_trips = 0

    def _send_in(self, tx_id: int, asked: Sequence[Ask]) -> list[asyncio.Future[bytes]]:
        self.requests += len(asked)
        self.round_trips += 1
        return super()._send_in(tx_id, asked)


def test_a_new_device_costs_one_look_however_many_keys_it_has() -> None:
    """While it is probed too: a bus that reads again for each key falls behind its watch."""
    keys = {f"key-{number}": "x" for number in range(50)}
    configs = [DeviceConfig("vtest", n, 1, backend_keys=keys) for n in range(40)]

    async def body(house: House) -> None:
        may_end = asyncio.Event()
        probed: list[str] = []

        async def probe(client: XenstoreClient, path: str) -> None:
            probed.append(path)
            await may_end.wait()

        store = house.store
        client = Counted.in_process(store)
        bus = backend_bus(client, 0, "vtest", probe)
        bus.start()
        await house.until(lambda: client.requests == 2)  # the watch, and the names below it
        for config in configs:
            await add_device(house.toolstack, config)
        await house.until(lambda: len(probed) == len(configs))
        assert client.requests == 2 + 2 * len(configs)  # state and online
        await bus.abort()

        # All that are there when a bus begins: the watch, the names on two levels, and one look.
        client = Counted.in_process(store)
        bus = backend_bus(client, 0, "vtest", probe)
        bus.start()
        await house.until(lambda: len(probed) == 2 * len(configs))
        assert client.requests == 3 + 2 * len(configs)
        assert client.round_trips == 3 + 1
        await bus.abort()

    run(body)


def test_buses_find_devices_and_forget_them() -> None:
    configs = [DeviceConfig("vtest", number, frontend_domid=1) for number in range(4)]

    async def body(house: House) -> None:
        await add_device(house.toolstack, configs[0])
        backs = backend_bus(house.back_client, 0, "vtest", Back)
        fronts = frontend_bus(house.front_client, 1, "vtest", Front)
        backs.start()
        fronts.start()
        for config in configs[1:]:
            await add_device(house.toolstack, config)
        for config in configs:
            front = await fronts.wait_for(config.frontend_path)
            await front.wait_for(XenbusState.CONNECTED)
        for config in configs[:2]:
            assert await unplug_device(house.toolstack, config)
        await house.until(lambda: len(backs.devices) == len(fronts.devices) == 2)
        # The same place may be taken again.
        await add_device(house.toolstack, configs[0])
        await (await fronts.wait_for(configs[0].frontend_path)).wait_for(XenbusState.CONNECTED)
        await fronts.close()
        await backs.abort()
        assert all(device.finished for device in [*backs.devices.values()])

    run(body)
