"""Outcomes of negotiation by RFC 7143, section 13."""

import pytest

from pvdrivers.tools.pvbridge.iscsi.parameters import Parameters, negotiate
from pvdrivers.tools.pvbridge.iscsi.pdu import ProtocolError


@pytest.mark.parametrize(
    ("key", "offer", "answer"),
    [
        ("HeaderDigest", "CRC32C,None", "None"),
        ("DataDigest", "CRC32C", "Reject"),
        ("InitialR2T", "Yes", "Yes"),  # or
        ("InitialR2T", "No", "No"),
        ("ImmediateData", "No", "No"),  # and
        ("ImmediateData", "Yes", "Yes"),
        ("MaxBurstLength", "16776192", "1048576"),  # the least
        ("MaxBurstLength", "0x10000", "65536"),
        ("FirstBurstLength", "65536", "65536"),
        ("MaxConnections", "8", "4"),
        ("MaxOutstandingR2T", "16", "1"),
        ("DefaultTime2Wait", "5", "5"),  # the most
        ("DefaultTime2Retain", "20", "0"),
        ("ErrorRecoveryLevel", "2", "0"),
        ("DataPDUInOrder", "No", "Yes"),  # or
        ("X-com.example.key", "1", "NotUnderstood"),
    ],
)
def test_outcomes(key: str, offer: str, answer: str) -> None:
    assert negotiate(Parameters(), {key: offer})[1] == {key: answer}


def test_what_is_only_told() -> None:
    parameters, answers = negotiate(
        Parameters(), {"MaxRecvDataSegmentLength": "131072", "InitiatorAlias": "x"}
    )
    assert parameters.max_data == 131072
    assert answers == {}


def test_the_first_burst_is_no_longer_than_others() -> None:
    parameters, _ = negotiate(Parameters(), {"MaxBurstLength": "4096", "FirstBurstLength": "65536"})
    assert parameters.first_burst == 4096


@pytest.mark.parametrize(
    "keys",
    [
        {"MaxRecvDataSegmentLength": "511"},
        {"MaxRecvDataSegmentLength": "16777216"},
        {"MaxBurstLength": "0"},
        {"InitialR2T": "Maybe"},
        {"MaxConnections": "many"},
    ],
)
def test_what_cannot_be(keys: dict[str, str]) -> None:
    with pytest.raises(ProtocolError, match=next(iter(keys))):
        negotiate(Parameters(), keys)
