"""A machine shared by processes: any of them may be killed, the rest goes on, nothing leaks."""

import errno
import os
import random
import select
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

import pytest

from pvdrivers._core import lib
from pvdrivers.hypervisor import EventChannels, HypervisorError
from pvdrivers.sim import Domain, Machine, MachineError

GUEST = """
import sys
from pvdrivers.sim import Machine

machine = Machine.attach(sys.argv[1])
hypervisor = machine.open_hypervisor(int(sys.argv[2]))
channels = hypervisor.open_event_channels()
"""

GRANTS_AND_ECHOES = (
    GUEST
    + """
pages = hypervisor.allocate_pages(4)
pages.view[:5] = b"hello"
port = channels.bind_unbound_port(0)
print(port, *hypervisor.grant_pages(0, pages), flush=True)
import select
import socket
import struct
while True:
    select.select([channels], [], [])
    while (pending := channels.pending()) is not None:
        channels.unmask(pending)
        channels.notify(pending)
"""
)

MAPS_FOREVER = (
    GUEST
    + """
refs = list(map(int, sys.argv[3:]))
print("ready", flush=True)
while True:
    mapped = hypervisor.map_grants(0, refs)
    for ref in refs:
        hypervisor.copy_to_grant(0, ref, 0, b"x" * 512)
    port = channels.bind_unbound_port(0)
    channels.unbind(port)
    hypervisor.unmap_grants(mapped)
"""
)

MAKES_AND_DESTROYS = """
import sys
from pvdrivers.sim import Machine

machine = Machine.attach(sys.argv[1])
dom0 = machine.open_hypervisor(0)
ours = dom0.open_event_channels()
while True:
    guest = machine.create_domain(memory="256K", vcpus=2)
    hypervisor = guest.hypervisor
    theirs = hypervisor.open_event_channels()
    ours.bind_interdomain(guest.domid, theirs.bind_unbound_port(0))
    refs = hypervisor.grant_pages(0, hypervisor.allocate_pages(2))
    mapped = dom0.map_grants(guest.domid, refs)
    if guest.domid % 2:
        dom0.unmap_grants(mapped)
    print(guest.domid, flush=True)
    if guest.domid % 3:
        guest.destroy()
"""


class Process:
    """A second process attached to the machine."""

    def __init__(self, program: str, *arguments: object) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)], stdout=subprocess.PIPE, text=True
        )
        assert self.child.stdout is not None
        self.output: IO[str] = self.child.stdout
        self.first_line = self.output.readline().split()

    def kill(self) -> None:
        self.child.kill()
        self.child.wait()
        self.output.close()


def wait_for(channels: EventChannels, port: int) -> None:
    while (pending := channels.pending()) is None:
        assert select.select([channels], [], [], 30)[0], "no event within 30 seconds"
    assert pending == port
    channels.unmask(port)


def eventually(condition: object, what: str) -> None:
    """The serving thread notices a death a moment after it."""
    assert callable(condition)
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail(f"{what}: not within 30 seconds")


def can_end(domain: Domain, ref: int) -> bool:
    try:
        domain.hypervisor.end_access(ref)
    except HypervisorError as error:
        assert error.errno == errno.EBUSY
        return False
    return True


def test_pages_and_events_cross_processes(tmp_path: Path) -> None:
    with Machine("16M") as machine:
        machine.serve(tmp_path / "machine")
        dom0 = machine.create_domain(memory="1M", privileged=True)
        guest = machine.create_domain(memory="1M")
        channels = dom0.hypervisor.open_event_channels()
        process = Process(GRANTS_AND_ECHOES, tmp_path / "machine", guest.domid)
        port, *refs = map(int, process.first_line)
        mapped = dom0.hypervisor.map_grants(guest.domid, refs)
        assert bytes(mapped.view[:5]) == b"hello"
        local = channels.bind_interdomain(guest.domid, port)
        wait_for(channels, local)  # a new binding is pending once
        for _ in range(100):
            channels.notify(local)
            wait_for(channels, local)
        process.kill()
        # Its page is still mapped here, and the processes that are left go on.
        assert bytes(mapped.view[:5]) == b"hello"
        dom0.hypervisor.unmap_grants(mapped)
        guest.destroy()
        assert machine.free_memory == machine.total_memory - (1 << 20)


