"""An iSCSI initiator's reads through a guest's PV ring and through a target of its own, of the same
file in memory."""

from pvdrivers.tools.pvbench.compare.competitors.iscsi import DEPTH, pvbridge, tgt
from pvdrivers.tools.pvbench.compare.model import Comparison

comparison = Comparison(
    workload=f"iSCSI front, file on a tmpfs, 4 KiB random read, QD{DEPTH}",
    unit="operations/s",
    ours=pvbridge(),
    baseline=tgt(),
    target=1.0,
)
