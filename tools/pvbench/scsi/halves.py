"""Both halves of a SCSI disk's benchmark: a machine, a guest, a backend, and what lies between."""

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
from pvdrivers.tools.pvbench.scsi import worker
from pvdrivers.tools.pvbench.scsi.back import Back
from pvdrivers.tools.pvbench.scsi.front import Front
from pvdrivers.tools.pvbench.scsi.job import ScsiJob
from pvdrivers.tools.pvbench.scsi.xenbus import device_config

POOL = 8 << 20  # bytes that are granted at most: data, lists of segments, ring


def guest_memory(job: ScsiJob) -> int:
    """Bytes the guest needs for its ring and its data, in whole MiB."""
    page_size = Abi(job.abi).page_size
    buffers = job.numjobs * job.iodepth * (job.max_bs + page_size) if job.granted_memory else 0
    needed = POOL + job.max_length + buffers + (16 << 20)
    return -(-needed // (1 << 20)) << 20


@contextmanager
def open_halves(job: ScsiJob, processes: bool) -> Iterator[tuple[FrontHalf, BackHalf]]:
    """Both halves on a machine of their own, in threads or in processes, with a host between them.

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
        xenstore.add(device_config(front_domid, back_domid))
        front: FrontHalf
        back: BackHalf
        if processes:
            machine.serve(sockets[0])
            front = RemoteFront(worker.__name__, Measurement, sockets, front_domid, back_domid, job)
            stack.enter_context(closing(front))
            back = RemoteBack(worker.__name__, sockets, back_domid, front_domid, job)
        else:
            front = Front(machine, front_domid, back_domid, job, sockets[1])
            stack.enter_context(closing(front))
            back = Back(machine, back_domid, front_domid, job, sockets[1])
        stack.enter_context(closing(back))
        yield front, back
