"""CHAP: an initiator proves that it knows a secret, without telling it (RFC 7143, section 12.1)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

MD5 = "5"
CHALLENGE = 16  # bytes
MIN_SECRET = 12  # bytes; RFC 7143 9.2.1


class LoginRefusedError(Exception):
    """Status class and detail of the login response that says so."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


AUTHENTICATION_FAILURE = 0x0201


@dataclass(frozen=True, slots=True)
class Account:
    """A name and its secret; `ours`, when not None, is what this end proves itself with."""

    name: str
    secret: bytes
    ours: Account | None = None


@dataclass(slots=True)
class Chap:
    """One initiator's proof. Only MD5, which every initiator has."""

    account: Account
    proved: bool = False
    _identifier: int = field(default_factory=lambda: os.urandom(1)[0])
    _challenge: bytes = field(default_factory=lambda: os.urandom(CHALLENGE))

    def step(self, keys: Mapping[str, str]) -> dict[str, str]:
        """The answer to the initiator's keys. LoginRefusedError: it has not proved itself."""
        if "CHAP_A" in keys:
            if MD5 not in keys["CHAP_A"].split(","):
                raise _refused("only MD5 (CHAP_A=5) is offered")
            challenge = "0x" + self._challenge.hex()
            return {"CHAP_A": MD5, "CHAP_I": str(self._identifier), "CHAP_C": challenge}
        if "CHAP_R" in keys:
            return self._check(keys)
        return {}

    def _check(self, keys: Mapping[str, str]) -> dict[str, str]:
        expected = response(self._identifier, self.account.secret, self._challenge)
        given = _bytes(keys["CHAP_R"])
        if keys.get("CHAP_N") != self.account.name or not hmac.compare_digest(expected, given):
            raise _refused(f"wrong name or secret for {keys.get('CHAP_N', '')[:40]!r}")
        answer = self._prove(keys)
        self.proved = True
        return answer

    def _prove(self, keys: Mapping[str, str]) -> dict[str, str]:
        """Our own proof, if the initiator asks for one."""
        if "CHAP_C" not in keys:
            return {}
        if not self.account.ours:
            raise _refused("the initiator asks for a proof that this target has no secret for")
        challenge = _bytes(keys["CHAP_C"])
        if challenge == self._challenge:
            raise _refused("the initiator's challenge is our own")  # a reflection attack
        identifier = keys.get("CHAP_I", "")
        if not identifier.isdecimal() or int(identifier) > 255:
            raise _refused(f"CHAP_I={identifier[:40]} is not 0 to 255")
        proof = response(int(identifier), self.account.ours.secret, challenge)
        return {"CHAP_N": self.account.ours.name, "CHAP_R": "0x" + proof.hex()}


def response(identifier: int, secret: bytes, challenge: bytes) -> bytes:
    """RFC 1994."""
    digest = hashlib.md5(bytes([identifier]) + secret + challenge, usedforsecurity=False)
    return digest.digest()


def _bytes(text: str) -> bytes:
    try:
        if text[:2].lower() == "0x":
            digits = text[2:]
            return bytes.fromhex(digits.rjust(len(digits) + len(digits) % 2, "0"))
        if text[:2].lower() == "0b":
            return base64.b64decode(text[2:], validate=True)
    except ValueError:
        pass
    raise _refused(f"{text[:40]!r} is no binary value")


def _refused(reason: str) -> LoginRefusedError:
    return LoginRefusedError(AUTHENTICATION_FAILURE, reason)
