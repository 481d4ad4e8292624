"""The backend's half of a benchmark of a SCSI host: scsiback, and a disk on a store, or a tape."""

from pathlib import Path

from pvdrivers.backends.device import DeviceContext
from pvdrivers.backends.scsi.device import ScsiBackend
from pvdrivers.backends.scsi.host import HostConfig, ScsiBackendOptions, ServeOptions
from pvdrivers.backends.scsi.queue import ERRORS, ScsiQueue
from pvdrivers.backends.scsi.units import Units
from pvdrivers.backends.targets.disk.unit import Disk
from pvdrivers.backends.targets.logical_unit import LogicalUnit
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.backends.targets.tape.unit import Tape
from pvdrivers.poll.threads import PollThreads
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim.machine import Machine
from pvdrivers.tools.pvbench.errors import BenchError, OptionError
from pvdrivers.tools.pvbench.fio.store import open_store
from pvdrivers.tools.pvbench.job.counters import nonzero, total
from pvdrivers.tools.pvbench.job.measurement import BackMeasurement
from pvdrivers.tools.pvbench.job.xenstore import Loop
from pvdrivers.tools.pvbench.scsi.job import ScsiJob
from pvdrivers.tools.pvbench.scsi.xenbus import device_config
from pvdrivers.xenstore.client import XenstoreClient


class Back:
    """One host with one unit. A poll thread serves the ring, a disk's reads and writes included;
    other commands are left to a thread of the unit.

    The calls come in this order: open, measurement as often as wanted, finish, close.
    """

    def __init__(
        self, machine: Machine, domid: int, frontend: int, job: ScsiJob, xenstore: str
    ) -> None:
        self._path = device_config(frontend, domid).backend_path
        self._xenstore = xenstore
        self._limits = ScsiBackendOptions(sg_grant=job.segments)
        self._unit = _open_unit(job)
        self._hypervisor = machine.open_hypervisor(domid)
        self._threads = PollThreads(1, job.mode)
        self._threads.__enter__()
        self._loop = Loop()
        self._device: ScsiBackend | None = None

    def open(self) -> None:
        """Begins to connect."""
        self._loop.call(self._open())

    async def _open(self) -> None:
        client = await XenstoreClient.connect(self._xenstore)
        context = DeviceContext(client, self._path, self._hypervisor, self._threads)
        options = ServeOptions(self._open_unit, self._limits)
        self._device = ScsiBackend(context, HostConfig(self._path), options, Units())
        self._device.start()

    async def _open_unit(self, host: HostConfig, p_dev: str) -> LogicalUnit:
        return self._unit

    def check(self) -> None:
        """Raises BenchError when the ring is broken."""
        if any(queue.broken for queue in self._queues):
            raise BenchError("the backend has stopped")

    @property
    def _queues(self) -> list[ScsiQueue]:
        return self._device.queues if self._device else []

    def measurement(self) -> BackMeasurement:
        """What the queue has counted until now."""
        stats = total(queue.statistics() for queue in self._queues)
        errors = {name: stats.pop(name, 0) for name in ERRORS}
        return BackMeasurement(stats, nonzero(errors))

    def finish(self) -> BackMeasurement:
        self._threads.check()
        return self.measurement()

    def close(self) -> None:
        if self._device:
            self._loop.call(self._close_device(self._device))
        else:
            self._unit.close()
        self._loop.close()
        self._threads.__exit__(None, None, None)
        self._hypervisor.close()

    async def _close_device(self, device: ScsiBackend) -> None:
        await device.abort()
        await device.luns.close(for_good=True)


def _open_unit(job: ScsiJob) -> LogicalUnit:
    """OptionError: its file cannot be used."""
    identity = Identity.of("pvbench")
    if job.unit == "disk":
        return Disk(open_store(job.store), identity)
    assert job.store.path
    try:
        return Tape(identity, Path(job.store.path))
    except UsageError as error:
        raise OptionError(f"--filename: {error}") from None
