"""A frontend's queue written in Python, against a backend that keeps to nothing."""

import errno
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from pvdrivers.frontends.python_queue import DataPage, PythonQueue, Request
from pvdrivers.hypervisor import HypervisorError
from pvdrivers.ring.errors import PeerError
from pvdrivers.ring.rings import BackRing
from pvdrivers.sim import Machine

SLOT = 16


class Ask(Request):
    """Its slot and its answer begin with its id; an answer that goes on with `bad` is unsound."""

    def __init__(self, page: DataPage) -> None:
        self.page, self.done = page, ""

    def encode(self, number: int, backend: int) -> bytes:
        self.ref = self.page.grant(backend)
        return bytes([number])

    def revoke(self) -> None:
        self.page.revoke()

    def finish(self, response: bytes) -> None:
        if response[1:].startswith(b"bad"):
            raise PeerError("no correct backend sends it")
        self.done = "answered"
        self.page.free()

    def fail(self, error: OSError) -> None:
        self.done = errno.errorcode[error.errno or 0]
        self.page.free()


class Bench(SimpleNamespace):
    """A guest's queue, and the backend's end of its ring."""

    def ask(self) -> Ask:
        request = Ask(DataPage(self.guest))
        self.queue.issue(request)
        return request

    def answer(self, text: bytes = b"") -> None:
        """Answers the oldest request."""
        (slot,) = self.back.take_requests(1)
        self.back.add_response(slot[:1] + text)
        self.back.push_responses()


@pytest.fixture
def bench() -> Iterator[Bench]:
    with ExitStack() as stack:
        machine = stack.enter_context(Machine())
        dom0 = machine.create_domain(privileged=True).hypervisor
        guest = machine.create_domain().hypervisor
        channels = guest.open_event_channels()
        stack.callback(channels.close)
        queue = PythonQueue(guest, channels, dom0.domid, SLOT, lambda response: response[0])
        ring = dom0.map_grants(guest.domid, list(queue.keys.ring_refs))
        back = BackRing(ring.view, SLOT)
        yield Bench(guest=guest, dom0=dom0, channels=channels, queue=queue, back=back)


def test_a_request_whose_answer_is_wrong_fails(bench: Bench) -> None:
    """Somebody waits for it. So do those behind it, which fail with the device."""
    first, second = bench.ask(), bench.ask()
    bench.answer(b"bad")
    bench.answer()
    with pytest.raises(PeerError, match="no correct backend"):
        bench.queue.poll(256)
    assert (first.done, second.done) == ("EIO", "")
    bench.queue.give_up()
    assert (first.done, second.done) == ("EIO", "EIO")
    assert bench.queue.outstanding == 0


def test_a_page_that_the_backend_still_uses_is_lost_and_nothing_else(bench: Bench) -> None:
    """XSA-396: it must be neither freed nor granted again."""
    kept, other = bench.ask(), bench.ask()
    bench.dom0.map_grants(bench.guest.domid, [kept.ref])
    bench.answer()
    bench.answer()
    assert bench.queue.poll(256) == 2
    assert (kept.done, other.done) == ("answered", "answered")
    with pytest.raises(HypervisorError, match="still in use"):
        kept.page.grant(bench.dom0.domid)


def test_one_that_cannot_be_made_leaves_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that finds no port tries again, and again."""

    def no_port(backend: int) -> int:
        raise HypervisorError(errno.ENOSPC, "no port is left")

    def room() -> int:
        page = DataPage(bench.guest)
        try:
            return page.grant(bench.dom0.domid)
        finally:
            page.revoke()
            page.free()

    before = room()
    monkeypatch.setattr(bench.channels, "bind_unbound_port", no_port)
    with pytest.raises(HypervisorError, match="no port"):
        PythonQueue(bench.guest, bench.channels, bench.dom0.domid, SLOT, lambda response: 0)
    assert room() == before, "its grant is free again"
