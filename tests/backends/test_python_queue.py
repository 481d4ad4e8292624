"""A backend's queue written in Python: each request is answered once, maybe by a successor."""

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from pvdrivers._core import ffi
from pvdrivers.backends.device import QueueContext
from pvdrivers.backends.inflight import LogMemory
from pvdrivers.backends.python_queue import GrantedRing, PythonQueue, Request
from pvdrivers.ring.abi import Abi
from pvdrivers.ring.errors import PeerError
from pvdrivers.ring.rings import FrontRing
from pvdrivers.sim import Machine
from pvdrivers.xenbus.keys import QueueKeys

SLOT = 16


class Echo(PythonQueue):
    """Holds requests back until `release`; answers with what was asked."""

    def __init__(self, ring: GrantedRing, context: QueueContext) -> None:
        super().__init__(ring, context)
        self.held: list[Request] = []

    def begin(self, request: Request) -> None:
        if request.slot.startswith(b"raise"):
            raise ZeroDivisionError
        self.held.append(request)

    def release(self, *order: int) -> None:
        """Answers the held ones at these places."""
        for index in order:
            self.answer(self.held[index], self.held[index].slot)
        self.held = [request for index, request in enumerate(self.held) if index not in order]


class Bench(SimpleNamespace):
    """A guest's ring, and queues on it one after the other, on one log."""

    def queue(self) -> Echo:
        """One that begins where the last was killed, whose handle the kernel has closed."""
        self.handle.close()
        channels = self.handle.enter_context(Closing(self.dom0.hypervisor.open_event_channels()))
        return Echo(self.ring, QueueContext(channels, self.fault_fd, self.log))

    def ask(self, *texts: str) -> None:
        for text in texts:
            self.front.add_request(text.encode())
        self.front.push_requests()

    def answers(self) -> list[str]:
        return [data.rstrip(b"\0").decode() for data in self.front.take_responses()]


class Closing(ExitStack):
    def __init__(self, channels) -> None:
        super().__init__()
        self.callback(channels.close)
        self._channels = channels

    def __enter__(self):
        super().__enter__()
        return self._channels


@pytest.fixture(params=list(Abi), ids=lambda abi: abi.protocol)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with ExitStack() as stack:
        machine = stack.enter_context(Machine())
        dom0 = machine.create_domain(privileged=True)
        guest = machine.create_domain(abi=request.param, memory="8M")
        pages = guest.hypervisor.allocate_pages(1)
        channels = stack.enter_context(Closing(guest.hypervisor.open_event_channels()))
        keys = QueueKeys(
            tuple(guest.hypervisor.grant_pages(dom0.domid, pages)),
            channels.bind_unbound_port(dom0.domid),
        )
        ring = GrantedRing(dom0.hypervisor, guest.domid, request.param, keys, SLOT)
        memory = ffi.new("uint8_t[]", ring.inflight_size + 128)
        start = memory + -int(ffi.cast("uintptr_t", memory)) % 128
        fault_fd = os.eventfd(0, os.EFD_NONBLOCK)
        stack.callback(os.close, fault_fd)
        yield Bench(
            handle=stack.enter_context(ExitStack()),
            dom0=dom0,
            ring=ring,
            log=LogMemory(start, ring.inflight_size),
            memory=memory,
            fault_fd=fault_fd,
            front=FrontRing.create(pages.view, SLOT),
        )


def test_answers_may_overtake_each_other(bench: Bench) -> None:
    queue = bench.queue()
    bench.ask("a", "b", "c")
    assert queue.pump(256, 0) == 3
    queue.release(2, 0)
    queue.pump(256, 0)
    assert bench.answers() == ["c", "a"]
    assert not queue.quiesce(0)
    queue.release(0)
    assert queue.quiesce(0)
    assert bench.answers() == ["b"]
    queue.close()


def test_a_budget_is_kept(bench: Bench) -> None:
    queue = bench.queue()
    bench.ask(*"abcde")
    assert queue.pump(2, 0) == 2
    assert queue.arm()
    assert [request.slot[:1] for request in queue.held] == [b"a", b"b"]


def test_a_successor_begins_again_what_was_not_answered(bench: Bench) -> None:
    first = bench.queue()
    bench.ask(*"abcde")
    first.pump(4, 0)
    first.release(1, 3)
    first.pump(0, 0)  # publishes; the process is killed behind it
    bench.ask("f")
    assert bench.ring.is_resumable(bench.log)
    second = bench.queue()
    second.pump(256, 0)
    assert [request.slot[:1] for request in second.held] == [b"a", b"c", b"e", b"f"]
    second.release(0, 1, 2, 3)
    assert second.quiesce(0)
    assert sorted(bench.answers()) == list("abcdef")
    assert second.statistics()["resumed"] == 2


