"""Many guests on one machine: its xenstore, and the toolstack that adds guests."""

import gc
import os
import tempfile
import time
from contextlib import ExitStack, closing
from typing import Self

from pvdrivers.sim.machine import Machine
from pvdrivers.tools.pvbench.job.xenstore import Xenstore
from pvdrivers.tools.pvbench.scale.files import raise_file_limit
from pvdrivers.tools.pvbench.scale.processes import BackendProcess, FrontendProcess
from pvdrivers.tools.pvbench.scale.spec import NAMES, Activity, Memory, ScaleSpec
from pvdrivers.toolstack.devices import DeviceConfig
from pvdrivers.vbd.config import disk_config
from pvdrivers.vnif.config import vif_config
from pvdrivers.xenstore.tree import tune_gc_for_large_tree

BACKEND_MEMORY = 16 << 20  # bytes


class ManyGuests:
    """At most `most` guests, none at first. BenchError: one of the processes has died."""

    def __init__(self, spec: ScaleSpec, most: int) -> None:
        self._spec = spec
        self._most = most
        self._domids: list[int] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            raise_file_limit()
            stack.callback(gc.set_threshold, *gc.get_threshold())
            tune_gc_for_large_tree()
            memory = self._spec.guest_memory
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pvbench-"))
            sockets = os.path.join(folder, "machine"), os.path.join(folder, "xenstore")
            size = BACKEND_MEMORY + self._most * memory
            machine = Machine(size, max_domains=self._most + 1)
            self._machine = stack.enter_context(machine)
            self._machine.create_domain(domid=0, memory=BACKEND_MEMORY, privileged=True)
            self._machine.serve(sockets[0])
            self._xenstore = stack.enter_context(closing(Xenstore(sockets[1])))
            self._frontends = stack.enter_context(closing(FrontendProcess(sockets, self._spec)))
            self._backend = stack.enter_context(closing(BackendProcess(sockets, self._spec)))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    @property
    def guests(self) -> int:
        return len(self._domids)

    def add_guests(self, total: int) -> float:
        """Adds guests until there are `total`. Returns the seconds from writing their devices to
        xenstore until all are connected."""
        memory = self._spec.guest_memory
        new = [
            self._machine.create_domain(memory=memory).domid
            for _ in range(total - len(self._domids))
        ]
        start = time.monotonic()
        for domid in new:
            for device in self._devices(domid):
                self._xenstore.add(device)
        self._frontends.connect(new)
        self._domids += new
        return time.monotonic() - start

    def _devices(self, domid: int) -> list[DeviceConfig]:
        if self._spec.device == "vif":
            return [vif_config(0, domid)]
        size = str(self._spec.disk_size)
        names = NAMES[: self._spec.disks]
        return [disk_config(name, domid, kind="ram", params=size) for name in names]

    def run(self, active: int, seconds: float, block_size: int | None = None) -> Activity:
        """Random reads by the first `active` guests, or frames from the first and back, while the
        others are idle.

        `block_size`: bytes, the spec's at most; or those of a frame.
        """
        return self._frontends.run(active, seconds, block_size or self._spec.block_size)

    def memory(self) -> Memory:
        """What the backend's process uses now."""
        return self._backend.memory()
