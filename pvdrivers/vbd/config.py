"""The keys a toolstack writes for a new disk (xl-disk-configuration, io/blkif.h)."""

from pvdrivers.toolstack.devices import DeviceConfig
from pvdrivers.vbd.numbering import EXTENDED, number_of


def disk_config(
    name: str,
    frontend_domid: int,
    backend_domid: int = 0,
    *,
    params: str = "",
    kind: str = "file",
    writable: bool = True,
    cdrom: bool = False,
    removable: bool = False,
    bootable: bool = False,
    trusted: bool = True,
    discard: bool = True,
    direct_io_safe: bool = False,
    domain_name: str | None = None,
) -> DeviceConfig:
    """A disk `name` (xvda, sdb1, hdc, d0p1 ...); ValueError when no number stands for that.

    `params` is what the backend serves, in the words of its `kind` (phy, file, qdisk ...).
    """
    number = number_of(name)
    device_type = "cdrom" if cdrom else "disk"
    backend_keys = {
        "bootable": str(int(bootable)),
        "dev": name,
        "type": kind,
        "params": params,
        "mode": "w" if writable and not cdrom else "r",
        "removable": str(int(removable or cdrom)),
        "device-type": device_type,
        "discard-enable": str(int(discard)),
        "direct-io-safe": str(int(direct_io_safe)),
    }
    if domain_name is not None:
        backend_keys["domain"] = domain_name
    # Old frontends parse `virtual-device` with too few bits for these.
    number_key = "virtual-device-ext" if number >= EXTENDED else "virtual-device"
    frontend_keys = {
        number_key: str(number),
        "device-type": device_type,
        "trusted": str(int(trusted)),
    }
    backend_kind = "qdisk" if kind == "qdisk" else ""  # QEMU watches a directory of its own
    return DeviceConfig(
        "vbd", number, frontend_domid, backend_domid, frontend_keys, backend_keys, backend_kind
    )
