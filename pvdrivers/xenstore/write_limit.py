"""The write rate limit (XSA-206): a domain that has made too many changes is served later."""

import heapq
from collections.abc import Callable

from pvdrivers.xenstore.connection import Connection
from pvdrivers.xenstore.domains import StoreDomain

CLOCK_ROUNDING = 1e-6  # seconds; a wait shorter than this is none


class WriteRateLimit:
    """The credit that domains earn with time, and the connections that wait until their domain's
    is above zero again. dom0 is not limited."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock  # seconds
        self.waiting: list[tuple[float, int, Connection]] = []  # a heap, by when they are due
        self._order = 0  # first come, first served among equals

    def begin(self, domain: StoreDomain) -> None:
        """A new domain may make a burst of changes."""
        domain.credit = float(domain.quotas.get("write-burst"))
        domain.credit_time = self._clock()

    def holds_back(self, connection: Connection) -> bool:
        """Whether the connection has to wait; if so, `take_due` returns it later."""
        if connection.domain.privileged:
            return False
        delay = self._delay(connection.domain)
        if delay:
            self._order += 1
            heapq.heappush(self.waiting, (self._clock() + delay, self._order, connection))
        return delay > 0

    def _delay(self, domain: StoreDomain) -> float:
        """Seconds until the domain's credit is above zero."""
        rate = domain.quotas.get("write-rate")
        if not rate:
            return 0.0
        now = self._clock()
        earned = (now - domain.credit_time) * rate
        domain.credit = min(float(domain.quotas.get("write-burst")), domain.credit + earned)
        domain.credit_time = now
        delay = -domain.credit / rate
        return delay if delay > CLOCK_ROUNDING else 0.0

    def take_due(self) -> list[Connection]:
        """Those that have waited long enough."""
        due = []
        now = self._clock() + CLOCK_ROUNDING
        while self.waiting and self.waiting[0][0] <= now:
            due.append(heapq.heappop(self.waiting)[2])
        return due

    def seconds_left(self) -> float:
        """Until the next of those that wait is due."""
        return max(0.0, self.waiting[0][0] - self._clock())
