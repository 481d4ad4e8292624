"""The backup of docs/scsi-backup.md: a database in use, a snapshot, a tape, and the database again.

Guest A has SQLite on its LUN, with its journal, and takes the snapshot; guest B makes the backup
and restores it. pvbackd serves both, by the page's configuration.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import apsw
import pytest

from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.scsi.config import LunConfig
from pvdrivers.scsi.hotplug import add_lun
from pvdrivers.testing.scsi.loopback import ScsiLoopback
from tests.until import until

from .lun_files import BLOCK, LunVfs

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs" / "scsi-backup.md").read_text()
PARTS = dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
PATIENCE = 120.0  # seconds
SIZE = 4 << 20
ROWS = 4  # of a transaction
DATABASE, SNAPSHOT, TAPE, RESTORED = (ScsiAddress(0, 0, 0, lun) for lun in range(4))
OF_A = {"db": DATABASE}
OF_B = {"db@1": SNAPSHOT, "lto": TAPE, "restored": RESTORED}
program: dict[str, Any] = {}
exec(PARTS["backup.py"], program)


@pytest.fixture
def loopback(tmp_path: Path) -> Iterator[ScsiLoopback]:
    """A daemon by the page's configuration; guests have no LUNs yet."""
    for folder in ("images", "snapshots", "tapes"):
        (tmp_path / folder).mkdir()
    for image in ("db.img", "restored.img"):
        (tmp_path / "images" / image).write_bytes(bytes(SIZE))
    (tmp_path / "tapes" / "monday.tap").touch()
    config = tmp_path / "pvbackd.toml"
    config.write_text(re.sub(r'"/(?=images|snapshots|tapes)', f'"{tmp_path}/', PARTS[config.name]))
    command = [sys.executable, "-m", "pvdrivers.tools.pvbackd"]
    command += ["--config", str(config), "--control", str(tmp_path / "control")]
    with ScsiLoopback(None, mode="processes", daemon=command) as loopback:
        yield loopback


