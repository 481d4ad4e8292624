"""A frontend's queue written in Python: one ring of this guest's pages, its event channel, and the
requests that wait for an answer.

For device classes without a data plane in C. A class says what a request is (`Request`) and where
its responses carry the request's id; `PythonQueue` is a `Queue` of `pvdrivers.frontends.device`.
"""

import errno
import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress

from pvdrivers.hypervisor import EventChannels, Hypervisor, HypervisorError
from pvdrivers.ring.errors import PeerError
from pvdrivers.ring.rings import FrontRing
from pvdrivers.xenbus.keys import QueueKeys


class Request(ABC):
    """One request. It may be issued more than once: again to the backend of a later connection."""

    @abstractmethod
    def encode(self, number: int, backend: int) -> bytes:
        """The slot of the request with this id. Grants the backend, by its domid, what it needs.
        OSError: it cannot be issued, and fails."""

    @abstractmethod
    def finish(self, response: bytes) -> None:
        """Takes the answer, a private copy of its slot. PeerError: no correct backend sends it;
        `fail` is called then."""

    @abstractmethod
    def fail(self, error: OSError) -> None:
        """There will be no answer."""

    @abstractmethod
    def revoke(self) -> None:
        """Ends what `encode` has granted; called before `finish`, before `fail`, and before it is
        issued again. The backend may still use it: see `DataPage`."""


class DataPage:
    """A page of this guest's memory for a request's data."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        """OSError: no page is left."""
        self._hypervisor = hypervisor
        self._pages = hypervisor.allocate_pages(1)
        self._ref: int | None = None

    @property
    def view(self) -> memoryview:
        return self._pages.view

    def grant(self, backend: int, readonly: bool = False) -> int:
        """The gref for a backend, by its domid. OSError: no grant is left, or the page is lost."""
        if self._ref is not None:
            raise HypervisorError(errno.EBUSY, f"gref {self._ref} is still in use")
        self._ref = self._hypervisor.grant_access(backend, self._pages.address, readonly)
        return self._ref

    def revoke(self) -> None:
        """Ends the grant. The page of a backend that still uses it is lost (XSA-396)."""
        if self._ref is None:
            return
        with suppress(HypervisorError):
            self._hypervisor.end_access(self._ref)
            self._ref = None

    def free(self) -> None:
        """Gives the page back, unless it is lost."""
        if self._ref is None:
            self._hypervisor.free_pages(self._pages)


class PythonQueue:
    """Owns the ring's page, its grant and the port, until `disconnect`."""

    second_port = 0

    def __init__(
        self,
        hypervisor: Hypervisor,
        channels: EventChannels,
        backend: int,
        slot_size: int,
        number_of: Callable[[bytes], int],
    ) -> None:
        """`backend`: its domid. `number_of`: the id in a response. OSError: no page, grant or port
        is left."""
        self._hypervisor = hypervisor
        self._channels = channels
        self._backend = backend
        self._number_of = number_of
        self._page = DataPage(hypervisor)
        with ExitStack() as undo:
            undo.callback(self._page.free)
            self._ring = FrontRing.create(self._page.view, slot_size)
            self._ref = self._page.grant(backend)
            undo.callback(self._page.revoke)
            self.port = channels.bind_unbound_port(backend)
            undo.pop_all()
        self._issued: dict[int, Request] = {}
        self._waiting: deque[Request] = deque()  # for room on the ring
        self._free = list(range(self._ring.nr_ents))  # ids
        self._counters = dict.fromkeys(("requests", "responses", "notifications_sent"), 0)

    @property
    def keys(self) -> QueueKeys:
        """What the backend has to know of it."""
        return QueueKeys((self._ref,), self.port)

    @property
    def outstanding(self) -> int:
        return len(self._issued) + len(self._waiting)

    def statistics(self) -> dict[str, int]:
        return dict(self._counters)

    def issue(self, *requests: Request) -> None:
        """Puts requests on the ring, as soon as it has room for them."""
        self._waiting.extend(requests)
        while self._waiting and self._free:
            number, request = self._free.pop(), self._waiting.popleft()
            try:
                self._ring.add_request(request.encode(number, self._backend))
            except OSError as error:
                self._free.append(number)
                request.fail(error)
                continue
            self._issued[number] = request
            self._counters["requests"] += 1
        if self._ring.push_requests():
            self._channels.notify(self.port)
            self._counters["notifications_sent"] += 1

    def poll(self, budget: int) -> int:
        responses = self._ring.take_responses(budget)
        for response in responses:
            number = self._number_of(response)
            request = self._issued.pop(number, None)
            if request is None:
                raise PeerError(f"the backend answered request {number}, which does not exist")
            self._counters["responses"] += 1
            self._free.append(number)
            request.revoke()
            try:
                request.finish(response)
            except Exception:
                _fail(request)
                raise
        if self._waiting:
            self.issue()
        return len(responses)

    def arm(self) -> bool:
        return self._ring.final_check()

    def disconnect(self) -> None:
        self._channels.unbind(self.port)
        self._page.revoke()
        self._page.free()

    def requeue(self, successor: "PythonQueue") -> int:
        requests = self._take_all()
        successor.issue(*requests)
        return len(requests)

    def give_up(self) -> None:
        for request in self._take_all():
            _fail(request)

    def close(self) -> None:
        """Nothing is left to free."""

    def _take_all(self) -> list[Request]:
        for request in self._issued.values():
            request.revoke()
        requests = [*self._issued.values(), *self._waiting]
        self._issued.clear()
        self._waiting.clear()
        return requests


def _fail(request: Request) -> None:
    request.fail(OSError(errno.EIO, os.strerror(errno.EIO)))
