"""Any length of data, wherever it lies, moves intact both ways: copied or in place, in the slot's
segments or in lists, with pages of every ABI."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pvdrivers._core import ffi, lib
from pvdrivers.ring.abi import Abi
from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.scsi.features import FrontendFeatures
from pvdrivers.sim import Machine
from pvdrivers.testing.scsi.byte_unit import READ, WRITE, ByteUnit, cdb
from pvdrivers.testing.scsi.emulated import Behaviour, EmulatedBackend
from pvdrivers.testing.scsi.pair import ScsiPair

FIRST = ScsiAddress(0, 0, 0, 0)
MOST = 2 << 20
SPARE = 1 << 16  # bytes of the buffers beyond the longest data
NOISE = random.Random(1).randbytes(MOST + SPARE)

lengths = st.integers(1, MOST) | st.builds(
    lambda pages, more: min(MOST, max(1, pages * 4096 + more)),
    st.integers(0, 512),
    st.integers(-2, 2),
)
offsets = st.integers(0, SPARE - 1) | st.sampled_from([0, 1, 4095, 4096, 16383, 16384])


class Buffers:
    """The queue's own granted memory."""

    def __init__(self, pair: ScsiPair) -> None:
        self.pair = pair
        (self.queue,) = pair.frontend.queues
        self.start = ffi.cast("uint8_t *", lib.pv_scsifront_buffers(self.queue.pointer))

    async def run(self, opcode: int, place: int, offset: int, length: int) -> Any:
        """A command with its data there; it is not copied."""
        command = ffi.new("struct pv_scsifront_command *")
        command.act, command.cdb_length = lib.VSCSIIF_ACT_SCSI_CDB, 10
        command.cdb = cdb(opcode, place).ljust(16, b"\0")
        writes = opcode == WRITE
        command.direction = lib.VSCSIIF_TO_DEVICE if writes else lib.VSCSIIF_FROM_DEVICE
        command.data, command.length = self.start + offset, length
        assert self.queue.submit([command])
        await self.pair.wait(lambda: command.place == lib.PV_SCSIFRONT_FINISHED)
        assert (command.rslt, command.residual) == (0, 0)


async def copied(pair: ScsiPair, length: int, offset: int) -> None:
    unit, data = pair.units["unit"], NOISE[offset : offset + length]
    assert isinstance(unit, ByteUnit)
    assert (await pair.frontend.execute(FIRST, cdb(WRITE, offset), data)).good
    assert unit.memory[offset : offset + length] == data
    result = await pair.frontend.execute(FIRST, cdb(READ, offset), room=length)
    assert result.data == data


async def in_place(pair: ScsiPair, length: int, offset: int) -> None:
    unit, data, buffers = pair.units["unit"], NOISE[offset : offset + length], Buffers(pair)
    assert isinstance(unit, ByteUnit)
    before = pair.frontend.statistics()["bytes_copied"]
    ffi.memmove(buffers.start + offset, data, length)
    await buffers.run(WRITE, 5, offset, length)
    assert unit.memory[5 : 5 + length] == data
    elsewhere = SPARE - 1 - offset
    await buffers.run(READ, 5, elsewhere, length)
    assert bytes(ffi.buffer(buffers.start + elsewhere, length)) == data
    assert pair.frontend.statistics()["bytes_copied"] == before


@pytest.mark.parametrize("lists", [False, True], ids=["slots", "lists"])
@pytest.mark.parametrize("abi", Abi)
def test_data_move_intact(abi: Abi, lists: bool) -> None:
    sg_grant = 1024 if lists else 0
    with Machine() as machine, asyncio.Runner() as runner:
        dom0 = machine.create_domain(privileged=True)
        guest = machine.create_domain(abi=abi, memory="64M")
        pair = ScsiPair(
            dom0.hypervisor,
            guest.hypervisor,
            {"unit": ByteUnit(MOST + SPARE)},
            features=FrontendFeatures(protocol=abi.protocol, sg_grant=sg_grant),
            backend=partial(EmulatedBackend, behaviour=Behaviour(sg_grant=sg_grant)),
            connect=False,
        )

        async def connect() -> None:
            await pair.__aenter__()
            pair.frontend.buffer_pages = (MOST + SPARE) // guest.hypervisor.page_size
            pair.backend.start()
            pair.frontend.start()
            await pair.frontend.connected()

        @settings(max_examples=40, deadline=None)
        @given(lengths, offsets)
        @example(MOST, 0)
        @example(26 * guest.hypervisor.page_size, 0)
        @example(1, SPARE - 1)
        def check(length: int, offset: int) -> None:
            if not lists:  # as much as fits, wherever it begins in a page
                length = min(length, 25 * guest.hypervisor.page_size)
            runner.run(copied(pair, length, offset))
            runner.run(in_place(pair, length, offset))

        runner.run(connect())
        check()
        runner.run(pair.__aexit__())
