"""The frame table is where memory exists and is used, beside one for all addresses."""

from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.populate import dense_table, frame_table

comparison = Comparison(
    workload="frame table of 64 TiB with holes, a guest of 1 TiB: memory of the host",
    unit="bytes",
    ours=frame_table,
    baseline=dense_table,
    target=0.01,
    sense="<=",
)
