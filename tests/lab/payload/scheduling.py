"""What guests that compute get beside dom0 on its one CPU: of real Xen, and of pvsim."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from spinner import cpu_times, spinners
from step import XL, command

from pvdrivers.tools.pvsim.scenario import parse
from pvdrivers.tools.pvsim.simulation import simulation

WINDOW = 10  # seconds; hundreds of slices, of which `xl list` rounds 0.1
# Now and then QEMU has no processor for hundreds of ms, which Xen charges to the guest that it ran
# then, and forgives what is more than a slice. So a window is followed by others until the shares
# agree, so many in all.
WINDOWS = 8
TOLERANCE = 0.06  # weights or caps that count for nothing are 0.15 off at least


@dataclass(frozen=True)
class Guest:
    name: str
    weight: int
    cap: int = 0


# In each somebody has no cap, so that the CPU is never idle.
CASES = {
    "weights": (Guest("spin1", 256), Guest("spin2", 512), Guest("spin3", 1024)),
    "caps": (Guest("spin1", 256, 25), Guest("spin2", 256, 50), Guest("spin3", 64)),
    "weights and a cap": (Guest("spin1", 256), Guest("spin2", 512), Guest("spin3", 1024, 40)),
}
NAMES = [guest.name for guest in CASES["weights"]]
EVERYBODY = [*NAMES, "Domain-0"]


def formula(guests: Sequence[Guest]) -> list[float]:
    """By weight; what a cap does not let one have is shared out among the others."""
    capped: dict[str, float] = {}
    while True:
        rest = [guest for guest in guests if guest.name not in capped]
        left, weight = 1 - sum(capped.values()), sum(guest.weight for guest in rest)
        fair = {guest.name: left * guest.weight / weight for guest in rest}
        over = {g.name: g.cap / 100 for g in rest if g.cap and g.cap / 100 < fair[g.name]}
        if not over:
            return [(capped | fair)[guest.name] for guest in guests]
        capped |= over


def agree(guests: Sequence[Guest], shares: Sequence[float], expected: Sequence[float]) -> bool:
    """A cap is what a guest gets at most: while the CPU is late nobody earns credits, and those
    that need none get what the capped ones miss. So what is compared is how the guests with a cap
    divide theirs, and those without."""
    for capped in (True, False):
        some = [i for i, guest in enumerate(guests) if bool(guest.cap) == capped]
        ours, theirs = sum(shares[i] for i in some), sum(expected[i] for i in some)
        for i in some:
            if abs(shares[i] / ours - expected[i] / theirs) > TOLERANCE:
                return False
            if capped and shares[i] > expected[i] + TOLERANCE:
                return False
    return True


async def shares_of_xen(scheduler: str, guests: Sequence[Guest]) -> list[float]:
    for guest in guests:
        settings = ("-w", str(guest.weight), "-c", str(guest.cap))
        await command(XL, f"sched-{scheduler}", "-d", guest.name, *settings)
    before = await cpu_times(EVERYBODY)
    for _ in range(WINDOWS):
        await asyncio.sleep(WINDOW)
        after = await cpu_times(EVERYBODY)
        ran = [end - start for start, end in zip(before, after, strict=True)]
        shares = [each / sum(ran) for each in ran[: len(guests)]]
        if agree(guests, shares, formula(guests)):
            break
    return shares


def shares_of_pvsim(scheduler: str, guests: Sequence[Guest]) -> list[float]:
    tables = [
        f'[[guest]]\nname = "{guest.name}"\nweight = {guest.weight}\ncap = {guest.cap}\n'
        'workload = {kind = "compute"}\n'
        for guest in guests
    ]
    head = f'scheduler.kind = "{scheduler}"\nrun.time = "{WINDOW}s"\n'
    with simulation(parse((head + "".join(tables)).encode(), "the scenario")) as run:
        return [guest.shares.cpus for guest in run.run(lambda part: None).guests]


async def compare(scheduler: str) -> None:
    """AssertionError: Xen's shares are not the formula's, or not ours."""
    # It has an event loop of its own.
    ours = [await asyncio.to_thread(shares_of_pvsim, scheduler, each) for each in CASES.values()]
    wrong = []
    print(f"    {scheduler:20} {'weight':>6} {'cap':>4} {'formula':>8} {'Xen':>6} {'pvsim':>6}")
    async with spinners(NAMES):
        for (case, guests), pvsims in zip(CASES.items(), ours, strict=True):
            xens = await shares_of_xen(scheduler, guests)
            for guest, *shares in zip(guests, formula(guests), xens, pvsims, strict=True):
                settings = f"{guest.weight:6} {guest.cap or '-':>4}"
                fair, xen, pvsim = shares
                line = f"{case:20} {settings} {fair:8.1%} {xen:6.1%} {pvsim:6.1%}"
                print(f"    {line}", flush=True)
            if not (agree(guests, xens, formula(guests)) and agree(guests, xens, pvsims)):
                wrong.append(case)
    assert not wrong, wrong
