"""What a running daemon tells of its devices: for programs as JSON, for people as a table."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pvdrivers.ring.errors import UsageError
from pvdrivers.xenbus.device import XenbusDevice

WIDE = 1000  # columns: where there is no terminal, no line is broken
UNITS = ("B", "K", "M", "G", "T", "P")

Device = dict[str, Any]


def describe(path: str, device: XenbusDevice) -> Device:
    """The device as it is now; docs/pvbackd.md has what each key means."""
    domid, devid = path.split("/")[-2:]
    return {"path": path, "domid": domid, "devid": devid, **device.status()}


def parse(answer: str) -> list[Device]:
    """What a daemon has answered. UsageError: it is of another version."""
    try:
        devices: list[Device] = json.loads(answer)
    except json.JSONDecodeError:
        raise UsageError(f"the daemon's answer is none of this version's: {answer!r}") from None
    return devices


def show(devices: list[Device]) -> None:
    """A table on standard output, a row for each device."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("DEVICE", "STATE", "STORE", "SIZE"):
        table.add_column(name, overflow="fold", justify="right" if name == "SIZE" else "left")
    for name in ("READS", "WRITES", "FLUSHES", "DISCARDS", "ERRORS"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("LAST ERROR", overflow="fold")
    for device in devices:
        table.add_row(*map(_cell, _row(device)))
    console = Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)
    console.print(table)


def _row(device: Device) -> tuple[str, ...]:
    counters = device.get("counters", {})
    requests = (counters.get(name) for name in ("rd_req", "wr_req", "f_req", "ds_req", "errors"))
    name, state = device.get("name"), device["state"]
    peer = "" if device["peer_state"] == state else f", peer {device['peer_state']}"
    trouble = [device["last_error"] or "", device.get("last_store_error") or ""]
    if device.get("in_flight_log") == "lost":
        trouble.append("in-flight log lost")
    return (
        f"{device['domid']}/{device['devid']}" + (f" {name}" if name else ""),
        state + peer,
        f"{device.get('engine') or ''} {device.get('params', '')}".strip(),
        _size(device["size"]) if "size" in device else "",
        *("" if count is None else str(count) for count in requests),
        "; ".join(filter(None, trouble)),
    )


def _size(size: float) -> str:
    unit = 0
    while size >= 1024 and unit < len(UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.4g}{UNITS[unit]}"


def _cell(text: str) -> Text:
    """Guests and toolstacks write some of it, and a terminal obeys much."""
    return Text("".join(letter if letter.isprintable() else "?" for letter in text))
