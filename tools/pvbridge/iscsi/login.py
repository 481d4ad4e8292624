"""The login phase of one connection: who is there, whether it may be, and how to go on
(RFC 7143, sections 6 and 11.12). It takes and gives PDUs, and does no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pvdrivers.tools.pvbridge.iscsi.chap import (
    AUTHENTICATION_FAILURE,
    Account,
    Chap,
    LoginRefusedError,
)
from pvdrivers.tools.pvbridge.iscsi.parameters import MAX_RECEIVED, Parameters, negotiate
from pvdrivers.tools.pvbridge.iscsi.pdu import Opcode, Pdu, ProtocolError
from pvdrivers.tools.pvbridge.iscsi.text import MAX_TEXT, decode, encode

TRANSIT, CONTINUE = 0x80, 0x40
SECURITY, OPERATIONAL, FULL_FEATURE = 0, 1, 3  # stages
PORTAL_GROUP = 1

INITIATOR_ERROR = 0x0200
NOT_FOUND = 0x0203
UNSUPPORTED_VERSION = 0x0205
MISSING_PARAMETER = 0x0207
SESSION_TYPE = 0x0209
INVALID_DURING_LOGIN = 0x020B


@dataclass(frozen=True, slots=True)
class TargetInfo:
    """`accounts`: who may log in; without any, everybody may."""

    name: str
    accounts: Mapping[str, Account] = field(default_factory=dict)


@dataclass(slots=True)
class Login:
    target: TargetInfo
    parameters: Parameters = field(default_factory=Parameters)
    initiator: str = ""
    discovery: bool = False
    isid: bytes = b""
    tsih: int = 0  # of the session that the initiator wants to add a connection to; 0: a new one
    cid: int = 0  # this connection's number in it
    cmd_sn: int = 0
    done: bool = False  # the full feature phase begins
    _stage: int = -1
    _chap: Chap | None = None
    _text: bytes = b""
    _declared: bool = False  # our own limits have been told

    def handle(self, pdu: Pdu) -> Pdu:
        """The response. ProtocolError: it is no login request of this connection.
        LoginRefusedError: `refusal` makes the response to that, after which the connection ends.
        """
        if pdu.opcode != Opcode.LOGIN:
            raise LoginRefusedError(INVALID_DURING_LOGIN, "another request during login")
        if pdu.header[3] > 0:
            raise LoginRefusedError(UNSUPPORTED_VERSION, "no version of iSCSI but 0")
        stage, following = pdu.flags >> 2 & 3, pdu.flags & 3
        self._enter(pdu, stage)
        self._text += pdu.data
        if len(self._text) > MAX_TEXT:
            raise LoginRefusedError(INITIATOR_ERROR, f"more than {MAX_TEXT} bytes of keys")
        if pdu.flags & CONTINUE:
            return self._response(pdu, stage << 2, {})
        keys, self._text = decode(self._text), b""
        answers = self._identify(keys) | self._secure(keys, stage)
        if stage == OPERATIONAL:
            answers |= self._operational(keys)
        transit = pdu.flags & TRANSIT
        if transit and following <= stage:
            raise LoginRefusedError(INITIATOR_ERROR, f"from stage {stage} to {following}")
        if transit and not self._may_leave(stage, keys):
            transit = 0
        if transit:
            self._stage = following
            self.done = following == FULL_FEATURE
        flags = transit | stage << 2 | (following if transit else 0)
        return self._response(pdu, flags, answers)

    def _enter(self, pdu: Pdu, stage: int) -> None:
        if self._stage == -1:
            self.isid = bytes(pdu.header[8:14])
            self.tsih = int.from_bytes(pdu.header[14:16], "big")
            self.cid = int.from_bytes(pdu.header[20:22], "big")
            self.cmd_sn = pdu.cmd_sn
            self._stage = stage
        if stage != self._stage or stage not in (SECURITY, OPERATIONAL):
            raise LoginRefusedError(INITIATOR_ERROR, f"stage {stage} instead of {self._stage}")

    def _identify(self, keys: Mapping[str, str]) -> dict[str, str]:
        if self.initiator:
            return {}
        if not keys.get("InitiatorName"):
            raise LoginRefusedError(MISSING_PARAMETER, "no InitiatorName")
        self.initiator = keys["InitiatorName"]
        kind = keys.get("SessionType", "Normal")
        if kind not in ("Normal", "Discovery"):
            raise LoginRefusedError(SESSION_TYPE, f"SessionType={kind[:40]}")
        self.discovery = kind == "Discovery"
        if not self.discovery:
            if "TargetName" not in keys:
                raise LoginRefusedError(MISSING_PARAMETER, "no TargetName")
            if keys["TargetName"] != self.target.name:
                raise LoginRefusedError(NOT_FOUND, f"there is no {keys['TargetName'][:80]}")
        if self.target.accounts:
            if self.initiator not in self.target.accounts:
                raise LoginRefusedError(AUTHENTICATION_FAILURE, f"{self.initiator} has no account")
            self._chap = Chap(self.target.accounts[self.initiator])
        return {"TargetPortalGroupTag": str(PORTAL_GROUP)}

    def _secure(self, keys: Mapping[str, str], stage: int) -> dict[str, str]:
        if stage == OPERATIONAL:
            if self._chap and not self._chap.proved:
                raise LoginRefusedError(AUTHENTICATION_FAILURE, "not authenticated")
            return {}
        answers = self._chap.step(keys) if self._chap else {}
        if "AuthMethod" in keys:
            method = "CHAP" if self._chap else "None"
            if method not in keys["AuthMethod"].split(","):
                raise LoginRefusedError(AUTHENTICATION_FAILURE, f"AuthMethod is {method}")
            answers["AuthMethod"] = method
        return answers

    def _operational(self, keys: Mapping[str, str]) -> dict[str, str]:
        self.parameters, answers = negotiate(self.parameters, keys)
        if not self._declared:
            self._declared = True
            answers["MaxRecvDataSegmentLength"] = str(MAX_RECEIVED)
        return answers

    def _may_leave(self, stage: int, keys: Mapping[str, str]) -> bool:
        """A secret's proof needs more than one exchange."""
        return stage != SECURITY or not self._chap or self._chap.proved

    def _response(self, request: Pdu, flags: int, answers: Mapping[str, str]) -> Pdu:
        pdu = Pdu.of(Opcode.LOGIN_RESPONSE, request.tag, flags)
        pdu.header[8:16] = request.header[8:16]
        pdu.data = encode(answers)
        return pdu


def refusal(request: Pdu, error: LoginRefusedError) -> Pdu:
    pdu = Pdu.of(Opcode.LOGIN_RESPONSE, request.tag, 0)
    pdu.header[8:16] = request.header[8:16]
    pdu.header[36:38] = error.status.to_bytes(2, "big")
    return pdu


def refuse_protocol_error(error: ProtocolError) -> LoginRefusedError:
    return LoginRefusedError(INITIATOR_ERROR, str(error))
