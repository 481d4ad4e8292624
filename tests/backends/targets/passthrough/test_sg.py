"""A host's device by /dev/sg. This machine has none: a thread at the other end of a socket plays
the driver, which reads and writes the memory that headers name as the kernel does."""

from __future__ import annotations

import asyncio
import ctypes
import random
import socket
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.backends.stores.store import RamStore
from pvdrivers.backends.targets.command import Answer, Command, Nexus
from pvdrivers.backends.targets.disk.unit import Disk
from pvdrivers.backends.targets.passthrough.policy import RESERVATIONS, Policy
from pvdrivers.backends.targets.passthrough.session import Session
from pvdrivers.backends.targets.passthrough.sg import open_sg
from pvdrivers.backends.targets.passthrough.sg_session import (
    FROM_DEVICE,
    TO_DEVICE,
    SgHeader,
    SgSession,
)
from pvdrivers.backends.targets.passthrough.unit import PassThrough
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.ring.errors import UsageError
from pvdrivers.scsi.block_range import BlockRange
from pvdrivers.scsi.result import HostByte, Status
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

from .conftest import PATIENCE, Initiator

BLOCK = 512
BATCH = 4  # headers that the driver takes before it answers them, in another order


class Driver:
    """Of one device, with a thread for each open file."""

    def __init__(self) -> None:
        self.unit = Disk(RamStore(1 << 20), Identity.of("sg"))
        self.host_status = 0
        self.most_at_once = 0
        self._lock = threading.Lock()
        self._files: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def open_session(self, nexus: Nexus) -> Callable[[], Coroutine[Any, Any, Session]]:
        async def opened() -> Session:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.setblocking(False)
            self._files.append(theirs)
            self._threads.append(threading.Thread(target=self._serve, args=(theirs,)))
            self._threads[-1].start()
            return SgSession(ours.detach(), 60.0)

        return opened

    def _serve(self, file: socket.socket) -> None:
        initiator = UnitInitiator(self.unit)
        while (content := _received(file)) is not None:
            headers = [content]
            file.setblocking(False)
            while len(headers) < BATCH and (content := _received(file)):
                headers.append(content)
            file.setblocking(True)
            self.most_at_once = max(self.most_at_once, len(headers))
            random.shuffle(headers)
            for each in headers:
                with self._lock:
                    file.send(self._carry_out(initiator, SgHeader.from_buffer_copy(each)))

    def _carry_out(self, initiator: UnitInitiator, header: SgHeader) -> bytes:
        assert header.interface_id == ord("S")
        assert header.timeout == 60000
        header.host_status = self.host_status
        if self.host_status:
            return bytes(header)
        sent = b""
        room = header.dxfer_len if header.dxfer_direction == FROM_DEVICE else 0
        if header.dxfer_direction == TO_DEVICE:
            sent = ctypes.string_at(header.dxferp, header.dxfer_len)
        cdb = ctypes.string_at(header.cmdp, header.cmd_len)
        answer = initiator.run(cdb, sent, room=room)
        data = bytes(answer.data)[:room]
        ctypes.memmove(header.dxferp, data, len(data))
        header.status = answer.status
        header.resid = room - len(data) if room else answer.unused
        sense = answer.sense[: header.mx_sb_len]
        ctypes.memmove(header.sbp, sense, len(sense))
        header.sb_len_wr = len(sense)
        return bytes(header)

    def pull_out(self) -> None:
        for file in self._files:
            file.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        for file in self._files:
            file.close()
        self.unit.close()


def _received(file: socket.socket) -> bytes | None:
    """None: there is nothing, or nobody any more."""
    try:
        return file.recv(ctypes.sizeof(SgHeader)) or None
    except OSError:
        return None


Scenario = Callable[[Driver, Initiator], Coroutine[Any, Any, None]]


def run(scenario: Scenario) -> None:
    async def main() -> None:
        driver = Driver()
        unit = PassThrough(
            "/dev/sg0", driver.open_session, Policy(refuse=RESERVATIONS), 0, depth=16
        )
        async with asyncio.timeout(2 * PATIENCE):
            initiator = Initiator(unit)
            await initiator.hear_attentions()
            try:
                await scenario(driver, initiator)
            finally:
                unit.close()
                await asyncio.to_thread(driver.close)

    asyncio.run(main())


