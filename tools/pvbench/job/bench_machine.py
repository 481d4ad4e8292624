"""What the halves of a benchmark stand on: a machine, a xenstore, and the backend's domain."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any

from pvdrivers.ring.abi import Abi
from pvdrivers.sim.machine import Machine
from pvdrivers.tools.pvbench.job.job import Job, Sockets
from pvdrivers.tools.pvbench.job.remote_half import RemoteBack, RemoteFront
from pvdrivers.tools.pvbench.job.run import BackHalf, FrontHalf
from pvdrivers.tools.pvbench.job.xenstore import Xenstore


@dataclass(frozen=True, slots=True)
class BenchMachine:
    """It makes the halves. Whoever asks for one closes it, the backend first, so that the guests
    get all their grants back."""

    machine: Machine
    xenstore: Xenstore
    sockets: Sockets
    backend: int  # domid
    module: str | None  # of the processes that the halves are; None: they are threads

    def add_guest(self, job: Job, memory: int) -> int:
        """The domid of a new guest with `memory` bytes."""
        return self.machine.create_domain(abi=Abi(job.abi), memory=memory).domid

    def front(
        self,
        make: Callable[[Machine, int, int, Any, str], FrontHalf],
        measurement: type[Any],
        domid: int,
        job: Job,
    ) -> FrontHalf:
        """The half in the guest `domid`, which measures a `measurement`."""
        if self.module:
            return RemoteFront(self.module, measurement, self.sockets, domid, self.backend, job)
        return make(self.machine, domid, self.backend, job, self.sockets[1])

    def back(
        self, make: Callable[[Machine, int, int, Any, str], BackHalf], frontend: int, job: Job
    ) -> BackHalf:
        """The half that serves the guest `frontend`."""
        if self.module:
            return RemoteBack(self.module, self.sockets, self.backend, frontend, job)
        return make(self.machine, self.backend, frontend, job, self.sockets[1])


@contextmanager
def bench_machine(
    memory: int, module: str | None, *, served: bool = False
) -> Iterator[BenchMachine]:
    """A machine for guests with `memory` bytes together. `module` runs a half in a process of its
    own (`serve_half`); None: they are threads of this one. `served`: other programs attach too."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pvbench-"))
        sockets = os.path.join(folder, "machine"), os.path.join(folder, "xenstore")
        machine = stack.enter_context(Machine(memory + (64 << 20)))
        xenstore = stack.enter_context(closing(Xenstore(sockets[1])))
        backend = machine.create_domain(memory="16M", privileged=True).domid
        if module or served:
            machine.serve(sockets[0])
        yield BenchMachine(machine, xenstore, sockets, backend, module)
