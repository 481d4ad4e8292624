"""The callbacks of a domain on an event loop, and the vcpus on which they run.

A callback takes place when a vcpu of its domain has a CPU, and costs what the domain's accounts say
that it did. What it has begun, callbacks and events for other domains, is seen when that has been
paid: when the vcpu has had the CPU time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context, ContextVar
from typing import Any, Protocol

from pvdrivers._core import ffi, lib
from pvdrivers.sim.cost_model import PS, CostModel
from pvdrivers.sim.machine import ACCOUNTS, Domain, DomainState

current_domain: ContextVar[DomainVcpus] = ContextVar("current_domain")
_NOBODY = Context()  # what the loop does itself is no domain's


class Turn:
    """What a callback has begun."""

    def __init__(self) -> None:
        self.callbacks: list[asyncio.Handle] = []
        self.files: set[int] = set()  # readable by its doing
        self.computes = False  # the next callback that it begins is what a program goes on with
        self.program: asyncio.Handle | None = None

    def begin(self, callback: asyncio.Handle) -> None:
        if self.computes:
            self.computes, self.program = False, callback
        else:
            self.callbacks.append(callback)


class TurnLoop(Protocol):
    """What vcpus need of their loop."""

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle: ...

    def run_turn(self, callback: asyncio.Handle, turn: Turn) -> None: ...

    def release(self, turn: Turn) -> None:
        """What it has begun may be seen."""

    def is_busy(self, domain: DomainVcpus, busy: bool) -> None:
        """Whether a vcpu of it wants CPU time."""


class DomainVcpus:
    """Of a running domain. What runs in `context` is the domain's."""

    def __init__(self, loop: TurnLoop, domain: Domain, model: CostModel) -> None:
        info = domain.info
        self.domain = domain
        self.context = Context()
        self.context.run(current_domain.set, self)
        self.charged = 0  # ns of CPU time that the vcpus have wanted
        self._loop = loop
        self._generation = info.generation
        self._info = ffi.new("struct pv_domain_info *")
        self._waiting: dict[int, asyncio.Handle] = {}  # callbacks by id, in their order
        # What programs compute; a kernel's interrupts go before it.
        self._programs: deque[asyncio.Handle] = deque()
        self._paying: dict[int, Turn | None] = {}  # by vcpu; None: it wakes
        self._idle = dict.fromkeys(range(info.vcpus), -1)  # by vcpu: since when
        self._starting = 0  # vcpus that will take a callback when they have a CPU
        self._model = model
        self._prices = model.prices
        self._counters = ffi.new("uint64_t[]", len(ACCOUNTS))
        self._extra = -self._price_accounts()  # ps beside the accounts; what was before is free

    def __repr__(self) -> str:
        return (
            f"<DomainVcpus {self.domain.domid}, {len(self._idle)} idle, {len(self._paying)} busy,"
            f" {len(self._waiting)} callbacks and {len(self._programs)} programs waiting>"
        )

    # ---- Callbacks ---------------------------------------------------------------------------

    def post(self, callback: asyncio.Handle) -> None:
        """The callback may run, on a vcpu that has a CPU."""
        self._waiting[id(callback)] = callback
        self._wake()

    def is_waiting(self, callback: asyncio.Handle | None) -> bool:
        return id(callback) in self._waiting

    def done(self, vcpu: int) -> None:
        """The vcpu has had what it wanted."""
        turn = self._paying.pop(vcpu)
        if not self._paying:
            self._loop.is_busy(self, False)
        if turn is None:
            self._loop.call_soon(self._run, vcpu, context=_NOBODY)
            return
        self._idle[vcpu] = self._now
        self._loop.release(turn)
        if turn.program:
            self._programs.append(turn.program)
        self._wake()

    def give_up(self) -> None:
        """The domain gets no CPU any more: what it has begun takes place without one."""
        for vcpu in list(self._paying):
            self.done(vcpu)

    def _wake(self) -> None:
        """A vcpu for everything that may run, as far as there are idle ones; first those that have
        only just run out of work, which still have their CPU."""
        while self._idle and len(self._waiting) + len(self._programs) > self._starting:
            self._start(max(self._idle, key=lambda vcpu: (self._idle[vcpu], -vcpu)))

    def _start(self, vcpu: int) -> None:
        self._starting += 1
        if self._idle.pop(vcpu) == self._now:
            self._loop.call_soon(self._run, vcpu, context=_NOBODY)
        else:
            self.charge(self._model.world_switch)
            self._demand(vcpu, None)

    def _run(self, vcpu: int) -> None:
        self._starting -= 1
        callback = self._take()
        if callback is None:
            self._idle[vcpu] = self._now
            return
        turn = Turn()
        try:
            self._loop.run_turn(callback, turn)
        finally:
            self.charge(self._model.callback)
            self._demand(vcpu, turn)

    def _take(self) -> asyncio.Handle | None:
        """The next callback that was not cancelled meanwhile."""
        while self._waiting:
            callback = self._waiting.pop(next(iter(self._waiting)))
            if not callback.cancelled():
                return callback
        return self._programs.popleft() if self._programs else None

    # ---- CPU time ----------------------------------------------------------------------------

    def charge(self, ns: float) -> None:
        """The callback that runs takes so much CPU time beside what is counted."""
        self._extra += round(ns * PS)

    def _price_accounts(self) -> int:
        cdata, domid = self.domain.machine.cdata, self.domain.domid
        if lib.pv_domain_accounts(cdata, domid, self._counters) < 0:
            return 0  # it is gone, and pays nothing more
        return sum(map(int.__mul__, self._counters, self._prices))

    def _demand(self, vcpu: int, turn: Turn | None) -> None:
        """The vcpu wants all that is owed: a nanosecond at least, since one that wants nothing gets
        no CPU."""
        owed = (self._price_accounts() + self._extra) // PS - self.charged
        ns = max(1, owed)
        self.charged += ns
        self._paying[vcpu] = turn
        self._loop.is_busy(self, True)
        if self.has_ended:
            self.done(vcpu)
        else:
            self.domain.machine.scheduler.demand(self.domain.domid, vcpu, ns)

    @property
    def _state(self) -> int:
        cdata, domid, info = self.domain.machine.cdata, self.domain.domid, self._info
        if lib.pv_domain_info(cdata, domid, info) < 0 or info.generation != self._generation:
            return DomainState.ABSENT
        return int(info.state)

    @property
    def has_ended(self) -> bool:
        """Whether the domain is gone or has shut down, and gets no CPU any more."""
        return self._state not in (DomainState.RUNNING, DomainState.PAUSED)

    @property
    def can_run(self) -> bool:
        """Whether it gets the CPU time that it wants."""
        return self._state == DomainState.RUNNING

    @property
    def _now(self) -> int:
        return self.domain.machine.now
