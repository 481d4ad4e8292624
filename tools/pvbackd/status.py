"""What a running daemon tells of its devices: for programs as JSON, for people as a table."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pvdrivers.ring.errors import UsageError
from pvdrivers.tools.pvbackd.classes import CLASSES
from pvdrivers.tools.pvbackd.served_class import Column
from pvdrivers.tools.pvbackd.served_class import Status as Device
from pvdrivers.xenbus.device import XenbusDevice

WIDE = 1000  # columns: where there is no terminal, no line is broken


def describe(path: str, device: XenbusDevice) -> Device:
    """The device as it is now; docs/pvbackd.md has what each key means."""
    kind, domid, devid = path.split("/")[-3:]
    return {"path": path, "kind": kind, "domid": domid, "devid": devid, **device.status()}


def parse(answer: str) -> list[Device]:
    """What a daemon has answered. UsageError: it is of another version."""
    try:
        devices: list[Device] = json.loads(answer)
    except json.JSONDecodeError:
        raise UsageError(f"the daemon's answer is none of this version's: {answer!r}") from None
    return devices


def show(devices: list[Device]) -> None:
    """For each device class a table on standard output, with a row for each device."""
    console = Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)
    for each in CLASSES:
        of_kind = [device for device in devices if device["kind"] == each.kind]
        if of_kind or not devices:
            console.print(_table(each.columns, of_kind))


def _table(columns: Sequence[Column], devices: list[Device]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("DEVICE", overflow="fold")
    table.add_column("STATE", overflow="fold")
    for column in columns:
        if column.is_number:
            table.add_column(column.title, justify="right", no_wrap=True)
        else:
            table.add_column(column.title, overflow="fold")
    table.add_column("LAST ERROR", overflow="fold")
    for device in devices:
        cells = [column.cell(device) for column in columns]
        table.add_row(*map(_cell, (_name(device), _state(device), *cells, _errors(device))))
    return table


def _name(device: Device) -> str:
    name = device.get("name")
    return f"{device['domid']}/{device['devid']}" + (f" {name}" if name else "")


def _state(device: Device) -> str:
    state, peer = device["state"], device["peer_state"]
    return f"{state}" if peer == state else f"{state}, peer {peer}"


def _errors(device: Device) -> str:
    errors = [device["last_error"], device.get("last_store_error")]
    if device.get("in_flight_log") == "lost":
        errors.append("in-flight log lost")
    return "; ".join(filter(None, errors))


def _cell(text: str) -> Text:
    """Guests and toolstacks write some of it, so control characters become `?`."""
    return Text("".join(letter if letter.isprintable() else "?" for letter in text))
