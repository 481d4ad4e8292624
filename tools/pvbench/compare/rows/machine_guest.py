"""A guest of a database's size is made at once."""

from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.populate import until_populated

comparison = Comparison(
    workload="a guest of 1 TiB on a machine of 64 TiB with holes: until it has its memory",
    unit="s",
    ours=until_populated,
    target=1,
    sense="<=",
)
