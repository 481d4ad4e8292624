"""Credit on one CPU, as Xen's sched/credit.c has it, in plain Python: lists, and a loop over time.

One vcpu a domain, without caps.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MS = 1_000_000
TICK, SLICE, RATELIMIT = 10 * MS, 30 * MS, 1 * MS
CREDITS_PER_MS = 10
CREDITS_PER_SLICE = 300
BOOST, UNDER, OVER = 0, -1, -2
NEVER = 1 << 62


@dataclass
class Vcpu:
    number: int
    weight: int
    wanted: int = 0  # ns of CPU time
    ran: int = 0  # ns
    credit: int = 0
    priority: int = UNDER
    is_active: bool = False
    rest: int = 0  # of a credit
    burned_until: int = 0


@dataclass
class Credit:
    vcpus: list[Vcpu]
    now: int = 0
    running: Vcpu | None = None
    since: int = 0  # when it began to run
    slice_end: int = NEVER
    tick_at: int = NEVER
    accounting_at: int = SLICE
    waiting: list[Vcpu] = field(default_factory=list)
    active: list[Vcpu] = field(default_factory=list)  # the last that became so first
    balance: int = 0

    # ---- From outside ------------------------------------------------------------------------

    def demand(self, number: int, ns: int) -> None:
        vcpu = self.vcpus[number]
        was_blocked = vcpu.wanted == 0 and vcpu is not self.running
        vcpu.wanted += ns
        if was_blocked:
            self.wake(vcpu)

    def run(self, until: int) -> None:
        while self.now < until:
            done = self.now + self.running.wanted if self.running else NEVER
            self.pass_time(min(until, done, self.tick_at, self.accounting_at, self.slice_end))
            self.happen()

    # ---- Time --------------------------------------------------------------------------------

    def pass_time(self, at: int) -> None:
        if self.running:
            ran = at - self.now
            self.running.ran += ran
            self.running.wanted -= ran
        self.now = at

    def happen(self) -> None:
        """What is due: a tick, the accounting, then a choice."""
        if self.tick_at <= self.now:
            self.tick()
        if self.accounting_at <= self.now:
            self.account()
        if self.running and (self.running.wanted == 0 or self.slice_end <= self.now):
            self.choose()

    # ---- Credits -----------------------------------------------------------------------------

    def burn(self, vcpu: Vcpu) -> None:
        cost = (self.now - vcpu.burned_until) * CREDITS_PER_MS + vcpu.rest
        vcpu.credit -= cost // MS
        vcpu.rest = cost % MS
        vcpu.burned_until = self.now

    def tick(self) -> None:
        vcpu = self.running
        assert vcpu
        if vcpu.priority == BOOST:
            vcpu.priority = UNDER
        self.burn(vcpu)
        if not vcpu.is_active:
            vcpu.is_active = True
            self.active.insert(0, vcpu)
        self.tick_at = self.now + TICK

    def account(self) -> None:
        weights = sum(vcpu.weight for vcpu in self.active)
        credits = CREDITS_PER_SLICE + max(0, -self.balance)
        left, balance = weights, 0
        before = self.balance
        some_could_use_more = False
        for vcpu in list(self.active):
            left -= vcpu.weight
            most = CREDITS_PER_SLICE
            if before < 0:
                most += up(-before * vcpu.weight, weights)
            fair = up(credits * vcpu.weight, weights)
            if fair < most:
                some_could_use_more = True
            else:
                if left:
                    credits += up((fair - most) * weights, left)
                if some_could_use_more:
                    self.active.remove(vcpu)
                    self.active.insert(0, vcpu)
                fair = most
            vcpu.credit += fair
            if vcpu.credit < 0:
                vcpu.priority = OVER
                vcpu.credit = max(vcpu.credit, -CREDITS_PER_SLICE)
            else:
                vcpu.priority = UNDER
                if vcpu.credit > CREDITS_PER_SLICE:
                    vcpu.is_active = False
                    self.active.remove(vcpu)
                    vcpu.credit //= 2
            balance += vcpu.credit
        self.balance = balance
        self.waiting.sort(key=lambda vcpu: vcpu.priority == OVER)  # stable
        self.accounting_at = self.now + SLICE

    # ---- Choices -----------------------------------------------------------------------------

    def queue(self, vcpu: Vcpu) -> None:
        """Behind all that are as urgent."""
        behind = [i for i, other in enumerate(self.waiting) if other.priority < vcpu.priority]
        self.waiting.insert(behind[0] if behind else len(self.waiting), vcpu)

    def wake(self, vcpu: Vcpu) -> None:
        if vcpu.priority == UNDER:
            vcpu.priority = BOOST
        self.queue(vcpu)
        if self.running is None or vcpu.priority > self.running.priority:
            self.choose()

    def choose(self) -> None:
        vcpu = self.running
        if vcpu:
            self.burn(vcpu)
            ran = self.now - self.since
            if vcpu.wanted and ran < RATELIMIT:
                self.slice_end = self.now + RATELIMIT - ran
                return
            if vcpu.wanted:
                self.queue(vcpu)
        chosen = self.waiting.pop(0) if self.waiting else None
        self.slice_end = self.now + SLICE if chosen else NEVER
        if chosen is vcpu:
            return
        if vcpu is None:
            self.tick_at = self.now - self.now % TICK + TICK
        if chosen is None:
            self.tick_at = NEVER
        else:
            self.since = chosen.burned_until = self.now
        self.running = chosen


def up(value: int, by: int) -> int:
    return -(-value // by)
