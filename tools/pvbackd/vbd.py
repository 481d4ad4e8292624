"""How the daemon serves virtual disks, and what it tells of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pvdrivers.backends.vbd.service import VbdService
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.poll.driver import PollDriver
from pvdrivers.tools.pvbackd.config import Config
from pvdrivers.tools.pvbackd.served_class import Column, Family, ServedClass, Status, counter
from pvdrivers.xenstore.client import XenstoreClient

UNITS = ("B", "K", "M", "G", "T", "P")
REQUESTS = {"read": "rd_req", "write": "wr_req", "flush": "f_req", "discard": "ds_req"}
# Linux blkback's names in sysfs.
ALIASES = ("oo_req", "rd_req", "wr_req", "f_req", "ds_req", "rd_sect", "wr_sect")


def make_service(
    client: XenstoreClient,
    hypervisor: Hypervisor,
    config: Callable[[], Config],
    driver: PollDriver,
    state_directory: Path | None,
) -> VbdService:
    return VbdService(
        client,
        hypervisor,
        lambda disk: config().disk_options(disk),
        driver=driver,
        state_directory=state_directory,
    )


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
    make_service,
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
