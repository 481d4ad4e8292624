"""Our contender with a network device: pvbench's own jobs, guest and backend in a process each."""

from collections.abc import Callable
from typing import Any

from pvdrivers.tools.pvbench.compare.model import Contender, Measured, Setting
from pvdrivers.tools.pvbench.compare.needs import TWO_PROCESSORS
from pvdrivers.tools.pvbench.compare.ours import RAMP
from pvdrivers.tools.pvbench.compare.processors import processors
from pvdrivers.tools.pvbench.errors import BenchError
from pvdrivers.tools.pvbench.job.job import PERCENTILES
from pvdrivers.tools.pvbench.job.run import run_together
from pvdrivers.tools.pvbench.vnif.costs import per_packet
from pvdrivers.tools.pvbench.vnif.halves import open_halves
from pvdrivers.tools.pvbench.vnif.measurement import VnifResult
from pvdrivers.tools.pvbench.vnif.options import VnifOptions
from pvdrivers.tools.pvbench.vnif.reading import seconds

NetReading = Callable[[VnifResult], float]


def packets_sent(result: VnifResult) -> float:
    """Packets a second."""
    return result.front.tx.packets / seconds(result)


def packets_received(result: VnifResult) -> float:
    """Packets a second that came back, each compared with what was sent."""
    return result.front.rx.packets / seconds(result)


def median_answer(result: VnifResult) -> float:
    """ns from a request to its answer, the one in the middle."""
    return result.front.latency.percentile(50)


def notifications(result: VnifResult) -> float:
    """Event-channel sends of both halves, by packet on a ring."""
    costs = per_packet(result)
    return costs["front_notifications_sent"] + costs["back_notifications_sent"]


def ours_net(reading: NetReading, **options: Any) -> Contender:
    """`options` are those of `pvbench vnif`; each process has a processor."""

    def measure(setting: Setting) -> Measured:
        runtime = f"{setting.seconds * 1e6:.0f}us"
        job = VnifOptions(runtime=runtime, ramp_time=RAMP, cpus=processors(), **options).job()
        (result,) = run_together(open_halves, [job], processes=True)
        front = result.front
        if front.failure or front.corrupt:
            raise BenchError(front.failure or f"{front.corrupt} frames are corrupt")
        latency = front.latency
        asked = PERCENTILES if latency.count else ()
        points = [(float(latency.percentile(p)), float(p)) for p in asked]
        return Measured(reading(result), points)

    return Contender("pvdrivers", measure, [TWO_PROCESSORS])
