"""A logical unit that is a LUN of a SAN."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Any

from pvdrivers.backends.targets.command import Nexus
from pvdrivers.backends.targets.passthrough.iscsi_lun import IscsiLun, check_name
from pvdrivers.backends.targets.passthrough.iscsi_session import IscsiSession, LoginRefused
from pvdrivers.backends.targets.passthrough.path import PATIENCE
from pvdrivers.backends.targets.passthrough.policy import Policy
from pvdrivers.backends.targets.passthrough.session import INQUIRY, INQUIRY_ROOM, ask
from pvdrivers.backends.targets.passthrough.unit import PassThrough
from pvdrivers.ring.errors import UsageError
from pvdrivers.scsi.lun import decode_report
from pvdrivers.scsi.result import Status

INITIATOR = "iqn.2012-04.org.pvdrivers:{initiator}"
OURSELVES = "pvbackd"  # in place of a guest's name, for the session that looks at the LUN
_REPORT_LUNS = bytes.fromhex("a0 00 00 00 00 00 00 00 10 00 00 00")
_ROOM = 4096


def check_pattern(pattern: str) -> None:
    """UsageError: it makes no names, or the same one for all guests."""
    if "{initiator}" not in pattern:
        raise UsageError(
            f"initiator {pattern!r} lacks {{initiator}}, by which guests are told apart"
        )
    check_name(pattern)


@dataclass(frozen=True, slots=True)
class Initiators:
    """Each guest is an initiator of its own, so that a reservation is that guest's. `pattern`: an
    iSCSI name with {initiator} in it, for which the name of the guest's nexus stands."""

    lun: IscsiLun
    pattern: str = INITIATOR

    def __post_init__(self) -> None:
        check_pattern(self.pattern)

    def name_of(self, nexus_name: str) -> str:
        """Only what a name may have: others are written as their numbers, so it stays unique."""
        plain = "".join(
            c if (c.isalnum() and c.isascii()) or c in "-.:" else f"-{ord(c):x}" for c in nexus_name
        )
        return self.pattern.replace("{initiator}", plain.lower())

    def session_of(self, nexus: Nexus) -> partial[Coroutine[Any, Any, IscsiSession]]:
        """The same initiator port each time, for the same guest and LUN."""
        port = f"{self.lun} {nexus.target_port}"
        isid = int.from_bytes(sha256(port.encode()).digest()[:3], "big")
        return partial(IscsiSession.open, self.lun, self.name_of(nexus.name), isid)


async def open_iscsi(
    initiators: Initiators, policy: Policy, *, patience: float = PATIENCE
) -> PassThrough:
    """Looks at the LUN. When the target is not reached, refuses the initiator or has no such LUN,
    the unit raises that when it is taken up, unless it is an earlier process's: a SAN that starts
    does so at first.

    UsageError: there is no libiscsi.
    """
    lun = initiators.lun
    device_type: int | None = None
    missing: Exception | None = None
    try:
        device_type = await _device_type(initiators)
    except LoginRefused as error:
        name = initiators.name_of(OURSELVES)
        missing = UsageError(f"{lun}: the target refuses initiator {name}: {error}")
    except _NoLun as error:
        missing = error
    except OSError as error:
        missing = OSError(f"{lun}: the target is not reached: {error}")
    return PassThrough(
        str(lun), initiators.session_of, policy, device_type, patience=patience, missing=missing
    )


class _NoLun(UsageError):
    pass


async def _device_type(initiators: Initiators) -> int:
    """_NoLun, LoginRefused, or another OSError: the target is not there."""
    data = await _ask(initiators, INQUIRY, INQUIRY_ROOM)
    if data and data[0] >> 5 == 0:
        return data[0] & 0x1F
    lun_0 = replace(initiators, lun=replace(initiators.lun, lun=0))
    found = map(str, decode_report(await _ask(lun_0, _REPORT_LUNS, _ROOM)))
    lun = initiators.lun
    raise _NoLun(
        f"{lun}: the target has no LUN {lun.lun} for this initiator: there is"
        f" {', '.join(found) or 'none'}"
    )


async def _ask(initiators: Initiators, cdb: bytes, room: int) -> bytes:
    """What comes back; nothing: it failed."""
    nexus = Nexus(OURSELVES)
    answer = await ask(initiators.session_of(nexus)(), nexus, cdb, room)
    return bytes(answer.data) if answer.status == Status.GOOD else b""
