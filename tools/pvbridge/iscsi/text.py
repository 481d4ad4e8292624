"""Keys and values, as login and text requests have them (RFC 7143, section 6.1)."""

from __future__ import annotations

from collections.abc import Mapping

from pvdrivers.tools.pvbridge.iscsi.pdu import ProtocolError

MAX_TEXT = 8192  # bytes of all PDUs of one request


def decode(data: bytes) -> dict[str, str]:
    """ProtocolError: it is no text of that form, or has a key twice."""
    keys: dict[str, str] = {}
    for part in data.split(b"\0"):
        if not part:
            continue
        name, equals, value = part.partition(b"=")
        if not equals or not 1 <= len(name) <= 63:
            raise ProtocolError(f"{part[:40]!r} is no key=value")
        try:
            key = name.decode("ascii")
            if key in keys:
                raise ProtocolError(f"the key {key} comes twice")
            keys[key] = value.decode()
        except UnicodeDecodeError:
            raise ProtocolError(f"{part[:40]!r} is no text") from None
    return keys


def encode(keys: Mapping[str, str]) -> bytes:
    return b"".join(f"{key}={value}\0".encode() for key, value in keys.items())


def number(keys: Mapping[str, str], key: str, default: int) -> int:
    """Decimal or 0x hexadecimal. ProtocolError: it is neither."""
    text = keys.get(key)
    if text is None:
        return default
    digits = text[2:] if text[:2].lower() == "0x" else text
    try:
        if not digits.isalnum() or not digits.isascii():
            raise ValueError
        return int(digits, 10 if digits is text else 16)
    except ValueError:
        raise ProtocolError(f"{key}={text[:40]} is no number") from None
