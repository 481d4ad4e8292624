"""The callbacks of a domain on an event loop, and the vcpus on which they run.

A callback takes place when a vcpu of its domain has a CPU, and costs what the domain's accounts say
that it did. What it has begun, callbacks and events for other domains, is seen when that has been
paid: when the vcpu has had the CPU time. A vcpu that is down begins nothing; what it was at when
it went down waits until it is up again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context, ContextVar
from typing import Any, Protocol

from pvdrivers._core import ffi, lib
from pvdrivers.sim.cost_model import PS, CostModel
from pvdrivers.sim.domain import ACCOUNTS, Domain, DomainState

SLICE = 100_000  # ns that a program computes before its domain looks at events
current_domain: ContextVar[DomainVcpus] = ContextVar("current_domain")
_NOBODY = Context()  # what the loop does itself is no domain's


class Turn:
    """What a callback has begun."""

    def __init__(self) -> None:
        self.callbacks: list[asyncio.Handle] = []
        self.files: set[int] = set()  # readable by its doing
        self.programs: list[Program] = []


class Program:
    """What a program computes: `rest` ns, then `done` is set."""

    def __init__(self, done: asyncio.Future[None], rest: int) -> None:
        self.done = done
        self.rest = rest


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
        self._programs: deque[Program] = deque()  # a kernel's interrupts go before them
        self._paying: dict[int, Turn | Program | None] = {}  # by vcpu; None: it wakes
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

    def done(self, vcpu: int) -> bool:
        """The vcpu has had what it wanted. Whether anything has come of it but more computing."""
        paid = self._paying.pop(vcpu)
        if not self._paying:
            self._loop.is_busy(self, False)
        if paid is None:
            self._loop.call_soon(self._run, vcpu, context=_NOBODY)
            return True
        if isinstance(paid, Program) and self._goes_on(paid):
            self._compute(vcpu, paid)
            return False
        self._idle[vcpu] = self._now
        if isinstance(paid, Turn):
            self._loop.release(paid)
            self._programs.extend(paid.programs)
        elif paid.rest:
            self._programs.append(paid)
        elif not paid.done.done():
            paid.done.set_result(None)
        self._wake()
        return True

    def give_up(self) -> None:
        """The domain gets no CPU any more: what it has begun takes place without one."""
        for vcpu in list(self._paying):
            self.done(vcpu)

    def _wake(self) -> None:
        """A vcpu for everything that may run, as far as idle ones are up; first those that have
        only just run out of work, which still have their CPU."""
        while len(self._waiting) + len(self._programs) > self._starting:
            idle = filter(self._is_up, self._idle)
            vcpu = max(idle, key=lambda vcpu: (self._idle[vcpu], -vcpu), default=None)
            if vcpu is None:
                return
            self._start(vcpu)

    def _is_up(self, vcpu: int) -> bool:
        """Also of a domain that has ended, whose callbacks need no CPU."""
        cdata, domid = self.domain.machine.cdata, self.domain.domid
        return lib.pv_vcpu_op_is_up(cdata, domid, vcpu) != 0 or self.has_ended

    def _start(self, vcpu: int) -> None:
        self._starting += 1
        if self._idle.pop(vcpu) == self._now:
            self._loop.call_soon(self._run, vcpu, context=_NOBODY)
        else:
            self.charge(self._model.world_switch)
            self._demand(vcpu, None)

    def _run(self, vcpu: int) -> None:
        self._starting -= 1
        callback = self._take_callback()
        if callback is None:
            if program := self._take_program():
                self._compute(vcpu, program)
            else:
                self._idle[vcpu] = self._now
            return
        turn = Turn()
        try:
            self._loop.run_turn(callback, turn)
        finally:
            self.charge(self._model.callback)
            self._demand(vcpu, turn)

    def _take_callback(self) -> asyncio.Handle | None:
        """The next one that was not cancelled meanwhile."""
        while self._waiting:
            callback = self._waiting.pop(next(iter(self._waiting)))
            if not callback.cancelled():
                return callback
        return None

    # ---- Programs ----------------------------------------------------------------------------

    def _take_program(self) -> Program | None:
        while self._programs:
            program = self._programs.popleft()
            if not program.done.done():
                return program
        return None

    def _compute(self, vcpu: int, program: Program) -> None:
        part = min(program.rest, SLICE)
        program.rest -= part
        self.charge(part)
        self._demand(vcpu, program)

    def _goes_on(self, program: Program) -> bool:
        """Whether the vcpu has nothing else to do."""
        alone = not self._waiting and not self._programs
        return alone and program.rest > 0 and not program.done.done()

    # ---- CPU time ----------------------------------------------------------------------------

    def charge(self, ns: float) -> None:
        """The callback that runs takes so much CPU time beside what is counted."""
        self._extra += round(ns * PS)

    def _price_accounts(self) -> int:
        cdata, domid = self.domain.machine.cdata, self.domain.domid
        if lib.pv_domain_accounts(cdata, domid, self._counters) < 0:
            return 0  # it is gone, and pays nothing more
        return sum(map(int.__mul__, self._counters, self._prices))

    def _demand(self, vcpu: int, what: Turn | Program | None) -> None:
        """The vcpu wants all that is owed: a nanosecond at least, since one that wants nothing gets
        no CPU."""
        owed = (self._price_accounts() + self._extra) // PS - self.charged
        ns = max(1, owed)
        self.charged += ns
        self._paying[vcpu] = what
        self._loop.is_busy(self, True)
        if self.has_ended:
            if isinstance(what, Program):
                what.rest = 0
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
        return self._state == DomainState.RUNNING and any(map(self._is_up, self._paying))

    @property
    def _now(self) -> int:
        return self.domain.machine.now
