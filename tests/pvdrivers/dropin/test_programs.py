"""Programs written against Xen's own headers, unmodified, in domains of the simulated machine."""

import os
import subprocess
import time

import pytest

from pvdrivers.ring._core import lib

from .conftest import DROPIN, finish


def test_two_domains_share_pages(world, build):
    pages = build("pages", "xenevtchn", "xengnttab")
    free = world.machine.free_memory
    share = world.start(world.guest.domid, pages, "share", 0)
    port, *refs = share.stdout.readline().split()
    mapper = world.run(0, pages, "map", world.guest.domid, port, *refs).splitlines()
    assert mapper == [
        "from the second page",
        "0 -3 from the second page",  # GNTST_bad_gntref
        "1 EINVAL",
        "-1 EAGAIN",
        "-1 EINVAL",
    ]
    # The mapper ended with a page mapped: its notice cleared the one byte and rang the bell.
    assert finish(share).splitlines() == ["from the mapper", "0 1"]
    assert world.machine.free_memory == free
    assert world.dom0.accounts["grants_mapped"] == 6
    for _ in range(3000):  # the machine notices a moment after its end that the mapper is gone
        if lib.pv_gnttab_handles(world.machine.cdata, 0) == 0:
            break
        time.sleep(0.01)
    else:
        pytest.fail("a map outlived its program by 30 seconds")


def test_without_a_machine(build):
    pages = build("pages", "xenevtchn", "xengnttab")
    environment = {**os.environ, "LD_LIBRARY_PATH": str(DROPIN)}
    for settings, reason in (
        ({}, "set PVDRIVERS_MACHINE to the socket of a simulated machine"),
        ({"PVDRIVERS_MACHINE": "/nowhere"}, "no machine at /nowhere"),
    ):
        done = subprocess.run(
            [pages, "share", "0"], env=environment | settings, capture_output=True, text=True
        )
        assert done.returncode == 1
        assert reason in done.stderr
        assert "xenevtchn_open: No such file or directory" in done.stderr


def test_as_a_domain_that_is_not_there(world, build):
    pages = build("pages", "xenevtchn", "xengnttab")
    for domid in (7, "no-number"):
        process = world.start(domid, pages, "share", 0)
        _, errors = process.communicate()
        assert f"cannot act as domain {domid} (PVDRIVERS_DOMID)" in errors