@pytest.mark.slow
def test_killed_anywhere_nothing_leaks(tmp_path: Path) -> None:
    rng = random.Random(20261122)
    with Machine("16M") as machine:
        machine.serve(tmp_path / "machine")
        dom0 = machine.create_domain(memory="1M", privileged=True)
        pages = dom0.hypervisor.allocate_pages(4)
        free = machine.free_memory
        for _ in range(8):
            guest = machine.create_domain(memory="1M")
            refs = dom0.hypervisor.grant_pages(guest.domid, pages)
            process = Process(MAPS_FOREVER, tmp_path / "machine", guest.domid, *refs)
            time.sleep(rng.random() * 0.05)
            process.kill()
            for ref in refs:
                eventually(lambda ref=ref: can_end(dom0, ref), f"gref {ref} is free again")
            guest.destroy()
            assert machine.free_memory == free
        dom0.hypervisor.free_pages(pages)


def what_is_used(machine: Machine) -> tuple[int, int, int, int, str]:
    """Free bytes, domains, grants that dom0 maps, open files of this process, dom0's ports."""
    domains = sum(1 for domid in range(1024) if exists(machine, domid))
    machine.debug_keys("e")
    ports = machine.console.rpartition("Domain 0: ")[2].partition("\n")[0]
    maps = int(lib.pv_gnttab_handles(machine.cdata, 0))
    return machine.free_memory, domains, maps, len(os.listdir("/proc/self/fd")), ports


def exists(machine: Machine, domid: int) -> bool:
    try:
        machine.domain(domid)
    except MachineError as error:
        assert error.errno == errno.ESRCH
        return False
    return True


def destroy_all_but_dom0(machine: Machine) -> None:
    for domid in range(1, 1024):
        if exists(machine, domid):
            with suppress(MachineError):  # its last user has just gone
                Domain(machine, domid).destroy()


@pytest.mark.slow
def test_a_thousand_domains_and_killed_toolstacks_leave_the_machine_as_it_was(
    tmp_path: Path,
) -> None:
    rng = random.Random(20261129)
    with Machine("64M") as machine:
        machine.serve(tmp_path / "machine")
        machine.create_domain(memory="1M", privileged=True)
        before, made = what_is_used(machine), 0
        while made < 1000:
            toolstack = Process(MAKES_AND_DESTROYS, tmp_path / "machine")
            count = rng.randint(1, 60)
            for _ in range(count):
                assert toolstack.output.readline()
            toolstack.kill()  # in the midst of what it does next
            made += count + 1
            destroy_all_but_dom0(machine)
        eventually(lambda: what_is_used(machine) == before, f"{before} as before")


def test_attaching_to_nothing(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="no machine is served at"):
        Machine.attach(tmp_path / "nothing")


def test_the_broker_keeps_nothing_it_was_not_asked_to_keep(tmp_path: Path) -> None:
    """Files sent with a message that wants none, and handles that cannot be, cost nothing."""
    path = tmp_path / "machine"
    message = struct.Struct("<IIIIi")
    with Machine("1M") as machine:
        machine.serve(path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.connect(str(path))

            def ask(kind: int, fds: list[int]) -> int:
                request = message.pack(kind, 0xFFFFFFFF, 1, 0, 0)
                socket.send_fds(client, [request], fds)
                reply, received, _, _ = socket.recv_fds(client, message.size, 2)
                for fd in received:
                    os.close(fd)
                return int(message.unpack(reply)[-1])

            def open_files() -> int:
                ask(2, [])  # once it is answered, the serving thread is done with what was before
                return len(os.listdir("/proc/self/fd"))

            before = open_files()
            errors = {0: 0, 1: -errno.EINVAL, 2: 0, 3: -errno.ENOENT, 99: -errno.EINVAL}
            for kind in list(errors) * 20:  # join, publish, withdraw, fetch, nonsense
                assert ask(kind, [client.fileno()]) == errors[kind]
            assert open_files() == before
        assert machine.create_domain(memory="256K").info.domid == 0
