"""What a benchmark of network devices measured, of one guest or of all together.

Everything here is plain data: with `--processes` it travels as JSON.
"""

from collections.abc import Sequence

from msgspec import Struct

from pvdrivers.tools.pvbench.job.counters import total
from pvdrivers.tools.pvbench.job.latency import Latency
from pvdrivers.tools.pvbench.job.measurement import Result
from pvdrivers.tools.pvbench.vnif.job import VnifJob


class Count(Struct, frozen=True):
    packets: int
    bytes: int

    def __add__(self, other: "Count") -> "Count":
        return Count(self.packets + other.packets, self.bytes + other.bytes)


NOTHING = Count(0, 0)


class VnifMeasurement(Struct, frozen=True):
    """tx is what guests transmitted, rx what they received, in the measured time. A guest that only
    answers counts neither: its packets are the other's."""

    elapsed_ns: int
    tx: Count
    rx: Count
    lost: int  # of these and the next, from the first frame to the last
    reordered: int
    duplicated: int
    corrupt: int
    foreign: int  # frames of others
    no_room: int  # times that sending had to wait for the backend
    sleeps: int
    user_ns: int
    system_ns: int
    context_switches: int
    latency: Latency  # of requests
    failure: str | None
    front: dict[str, int]  # struct pv_netfront_stats over the measured run
    front_accounts: dict[str, int]  # what Xen would have charged, over the measured run
    back_accounts: dict[str, int]


VnifResult = Result[VnifJob, VnifMeasurement]

_SUMMED = (
    "lost reordered duplicated corrupt foreign no_room sleeps user_ns system_ns context_switches"
).split()


def together(parts: Sequence[VnifMeasurement]) -> VnifMeasurement:
    """Of all guests; they have one backend."""
    if len(parts) == 1:
        return parts[0]
    return VnifMeasurement(
        elapsed_ns=max(part.elapsed_ns for part in parts),
        tx=sum((part.tx for part in parts), NOTHING),
        rx=sum((part.rx for part in parts), NOTHING),
        latency=Latency.merged(part.latency for part in parts),
        failure=next((part.failure for part in parts if part.failure), None),
        front=total(part.front for part in parts),
        front_accounts=total(part.front_accounts for part in parts),
        back_accounts=parts[0].back_accounts,
        **{name: sum(getattr(part, name) for part in parts) for name in _SUMMED},
    )
