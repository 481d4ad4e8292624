"""The machine a crowd lives on, its xenstore, and the toolstack that adds guests."""

import gc
import os
import tempfile
import time
from contextlib import ExitStack, closing
from typing import Self

from pvdrivers.sim.machine import Machine
from pvdrivers.tools.pvbench.crowd.files import raise_file_limit
from pvdrivers.tools.pvbench.crowd.plan import NAMES, Activity, Memory, Plan
from pvdrivers.tools.pvbench.crowd.worker import RemoteBacks, RemoteFronts
from pvdrivers.tools.pvbench.xenbus import Xenstore
from pvdrivers.toolstack.devices import DeviceConfig
from pvdrivers.vbd.config import disk_config
from pvdrivers.xenstore.tree import tune_gc_for_large_tree

BACKEND_MEMORY = 16 << 20  # bytes


class Crowd:
    """At most `most` guests, none at first. Raises BenchError when one of the processes dies."""

    def __init__(self, plan: Plan, most: int) -> None:
        self._plan = plan
        self._most = most
        self._domids: list[int] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            raise_file_limit()
            stack.callback(gc.set_threshold, *gc.get_threshold())
            tune_gc_for_large_tree()
            memory = self._plan.guest_memory
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pvbench-"))
            sockets = os.path.join(folder, "machine"), os.path.join(folder, "xenstore")
            size = BACKEND_MEMORY + self._most * memory
            machine = Machine(size, max_domains=self._most + 1)
            self._machine = stack.enter_context(machine)
            self._machine.create_domain(domid=0, memory=BACKEND_MEMORY, privileged=True)
            self._machine.serve(sockets[0])
            self._xenstore = stack.enter_context(closing(Xenstore(sockets[1])))
            self._fronts = stack.enter_context(closing(RemoteFronts(sockets, self._plan)))
            self._backs = stack.enter_context(closing(RemoteBacks(sockets, self._plan)))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    @property
    def guests(self) -> int:
        return len(self._domids)

    def grow(self, guests: int) -> float:
        """Adds guests until there are so many. Seconds it took, from their disks' directories in
        xenstore until all are connected."""
        memory = self._plan.guest_memory
        new = [
            self._machine.create_domain(memory=memory).domid
            for _ in range(guests - len(self._domids))
        ]
        start = time.monotonic()
        for domid in new:
            for name in NAMES[: self._plan.disks]:
                self._xenstore.add(self._disk(name, domid))
        self._fronts.connect(new)
        self._domids += new
        return time.monotonic() - start

    def _disk(self, name: str, domid: int) -> DeviceConfig:
        return disk_config(name, domid, kind="ram", params=str(self._plan.disk_size))

    def run(self, active: int, seconds: float, block_size: int | None = None) -> Activity:
        """Random reads by the first `active` guests, while the others are idle; of blocks at most
        as large as the plan's."""
        return self._fronts.run(active, seconds, block_size or self._plan.block_size)

    def memory(self) -> Memory:
        """What the backend's process takes now."""
        return self._backs.memory()
