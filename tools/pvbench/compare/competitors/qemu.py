"""QEMU's block backend in the place of ours."""

from typing import Any

from pvdrivers.tools.pvbench.compare.model import Contender
from pvdrivers.tools.pvbench.compare.needs import XEN_QEMU
from pvdrivers.tools.pvbench.compare.ours import ours


def qemu(**options: Any) -> Contender:
    """Our blkfront before QEMU's backend, on a raw file on a tmpfs."""
    served = ours(file="memory", backend="qemu", **options)
    return Contender("QEMU qdisk, file on a tmpfs", served.measure, [*served.needs, XEN_QEMU])
