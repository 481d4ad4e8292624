"""A tape behind a ring: data that come with sense, and kills between its blocks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.backends.scsi.host import HostConfig, ServeOptions
from pvdrivers.backends.scsi.service import ScsiService
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.backends.targets.tape.unit import Tape
from pvdrivers.frontends.scsi.device import ScsiFrontend
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.scsi.config import LunConfig, scsi_config
from pvdrivers.scsi.sense import Sense
from pvdrivers.testing.device_under_test import DeviceUnderTest
from pvdrivers.testing.loopback import Loopback
from pvdrivers.xenstore.client import XenstoreClient

AT = ScsiAddress(0, 0, 0, 0)
LENGTH = 10240
REWIND = bytes.fromhex("01 00 00 00 00 00")


def transfer(opcode: int, length: int) -> bytes:
    return bytes((opcode, 0, *length.to_bytes(3, "big"), 0))


@dataclass(frozen=True)
class ServeTape:
    cartridge: str

    def __call__(
        self, client: XenstoreClient, hypervisor: Hypervisor, state_directory: Path | None
    ) -> ScsiService:
        async def open_unit(host: HostConfig, p_dev: str) -> Tape:
            return Tape(Identity.of("tape", product="TAPE"), Path(self.cartridge))

        return ScsiService(
            client,
            hypervisor,
            lambda host: ServeOptions(open_unit),
            state_directory=state_directory,
        )


def host_of(tmp_path: Path) -> DeviceUnderTest:
    cartridge = tmp_path / "tape.tap"
    cartridge.touch()
    luns = [LunConfig("tape", AT)]
    return DeviceUnderTest(
        partial(scsi_config, 0, luns=luns), ScsiFrontend, ServeTape(str(cartridge))
    )


def block(number: int) -> bytes:
    return number.to_bytes(4, "big") * (LENGTH // 4)


def test_a_short_block_comes_with_its_sense(tmp_path: Path) -> None:
    async def work(frontend: Any) -> None:
        await frontend.connected()
        assert (await frontend.execute(AT, transfer(0x0A, LENGTH), block(1))).good
        assert (await frontend.execute(AT, REWIND)).good
        result = await frontend.execute(AT, transfer(0x08, 2 * LENGTH), room=2 * LENGTH)
        sense = Sense.parse(result.sense)
        assert sense
        assert (sense.incorrect_length, sense.information) == (True, LENGTH)
        assert result.data[:LENGTH] == block(1)

    with Loopback(host_of(tmp_path)) as loopback:
        loopback.run(work)


@pytest.mark.slow
def test_killed_between_blocks(tmp_path: Path) -> None:
    """The guest goes on writing, and then reads each block once."""

    async def work(frontend: Any) -> None:
        await frontend.connected()
        for number in range(60):
            if number % 10 == 5:
                loopback.kill_backend()
                loopback.restart_backend()
            result = await frontend.execute(AT, transfer(0x0A, LENGTH), block(number))
            assert result.good, result
        assert (await frontend.execute(AT, REWIND)).good
        for number in range(60):
            result = await frontend.execute(AT, transfer(0x08, LENGTH), room=LENGTH)
            assert result.data == block(number)
        assert not (await frontend.execute(AT, transfer(0x08, LENGTH), room=LENGTH)).good

    with Loopback(host_of(tmp_path), mode="processes") as loopback:
        loopback.run(work)
