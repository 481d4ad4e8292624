"""A network device as a configuration file has it (xl-network-configuration(5))."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from pvdrivers.toolstack.devices import DeviceConfig
from pvdrivers.toolstack.xl_config.settings import choice
from pvdrivers.toolstack.xl_config.text import Atom, Note
from pvdrivers.vnif.config import MTUS, vif_config
from pvdrivers.vnif.mac import format_mac, parse_mac
from pvdrivers.vnif.rate import Rate

KINDS = ("vif", "ioemu")
MAX_DEVID = 255  # of which default_mac makes an address
# The keys whose value is taken as it is, and which field has it. `netdev` is an old name.
TEXTS = {
    "bridge": "bridge",
    "gatewaydev": "gatewaydev",
    "netdev": "gatewaydev",
    "ip": "ip",
    "script": "script",
    "backend": "backend",
    "vifname": "vifname",
    "model": "model",
}
UNUSED = re.compile("accel|model|script|vlan|forwarddev|colo_[a-z0-9_]+")
DECIMAL = re.compile(r"\s*\d{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class VifSpec:
    """`kind`: vif, or ioemu for one that an HVM guest also has emulated. `mac`: "" for one that is
    made. `backend`: a domain's name, "" for dom0. `rate`: such as 10Mb/s@20ms, "" for no limit."""

    devid: int
    kind: str = "vif"
    mac: str = ""
    bridge: str = "xenbr0"
    gatewaydev: str = ""
    ip: str = ""
    script: str = "vif-bridge"
    backend: str = ""
    vifname: str = ""
    model: str = "rtl8139"
    rate: str = ""
    mtu: int = 1500
    trusted: bool = True

    def device(
        self, frontend_domid: int, backend_domid: int = 0, *, domain_name: str | None = None
    ) -> DeviceConfig:
        """What a toolstack writes for it. No hotplug script is asked for: none is run here."""
        return vif_config(
            self.devid,
            frontend_domid,
            backend_domid,
            mac=self.mac or None,
            bridge=self.bridge,
            gatewaydev=self.gatewaydev,
            ip=self.ip,
            rate=self.rate,
            mtu=None if self.mtu == 1500 else self.mtu,
            vifname=self.vifname,
            kind=self.kind,
            trusted=self.trusted,
            domain_name=domain_name,
        )


def parse_vif(atom: Atom, default: VifSpec, notes: list[Note]) -> VifSpec:
    """`default`, and what the text says. ConfigError: xl does not know it, or would drop it. What
    is not used here is added to `notes`."""
    spec = default
    for match in re.finditer("[^,]+", atom.text):
        start = match.start() + len(match[0]) - len(match[0].lstrip(" "))
        word = atom.part(start, match.end())
        if word.text in ("trusted", "untrusted"):
            spec = replace(spec, trusted=word.text == "trusted")
            continue
        key, equals, _ = word.text.partition("=")
        value = word.part(len(key) + len(equals), len(word.text))
        if not equals:
            raise word.error(f"found {key[:40]!r}: there are KEY=VALUE, trusted and untrusted")
        unused = UNUSED.fullmatch(key)
        if unused:
            notes.append(Note(word.place, f"{key} of a vif is not used here"))
        if key in TEXTS or not unused:
            spec = _set(spec, key, word, value)
    return spec


def _set(spec: VifSpec, key: str, word: Atom, value: Atom) -> VifSpec:
    match key:
        case "type":
            return replace(spec, kind=choice(value, "type", KINDS))
        case "mac":
            return replace(spec, mac=_mac(value))
        case "rate":
            return replace(spec, rate=_rate(value))
        case "devid":
            return replace(spec, devid=_decimal(value, "devid", range(MAX_DEVID + 1)))
        case "mtu":
            return replace(spec, mtu=_decimal(value, "mtu", MTUS))
    if key not in TEXTS:
        keys = ", ".join(["type", "mac", "rate", "devid", "mtu", *TEXTS])
        raise word.error(f"a vif has no key {key[:40]!r}: there are {keys}, trusted, untrusted")
    change: dict[str, Any] = {TEXTS[key]: value.text}
    return replace(spec, **change)


def _mac(value: Atom) -> str:
    """As parse_mac takes it; like xl, a byte of one digit too."""
    try:
        return format_mac(parse_mac(":".join(byte.rjust(2, "0") for byte in value.text.split(":"))))
    except ValueError:
        message = f"mac is {value.text[:40]!r}, a device's address such as 00:16:3e:01:02:03 can be"
        raise value.error(message) from None


def _rate(value: Atom) -> str:
    try:
        Rate.parse(value.text)
    except ValueError as error:
        raise value.error(str(error)) from None
    return value.text


def _decimal(value: Atom, key: str, numbers: range) -> int:
    if DECIMAL.fullmatch(value.text) and int(value.text) in numbers:
        return int(value.text)
    text = f"{key} is {value.text[:40]!r}, a number from {numbers[0]} to {numbers[-1]} can be"
    raise value.error(text)
