"""A guest's driver by its name: what it can is what a benchmark of a disk uses."""

import pytest

from pvdrivers.ring.abi import Abi
from pvdrivers.testing.vbd.dialects import PROFILES
from pvdrivers.tools.pvbench.errors import OptionError
from pvdrivers.tools.pvbench.job.run import run_together
from pvdrivers.tools.pvbench.vbd.halves import open_halves
from pvdrivers.tools.pvbench.vbd.options import VbdOptions


def job_of(**options):
    """`given` is what a command line has named."""
    return VbdOptions(**options, given={name: str(value) for name, value in options.items()}).job()


@pytest.mark.parametrize("name", PROFILES)
def test_what_a_driver_can_is_the_default(name):
    job, driver = job_of(profile=name), PROFILES[name]
    assert job.abi == driver.abi
    assert job.persistent == driver.persistent
    assert job.indirect == driver.max_indirect_segments
    assert job.ring_page_order == driver.max_ring_page_order


def test_what_was_asked_for_counts():
    job = job_of(profile="ia64", abi="x86_32", persistent=True, indirect=64, ring_page_order=1)
    assert (job.abi, job.persistent, job.indirect) == (Abi.X86_32, True, 64)
    assert job.ring_page_order == 1


def test_more_queues_than_a_driver_has():
    with pytest.raises(OptionError, match=r"--queues: ia64's driver has 1 at most, not 2"):
        job_of(profile="ia64", queues=2)


def test_granted_memory_needs_a_driver_with_persistent_grants():
    with pytest.raises(OptionError, match="--mem=granted needs persistent grants"):
        job_of(profile="windows", mem="granted")


@pytest.mark.parametrize("name", PROFILES)
def test_content_is_right(name):
    options = {"rw": "randrw", "size": "1m", "bs": "64k", "iodepth": 8, "store": "ram"}
    (result,) = run_together(open_halves, [job_of(profile=name, verify="crc32c", **options)], False)
    assert result.front.failure is None
    assert result.front.elapsed_ns > 0
    counts = result.front.front
    assert counts["rd_req"] > 0 < counts["wr_req"]
    assert bool(counts["indirect_req"]) == bool(PROFILES[name].max_indirect_segments)
