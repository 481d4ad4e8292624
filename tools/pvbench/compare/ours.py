"""Our contender with a disk or another SCSI unit: pvbench's own jobs, frontend and backend in a
process each."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from pvdrivers.tools.pvbench.compare.model import Contender, Measured, Setting
from pvdrivers.tools.pvbench.compare.needs import DISK, TWO_PROCESSORS
from pvdrivers.tools.pvbench.compare.processors import processors
from pvdrivers.tools.pvbench.errors import BenchError
from pvdrivers.tools.pvbench.fio.costs import per_request
from pvdrivers.tools.pvbench.fio.job import FioJob
from pvdrivers.tools.pvbench.fio.measurement import Direction, FioResult
from pvdrivers.tools.pvbench.fio.options import FioOptions
from pvdrivers.tools.pvbench.job.job import PERCENTILES
from pvdrivers.tools.pvbench.job.run import OpenHalves, run_together
from pvdrivers.tools.pvbench.scsi import halves as scsi_halves
from pvdrivers.tools.pvbench.scsi.options import ScsiOptions
from pvdrivers.tools.pvbench.vbd import halves as vbd_halves
from pvdrivers.tools.pvbench.vbd.options import VbdOptions

RAMP = "200ms"
File = Literal["memory", "disk"]
Reading = Callable[[FioResult], float]


class DeviceClass(NamedTuple):
    """What `pvbench` has for it."""

    options: type[FioOptions]
    open_halves: OpenHalves


VBD = DeviceClass(VbdOptions, vbd_halves.open_halves)
SCSI = DeviceClass(ScsiOptions, scsi_halves.open_halves)


def operations(result: FioResult) -> float:
    """Operations a second; flushes do not count."""
    return sum(d.ios for d in result.front.directions) * 1e9 / result.front.elapsed_ns


def bytes_moved(result: FioResult) -> float:
    """Bytes a second."""
    return sum(d.bytes for d in result.front.directions) * 1e9 / result.front.elapsed_ns


def median_latency(result: FioResult) -> float:
    """ns of the operation in the middle."""
    return busiest(result).lat.percentile(50)


def notifications(result: FioResult) -> float:
    """Event-channel sends of both halves, by request."""
    costs = per_request(result)
    return costs["front_notifications_sent"] + costs["back_notifications_sent"]


def busiest(result: FioResult) -> Direction:
    return max(result.front.directions, key=lambda direction: direction.ios)


def job(
    setting: Setting,
    device: DeviceClass = VBD,
    *,
    file: File | None = None,
    pinned: bool = False,
    **options: Any,
) -> FioJob:
    """A job that runs for the setting's time. `pinned`: a processor for each half."""
    if file:
        options["filename"] = setting.memory_file if file == "memory" else setting.disk_file
    if pinned:
        options["cpus"] = processors()
    runtime = f"{setting.seconds * 1e6:.0f}us"
    return device.options(time_based=True, runtime=runtime, ramp_time=RAMP, **options).job()


def run(wanted: FioJob, device: DeviceClass = VBD) -> FioResult:
    """Raises BenchError when an operation fails."""
    (result,) = run_together(device.open_halves, [wanted], processes=True)
    if result.front.failure:
        raise BenchError(result.front.failure)
    return result


def measured(result: FioResult, reading: Reading = operations) -> Measured:
    latency = busiest(result).lat
    points = [(float(latency.percentile(percent)), float(percent)) for percent in PERCENTILES]
    return Measured(reading(result), points)


def ours(
    reading: Reading = operations,
    *,
    name: str = "pvdrivers",
    device: DeviceClass = VBD,
    **options: Any,
) -> Contender:
    """`options` are those of the device's `pvbench` command, and `job`'s."""

    def measure(setting: Setting) -> Measured:
        return measured(run(job(setting, device, **options), device), reading)

    needs = [DISK] if options.get("file") == "disk" else []
    if options.get("pinned"):
        needs.append(TWO_PROCESSORS)
    return Contender(name, measure, needs)
