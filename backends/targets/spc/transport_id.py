"""TransportIDs: the names of initiators in parameter lists (SPC-4 7.6.4.6, those of iSCSI)."""

from __future__ import annotations

import struct

from pvdrivers.backends.targets.command import check_length, invalid_parameter

_ISCSI, _WITH_SESSION = 0x05, 0x45  # format code and protocol identifier
_SESSION_SEPARATOR = b",i,0x"
_SHORTEST = 20  # of the name with what fills it up
_LONGEST_NAME = 223  # RFC 7143 4.2.7.1


def encode_transport_id(initiator: str) -> bytes:
    name = initiator.encode() + b"\0"
    size = max(-(-len(name) // 4) * 4, _SHORTEST)
    return struct.pack(">BxH", _ISCSI, size) + name.ljust(size, b"\0")


def parse_transport_ids(data: bytes, start: int) -> list[str]:
    """The initiators in `data` from `start` to its end. CheckCondition: it is not a list of them.

    An initiator is known by its name; which of its sessions a TransportID names does not matter.
    """
    initiators = []
    while start < len(data):
        check_length(data, start + 4)
        kind, size = struct.unpack_from(">BxH", data, start)
        end = start + 4 + size
        check_length(data, end)
        initiators.append(_name_in(kind, data[start + 4 : end], start))
        start = end
    return initiators


def _name_in(kind: int, value: bytes, place: int) -> str:
    if kind not in (_ISCSI, _WITH_SESSION):
        raise invalid_parameter(place)
    if len(value) < _SHORTEST or len(value) % 4 or b"\0" not in value:
        raise invalid_parameter(place + 2)
    name = value[: value.index(b"\0")]
    if kind == _WITH_SESSION:
        name, separator, _ = name.partition(_SESSION_SEPARATOR)
        if not separator:
            raise invalid_parameter(place + 4)
    try:
        text = name.decode()
    except UnicodeDecodeError:
        raise invalid_parameter(place + 4) from None
    if not 0 < len(name) <= _LONGEST_NAME:
        raise invalid_parameter(place + 4)
    return text