def test_an_answer_that_was_not_published_is_given_again(bench: Bench) -> None:
    first = bench.queue()
    bench.ask("a", "b")
    first.pump(256, 0)
    first.release(1)  # killed before the pump's end
    assert bench.answers() == []
    second = bench.queue()
    second.pump(256, 0)
    second.release(0, 1)
    second.pump(0, 0)
    assert bench.answers() == ["a", "b"]


def test_without_a_log_only_an_idle_ring_is_taken_up(bench: Bench) -> None:
    none = LogMemory.none(bench.ring.inflight_size)
    assert bench.ring.is_resumable(none)
    bench.ask("a")
    assert not bench.ring.is_resumable(none)


def test_a_log_of_another_connection_is_refused(bench: Bench) -> None:
    bench.queue().pump(256, 0)
    keys = QueueKeys(bench.ring.keys.ring_refs, bench.ring.keys.event_channel + 1)
    bench.ring = GrantedRing(bench.ring.hypervisor, bench.ring.frontend, bench.ring.abi, keys, SLOT)
    assert not bench.ring.is_resumable(bench.log)
    with pytest.raises(PeerError, match="in-flight log"):
        bench.queue()


def test_an_overrun_ring_is_left_alone(bench: Bench) -> None:
    queue = bench.queue()
    bench.front.cdata.sring.req_prod = 100_000
    queue._guard(queue.pump, -1, 256, 0)
    assert isinstance(queue.broken, PeerError)
    assert os.eventfd_read(bench.fault_fd) == 1
    assert queue.statistics()["ring_overruns"] == 1
    assert queue.quiesce(0)  # nothing on it will ever be answered


def test_a_class_that_raises_breaks_its_queue_and_tells(bench: Bench) -> None:
    queue = bench.queue()
    bench.ask("raise")
    queue._guard(queue.pump, -1, 256, 0)
    assert isinstance(queue.broken, ZeroDivisionError)
    assert os.eventfd_read(bench.fault_fd) == 1
    assert queue.statistics()["ring_overruns"] == 0


def test_a_ring_that_was_not_granted(bench: Bench) -> None:
    keys = QueueKeys((0xFFFFF,), bench.ring.keys.event_channel)
    bench.ring = GrantedRing(bench.ring.hypervisor, bench.ring.frontend, bench.ring.abi, keys, SLOT)
    assert not bench.ring.is_resumable(bench.log)
    with pytest.raises(PeerError, match="cannot map ring"):
        bench.queue()


def test_a_frontend_that_counts_on_answers_it_cannot_have_seen(bench: Bench) -> None:
    """More requests than the in-flight log has room for, while answers are not published."""
    queue, size = bench.queue(), bench.front.nr_ents
    bench.ask(*map(str, range(size)))
    assert queue.pump(2 * size, 0) == size
    bench.front.cdata.rsp_cons = 1  # not published yet
    bench.ask("early")
    queue.release(0)
    queue.pump(256, 0)
    assert queue.arm()
    assert queue.pump(256, 0) == 1
    assert len(queue.held) == size


def test_a_frontend_that_claims_larger_pages_than_it_has_is_refused() -> None:
    """Behind what it has granted lies somebody else's memory."""
    with Machine() as machine:
        dom0 = machine.create_domain(privileged=True)
        guest = machine.create_domain(abi=Abi.X86_64)
        pages = guest.hypervisor.allocate_pages(1)
        keys = QueueKeys(tuple(guest.hypervisor.grant_pages(dom0.domid, pages)), 1)
        ring = GrantedRing(dom0.hypervisor, guest.domid, Abi.IA64, keys, SLOT)
        with pytest.raises(PeerError, match="smaller than 16384 bytes"):
            ring.map()
        assert not ring.is_resumable(LogMemory.none(0))
        guest.hypervisor.end_access(keys.ring_refs[0])  # nothing stays mapped


def test_one_that_finds_no_room_leaves_nothing_mapped(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*arguments: int) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(os, "eventfd", no_room)
    with pytest.raises(OSError, match="too many open files"):
        bench.queue()
    accounts = bench.dom0.accounts
    assert accounts["grants_mapped"] == accounts["grants_unmapped"] > 0
