"""Programs written against Xen's own headers, unmodified, in domains of the simulated machine."""

import os
import subprocess
import time

import pytest

from pvdrivers._core import lib
from pvdrivers.testing.dropin import DROPIN

from .conftest import XEN, finish

LSEVTCHN = XEN / "lsevtchn"


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


def test_what_a_toolstack_sees(world, build):
    domains = build(
        "domains", "xenctrl", "xenforeignmemory", "xendevicemodel", "xenevtchn", "xentoolcore"
    )
    guest = world.guest
    pages = guest.hypervisor.map_foreign(guest.domid, [3, 4])
    pages.view[:6], pages.view[4096:4103] = b"three\0", b"fourth\0"
    dom0 = "domain 0: 4096 pages, 1 vcpus, running 1, paused 0"
    assert world.run(0, domains, guest.domid).splitlines() == [
        "Xen 40011",
        dom0,
        "domain 1: 4096 pages, 1 vcpus, running 1, paused 0",
        dom0,
        "domain 1: 4096 pages, 1 vcpus, running 0, paused 1",
        "fourth three",
        "EFAULT 0 0 EFAULT fourth",
        "EINVAL",  # a device model of a paravirtual domain
        "yes EPERM yes EPERM EBADF",  # restricted to the guest
    ]
    process = world.start(guest.domid, domains, 0)
    assert "xc_domain_getinfo: Operation not permitted" in process.communicate()[1]


def test_lsevtchn(world):
    if not LSEVTCHN.exists():
        pytest.skip("needs lsevtchn (Debian package xen-utils-4.17)")
    ours = world.dom0.hypervisor.open_event_channels()
    theirs = world.guest.hypervisor.open_event_channels()
    remote = theirs.bind_unbound_port(0)
    local = ours.bind_interdomain(world.guest.domid, remote)
    waiting = ours.bind_unbound_port(world.guest.domid)
    listing = world.run(0, LSEVTCHN, 0)
    domid = world.guest.domid
    assert (
        f"{local:4}: VCPU 0: Interdomain (Connected) - Remote Domain {domid}, Port {remote}\n"
        in listing
    )
    assert (
        f"{waiting:4}: VCPU 0: Interdomain (Waiting connection) - Remote Domain {domid}\n"
        in listing
    )
