"""The in-flight log as a backend written in Python uses it."""

import errno
from typing import Any

from pvdrivers._core import ffi, lib

SLOTS, SLOT_SIZE = 16, 24


class Ring:
    """A page with a ring on it, and a log."""

    def __init__(self) -> None:
        self.page = ffi.new("uint8_t[4096]")
        self.sring = ffi.cast("struct pv_sring *", self.page)
        lib.pv_sring_init(self.sring)
        self.front = ffi.new("struct pv_front_ring *")
        area = 64 + SLOTS * SLOT_SIZE
        lib.pv_front_ring_attach(self.front, self.sring, area, SLOT_SIZE, 0)
        size = lib.pv_inflight_size(SLOTS, SLOT_SIZE)
        self._memory = ffi.new("uint8_t[]", size + lib.PV_INFLIGHT_ALIGNMENT)
        address = int(ffi.cast("uintptr_t", self._memory))
        aligned = -address % lib.PV_INFLIGHT_ALIGNMENT
        self.log = ffi.cast("struct pv_inflight_log *", self._memory + aligned)
        self.identity = ffi.new(
            "struct pv_inflight_identity *",
            {"frontend": 7, "remote_port": 3, "ring_pages": 1, "ring_refs": [42]},
        )

    def put(self, request: bytes) -> None:
        slot = lib.pv_front_request_slot(self.front, self.front.req_prod_pvt)
        ffi.buffer(slot, SLOT_SIZE)[: len(request)] = request
        self.front.req_prod_pvt += 1
        lib.pv_front_push_requests(self.front)


class Back:
    """A backend that answers what it is told to."""

    def __init__(self, ring: Ring) -> None:
        self._log = ring.log
        self._ring = ffi.new("struct pv_back_ring *")
        area = 64 + SLOTS * SLOT_SIZE
        lib.pv_back_ring_attach(self._ring, ring.sring, area, SLOT_SIZE, ring.sring.rsp_prod)
        self.resumed = lib.pv_inflight_attach(self._log, ring.identity, self._ring)

    def again(self) -> list[bytes]:
        """What an earlier backend has left, in the ring's order."""
        requests, number = [], -1
        while (number := lib.pv_inflight_next(self._log, self._ring, number)) >= 0:
            requests.append(self._request(self._entry(number)))
        return requests

    def take(self, number: int) -> bytes:
        entry = self._entry(number)
        lib.pv_back_copy_request(self._ring, self._ring.req_cons, entry.slot, SLOT_SIZE)
        lib.pv_inflight_take(self._log, entry, self._ring)
        return self._request(entry)

    def answer(self, number: int) -> None:
        lib.pv_inflight_answer(self._entry(number), self._ring.rsp_prod_pvt)
        self._ring.rsp_prod_pvt += 1
        lib.pv_back_push_responses(self._ring)
        lib.pv_inflight_forget(self._entry(number))

    def _entry(self, number: int) -> Any:
        return lib.pv_inflight_entry(self._log, self._ring, number)

    def _request(self, entry: Any) -> bytes:
        return bytes(ffi.buffer(entry.slot, SLOT_SIZE)).rstrip(b"\0")


def test_next_backend_gets_what_the_first_has_not_answered() -> None:
    ring = Ring()
    for request in (b"one", b"two", b"three", b"four"):
        ring.put(request)
    first = Back(ring)
    assert first.resumed == 0
    assert [first.take(number) for number in (3, 1, 2)] == [b"one", b"two", b"three"]
    first.answer(1)
    second = Back(ring)
    assert second.resumed == 2
    assert second.again() == [b"one", b"three"]
    assert second.take(0) == b"four"


def test_log_of_another_connection_is_refused() -> None:
    ring = Ring()
    Back(ring)
    ring.identity.ring_refs[0] = 43
    assert Back(ring).resumed == -errno.ESTALE
