"""The two halves of a shared ring, for drivers written in Python.

`FrontRing` produces requests and consumes responses, `BackRing` the reverse; the names mirror each
other. Both are thin: indices, barriers and the notification decision are those of
`pvdrivers/ring.h`, and the private indices have ring.h's names. A slot is copied once out of the
shared page before anything in it is looked at (XSA-155), so consuming returns `bytes`.
"""

from typing import Any, Self

from pvdrivers._core import ffi, lib
from pvdrivers.ring.errors import PeerError, UsageError
from pvdrivers.ring.shared import Area, pin


class _Half:
    """What both halves have in common: the C struct and the memory it stands on."""

    _ring: Any

    def __init__(self, kind: str, area: Area, slot_size: int) -> None:
        if slot_size <= 0:
            raise UsageError(f"a slot of {slot_size} bytes")
        self._area, start = pin(area, "uint8_t *")
        if not lib.pv_ring_entries(len(self._area), slot_size):
            raise UsageError(f"{len(self._area)} bytes hold no slot of {slot_size} bytes")
        if int(ffi.cast("uintptr_t", start)) % ffi.alignof("struct pv_sring"):
            raise UsageError("a shared ring starts at a page, this memory is not even aligned to 4")
        self._sring = ffi.cast("struct pv_sring *", start)
        self._ring = ffi.new(kind)
        self._copy = ffi.new("uint8_t[]", slot_size)

    @property
    def cdata(self) -> Any:
        """The C struct, for what C offers beside this."""
        return self._ring

    @property
    def nr_ents(self) -> int:
        """Slots, a power of two."""
        return int(self._ring.nr_ents)

    @property
    def slot_size(self) -> int:
        """Bytes of a slot."""
        return int(self._ring.slot_size)

    def _slot(self, pointer: Any) -> memoryview:
        return memoryview(ffi.buffer(pointer, self.slot_size)).cast("B")

    def _fill(self, slot: memoryview, data: bytes) -> None:
        if len(data) > self.slot_size:
            raise UsageError(f"{len(data)} bytes into a slot of {self.slot_size}")
        slot[: len(data)] = data
        slot[len(data) :] = bytes(self.slot_size - len(data))

    def _describe(self, *private: str) -> str:
        own = " ".join(f"{name}={getattr(self._ring, name)}" for name in private)
        shared = " ".join(
            f"{name}={getattr(self._sring, name)}"
            for name in ("req_prod", "req_event", "rsp_prod", "rsp_event")
        )
        return f"<{type(self).__name__} {self.nr_ents} x {self.slot_size} B, {own}; {shared}>"


class FrontRing(_Half):
    """The frontend's half. Attaches at `index`, 0 for a ring that is new."""

    def __init__(self, area: Area, slot_size: int, index: int = 0) -> None:
        super().__init__("struct pv_front_ring *", area, slot_size)
        lib.pv_front_ring_attach(self._ring, self._sring, len(self._area), slot_size, index)

    @classmethod
    def create(cls, area: Area, slot_size: int) -> Self:
        """Initialises the shared header first, before the backend may see the memory."""
        front = cls(area, slot_size)
        lib.pv_sring_init(front._sring)
        return front

    @property
    def req_prod_pvt(self) -> int:
        """Requests written, published or not; runs freely through 2^32."""
        return int(self._ring.req_prod_pvt)

    @property
    def rsp_cons(self) -> int:
        """Responses taken."""
        return int(self._ring.rsp_cons)

    @property
    def free_requests(self) -> int:
        """Slots that can take a request now."""
        return int(lib.pv_front_free_requests(self._ring))

    def request_slot(self, index: int) -> memoryview:
        """The shared slot of a request that is not published yet."""
        return self._slot(lib.pv_front_request_slot(self._ring, index))

    def add_request(self, data: bytes) -> int:
        """Writes the next request, the slot's rest as zeros, and returns its index.

        The backend sees it after `push_requests`. Raises UsageError when the ring is full.
        """
        if not self.free_requests:
            raise UsageError("the ring is full")
        index = self.req_prod_pvt
        self._fill(self.request_slot(index), data)
        self._ring.req_prod_pvt = index + 1 & 0xFFFFFFFF
        return index

    def push_requests(self) -> bool:
        """Publishes what was added; true when the backend must be notified."""
        return bool(lib.pv_front_push_requests(self._ring))

    def unconsumed_responses(self) -> int:
        """Responses ready to take. Raises PeerError when the backend overran the ring."""
        ready = lib.pv_front_unconsumed_responses(self._ring)
        if ready < 0:
            raise PeerError(f"the backend published responses to no request: {self!r}")
        return int(ready)

    def copy_response(self, index: int) -> bytes:
        """A private copy of one slot."""
        lib.pv_front_copy_response(self._ring, index, self._copy, self.slot_size)
        return bytes(ffi.buffer(self._copy))

    def take_responses(self, limit: int | None = None) -> list[bytes]:
        """Consumes the responses that are ready, at most `limit`.

        Raises PeerError as `unconsumed_responses` does.
        """
        first, count = self.rsp_cons, self.unconsumed_responses()
        if limit is not None:
            count = min(count, limit)
        self._ring.rsp_cons = first + count & 0xFFFFFFFF
        return [self.copy_response(first + i & 0xFFFFFFFF) for i in range(count)]

    def final_check(self) -> bool:
        """Before sleeping: true when there is something to take after all.

        When false, the backend has been asked to notify at its next response.
        """
        return bool(lib.pv_front_final_check(self._ring))

    def __repr__(self) -> str:
        return self._describe("req_prod_pvt", "rsp_cons")


