"""The backend's half of a benchmark: netback's queues, and the uplink behind them."""

from dataclasses import asdict

from pvdrivers.backends.device import DeviceContext
from pvdrivers.backends.uplinks.switch import Switch
from pvdrivers.backends.uplinks.uplink import HairpinUplink, NullUplink, Uplink
from pvdrivers.backends.vnif.device import VnifBackend, VnifBackendOptions
from pvdrivers.backends.vnif.queue import VnifQueue
from pvdrivers.poll.threads import PollThreads
from pvdrivers.sim.machine import Machine
from pvdrivers.tools.pvbench.errors import BenchError
from pvdrivers.tools.pvbench.job.counters import nonzero, total
from pvdrivers.tools.pvbench.job.measurement import BackMeasurement
from pvdrivers.tools.pvbench.job.xenstore import Loop
from pvdrivers.tools.pvbench.vnif.job import VnifJob
from pvdrivers.tools.pvbench.vnif.source import SourceUplink
from pvdrivers.xenstore.client import XenstoreClient


class Back:
    """All network devices of the machine, served by one poll thread.

    The calls come in this order: open, measurement as often as wanted, finish, close.
    """

    def __init__(
        self, machine: Machine, domid: int, frontend: int, job: VnifJob, xenstore: str
    ) -> None:
        """`frontend` is one of the guests; the toolstack has configured them all."""
        self._job = job
        self._xenstore = xenstore
        self._hypervisor = machine.open_hypervisor(domid)
        self._threads = PollThreads(1, job.mode)
        self._threads.__enter__()
        self._loop = Loop()
        self._switch: Switch | None = None
        self._devices: list[VnifBackend] = []

    def open(self) -> None:
        """Begins to connect."""
        self._loop.call(self._open())

    async def _open(self) -> None:
        client = await XenstoreClient.connect(self._xenstore)
        base = f"/local/domain/{self._hypervisor.domid}/backend/vif"
        options = VnifBackendOptions(max_queues=self._job.queues)
        for domid in await client.directory(base):
            path = f"{base}/{domid}/0"
            context = DeviceContext(client, path, self._hypervisor, self._threads)
            self._devices.append(VnifBackend(context, self._make_uplink(), options))
            self._devices[-1].start()

    def _make_uplink(self) -> Uplink:
        job = self._job
        if job.uplink == "hairpin":
            return HairpinUplink(job.queues)
        if job.uplink == "switch":
            self._switch = self._switch or Switch()
            return self._switch.port(job.queues)
        if job.direction == "tx":
            return NullUplink(job.queues)
        return SourceUplink(job)

    def check(self) -> None:
        """Raises BenchError when a queue is broken."""
        for queue in self._queues:
            if queue.broken:
                raise BenchError(f"the backend's {queue!r} has stopped")

    @property
    def _queues(self) -> list[VnifQueue]:
        queues = [queue for device in self._devices for queue in device.queues]
        return [queue for queue in queues if isinstance(queue, VnifQueue)]

    def measurement(self) -> BackMeasurement:
        """What queues and uplinks have counted until now; an uplink's names begin with `uplink`."""
        stats = total(queue.statistics() for queue in self._queues)
        uplinks = total(asdict(device.uplink.statistics()) for device in self._devices)
        stats |= {f"uplink_{name}": count for name, count in uplinks.items()}
        errors = total(queue.errors() for queue in self._queues)
        return BackMeasurement(stats, nonzero(errors))

    def finish(self) -> BackMeasurement:
        """Of whole pumps: in one, a guest is answered before the uplink has its frames."""
        self._threads.check()
        return self.measurement()

    def close(self) -> None:
        for device in self._devices:
            self._loop.call(device.abort())
            device.uplink.close()
        if self._switch:
            self._switch.close()
        self._loop.close()
        self._threads.__exit__(None, None, None)
        self._hypervisor.close()
