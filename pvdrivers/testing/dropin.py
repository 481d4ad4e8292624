"""Programs of Xen's world, unmodified, in domains of the simulated machine."""

import os
from pathlib import Path

import pvdrivers

DROPIN = (
    Path(pvdrivers.__file__).parent / "lib" / "dropin"
)  # what `python -m pvdrivers --dropin` prints


def dropin_variables(
    machine: os.PathLike[str], xenstored: os.PathLike[str], domid: int
) -> dict[str, str]:
    """By which such a program finds its domain. `machine` and `xenstored` are the sockets of a
    `Machine.serve` and of a xenstore server."""
    return {
        "LD_LIBRARY_PATH": str(DROPIN),
        "PVDRIVERS_MACHINE": os.fspath(machine),
        "PVDRIVERS_DOMID": str(domid),
        "XENSTORED_PATH": os.fspath(xenstored),
    }


def dropin_environment(
    machine: os.PathLike[str], xenstored: os.PathLike[str], domid: int
) -> dict[str, str]:
    """The environment of a program that runs in a domain."""
    return {**os.environ, **dropin_variables(machine, xenstored, domid)}
