"""Single offloads of the guest's end, by the short names that `--offloads` takes."""

from pvdrivers.tools.command_line import suggestion
from pvdrivers.tools.pvbench.errors import OptionError
from pvdrivers.vnif.features import Offloads

NAMES = {
    "sg": "sg",
    "gso4": "gso_tcpv4",
    "gso6": "gso_tcpv6",
    "csum4": "csum_ipv4",
    "csum6": "csum_ipv6",
}
NEEDS = {"gso4": ("sg", "csum4"), "gso6": ("sg", "csum6")}
NONE = "none"


def parse_offloads(text: str) -> Offloads:
    """OptionError: a name that is none, or an offload that cannot be without another."""
    names = [] if text == NONE else text.split(",")
    for name in names:
        if name not in NAMES:
            raise OptionError(f"--offloads: {name!r}: {suggestion(name, (*NAMES, NONE))}")
        if missing := [needed for needed in NEEDS.get(name, ()) if needed not in names]:
            raise OptionError(f"--offloads: {name} needs {' and '.join(missing)} too")
    return Offloads(**{field: name in names for name, field in NAMES.items()})


def name_offloads(offloads: Offloads) -> str:
    """As `parse_offloads` takes them."""
    return ",".join(name for name, field in NAMES.items() if getattr(offloads, field)) or NONE
