"""How the daemon serves virtual SCSI hosts, and what it tells of them."""

from __future__ import annotations

from pvdrivers.backends.scsi.queue import ERRORS
from pvdrivers.backends.scsi.service import ScsiService
from pvdrivers.scsi.keys import KIND
from pvdrivers.tools.pvbackd.config import Config
from pvdrivers.tools.pvbackd.served_class import Column, Family, ServedClass, Status, counter

REQUESTS = {
    "read": "rd_req",
    "write": "wr_req",
    "flush": "f_req",
    "test_unit_ready": "tur_req",
    "emulated": "emulated",
    "abort": "aborts",
    "reset": "resets",
}

LUN_KINDS = ("disk", "snapshot", "tape", "changer", "pass-through", "other")


def _luns(device: Status) -> str:
    return ", ".join(map(_lun, device.get("luns", ())))


def _lun(lun: dict[str, str]) -> str:
    medium = f" ({lun['medium']})" if lun["medium"] else ""
    return f"{lun['v_dev']} {lun['p_dev']}{medium}"


def _errors(device: Status) -> str:
    counters = device.get("counters", {})
    return str(sum(counters.get(name, 0) for name in ERRORS)) if counters else ""


VSCSI = ServedClass(
    KIND,
    ScsiService,
    Config.scsi_options,
    (
        Family("pv_vscsi_requests", "Requests a frontend has made.", "op", REQUESTS),
        Family(
            "pv_vscsi_sectors",
            "Sectors of 512 bytes read and written by READ and WRITE.",
            "direction",
            {"read": "rd_sect", "write": "wr_sect"},
        ),
        Family(
            "pv_vscsi_errors",
            "Requests answered with an error by the ring's side, and errors of stores.",
            "reason",
            {name: name for name in ERRORS},
        ),
        Family(
            "pv_vscsi_resumed", "Requests a killed daemon has left behind.", "", {"": "resumed"}
        ),
        Family(
            "pv_vscsi_luns",
            "LUNs that are served.",
            "kind",
            {kind: f"{kind}_luns" for kind in LUN_KINDS},
            is_gauge=True,
        ),
        Family(
            "pv_vscsi_snapshot_bytes",
            "Bytes that the snapshots of its disks have copied.",
            "",
            {"": "snapshot_bytes"},
            is_gauge=True,
        ),
        Family(
            "pv_vscsi_tape_bytes",
            "Bytes that the tapes among its LUNs have read and written.",
            "direction",
            {"read": "tape_bytes_read", "write": "tape_bytes_written"},
        ),
    ),
    (
        Column("LUNS", _luns),
        counter("READS", "rd_req"),
        counter("WRITES", "wr_req"),
        counter("FLUSHES", "f_req"),
        counter("EMULATED", "emulated"),
        Column("ERRORS", _errors, True),
    ),
)
