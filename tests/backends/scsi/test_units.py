"""The logical units of a service: opened for the first user, closed with the last."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from pvdrivers.backends.scsi.units import Units
from pvdrivers.backends.stores.store import RamStore
from pvdrivers.backends.targets.command import Nexus
from pvdrivers.backends.targets.disk.unit import Disk as EmulatedDisk
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.ring.errors import UsageError
from tests.until import until

from .ring_guest import PATIENCE, Disk


class Opener:
    """Opens disks, when `may_open` is set; the first `failures` calls raise."""

    def __init__(self, failures: int = 0) -> None:
        self.may_open = asyncio.Event()
        self.failures = failures
        self.opened: list[Disk] = []
        self.calls = 0

    async def open(self) -> Disk:
        self.calls += 1
        await self.may_open.wait()
        if self.calls <= self.failures:
            raise OSError("the medium is gone")
        self.opened.append(Disk())
        return self.opened[-1]


def test_users_at_the_same_time_have_one_unit() -> None:
    async def main() -> None:
        units, opener = Units(), Opener()
        acquiring = [asyncio.create_task(units.acquire("a", opener.open)) for _ in range(3)]
        opener.may_open.set()
        first, *others = await asyncio.gather(*acquiring)
        assert all(other is first for other in others)
        assert (opener.calls, units.names) == (1, ["a"])
        for left in (2, 1, 0):
            await units.release("a")
            assert opener.opened[0].is_open == (left > 0)
        assert units.names == []
        again = await units.acquire("a", opener.open)
        assert again is not first
        await units.release("a")

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_what_one_could_not_open_the_next_may() -> None:
    async def main() -> None:
        units, opener = Units(), Opener(failures=1)
        acquiring = [asyncio.create_task(units.acquire("a", opener.open)) for _ in range(2)]
        opener.may_open.set()
        failed, served = await asyncio.gather(*acquiring, return_exceptions=True)
        assert isinstance(failed, OSError)
        assert units.names == ["a"]
        await units.release("a")
        assert not opener.opened[0].is_open
        assert served

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_a_unit_is_open_in_one_way_at_a_time() -> None:
    async def main() -> None:
        units, opener = Units(), Opener()
        opener.may_open.set()
        await units.acquire("a", opener.open, "read-only")
        with pytest.raises(UsageError, match="a is open as read-only, and cannot be read-write"):
            await units.acquire("a", opener.open, "read-write")
        await units.acquire("a", opener.open, "read-only")
        for _ in range(2):
            assert units.names == ["a"]
            await units.release("a")
        await units.acquire("a", opener.open, "read-write")
        await units.release("a")
        assert opener.calls == 2

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_who_gives_up_leaves_nothing() -> None:
    async def main() -> None:
        units, opener = Units(), Opener()
        acquiring = asyncio.create_task(units.acquire("a", opener.open))
        await until(lambda: opener.calls)
        acquiring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await acquiring
        opener.may_open.set()
        await units.acquire("a", opener.open)
        assert len(opener.opened) == 1
        await units.release("a")
        assert units.names == []

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_copies_reach_what_their_initiator_has_as_a_lun() -> None:
    """And nobody else's disks."""

    async def disk(name: str) -> EmulatedDisk:
        return EmulatedDisk(RamStore(4096), Identity.of(name))

    async def main() -> None:
        units = Units()
        a, b, c = [await units.acquire(name, partial(disk, name)) for name in "abc"]
        mine, beside, others = Nexus("guest 1"), Nexus("guest 1", 2), Nexus("guest 2")
        attached = [a.attach(mine), b.attach(beside), b.attach(others), c.attach(others)]
        for served in (a, b, c):
            while len(served.unit.nexuses) < (2 if served is b else 1):  # noqa: ASYNC110
                await asyncio.sleep(0.001)  # its thread does that
        naa = {name: Identity.of(name).naa for name in "abc"}
        found = a.unit.find_copy_target
        assert found(mine, naa["b"]) is b.unit
        assert found(mine, naa["c"]) is None
        assert b.unit.find_copy_target(others, naa["c"]) is c.unit
        assert b.unit.find_copy_target(others, naa["a"]) is None
        for served, nexus in zip((a, b, b, c), attached, strict=True):
            served.detach(nexus)
        for name in "abc":
            await units.release(name)
        assert found(mine, naa["b"]) is None

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


@pytest.mark.parametrize(
    ("first", "second", "is_refused"),
    [
        ({"/a": True}, {"/a": True}, True),
        ({"/a": True}, {"/a": False}, True),
        ({"/a": False}, {"/b": True, "/a": True}, True),
        ({"/a": False}, {"/a": False}, False),
        ({"/a": True}, {"/b": True}, False),
    ],
)
def test_files_that_two_units_have(
    first: dict[str, bool], second: dict[str, bool], is_refused: bool
) -> None:
    """One that is written belongs to one of them, until that is closed."""
    opened: list[Disk] = []

    async def disk(files: dict[str, bool]) -> Disk:
        opened.append(Disk())
        opened[-1].files = files
        return opened[-1]

    async def main() -> None:
        units = Units()
        await units.acquire("a", partial(disk, first))
        if is_refused:
            with pytest.raises(UsageError, match="b: /a is in use by a; hosts that are to share"):
                await units.acquire("b", partial(disk, second))
            assert (opened[0].is_open, opened[1].is_open) == (True, False)
        else:
            await units.acquire("b", partial(disk, second))
            await units.release("b")
        await units.release("a")
        await units.acquire("b", partial(disk, second))
        await units.release("b")

    asyncio.run(asyncio.wait_for(main(), PATIENCE))
