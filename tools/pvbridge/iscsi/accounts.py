"""Who may log in, and with which secret: a TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from pvdrivers.ring.errors import UsageError
from pvdrivers.tools.pvbridge.iscsi.chap import MIN_SECRET, Account


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    user: str
    secret: str

    def __post_init__(self) -> None:
        if len(self.secret.encode()) < MIN_SECRET:
            raise ValueError(f"a secret has at least {MIN_SECRET} bytes (RFC 7143)")
        if not self.user:
            raise ValueError("user is empty")


class InitiatorAccount(Proof, frozen=True, forbid_unknown_fields=True):
    """`target`: what this end proves itself with, where the initiator asks for that."""

    target: Proof | None = None

    def __post_init__(self) -> None:
        Proof.__post_init__(self)
        if self.target and self.target.secret == self.secret:
            raise ValueError("the two ends have the same secret, which RFC 7143 forbids")


def read_accounts(path: Path) -> Mapping[str, Account]:
    """By initiator name. UsageError, in one sentence: there is no such file, others can read it,
    or its content is not valid."""
    try:
        mode = path.stat().st_mode
        table = msgspec.toml.decode(path.read_bytes(), type=dict[str, InitiatorAccount])
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError) as error:
        raise UsageError(f"{path}: {' '.join(str(error).split())}") from error
    if mode & 0o077:
        raise UsageError(f"{path}: others can read the secrets in it: chmod 600 {path}")
    return {name: _account(found) for name, found in table.items()}


def _account(found: InitiatorAccount) -> Account:
    ours = None
    if found.target:
        ours = Account(found.target.user, found.target.secret.encode())
    return Account(found.user, found.secret.encode(), ours)
