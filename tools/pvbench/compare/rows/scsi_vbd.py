"""What SCSI costs: the same reads of the same store, of a SCSI disk and of a VBD. A SCSI command
grants its pages afresh, and the backend copies; a VBD's pages stay granted and mapped."""

from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.ours import SCSI, VBD, ours

DEPTH = 16

comparison = Comparison(
    workload=f"SCSI disk, ram store, 4 KiB random read, QD{DEPTH}",
    unit="operations/s",
    ours=ours(device=SCSI, rw="randread", iodepth=DEPTH, store="ram", mem="granted"),
    baseline=ours(name="VBD", device=VBD, rw="randread", iodepth=DEPTH, store="ram", mem="granted"),
    target=0.7,
)
