"""QEMU's block backend in the place of ours."""

from typing import Any

from pvdrivers.tools.pvbench.compare.model import Side
from pvdrivers.tools.pvbench.compare.needs import XEN_QEMU
from pvdrivers.tools.pvbench.compare.ours import ours


def qemu(**options: Any) -> Side:
    """Our blkfront before QEMU's backend, on a raw file on a tmpfs."""
    served = ours(file="memory", backend="qemu", **options)
    return Side("QEMU qdisk, file on a tmpfs", served.measure, [*served.needs, XEN_QEMU])