class BackRing(_Half):
    """The backend's half. Attaches at `index`, or where the shared page says responses stand.

    A backend that is restarted under a living frontend attaches at the shared rsp_prod: requests
    behind it were never answered and are taken again.
    """

    def __init__(self, area: Area, slot_size: int, index: int | None = None) -> None:
        super().__init__("struct pv_back_ring *", area, slot_size)
        if index is None:
            index = self._sring.rsp_prod
        lib.pv_back_ring_attach(self._ring, self._sring, len(self._area), slot_size, index)

    @property
    def rsp_prod_pvt(self) -> int:
        """Responses written, published or not; runs freely through 2^32."""
        return int(self._ring.rsp_prod_pvt)

    @property
    def req_cons(self) -> int:
        """Requests taken."""
        return int(self._ring.req_cons)

    @property
    def unanswered(self) -> int:
        """Requests taken and not answered yet."""
        return self.req_cons - self.rsp_prod_pvt & 0xFFFFFFFF

    def unconsumed_requests(self) -> int:
        """Requests ready to take. Raises PeerError when the frontend overran the ring."""
        ready = lib.pv_back_unconsumed_requests(self._ring)
        if ready < 0:
            raise PeerError(f"the frontend published more requests than there are slots: {self!r}")
        return int(ready)

    def copy_request(self, index: int) -> bytes:
        """A private copy of one slot."""
        lib.pv_back_copy_request(self._ring, index, self._copy, self.slot_size)
        return bytes(ffi.buffer(self._copy))

    def take_requests(self, limit: int | None = None) -> list[bytes]:
        """Consumes the requests that are ready, at most `limit`.

        Raises PeerError as `unconsumed_requests` does.
        """
        first, count = self.req_cons, self.unconsumed_requests()
        if limit is not None:
            count = min(count, limit)
        self._ring.req_cons = first + count & 0xFFFFFFFF
        return [self.copy_request(first + i & 0xFFFFFFFF) for i in range(count)]

    def response_slot(self, index: int) -> memoryview:
        """The shared slot of a response that is not published yet."""
        return self._slot(lib.pv_back_response_slot(self._ring, index))

    def add_response(self, data: bytes) -> int:
        """Writes the next response, the slot's rest as zeros, and returns its index.

        The frontend sees it after `push_responses`. Raises UsageError when no request is
        unanswered.
        """
        if not self.unanswered:
            raise UsageError("a response to no request")
        index = self.rsp_prod_pvt
        self._fill(self.response_slot(index), data)
        self._ring.rsp_prod_pvt = index + 1 & 0xFFFFFFFF
        return index

    def push_responses(self) -> bool:
        """Publishes what was added; true when the frontend must be notified."""
        return bool(lib.pv_back_push_responses(self._ring))

    def final_check(self) -> bool:
        """Before sleeping: true when there is something to take after all.

        When false, the frontend has been asked to notify at its next request.
        """
        return bool(lib.pv_back_final_check(self._ring))

    def __repr__(self) -> str:
        return self._describe("rsp_prod_pvt", "req_cons")
