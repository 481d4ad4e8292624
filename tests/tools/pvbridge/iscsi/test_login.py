"""The login phase: stages, CHAP, and each refusal with its status."""

from __future__ import annotations

import hashlib

import pytest

from pvdrivers.tools.pvbridge.iscsi.chap import Account, LoginRefusedError
from pvdrivers.tools.pvbridge.iscsi.login import Login, TargetInfo, refusal
from pvdrivers.tools.pvbridge.iscsi.pdu import Opcode, Pdu
from pvdrivers.tools.pvbridge.iscsi.text import decode, encode

NAME, INITIATOR = "iqn.2012-04.org.example:t", "iqn.2012-04.org.example:i"
WHO = {"InitiatorName": INITIATOR, "TargetName": NAME, "SessionType": "Normal"}
TO_OPERATIONAL, TO_FULL, STRAIGHT = 0x81, 0x87, 0x83
SECRET = b"a secret of 20 bytes"
ACCOUNTS = {INITIATOR: Account("user", SECRET, Account("target", b"b" * 12))}


def request(flags: int, keys: dict[str, str], **fields: int) -> Pdu:
    pdu = Pdu.of(Opcode.LOGIN, 7, flags)
    pdu.header[8:14] = b"\x40\0\0\1\2\3"
    pdu.header[3] = fields.get("version", 0)
    pdu.header[14:16] = fields.get("tsih", 0).to_bytes(2, "big")
    pdu.cmd_sn = 5
    pdu.data = encode(keys)
    return pdu


def answers(login: Login, flags: int, keys: dict[str, str]) -> dict[str, str]:
    pdu = login.handle(request(flags, keys))
    assert (pdu.opcode, pdu.tag) == (Opcode.LOGIN_RESPONSE, 7)
    return decode(pdu.data)


def test_two_stages() -> None:
    login = Login(TargetInfo(NAME))
    found = answers(login, TO_OPERATIONAL, WHO | {"AuthMethod": "CHAP,None"})
    assert found == {"AuthMethod": "None", "TargetPortalGroupTag": "1"}
    assert not login.done
    found = answers(login, TO_FULL, {"ImmediateData": "Yes"})
    assert found == {"ImmediateData": "Yes", "MaxRecvDataSegmentLength": "262144"}
    assert login.done
    assert (login.initiator, login.cmd_sn, login.isid) == (INITIATOR, 5, b"\x40\0\0\1\2\3")


def test_straight_to_the_full_feature_phase() -> None:
    login = Login(TargetInfo(NAME))
    pdu = login.handle(request(STRAIGHT, WHO | {"AuthMethod": "None"}))
    assert pdu.flags == STRAIGHT
    assert login.done


def test_keys_over_several_pdus() -> None:
    login = Login(TargetInfo(NAME))
    data = encode(WHO)
    first = request(0x40, {})
    first.data = data[:30]
    assert login.handle(first).data == b""
    last = request(TO_OPERATIONAL, {})
    last.data = data[30:]
    assert login.handle(last).flags == TO_OPERATIONAL


def prove(keys: dict[str, str], secret: bytes) -> dict[str, str]:
    data = bytes([int(keys["CHAP_I"])]) + secret + bytes.fromhex(keys["CHAP_C"][2:])
    return {"CHAP_N": "user", "CHAP_R": "0x" + hashlib.md5(data).hexdigest()}


def test_chap_both_ways() -> None:
    login = Login(TargetInfo(NAME, ACCOUNTS))
    assert answers(login, 0, WHO | {"AuthMethod": "CHAP"})["AuthMethod"] == "CHAP"
    challenge = answers(login, 0, {"CHAP_A": "7,5"})
    assert challenge["CHAP_A"] == "5"
    theirs = {"CHAP_I": "3", "CHAP_C": "0x0102030405060708"}
    found = answers(login, TO_OPERATIONAL, prove(challenge, SECRET) | theirs)
    expected = hashlib.md5(b"\3" + b"b" * 12 + bytes(range(1, 9))).hexdigest()
    assert found == {"CHAP_N": "target", "CHAP_R": f"0x{expected}"}
    answers(login, TO_FULL, {})
    assert login.done


def test_nobody_passes_without_a_proof() -> None:
    login = Login(TargetInfo(NAME, ACCOUNTS))
    pdu = login.handle(request(TO_OPERATIONAL, WHO | {"AuthMethod": "CHAP"}))
    assert not pdu.flags & 0x80
    assert not login.done


@pytest.mark.parametrize("skip", [0x87, 0x04])
def test_the_security_stage_cannot_be_left_out(skip: int) -> None:
    with pytest.raises(LoginRefusedError) as refused:
        Login(TargetInfo(NAME, ACCOUNTS)).handle(request(skip, WHO))
    assert refused.value.status == 0x0201


@pytest.mark.parametrize(
    "wrong",
    [
        {"CHAP_R": "0x00"},
        {"CHAP_N": "other"},
        {"CHAP_R": "no number"},
        {"CHAP_C": None, "CHAP_I": "1"},  # our own challenge: a reflection
        {"CHAP_C": "0x01", "CHAP_I": "256"},
    ],
)
def test_wrong_proofs(wrong: dict[str, str | None]) -> None:
    login = Login(TargetInfo(NAME, ACCOUNTS))
    answers(login, 0, WHO | {"AuthMethod": "CHAP"})
    challenge = answers(login, 0, {"CHAP_A": "5"})
    keys = prove(challenge, SECRET)
    keys |= {key: value or challenge[key] for key, value in wrong.items()}
    with pytest.raises(LoginRefusedError) as refused:
        answers(login, TO_OPERATIONAL, keys)
    assert refused.value.status == 0x0201


@pytest.mark.parametrize(
    ("flags", "keys", "fields", "status"),
    [
        (STRAIGHT, {"InitiatorName": ""}, {}, 0x0207),
        (STRAIGHT, {"TargetName": ""}, {}, 0x0203),
        (STRAIGHT, {"TargetName": "iqn.other"}, {}, 0x0203),
        (STRAIGHT, {"SessionType": "Odd"}, {}, 0x0209),
        (STRAIGHT, {"AuthMethod": "KRB5"}, {}, 0x0201),
        (STRAIGHT, {}, {"version": 1}, 0x0205),
        (0x80, {}, {}, 0x0200),  # from a stage to itself
        (0x8B, {}, {}, 0x0200),  # a stage that does not exist
    ],
)
def test_refusals(flags: int, keys: dict[str, str], fields: dict[str, int], status: int) -> None:
    pdu = request(flags, WHO | keys, **fields)
    with pytest.raises(LoginRefusedError) as refused:
        Login(TargetInfo(NAME)).handle(pdu)
    answer = refusal(pdu, refused.value)
    assert int.from_bytes(answer.header[36:38], "big") == status


def test_another_request_during_login() -> None:
    with pytest.raises(LoginRefusedError) as refused:
        Login(TargetInfo(NAME)).handle(Pdu.of(Opcode.SCSI_COMMAND))
    assert refused.value.status == 0x020B


def test_keys_without_end() -> None:
    login = Login(TargetInfo(NAME))
    part = {"InitiatorAlias": "x" * 4000}
    for _ in range(2):
        login.handle(request(0x40, part))
    with pytest.raises(LoginRefusedError, match="8192"):
        login.handle(request(0x40, part))
