"""The SCSI frontend against a backend that lies, on the ring or in xenstore: its device fails, with
each command ended as honestly as can be, and no other device notices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from pvdrivers._core import ffi, lib
from pvdrivers.backends.device import DeviceContext, QueueContext
from pvdrivers.backends.python_queue import GrantedRing, Request
from pvdrivers.backends.targets.command import Nexus
from pvdrivers.ring.errors import PeerError
from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.scsi.result import HostByte
from pvdrivers.sim import Machine
from pvdrivers.sim.loop import DeterministicLoop
from pvdrivers.testing.scsi.byte_unit import TEST_UNIT_READY, WRITE, ByteUnit, cdb
from pvdrivers.testing.scsi.emulated import Behaviour, EmulatedBackend, EmulatedQueue
from pvdrivers.testing.scsi.pair import ScsiPair
from pvdrivers.xenbus.states import XenbusState

FIRST = ScsiAddress(0, 0, 0, 0)
SLOTS = 16
Lie = Callable[
    [Any], int
]  # changes a `struct pv_vscsiif_response *`; how often it is written, 0: as
# often as the ring has slots


class LyingQueue(EmulatedQueue):
    """Lies once, and answers nothing else."""

    lie: Lie
    _overruns = False

    def answer(self, request: Request, response: bytes) -> None:
        decoded = ffi.new("struct pv_vscsiif_response *")
        lib.pv_vscsiif_decode_response(response, decoded)
        times = self.lie(decoded)
        slot = ffi.new("uint8_t[]", len(response))
        lib.pv_vscsiif_encode_response(decoded, slot)
        for _ in range(times - 1):
            self._ring.add_response(bytes(slot))
        super().answer(request, bytes(slot))
        self._overruns = times == 0
        self.forget()

    def _publish(self) -> None:
        super()._publish()
        if self._overruns:
            ffi.cast("struct pv_sring *", self._pages.address).rsp_prod = SLOTS


def lying(lie: Lie, behaviour: Behaviour) -> Callable[..., EmulatedBackend]:
    class Queue(LyingQueue):
        pass

    Queue.lie = staticmethod(lie)

    class Liar(EmulatedBackend):
        def open_queue(self, ring: GrantedRing, context: QueueContext) -> EmulatedQueue:
            return Queue(ring, context, self._units, Nexus("guest"), self.behaviour)

    def make(context: DeviceContext, units: Any) -> Liar:
        return Liar(context, units, behaviour)

    return make


def check_broken(lie: Lie, message: str) -> None:
    """Commands are on the ring and wait for it when the backend tells the lie."""
    behaviour = Behaviour(holds=lambda cdb: cdb[0] == WRITE)

    async def main() -> None:
        ends = dom0.hypervisor, guest.hypervisor
        good = ScsiPair(*ends, {"unit": ByteUnit()}, devid=1)
        units = {"unit": ByteUnit()}
        bad = ScsiPair(*ends, units, xenstore=good.xenstore, backend=lying(lie, behaviour))
        async with asyncio.timeout(1000), good, bad:
            front = bad.frontend
            taken = [front.submit(FIRST, cdb(WRITE, n), b"x") for n in range(SLOTS - 2)]
            answered = front.submit(FIRST, cdb(TEST_UNIT_READY))
            waiting = front.submit(FIRST, cdb(WRITE, 99), b"x")
            await asyncio.gather(*(issued.done for issued in (*taken, answered, waiting)))
            assert {issued.result.host for issued in taken} == {HostByte.RESET}
            assert answered.result.host in (HostByte.OK, HostByte.RESET)
            assert waiting.result.host in (HostByte.NO_CONNECT, HostByte.RESET)  # as far as it came
            await front.wait_for(XenbusState.CLOSING, XenbusState.CLOSED)
            assert (front.peer_errors, front.broken_rings, front.luns) == (1, 1, [])
            assert message in (front.last_error or "")
            later = await front.execute(FIRST, cdb(TEST_UNIT_READY))
            assert later.host == HostByte.NO_CONNECT
            assert (await good.frontend.execute(FIRST, cdb(TEST_UNIT_READY))).good

    with Machine(virtual_time=True) as machine:
        dom0 = machine.create_domain(privileged=True)
        guest = machine.create_domain()
        with asyncio.Runner(loop_factory=lambda: DeterministicLoop(1, machine)) as runner:
            runner.run(main())


def test_rqid_beyond_the_ring() -> None:
    def lie(response: Any) -> int:
        response.rqid = 0xFFFF
        return 1

    check_broken(lie, "bad rqid")


def test_rqid_of_no_request() -> None:
    def lie(response: Any) -> int:
        response.rqid = SLOTS - 1  # the slot that ABORT and RESET have to themselves
        return 1

    check_broken(lie, "idle rqid")


def test_answered_twice() -> None:
    check_broken(lambda response: 2, "idle rqid")


def test_sense_that_is_longer_than_its_buffer() -> None:
    def lie(response: Any) -> int:
        response.sense_len = 97
        return 1

    check_broken(lie, "sense overflow")


def test_more_answers_than_requests() -> None:
    check_broken(lambda response: 0, "response overflow")


# ---- xenstore --------------------------------------------------------------------------------


def run_by_hand(scenario: Callable[[ScsiPair], Any]) -> None:
    """Without a backend: the scenario writes what one would."""

    async def main() -> None:
        units = {"unit": ByteUnit()}
        pair = ScsiPair(dom0.hypervisor, guest.hypervisor, units, connect=False)
        async with asyncio.timeout(1000), pair:
            pair.frontend.start()
            await pair.frontend.wait_for(XenbusState.INITIALISED)
            await scenario(pair)

    with Machine(virtual_time=True) as machine:
        dom0 = machine.create_domain(privileged=True)
        guest = machine.create_domain()
        with asyncio.Runner(loop_factory=lambda: DeterministicLoop(1, machine)) as runner:
            runner.run(main())


async def write(pair: ScsiPair, **keys: str) -> None:
    for key, value in keys.items():
        path = f"{pair.config.backend_path}/{key.replace('__', '/').replace('_', '-')}"
        await pair.toolstack.write(path, value)


@pytest.mark.parametrize("value", ["", "x", "-1", "65536", "9" * 30, "0x80"])
def test_a_garbled_number_of_segments(value: str) -> None:
    async def scenario(pair: ScsiPair) -> None:
        await write(pair, feature_sg_grant=value, state="4")
        with pytest.raises(PeerError, match="feature-sg-grant"):
            await pair.frontend.wait_for(XenbusState.CONNECTED)

    run_by_hand(scenario)


def test_more_segments_than_a_frontend_wants() -> None:
    async def scenario(pair: ScsiPair) -> None:
        await write(pair, feature_sg_grant="65535", state="4")
        await pair.frontend.connected()
        assert pair.frontend.queues[0].max_length == 128 * 4096

    run_by_hand(scenario)


@pytest.mark.parametrize("state", ["", "9", "x", "3 3", "-3"])
def test_a_lun_with_a_garbled_state(state: str) -> None:
    async def scenario(pair: ScsiPair) -> None:
        await write(pair, vscsi_devs__dev_0__state=state, state="4")
        assert await pair.frontend.connected() == []

    run_by_hand(scenario)


def test_no_directory_of_luns() -> None:
    async def scenario(pair: ScsiPair) -> None:
        await pair.toolstack.remove(f"{pair.config.backend_path}/vscsi-devs")
        await write(pair, state="4")
        assert await pair.frontend.connected() == []

    run_by_hand(scenario)


def test_many_luns() -> None:
    """A guest's quota in xenstore has no room for twice as many."""

    async def scenario(pair: ScsiPair) -> None:
        for number in range(250):
            path = f"{pair.config.backend_path}/vscsi-devs/dev-{number}"
            await pair.toolstack.write(f"{path}/v-dev", f"0:0:{number}:0")
            await pair.toolstack.write(f"{path}/state", "3")
        await write(pair, state="4")
        assert len(await pair.frontend.connected()) == 250
        last = f"{pair.config.frontend_path}/vscsi-devs/dev-249/state"
        assert await pair.toolstack.read(last) == b"4"

    run_by_hand(scenario)
