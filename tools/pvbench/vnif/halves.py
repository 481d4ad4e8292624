"""Both halves of a network benchmark: a machine, its guests, a backend, and what lies between."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from msgspec.structs import replace

from pvdrivers.ring.abi import Abi
from pvdrivers.sim.machine import Machine
from pvdrivers.tools.pvbench.job.remote_half import RemoteBack, RemoteFront
from pvdrivers.tools.pvbench.job.run import BackHalf, FrontHalf
from pvdrivers.tools.pvbench.job.xenstore import Xenstore
from pvdrivers.tools.pvbench.vnif import worker
from pvdrivers.tools.pvbench.vnif.back import Back
from pvdrivers.tools.pvbench.vnif.front import Front
from pvdrivers.tools.pvbench.vnif.guests import Guests
from pvdrivers.tools.pvbench.vnif.job import VnifJob
from pvdrivers.tools.pvbench.vnif.measurement import VnifMeasurement
from pvdrivers.tools.pvbench.vnif.xenbus import device_config

QUEUE_PAGES = 256 + 64  # of a queue in each direction: its buffers, its ring, and some to spare


def guest_memory(job: VnifJob) -> int:
    """Bytes a guest needs for its queues, in whole MiB."""
    needed = job.queues * QUEUE_PAGES * 2 * Abi(job.abi).page_size + (16 << 20)
    return -(-needed // (1 << 20)) << 20


@contextmanager
def open_halves(job: VnifJob, processes: bool) -> Iterator[tuple[FrontHalf, BackHalf]]:
    """Both halves on a machine of their own, each guest and the backend in a thread or a process.

    The backend goes first, so that the guests get all their grants back.
    """
    memory = guest_memory(job)
    guests = [replace(job, role=role) for role in job.roles]
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pvbench-"))
        sockets = os.path.join(folder, "machine"), os.path.join(folder, "xenstore")
        machine = stack.enter_context(Machine(len(guests) * memory + (64 << 20)))
        xenstore = stack.enter_context(closing(Xenstore(sockets[1])))
        back_domid = machine.create_domain(memory="16M", privileged=True).domid
        if processes:
            machine.serve(sockets[0])
        fronts: list[FrontHalf] = []
        for guest in guests:
            domid = machine.create_domain(abi=Abi(job.abi), memory=memory).domid
            xenstore.add(device_config(guest, domid, back_domid))
            front: FrontHalf
            if processes:
                front = RemoteFront(
                    worker.__name__, VnifMeasurement, sockets, domid, back_domid, guest
                )
            else:
                front = Front(machine, domid, back_domid, guest, sockets[1])
            fronts.append(stack.enter_context(closing(front)))
        back: BackHalf
        if processes:
            back = RemoteBack(worker.__name__, sockets, back_domid, domid, job)
        else:
            back = Back(machine, back_domid, domid, job, sockets[1])
        stack.enter_context(closing(back))
        yield Guests(guests, fronts), back
