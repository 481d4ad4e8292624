"""The kinds of logical units that are devices of a SAN or of this host."""

from __future__ import annotations

import os
import stat
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec

from pvdrivers.backends.targets.logical_unit import LogicalUnit
from pvdrivers.backends.targets.passthrough.iscsi import (
    INITIATOR,
    Initiators,
    check_pattern,
    open_iscsi,
)
from pvdrivers.backends.targets.passthrough.iscsi_lun import IscsiLun
from pvdrivers.backends.targets.passthrough.path import PATIENCE
from pvdrivers.backends.targets.passthrough.policy import RESERVATIONS, Policy, check_names
from pvdrivers.backends.targets.passthrough.sg import open_sg
from pvdrivers.daemon_threads import in_daemon_thread
from pvdrivers.ring.errors import UsageError
from pvdrivers.tools.pvbackd.rules import check_fields
from pvdrivers.tools.pvbackd.scsi_units import FIELDS, UnitKind, path_for


class PassThroughKind(UnitKind, frozen=True):
    """`patience`: seconds that a command waits for a device that is away."""

    allow: tuple[str, ...] = ()  # names of commands
    read_only: bool = False
    patience: Annotated[float, msgspec.Meta(ge=0, le=3600)] = PATIENCE

    def __post_init__(self) -> None:
        check_names(self.allow)


class IscsiUnit(PassThroughKind, tag="iscsi", frozen=True):
    """A LUN of an iSCSI target."""

    url: str = "{lun}"
    chap_user: str = ""
    secret_file: str = ""
    initiator: str = INITIATOR  # {initiator} is the guest

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(self.url, FIELDS)
        check_fields(self.secret_file, FIELDS)
        check_pattern(self.initiator)
        if bool(self.chap_user) != bool(self.secret_file):
            raise UsageError("chap_user and secret_file go together")
        if "{lun}" not in self.url:
            IscsiLun.parse(self.url)

    async def open(self, lun: str, *below: Any) -> LogicalUnit:
        secret = ""
        if self.secret_file:
            path = path_for(self.secret_file, lun)
            secret = await in_daemon_thread(partial(_secret_in, path))
        found = IscsiLun.parse(self.url.replace("{lun}", lun), self.chap_user, secret)
        policy = Policy(self.allow, self.read_only)
        return await open_iscsi(Initiators(found, self.initiator), policy, patience=self.patience)


class SgUnit(PassThroughKind, tag="sg", frozen=True):
    """A device of this host: /dev/sgN."""

    device: str = "{lun}"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(self.device, FIELDS)

    async def open(self, lun: str, *below: Any) -> LogicalUnit:
        path = path_for(self.device, lun)
        policy = Policy(self.allow, self.read_only, refuse=RESERVATIONS)
        return await open_sg(path, policy, patience=self.patience)


def _secret_in(path: str) -> str:
    """UsageError: there is none, or others may read it."""
    try:
        with Path(path).open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            secret = file.readline().rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"secret_file {path}: {error}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UsageError(f"secret_file {path} is open to others: chmod 600 {path}")
    if not 0 < len(secret) <= 255:
        raise UsageError(
            f"secret_file {path} has no secret of 1 to 255 characters in its first line"
        )
    return secret
