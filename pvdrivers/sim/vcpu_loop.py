"""A deterministic loop on a machine with CPUs: what a domain does happens when the scheduler says.

    loop = VcpuLoop(seed, machine)
    task = loop.create_task(work(), context=loop.domain_context(domain))

A callback belongs to the domain in whose context it was made, since tasks, timers and readers
inherit the context; most belong to no domain: a test, or what is not part of the machine. Those run
at once and take no time. `domain_vcpus.py` says when a domain's run and what they cost.

Time moves when nothing can run without: to the next timer, or to the time at which a vcpu has had
what it wanted. An event for a domain waits for nothing but a vcpu of that domain. One for
nobody has a latency that the seed chooses, as on any deterministic loop.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, Protocol, TypeVar

from pvdrivers.sim.cost_model import CostModel
from pvdrivers.sim.domain import Domain
from pvdrivers.sim.domain_vcpus import DomainVcpus, Program, Turn, current_domain
from pvdrivers.sim.errors import MachineError
from pvdrivers.sim.loop import MAX_LATENCY, NS, DeterministicLoop, Ready, SeededSelector
from pvdrivers.sim.machine import Machine
from pvdrivers.sim.scheduler import Done

T = TypeVar("T")
STEP = 1_000_000  # ns after which domains that have ended are looked for, at most


class OtherVcpus(Protocol):
    """Those of domains that have no callbacks: what they do is told by numbers alone."""

    def next_event(self, otherwise: int) -> int:
        """When they want to be called the next time, ns; `otherwise` at the latest."""

    def fire(self, now: int) -> None:
        """It is that time, or earlier."""

    def done(self, done: Done) -> None:
        """One has had the CPU time that it wanted."""


class _ReadyQueue(deque[asyncio.Handle]):
    """The loop's callbacks that may run at once; what is a domain's goes to its vcpus instead."""

    def __init__(self, loop: VcpuLoop) -> None:
        super().__init__()
        self._loop = loop

    def append(self, handle: asyncio.Handle) -> None:
        domain = _domain_of(handle)
        if domain is None:
            super().append(handle)
        elif self._loop.turn:
            self._loop.turn.callbacks.append(handle)
        else:
            domain.post(handle)


def _domain_of(handle: asyncio.Handle | None) -> DomainVcpus | None:
    context: Context | None = getattr(handle, "_context", None)
    return context.get(current_domain) if context else None


class _VcpuSelector(SeededSelector):
    """Moves time by the scheduler's events."""

    def __init__(self, rng: random.Random, machine: Machine, others: OtherVcpus | None) -> None:
        super().__init__(rng, machine)
        self._machine = machine
        self._others = others
        self._readable: set[int] = set()  # when it was last looked
        self._held: set[int] = set()  # by turns that are not paid
        self._arrival: int | None = None  # when the next event for nobody arrives
        self._look_at = 0  # when domains that have ended are looked for
        self.domains: dict[int, DomainVcpus] = {}  # by domid
        self.busy: dict[int, DomainVcpus] = {}  # those that want CPU time

    # ---- Turns -------------------------------------------------------------------------------

    def hold_new(self, turn: Turn) -> None:
        """What has become readable since it was last looked is by this turn's doing."""
        before = self._readable
        self._ready()
        turn.files = self._readable - before
        self._held |= turn.files

    def release(self, turn: Turn) -> None:
        self._held -= turn.files

    def _ready(self) -> Ready:
        ready = super()._ready()
        self._readable = {key.fd for key, _ in ready}
        return ready

    # ---- Time --------------------------------------------------------------------------------

    def select(self, timeout: float | None = None) -> Ready:
        now = self._machine.now
        deadline = None if timeout is None else now + max(0, math.ceil(timeout * NS))
        while True:
            for_domains, for_nobody = self._deliverable()
            if for_domains:
                self._rng.shuffle(for_domains)
                return self.deliver(for_domains)
            if deadline == now:
                return []
            if for_nobody and self._arrival is None:
                self._arrival = now + self._rng.randrange(MAX_LATENCY)
            if self._run(deadline):
                return []
            now = self._machine.now
            if for_nobody and now == self._arrival:
                self._arrival = None
                return self.deliver_some(for_nobody)

    def _deliverable(self) -> tuple[Ready, Ready]:
        """What is for domains, and what is for nobody; of events that have not been delivered."""
        for_domains: Ready = []
        for_nobody: Ready = []
        for key, events in self._ready():
            if key.fd in self._held:
                continue
            callbacks = key.data or (None, None)
            domain = _domain_of(callbacks[0] or callbacks[1])
            if domain is None:
                for_nobody.append((key, events))
            elif not any(map(domain.is_waiting, callbacks)):
                for_domains.append((key, events))
        return for_domains, for_nobody

    def _run(self, deadline: int | None) -> bool:
        """Moves time on, to `deadline` at most. Whether a vcpu can do something now."""
        now, busy = self._machine.now, self.busy
        if now >= self._look_at and busy:
            self._look_at = now + STEP
            if ended := [domain for domain in busy.values() if domain.has_ended]:
                for domain in ended:
                    domain.give_up()
                return True
        events = (deadline, self._arrival, self._machine.next_event)
        ends = [max(now, time) for time in events if time is not None]
        if not ends and not any(domain.can_run for domain in busy.values()):
            self.report_nothing_can_run()
        if busy:
            ends.append(now + STEP)
        return self._run_until(min(ends))

    def _run_until(self, end: int) -> bool:
        machine, others, found = self._machine, self._others, False
        while not found:
            for done in machine.scheduler.run(others.next_event(end) if others else end):
                domain = self.domains.get(done.domid)
                if domain:
                    found |= domain.done(done.vcpu)
                elif others:
                    others.done(done)
            if others:
                others.fire(machine.now)
            if machine.now >= end:
                break
        return found


