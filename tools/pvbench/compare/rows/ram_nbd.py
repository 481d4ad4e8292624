"""A disk of another process's memory: the same service over a Unix socket."""

from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.ours import ours
from pvdrivers.tools.pvbench.compare.peers.nbd import fio_nbd

comparison = Comparison(
    workload="ram store, 4 KiB random read, QD32",
    unit="operations/s",
    ours=ours(rw="randread", iodepth=32, store="ram", mem="granted"),
    peer=fio_nbd(rw="randread", bs="4k", iodepth=32),
    target=12,
)
