"""libiscsi's programs and tests on a real disk LUN: their commands go over a PV ring."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

import pytest

from pvdrivers.tools.pvbridge.guests import MachineGuests
from pvdrivers.tools.pvbridge.iscsi.login import TargetInfo
from pvdrivers.tools.pvbridge.iscsi.server import serve
from pvdrivers.tools.pvbridge.luns import LunSpec

NAME = "iqn.2012-04.org.example:target"

# What Debian's libiscsi 1.19 expects and this target does not do; docs/iscsi.md says why.
NOT_MET = {
    "iSCSIdatasn.iSCSIDataSnInvalid",
    "WriteSame10.UnmapUntilEnd",
    "Sanitize.Reset",
    "GetLBAStatus.UnmapSingle",
}
LEAST = 200  # of its 230 tests that pass, skipped ones not counted


async def run(*words: str) -> tuple[int | None, str]:
    if not shutil.which(words[0]):
        pytest.skip(f"needs {words[0]} (Debian package libiscsi-bin)")
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode(errors="replace")


def results(output: str) -> tuple[set[str], set[str]]:
    """The tests of iscsi-test-cu that passed, and that failed. The first are without those that
    were skipped, which its own summary counts."""
    passed, failed = set(), set()
    for suite in re.split(r"^Suite: ", output, flags=re.MULTILINE)[1:]:
        name = suite.splitlines()[0]
        for test in suite.split("  Test: ")[1:]:
            full = f"{name}.{test.split(' ...')[0]}"
            if "FAILED\n    1. " in test:
                failed.add(full)
            elif "[SKIPPED]" not in test.split("passed")[0]:
                passed.add(full)
    return passed, failed


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_libiscsis_tests_through_a_pv_ring(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(100 << 20)

    async def main() -> None:
        guests = MachineGuests([LunSpec.parse(f"0={image}")])
        async with guests, serve(guests, TargetInfo(NAME), port=0) as port:
            url = f"iscsi://127.0.0.1:{port}/{NAME}/0"
            words = ("iscsi-test-cu", "-d", "-v", "-S", "-t", "ALL", url, url)
            _, output = await run(*words)
        passed, failed = results(output)
        assert failed <= NOT_MET, output
        assert len(passed) >= LEAST

    asyncio.run(main())