def test_the_header_is_the_kernels() -> None:
    assert ctypes.sizeof(SgHeader) == 88
    places = {"dxferp": 16, "timeout": 40, "pack_id": 48, "status": 64, "resid": 72, "info": 80}
    assert {name: getattr(SgHeader, name).offset for name in places} == places


def test_commands_of_all_directions() -> None:
    async def scenario(driver: Driver, initiator: Initiator) -> None:
        await initiator.good(BlockRange(3, 2).cdb(0x2A), b"kept".ljust(2 * BLOCK))
        read = await initiator.good(BlockRange(3, 2).cdb(0x28), room=2 * BLOCK)
        assert read == b"kept".ljust(2 * BLOCK)
        assert len(await initiator.good("12 00 00 00 24 00", room=255)) == 36  # short
        assert await initiator.code(BlockRange(1 << 20, 1).cdb(0x28), room=BLOCK) == "05/21/00"
        await initiator.good("35 00 00 00 00 00 00 00 00 00")

    run(scenario)


def test_answers_come_in_any_order() -> None:
    async def scenario(driver: Driver, initiator: Initiator) -> None:
        blocks = range(16)
        data = {block: bytes([block + 1]) * BLOCK for block in blocks}
        writing = [initiator.good(BlockRange(b, 1).cdb(0x2A), data[b]) for b in blocks]
        await asyncio.gather(*writing)
        reading = [initiator.good(BlockRange(b, 1).cdb(0x28), room=BLOCK) for b in blocks]
        assert await asyncio.gather(*reading) == [*data.values()]
        assert driver.most_at_once > 1

    run(scenario)


def test_what_the_host_bus_adapter_says() -> None:
    async def scenario(driver: Driver, initiator: Initiator) -> None:
        driver.host_status = HostByte.TIME_OUT
        answer = await initiator.run(BlockRange(0, 1).cdb(0x28), room=BLOCK)
        assert answer.host == HostByte.TIME_OUT
        driver.host_status = 0
        await initiator.good(BlockRange(0, 1).cdb(0x28), room=BLOCK)

    run(scenario)


def test_a_device_that_was_pulled_out_and_comes_back() -> None:
    async def scenario(driver: Driver, initiator: Initiator) -> None:
        await initiator.good(BlockRange(1, 1).cdb(0x2A), b"kept".ljust(BLOCK))
        await asyncio.to_thread(driver.pull_out)
        assert "06/29/07" in [
            *await initiator.hear_attentions(),
            *await initiator.hear_attentions(),
        ]
        assert (await initiator.good(BlockRange(1, 1).cdb(0x28), room=BLOCK))[:4] == b"kept"

    run(scenario)


def test_reservations_would_be_all_guests() -> None:
    async def scenario(driver: Driver, initiator: Initiator) -> None:
        assert await initiator.code("16 00 00 00 00 00") == "05/20/00"
        assert await initiator.code("5f 00 00 00 00 00 00 00 18 00", bytes(24)) == "05/20/00"

    run(scenario)


def test_a_driver_whose_queue_is_full() -> None:
    """The initiator sends it again, as SAM-5 has it."""

    async def main() -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        session = SgSession(ours.detach(), 60.0)
        command = partial(Command, Nexus("guest"), bytes(6))
        sent: list[asyncio.Task[Answer]] = []
        while not any(task.done() for task in sent):
            sent.append(asyncio.create_task(session.execute(command())))
            await asyncio.sleep(0)
        [full] = [task.result() for task in sent if task.done()]
        assert full.status == Status.TASK_SET_FULL
        session.close()
        await asyncio.gather(*sent, return_exceptions=True)
        theirs.close()

    asyncio.run(main())


def test_what_is_no_sg_device(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    async def main() -> None:
        for path in ("/dev/null", str(tmp_path / "file")):
            with pytest.raises(UsageError, match=f"{path} is no SCSI generic device"):
                await open_sg(path, Policy())
        missing = await open_sg(str(tmp_path / "sg0"), Policy())
        with pytest.raises(OSError, match=r"sg0 cannot be used: No such file"):
            missing.take_up(missing._records._journal)

    asyncio.run(main())
