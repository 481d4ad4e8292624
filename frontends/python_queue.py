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
        """Takes the answer, a private copy of its slot. PeerError: no sound backend sends it."""

    @abstractmethod
    def fail(self, error: OSError) -> None:
        """There will be no answer."""

    @abstractmethod
    def revoke(self) -> None:
        """Ends what `encode` has granted; called before `finish`, before `fail`, and before it is
        issued again."""


class PythonQueue:
    """Owns the ring's page, its grant and the port, until `disconnect`."""

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
        self._pages = hypervisor.allocate_pages(1)
        self._ring = FrontRing.create(self._pages.view, slot_size)
        self._refs = hypervisor.grant_pages(backend, self._pages)
        self.port = channels.bind_unbound_port(backend)
        self._issued: dict[int, Request] = {}
        self._waiting: deque[Request] = deque()  # for room on the ring
        self._free = list(range(self._ring.nr_ents))  # ids
        self._counters = dict.fromkeys(("requests", "responses", "notifications_sent"), 0)

    @property
    def keys(self) -> QueueKeys:
        """What the backend has to know of it."""
        return QueueKeys(tuple(self._refs), self.port)

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
            request.revoke()
            request.finish(response)
            self._free.append(number)
        if self._waiting:
            self.issue()
        return len(responses)

    def arm(self) -> bool:
        return self._ring.final_check()

    def disconnect(self) -> None:
        self._channels.unbind(self.port)
        try:
            for ref in self._refs:
                self._hypervisor.end_access(ref)
        except HypervisorError:
            return  # the backend may still write to the page: it is lost (XSA-396)
        self._hypervisor.free_pages(self._pages)

    def requeue(self, successor: "PythonQueue") -> int:
        requests = self._take_all()
        successor.issue(*requests)
        return len(requests)

    def give_up(self) -> None:
        for request in self._take_all():
            request.fail(OSError(errno.EIO, os.strerror(errno.EIO)))

    def close(self) -> None:
        """Nothing is left to free."""

    def _take_all(self) -> list[Request]:
        for request in self._issued.values():
            request.revoke()
        requests = [*self._issued.values(), *self._waiting]
        self._issued.clear()
        self._waiting.clear()
        return requests
