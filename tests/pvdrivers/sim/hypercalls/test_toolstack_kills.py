"""Toolstacks are killed while they make and destroy domains: the machine is then as it was."""

import ctypes
import multiprocessing
import os
import random
import struct
from multiprocessing import resource_tracker
from pathlib import Path

import pytest

from pvdrivers._core import ffi, lib
from pvdrivers.sim import Machine, MachineError
from tests.until import wait_until

from .test_domctl import (
    CREATE,
    DESTROY,
    HANDLE,
    MAX_MEM,
    ONLINE,
    PAUSE,
    SETHANDLE,
    UNPAUSE,
    creation,
    domctl,
    populate,
    set_context,
)

LIVES = 1000
MAX_DOMAINS = 64
AT_ONCE = 3


def live(machine: Machine, rng: random.Random) -> None:
    """A domain's life, or at least its beginning. Others may end it at any time."""
    result, domid, _ = domctl(machine, CREATE, 0, creation(rng.randint(1, 4)))
    if result:  # there is no domid any more: one that somebody has left, or is using, goes
        domctl(machine, DESTROY, rng.randrange(1, MAX_DOMAINS))
        return
    domctl(machine, MAX_MEM, domid, struct.pack("<Q", 256))
    populate(machine, domid, range(rng.randint(1, 64)))
    set_context(machine, domid, 0, ONLINE)
    domctl(machine, SETHANDLE, domid, HANDLE.bytes)
    port = ffi.new("evtchn_port_t *")
    lib.pv_evtchn_op_alloc_unbound(machine.cdata, domid, domid, 0, port)
    domctl(machine, UNPAUSE, domid)
    domctl(machine, PAUSE, domid)
    if rng.random() < 0.8:
        domctl(machine, DESTROY, domid)


def toolstack(socket: str, lives: ctypes.c_longlong, seed: int) -> None:
    """Until it is killed."""
    machine, rng = Machine.attach(socket), random.Random(seed)
    while True:
        live(machine, rng)
        lives.value += 1


def is_gone(machine: Machine, domid: int) -> bool:
    """Destroys what a toolstack has left."""
    try:
        machine.domain(domid).destroy()
    except MachineError:
        return True
    return False


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.slow
def test_a_thousand_lives_of_domains(tmp_path: Path) -> None:
    rng, context = random.Random(13), multiprocessing.get_context("spawn")
    with Machine("64M", virtual_time=True, cpus=2, max_domains=MAX_DOMAINS) as machine:
        machine.create_domain(memory="1M", privileged=True)
        socket = str(tmp_path / "machine")
        machine.serve(socket)
        # Without a lock, with which one could be killed.
        counters = [context.Value("q", 0, lock=False) for _ in range(AT_ONCE)]
        resource_tracker.ensure_running()  # multiprocessing's, which stays
        free, files, done = machine.free_memory, open_files(), 0
        while done < LIVES:
            for counter in counters:
                counter.value = 0
            processes = [
                context.Process(target=toolstack, args=(socket, counter, rng.getrandbits(32)))
                for counter in counters
            ]
            for process in processes:
                process.start()
            for process, counter in zip(processes, counters, strict=True):
                goal = rng.randint(1, 150)
                wait_until(lambda counter=counter, goal=goal: counter.value >= goal)
                process.kill()
                process.join()
                process.close()
            done += sum(counter.value for counter in counters)
        wait_until(lambda: all(is_gone(machine, domid) for domid in range(1, MAX_DOMAINS)))
        wait_until(lambda: machine.free_memory == free)
        created = {domctl(machine, CREATE, domid, creation())[0] for domid in range(1, MAX_DOMAINS)}
        assert created == {0}
        for domid in range(1, MAX_DOMAINS):
            assert domctl(machine, DESTROY, domid)[0] == 0
        assert machine.free_memory == free
        assert lib.pv_gnttab_handles(machine.cdata, 0) == 0
        wait_until(lambda: open_files() <= files)
