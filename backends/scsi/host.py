"""A virtual SCSI host as the toolstack describes it, and how it is served."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from pvdrivers.backends.exchange import changes
from pvdrivers.backends.service import PluggedDevice
from pvdrivers.backends.targets.logical_unit import LogicalUnit
from pvdrivers.scsi.features import SG_GRANT, check_sg_grant
from pvdrivers.scsi.keys import HOST_KEY
from pvdrivers.xenstore.client import XenstoreClient


@dataclass(frozen=True, slots=True)
class HostConfig(PluggedDevice):
    """What the toolstack has written about a host, but for its LUNs, which come and go.

    `whole_host`: the guest gets all LUNs of what stands behind it, which says itself what there is.
    """

    whole_host: bool = False


async def read_host(client: XenstoreClient, path: str) -> HostConfig:
    keys = await client.read_keys(path, (HOST_KEY,))
    return HostConfig(path, keys.get(HOST_KEY, "0").strip() not in ("", "0"))


class ScsiBackendOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The most that a backend offers."""

    sg_grant: int = SG_GRANT  # segments of a request's list; 0: no lists

    def __post_init__(self) -> None:
        check_sg_grant(self.sg_grant)


OpenUnit = Callable[..., Awaitable[LogicalUnit]]  # of a host, a `p-dev`, and what it stands on


def one_way(host: HostConfig, p_dev: str) -> object:
    """Whatever opens the units does so alike for all hosts."""
    return None


def nothing_below(host: HostConfig, p_dev: str) -> Sequence[str]:
    """Each unit is there without any other."""
    return ()


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How a host is served. `open_unit` opens what a LUN's `p-dev` names; it must not block the
    loop (`open_in_daemon_thread` helps), and what it raises is logged and closes that LUN. Hosts
    that name the same `p-dev` have the same logical unit, which is opened for the first of them.
    `stands_on` names other units that this one is made of, as a changer is of drives: they are
    opened before and closed after it, and `open_unit` gets them as further arguments. `below`: how
    those are opened; None: as LUNs are.
    `way` tells in words, or what prints so, how a host's `p-dev` is opened: a LUN whose unit is
    open in another way is refused, since that host is not meant to have it so. A reload changes
    nothing if they are equal, and LUNs that are there in no case."""

    open_unit: OpenUnit
    limits: ScsiBackendOptions = field(default_factory=ScsiBackendOptions)
    way: Callable[[HostConfig, str], object] = field(default=one_way, compare=False)
    stands_on: Callable[[HostConfig, str], Sequence[str]] = field(
        default=nothing_below, compare=False
    )
    below: ServeOptions | None = None

    def changes(self, new: ServeOptions) -> str:
        """What differs in `new`, in words."""
        return changes("LUNs", self.open_unit, new.open_unit, self.limits, new.limits)
