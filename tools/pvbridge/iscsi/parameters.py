"""What both ends agree on at login (RFC 7143, section 13)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pvdrivers._core import lib
from pvdrivers.tools.pvbridge.iscsi.pdu import ProtocolError
from pvdrivers.tools.pvbridge.iscsi.text import number

MAX_RECEIVED = int(lib.PV_ISCSI_MAX_RECEIVED)  # bytes of data in a PDU that the target takes
MAX_CONNECTIONS = 4
ANSWERS_WITHOUT_EFFECT = {
    "DataPDUInOrder": "Yes",
    "DataSequenceInOrder": "Yes",
    "ErrorRecoveryLevel": "0",
    "MaxOutstandingR2T": "1",
    "IFMarker": "No",
    "OFMarker": "No",
    "IFMarkInt": "Reject",
    "OFMarkInt": "Reject",
    "TaskReporting": "RFC3720",
    "iSCSIProtocolLevel": "1",
}
"""Keys that always have the same outcome."""

DIGESTS = {"HeaderDigest", "DataDigest"}
"""There is none: TCP's checksum has to do."""

DECLARED = {
    *("InitiatorName", "InitiatorAlias", "TargetName", "SessionType", "AuthMethod"),
    *("MaxRecvDataSegmentLength", "TargetAlias", "TargetAddress", "TargetPortalGroupTag"),
}
"""Keys that the initiator only tells, or that belong to the security stage."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of a session; `max_data` is of each connection. Sizes are bytes."""

    max_data: int = 8192  # of a PDU that the initiator takes
    max_burst: int = 262144
    first_burst: int = 65536
    initial_r2t: bool = True
    immediate_data: bool = True
    connections: int = 1
    time2wait: int = 2  # seconds
    time2retain: int = 20  # seconds


def negotiate(parameters: Parameters, keys: Mapping[str, str]) -> tuple[Parameters, dict[str, str]]:
    """The new outcome, and what is answered. ProtocolError: a value cannot be."""
    answers: dict[str, str] = {}
    for key in keys:
        if key in _RULES:
            parameters, answers[key] = _RULES[key](parameters, keys)
        elif key in DIGESTS:
            answers[key] = "None" if "None" in keys[key].split(",") else "Reject"
        elif key in ANSWERS_WITHOUT_EFFECT:
            answers[key] = ANSWERS_WITHOUT_EFFECT[key]
        elif key == "MaxRecvDataSegmentLength":
            parameters = replace(parameters, max_data=_size(keys, key))
        elif key not in DECLARED and not key.startswith("CHAP_"):
            answers[key] = "NotUnderstood"
    return replace(
        parameters, first_burst=min(parameters.first_burst, parameters.max_burst)
    ), answers


def _size(keys: Mapping[str, str], key: str) -> int:
    value = number(keys, key, 0)
    if not 512 <= value < 1 << 24:
        raise ProtocolError(f"{key}={value} is not 512 to 16777215")
    return value


def _yes(keys: Mapping[str, str], key: str) -> bool:
    if keys[key] not in ("Yes", "No"):
        raise ProtocolError(f"{key}={keys[key][:40]} is neither Yes nor No")
    return keys[key] == "Yes"


Rule = Callable[[Parameters, Mapping[str, str]], tuple[Parameters, str]]


def _set(parameters: Parameters, field: str, value: Any) -> Parameters:
    return replace(parameters, **{field: value})


def _least(key: str, field: str, ours: int, size: bool) -> Rule:
    def rule(parameters: Parameters, keys: Mapping[str, str]) -> tuple[Parameters, str]:
        value = min(_size(keys, key) if size else number(keys, key, ours), ours)
        return _set(parameters, field, value), str(value)

    return rule


def _most(key: str, field: str, ours: int) -> Rule:
    def rule(parameters: Parameters, keys: Mapping[str, str]) -> tuple[Parameters, str]:
        value = max(number(keys, key, ours), ours)
        return _set(parameters, field, value), str(value)

    return rule


def _as_asked(key: str, field: str) -> Rule:
    """We can do either."""

    def rule(parameters: Parameters, keys: Mapping[str, str]) -> tuple[Parameters, str]:
        value = _yes(keys, key)
        return _set(parameters, field, value), "Yes" if value else "No"

    return rule


_RULES: dict[str, Rule] = {
    "InitialR2T": _as_asked("InitialR2T", "initial_r2t"),
    "ImmediateData": _as_asked("ImmediateData", "immediate_data"),
    "MaxBurstLength": _least("MaxBurstLength", "max_burst", 1 << 20, size=True),
    "FirstBurstLength": _least("FirstBurstLength", "first_burst", MAX_RECEIVED, size=True),
    "MaxConnections": _least("MaxConnections", "connections", MAX_CONNECTIONS, size=False),
    "DefaultTime2Wait": _most("DefaultTime2Wait", "time2wait", 0),
    "DefaultTime2Retain": _least("DefaultTime2Retain", "time2retain", 0, size=False),
}
