"""Both halves of a disk's benchmark: a machine, a guest, a backend, and what lies between them."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from pvdrivers.ring.abi import Abi
from pvdrivers.sim.machine import Machine
from pvdrivers.tools.pvbench.fio.measurement import Measurement
from pvdrivers.tools.pvbench.job.remote_half import RemoteBack, RemoteFront
from pvdrivers.tools.pvbench.job.run import BackHalf, FrontHalf
from pvdrivers.tools.pvbench.job.xenstore import Xenstore
from pvdrivers.tools.pvbench.vbd import worker
from pvdrivers.tools.pvbench.vbd.back import Back
from pvdrivers.tools.pvbench.vbd.front import Front
from pvdrivers.tools.pvbench.vbd.job import VbdJob
from pvdrivers.tools.pvbench.vbd.qemu import QemuBack
from pvdrivers.tools.pvbench.vbd.xenbus import device_config

POOL_PAGES = 1056 + 4096 + 64  # of a queue at most: data, descriptors, ring


def guest_memory(job: VbdJob) -> int:
    """Bytes the guest needs for its queues, in whole MiB."""
    abi = Abi(job.abi)
    buffers = job.numjobs * job.iodepth * (job.max_bs + abi.page_size) if job.granted_memory else 0
    needed = job.queues * POOL_PAGES * abi.page_size + buffers + (16 << 20)
    return -(-needed // (1 << 20)) << 20


@contextmanager
def open_halves(job: VbdJob, processes: bool) -> Iterator[tuple[FrontHalf, BackHalf]]:
    """Both halves on a machine of their own, in threads or in processes, with a disk between them.

    The backend goes first, so that the frontend gets all its grants back.
    """
    memory = guest_memory(job)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pvbench-"))
        sockets = os.path.join(folder, "machine"), os.path.join(folder, "xenstore")
        machine = stack.enter_context(Machine(memory + (64 << 20)))
        xenstore = stack.enter_context(closing(Xenstore(sockets[1])))
        back_domid = machine.create_domain(memory="16M", privileged=True).domid
        front_domid = machine.create_domain(abi=Abi(job.abi), memory=memory).domid
        xenstore.add(device_config(job, front_domid, back_domid))
        front: FrontHalf
        back: BackHalf
        qemu = job.backend == "qemu"
        if processes or qemu:
            machine.serve(sockets[0])
        if processes:
            front = RemoteFront(worker.__name__, Measurement, sockets, front_domid, back_domid, job)
        else:
            front = Front(machine, front_domid, back_domid, job, sockets[1])
        stack.enter_context(closing(front))
        if qemu:
            back = QemuBack(sockets, front_domid)
        elif processes:
            back = RemoteBack(worker.__name__, sockets, back_domid, front_domid, job)
        else:
            back = Back(machine, back_domid, front_domid, job, sockets[1])
        stack.enter_context(closing(back))
        yield front, back
