"""pvbackd serves SCSI hosts with disks: Linux' xen-scsifront and sd, in one guest and in two."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

from block_devices import DISKS, dmsetup, images, mapped
from daemons import CONTROL, Daemon, daemon, devices
from scsi_host import PATIENCE, ScsiHost, scsi_host
from second_guest import second_guest
from serve import Lab
from step import (
    FIO,
    GUEST,
    MEBIBYTE,
    XL,
    command,
    file_system_and_fio,
    step,
    wait_until,
    write_and_verify,
)

from pvdrivers.toolstack.devices import destroy_device

SECTORS = 32 * MEBIBYTE // 512
JOB = f"{FIO} --rw=randwrite --bs=4k --iodepth=16"
TIMEOUT, ENDLESS = 3, 600  # seconds that the guest waits for a command
KILLS = 2
# A LUN whose name has "slow" in it takes its time, so that there is always something in flight.
DISK_RULES = """
    log.burst = 1000
    [[scsi]]
    lun = "*slow*"
    unit = {kind = "disk", filters = [{kind = "delay", delay_us = 100_000}]}
    [[scsi]]
"""
SECOND = """\
name = "second"
type = "pv"
kernel = "/guest/vmlinux"
ramdisk = "/guest/small.cpio"
extra = "console=hvc0 panic=5 loglevel=4 mitigations=off"
memory = 256
on_crash = "destroy"
"""


async def hosts_when(condition: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    """What pvbackd tells of its hosts, once that is so."""
    async with asyncio.timeout(PATIENCE):
        while True:
            hosts = await devices(CONTROL)
            if condition(hosts):
                return hosts
            await asyncio.sleep(0.5)


@step
async def scsi_disk(lab: Lab) -> None:
    """Linux' scsifront and sd: mkfs and fio with verify, a LUN that comes and goes, one that hangs
    until its commands are aborted, a reset, pvbackd killed."""
    table = f"0 {SECTORS} linear {DISKS['disk0']} 0"
    with images("disk", "slow") as (disk, slow):
        async with mapped("stuck", table) as stuck, daemon(lab, DISK_RULES) as served:
            async with scsi_host(lab, lab.shell, GUEST, disk, slow) as host:
                await file_system_and_fio(lab, os.path.basename(await host.node(0)))
                await plugging(host, stuck)
                await killing(host, served)
            await lab.shell.wait_for("! ls -d /sys/bus/scsi/devices/*:* 2>/dev/null")


async def plugging(host: ScsiHost, stuck: str) -> None:
    """A LUN comes while another one is busy, hangs, is reset, and goes."""
    lab, shell = host.lab, host.shell
    job = await shell.start(f"{JOB} --filename={await host.node(1)} --io_size=2M")
    await host.add(2, stuck)
    name = os.path.basename(await host.node(2))
    await write_and_verify(lab, name, 1)
    await job.finished(300)
    await hanging(host, name)
    await host.remove(2)
    await write_and_verify(lab, os.path.basename(await host.node(0)), 1)


async def hanging(host: ScsiHost, name: str) -> None:
    """Commands that do not end are aborted by the guest, and given again when the disk is back.
    There are few, since Linux' scsifront needs a free slot on its ring to abort one; and it is a
    flush that hangs, since writes go to the page cache."""
    shell = host.shell
    fio = f"{JOB} --iodepth=4 --filename=/dev/{name}"
    await give_up_after(host, name, TIMEOUT)
    await dmsetup("suspend", "stuck")
    job = await shell.start(f"{fio} --io_size=512k --fsync=8")
    await hosts_when(lambda hosts: hosts[0]["counters"]["aborts"] > 0)
    assert await job.running()
    await dmsetup("resume", "stuck")
    await job.finished(300)
    job = await shell.start(f"{fio} --io_size=1M")
    await shell.run(f"sg_reset --device {await host.node(2, 'scsi_generic')}")
    await job.finished(300)
    (told,) = await hosts_when(lambda hosts: hosts[0]["counters"]["resets"] > 0)
    print(f"    {told['counters']}", flush=True)


async def give_up_after(host: ScsiHost, name: str, seconds: int) -> None:
    """How long the guest waits for a command of a disk. It waits on when it asks, after an abort,
    whether the disk is there, since otherwise it would leave it alone for ever."""
    folder = f"/sys/block/{name}/device"
    await host.shell.run(f"echo {seconds} >{folder}/timeout && echo {ENDLESS} >{folder}/eh_timeout")


async def killing(host: ScsiHost, served: Daemon) -> None:
    """pvbackd is killed over and over while fio writes and verifies; fio goes on."""
    node = await host.node(1)
    await give_up_after(host, os.path.basename(node), ENDLESS)  # starting pvbackd takes long
    job = await host.shell.start(f"{JOB} --filename={node} --io_size=4M")
    await served.kill_during(job, KILLS)
    assert await host.is_connected()
    await host.shell.run("! dmesg | grep ':0:1:0: Power-on'")  # the guest has not seen a reset


@step
async def scsi_guests(lab: Lab) -> None:
    """Two guests share a LUN: persistent reservations, over a kill of pvbackd, and a guest that
    dies while it has one and writes."""
    with images("shared") as (shared,):
        async with daemon(lab, DISK_RULES) as served, second_guest(lab, SECOND) as shell:
            domid = int(await command(XL, "domid", "second"))
            async with (
                scsi_host(lab, lab.shell, GUEST, shared) as first,
                scsi_host(lab, shell, domid, shared) as second,
            ):
                await reservations(first, second, served)
                await crashing(first, second)


async def persist(host: ScsiHost, words: str) -> str:
    return await host.shell.run(f"sg_persist {words} {await host.node(0)}", 300)


async def can_write(host: ScsiHost) -> bool:
    node = await host.node(0)
    said = await host.shell.run(
        f"dd if=/dev/zero of={node} bs=4k count=1 oflag=direct && echo done || true"
    )
    return "done" in said


async def reservations(first: ScsiHost, second: ScsiHost, served: Daemon) -> None:
    """Each guest has its key; the first one's reservation is preempted by the second."""
    await persist(first, "--out --register --param-sark=a1")
    await persist(second, "--out --register --param-sark=b2")
    await persist(first, "--out --reserve --param-rk=a1 --prout-type=1")
    assert await can_write(first)
    assert not await can_write(second)
    await served.kill()
    await served.taken_up(2)
    assert not await can_write(second)
    keys = await persist(second, "--in --read-keys")
    assert "0xa1" in keys, keys
    assert "0xb2" in keys, keys
    await persist(second, "--out --preempt --param-rk=b2 --param-sark=a1 --prout-type=1")
    assert await can_write(second)
    assert not await can_write(first)
    print("   ", await persist(first, "--in --read-reservation"), flush=True)


async def crashing(first: ScsiHost, second: ScsiHost) -> None:
    """The second guest dies; the first one takes over what it has reserved."""
    await second.shell.start(
        f"while :; do dd if=/dev/zero of={await second.node(0)} bs=64k oflag=direct; done"
    )
    # Those of the reservations were fewer.
    await hosts_when(lambda hosts: max(host["counters"]["wr_req"] for host in hosts) > 20)
    await command(XL, "destroy", "second")
    path = second.config.backend_path
    await wait_until(f"test $(xenstore-read {path}/state) = 6", int(PATIENCE))
    await destroy_device(second.lab.client, second.config)  # xl knows nothing of it
    await hosts_when(lambda hosts: len(hosts) == 1)
    await persist(first, "--out --register --param-sark=a3")
    await persist(first, "--out --preempt --param-rk=a3 --param-sark=b2 --prout-type=1")
    await write_and_verify(first.lab, os.path.basename(await first.node(0)), 1)
