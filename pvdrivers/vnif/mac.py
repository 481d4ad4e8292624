"""Ethernet addresses of virtual network devices."""

import re

OUI = b"\x00\x16\x3e"  # Xen's
_TEXT = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.ASCII | re.IGNORECASE)


def parse_mac(text: str) -> bytes:
    """The 6 bytes of `00:16:3e:01:02:03`. ValueError: it is no address that a device can have."""
    if not _TEXT.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no MAC address such as 00:16:3e:01:02:03")
    mac = bytes.fromhex(text.replace(":", ""))
    if mac[0] & 1 or not any(mac):
        raise ValueError(f"MAC address {text} is a group's or zero, so no device can have it")
    return mac


def parse_group(text: str) -> bytes:
    """The 6 bytes of a multicast address. ValueError: it is none."""
    if not _TEXT.fullmatch(text) or not int(text[:2], 16) & 1:
        raise ValueError(f"{text[:40]!r} is no multicast MAC address such as 01:00:5e:00:00:01")
    return bytes.fromhex(text.replace(":", ""))


def format_mac(mac: bytes) -> str:
    return mac.hex(":")


def default_mac(domid: int, devid: int) -> str:
    """An address in Xen's range that no other device of the machine has.

    xl draws the last three bytes at random. ValueError: `devid` needs an address of its own.
    """
    if not 0 <= devid < 256:
        raise ValueError(f"device {devid} needs a MAC address of its own: only 0 to 255 get one")
    return format_mac(OUI + (domid & 0x7FFF).to_bytes(2, "big") + bytes([devid]))
