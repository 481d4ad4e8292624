"""A logical unit that is a device of this host, by Linux's SCSI generic driver."""

from __future__ import annotations

import os
from functools import partial

from pvdrivers.backends.targets.command import Nexus
from pvdrivers.backends.targets.passthrough.commands import DISK
from pvdrivers.backends.targets.passthrough.path import PATIENCE
from pvdrivers.backends.targets.passthrough.policy import Policy
from pvdrivers.backends.targets.passthrough.session import INQUIRY, INQUIRY_ROOM, ask
from pvdrivers.backends.targets.passthrough.sg_session import NoSgDevice, SgSession
from pvdrivers.backends.targets.passthrough.unit import PassThrough
from pvdrivers.ring.errors import UsageError

DEPTH = 16  # commands that the driver takes of one file descriptor
DISK_TIME, OTHER_TIME = 60.0, 4 * 3600.0  # seconds; a tape may be rewound or erased that long


async def open_sg(path: str, policy: Policy, *, patience: float = PATIENCE) -> PassThrough:
    """All guests come by the one initiator port of the host, so what reserves is to be refused by
    the policy unless one guest alone has the device.

    UsageError: `path` is no SCSI generic device.
    """
    device_type, missing = None, None
    try:
        device_type = await _device_type(path)
    except NoSgDevice as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        missing = OSError(f"{path} cannot be used: {error.strerror or error}")
    return _unit(path, policy, device_type, patience, missing)


def _unit(
    path: str, policy: Policy, device_type: int | None, patience: float, missing: OSError | None
) -> PassThrough:
    time_limit = DISK_TIME if device_type == DISK else OTHER_TIME
    return PassThrough(
        os.path.realpath(path),
        lambda nexus: partial(SgSession.open, path, time_limit),
        policy,
        device_type,
        patience=patience,
        depth=DEPTH,
        missing=missing,
    )


async def _device_type(path: str) -> int:
    answer = await ask(SgSession.open(path, DISK_TIME), Nexus(path), INQUIRY, INQUIRY_ROOM)
    data = bytes(answer.data)
    if not data or answer.status or answer.host:
        raise OSError(f"it does not answer INQUIRY (status {answer.status}, host {answer.host})")
    return data[0] & 0x1F
