"""A SCSI host passes what every device class should."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from pvdrivers.testing.checks import CHECKS, Check
from pvdrivers.testing.scsi.byte_unit import READ, WRITE, ByteUnit, cdb
from pvdrivers.testing.scsi.loopback import host_under_test

UNITS = {"first": partial(ByteUnit, 1 << 18), "second": partial(ByteUnit, 1 << 18)}


async def write_and_read(frontend: Any) -> None:
    execute = frontend.execute
    for address in await frontend.connected():
        for length in (1, 512, 5000, 30 * 4096):
            data = (bytes(range(251)) * (length // 251 + 1))[:length]
            assert (await execute(address, cdb(WRITE, 3), data)).good
            assert (await execute(address, cdb(READ, 3), room=length)).data == data


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_checks(check: Check) -> None:
    check(host_under_test(UNITS), write_and_read)