class VcpuLoop(DeterministicLoop):
    """A deterministic loop on a machine that has CPUs (`Machine(virtual_time=True, cpus=N)`)."""

    def __init__(
        self,
        seed: int,
        machine: Machine,
        cost_model: CostModel | None = None,
        others: OtherVcpus | None = None,
    ) -> None:
        """MachineError: the machine has no CPUs."""
        self.machine = machine
        self._others = others
        self.cost_model = cost_model or CostModel()
        self.turn: Turn | None = None
        super().__init__(seed, machine)
        self._ready = _ReadyQueue(self)
        try:
            assert machine.scheduler.stats
        except MachineError:
            self.close()
            raise

    def make_selector(self) -> _VcpuSelector:
        self._vcpu_selector = _VcpuSelector(self.rng, self.machine, self._others)
        return self._vcpu_selector

    def domain_context(self, domain: Domain) -> Context:
        """What runs in it is the domain's, and so is all that this starts. MachineError: there is
        no such domain."""
        return self.vcpus_of(domain).context

    def vcpus_of(self, domain: Domain) -> DomainVcpus:
        """The domain's callbacks and what they have cost."""
        domains = self._vcpu_selector.domains
        found = domains.get(domain.domid)
        if found is None or found.has_ended:
            domains[domain.domid] = found = DomainVcpus(self, domain, self.cost_model)
        return found

    def run_turn(self, callback: asyncio.Handle, turn: Turn) -> None:
        """Runs a domain's callback; `turn` is told what it begins."""
        self.turn = turn
        try:
            callback._run()
        finally:
            self.turn = None
            self._vcpu_selector.hold_new(turn)

    def release(self, turn: Turn) -> None:
        self._vcpu_selector.release(turn)
        for callback in turn.callbacks:
            self._ready.append(callback)

    def is_busy(self, domain: DomainVcpus, busy: bool) -> None:
        if busy:
            self._vcpu_selector.busy[domain.domain.domid] = domain
        else:
            self._vcpu_selector.busy.pop(domain.domain.domid, None)

    async def shutdown_asyncgens(self) -> None:
        """The last thing before the loop is closed: what domains have begun, they end."""
        await super().shutdown_asyncgens()
        busy = self._vcpu_selector.busy
        while any(domain.can_run for domain in busy.values()):  # noqa: ASYNC110
            await asyncio.sleep(STEP / NS)

    def __repr__(self) -> str:
        return f"<VcpuLoop seed {self.seed} at {self.clock.now} ns>"


async def run_as(domain: Domain, work: Coroutine[Any, Any, T]) -> T:
    """Runs `work` as a task of the domain, where the loop knows domains."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VcpuLoop):
        return await work
    return await loop.create_task(work, context=loop.domain_context(domain))


async def compute(ns: int) -> None:
    """What a program of the domain computes: returns when a vcpu has had so much CPU time for it.

    Events of the domain are looked at every `SLICE` ns. On a loop without CPUs, and for nobody, it
    takes as long and no CPU.
    """
    loop, domain = asyncio.get_running_loop(), current_domain.get(None)
    if domain is None or not isinstance(loop, VcpuLoop):
        await asyncio.sleep(ns / NS)
        return
    assert loop.turn
    done: asyncio.Future[None] = loop.create_future()
    loop.turn.programs.append(Program(done, ns))
    await done
