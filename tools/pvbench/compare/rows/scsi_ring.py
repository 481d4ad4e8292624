"""TEST UNIT READY, which has no data and is answered in C, beside a bare ring of the SCSI
protocol's layout, without checks."""

from pvdrivers.tools.pvbench.compare.competitors.bare import bare
from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.ours import SCSI, ours

comparison = Comparison(
    workload="SCSI disk, TEST UNIT READY, QD16, polled",
    unit="operations/s",
    ours=ours(
        device=SCSI, command="tur", iodepth=16, bs="512", store="null", mode="poll", pinned=True
    ),
    baseline=bare("scsi-ring"),
    target=0.5,
)