class Ledger:
    """A SQLite database on a LUN. Transaction n inserts ROWS rows that follow from n; `committed`:
    the last that SQLite has said is committed. All methods are called in threads."""

    def __init__(self, host: Any, lun: ScsiAddress) -> None:
        self._host, self._lun = host, lun
        self._loop = asyncio.get_running_loop()
        self.committed = 0

    def open(self) -> Ledger:
        name = f"lun-{id(self)}"
        self.vfs = LunVfs(name, self._run, SIZE // BLOCK)
        self.had_journal = self.vfs.journal.exists
        self._connection = apsw.Connection("ledger", vfs=name)
        for pragma in ("journal_mode = delete", "synchronous = full", "temp_store = memory"):
            self._connection.execute(f"pragma {pragma}")
        return self

    def _run(self, cdb: bytes, data: bytes, room: int) -> bytes:
        command = program["run"](self._host, self._lun, cdb, data, room)
        answer: bytes = asyncio.run_coroutine_threadsafe(command, self._loop).result(PATIENCE)
        return answer

    def create(self) -> None:
        self._connection.execute("create table entries (id integer primary key, body blob)")

    def commit(self, number: int) -> None:
        with self._connection:
            self.insert(number)
        self.committed = number

    def insert(self, number: int) -> None:
        for row in range((number - 1) * ROWS, number * ROWS):
            self._connection.execute("insert into entries values (?, ?)", (row, body(row)))

    def commit_until(self, is_over: Event) -> None:
        while not is_over.is_set():
            self.commit(self.committed + 1)

    def begin_large(self, first: int, end: int) -> None:
        """A transaction so large that SQLite writes tables before it commits."""
        self._connection.execute("pragma cache_size = 4")
        self._connection.execute("begin")
        for number in range(first, end):
            self.insert(number)

    def end_large(self, end: int) -> None:
        self._connection.execute("commit")
        self.committed = end - 1

    def check(self) -> int:
        """The number of the last transaction; each before it is there, and whole."""
        assert self._connection.execute("pragma integrity_check").fetchall() == [("ok",)]
        rows = self._connection.execute("select id, body from entries order by id").fetchall()
        assert rows == [(row, body(row)) for row in range(len(rows))]
        assert len(rows) % ROWS == 0
        return len(rows) // ROWS

    def close(self) -> None:
        self._connection.close()
        self.vfs.unregister()


def body(row: int) -> bytes:
    return hashlib.sha256(str(row).encode()).digest() * 30


async def plug(loopback: ScsiLoopback, path: str, luns: dict[str, ScsiAddress]) -> None:
    for number, (name, address) in enumerate(luns.items()):
        lun = LunConfig(name, address)
        assert await add_lun(loopback.toolstack, path, f"dev-{number}", lun, PATIENCE)


async def content(host: Any, lun: ScsiAddress) -> bytes:
    await program["begin"](host, lun)
    data = [
        await program["run"](host, lun, blocks.cdb(0x28), room=size)
        async for blocks, size in program["parts"](host, lun)
    ]
    return b"".join(data)


async def guests(loopback: ScsiLoopback, first: Any) -> Any:
    """Gives each guest its LUNs; returns the frontend of B."""
    await first.connected()
    await plug(loopback, loopback.config.backend_path, OF_A)
    guest = await loopback.add_guest()
    second = await guest.frontend()
    await second.connected()
    await plug(loopback, guest.config.backend_path, OF_B)
    for host, luns in ((first, OF_A), (second, OF_B)):
        for address in luns.values():
            await host.wait_for_lun(address)
            await host.execute(address, bytes(6))  # takes its attentions
    return second


async def restored(host: Any) -> Ledger:
    """The database from tape, opened; the disk was first found to be what the snapshot is."""
    await program["restore"](host, TAPE, RESTORED)
    assert await content(host, RESTORED) == await content(host, SNAPSHOT)
    return await asyncio.to_thread(Ledger(host, RESTORED).open)


class Killer:
    """A guest's frontend. The daemon is killed during each `period`th of its commands."""

    def __init__(self, host: Any, loopback: ScsiLoopback, period: int) -> None:
        self._host, self._loopback, self._period = host, loopback, period
        self._commands = 0
        self.kills = 0

    async def execute(self, *command: Any, **options: Any) -> Any:
        running = asyncio.create_task(self._host.execute(*command, **options))
        self._commands += 1
        if self._commands % self._period == 0:
            await asyncio.sleep(0)  # the ring has it
            self._loopback.kill_backend()
            self._loopback.restart_backend()
            self.kills += 1
        return await running


@pytest.mark.parametrize("period", [0, 61])
def test_a_database_that_goes_on(loopback: ScsiLoopback, period: int) -> None:
    """What was committed before the snapshot is in the backup, and nothing that is begun after."""

    async def scenario(first: Any) -> None:
        second = await guests(loopback, first)
        ledger = await asyncio.to_thread(Ledger(first, DATABASE).open)
        await asyncio.to_thread(ledger.create)
        is_over = Event()
        writing = asyncio.create_task(asyncio.to_thread(ledger.commit_until, is_over))
        try:
            await until(lambda: ledger.committed >= 5)
            before = ledger.committed
            await program["control_snapshot"](first, DATABASE, 1)
            after = ledger.committed + 1  # this one may be under way
            host = Killer(second, loopback, period) if period else second
            await program["dump"](host, SNAPSHOT, TAPE)
            await until(lambda: ledger.committed > after or writing.done())
            backup = await restored(host)
            assert not period or host.kills > 3
        finally:
            is_over.set()
            await writing
        assert before <= await asyncio.to_thread(backup.check) <= after
        assert await asyncio.to_thread(ledger.check) == ledger.committed > after
        await program["control_snapshot"](first, DATABASE, 1, drop=True)
        result = await second.execute(SNAPSHOT, bytes(6))
        assert (result.parsed_sense.key, result.parsed_sense.asc) == (2, 0x3A)
        for one in (ledger, backup):
            await asyncio.to_thread(one.close)
        assert (first.reissued, second.reissued) == (0, 0)

    loopback.run(scenario)


def test_a_transaction_that_is_open_is_rolled_back(loopback: ScsiLoopback) -> None:
    """Tables of the snapshot have a part of it, and the journal beside them what was there."""

    async def scenario(first: Any) -> None:
        second = await guests(loopback, first)
        ledger = await asyncio.to_thread(Ledger(first, DATABASE).open)
        await asyncio.to_thread(ledger.create)
        for number in range(1, 4):
            await asyncio.to_thread(ledger.commit, number)
        old = await content(first, DATABASE)
        await asyncio.to_thread(ledger.begin_large, 4, 45)
        assert await content(first, DATABASE) != old
        await program["control_snapshot"](first, DATABASE, 1)
        await asyncio.to_thread(ledger.end_large, 45)
        await program["dump"](second, SNAPSHOT, TAPE)
        backup = await restored(second)
        assert backup.had_journal
        assert await asyncio.to_thread(backup.check) == 3
        assert await asyncio.to_thread(ledger.check) == 44
        for one in (ledger, backup):
            await asyncio.to_thread(one.close)

    loopback.run(scenario)
