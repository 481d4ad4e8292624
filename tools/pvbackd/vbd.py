"""How the daemon serves virtual disks, and what it tells of them."""

from __future__ import annotations

from pvdrivers.backends.vbd.service import VbdService
from pvdrivers.tools.pvbackd.config import Config
from pvdrivers.tools.pvbackd.served_class import Column, Family, ServedClass, Status, counter

UNITS = ("B", "K", "M", "G", "T", "P")
REQUESTS = {"read": "rd_req", "write": "wr_req", "flush": "f_req", "discard": "ds_req"}
# Linux blkback's names in sysfs.
ALIASES = ("oo_req", "rd_req", "wr_req", "f_req", "ds_req", "rd_sect", "wr_sect")


def _store(device: Status) -> str:
    return f"{device.get('engine') or ''} {device.get('params', '')}".strip()


def _size(device: Status) -> str:
    if "size" not in device:
        return ""
    size, unit = float(device["size"]), 0
    while size >= 1024 and unit < len(UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.4g}{UNITS[unit]}"


VBD = ServedClass(
    "vbd",
    VbdService,
    Config.disk_options,
    (
        Family("pv_vbd_requests", "Requests a frontend has made.", "op", REQUESTS),
        Family("pv_vbd_errors", "Requests not carried out.", "", {"": "errors"}),
        Family("pv_vbd_resumed", "Requests a killed daemon has left behind.", "", {"": "resumed"}),
        *(Family(f"pv_vbd_{name}", f"As blkback's {name}.", "", {"": name}) for name in ALIASES),
    ),
    (
        Column("STORE", _store),
        Column("SIZE", _size, True),
        counter("READS", "rd_req"),
        counter("WRITES", "wr_req"),
        counter("FLUSHES", "f_req"),
        counter("DISCARDS", "ds_req"),
        counter("ERRORS", "errors"),
    ),
)
