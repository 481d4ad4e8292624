"""The uplinks a configuration can name, and how they are opened for a vif."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Annotated, Literal

import msgspec

from pvdrivers.backends.uplinks.filters import FILTERS, Direction
from pvdrivers.backends.uplinks.netlink import find_link
from pvdrivers.backends.uplinks.passt import PasstUplink
from pvdrivers.backends.uplinks.switch import Switch
from pvdrivers.backends.uplinks.tap import TapUplink
from pvdrivers.backends.uplinks.uplink import HairpinUplink, NullUplink, Uplink
from pvdrivers.backends.vnif.vif import VifConfig
from pvdrivers.ring.errors import UsageError
from pvdrivers.tools.config_file import Kind
from pvdrivers.tools.pvbackd.rules import brief, check_fields, fill_in
from pvdrivers.vnif.features import MAX_MTU, MAX_QUEUES

Queues = Annotated[int, msgspec.Meta(ge=1, le=MAX_QUEUES)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Natural = Annotated[int, msgspec.Meta(ge=0)]
FIELDS = ("interface", "bridge", "mac", "domid", "devid")  # of a vif, that a name may hold


class Tap(Kind, tag="tap", frozen=True):
    """An interface of the host; it outlives the daemon, and goes when the vif does."""

    interface: str = "{interface}"
    bridge: str = "{bridge}"  # empty: a script or somebody else puts it where it belongs
    mtu: Annotated[int, msgspec.Meta(ge=68, le=MAX_MTU)] | None = None  # None: `mtu` of the vif
    queues: Queues = 1

    def __post_init__(self) -> None:
        check_fields(self.interface, FIELDS)
        check_fields(self.bridge, FIELDS)

    async def open(self, vif: VifConfig) -> Uplink:
        name, bridge = fill_in(self.interface, FIELDS, vif), fill_in(self.bridge, FIELDS, vif)
        if not bridge and name == vif.interface and await find_link(name) is None:
            name = vif.first_interface  # a script gives it the other one
        return await TapUplink.open(
            name,
            queues=self.queues,
            bridge=bridge or None,
            mtu=self.mtu or _mtu(vif),
            persistent=True,
        )


class SwitchPort(Kind, tag="switch", frozen=True):
    """A port of the daemon's own switch of that name."""

    name: str = "{bridge}"
    isolated: bool = False
    queues: Queues = 1

    def __post_init__(self) -> None:
        check_fields(self.name, FIELDS)

    async def open(self, vif: VifConfig) -> Uplink:
        return _switch(fill_in(self.name, FIELDS, vif)).port(self.queues, isolated=self.isolated)


class Passt(Kind, tag="passt", frozen=True):
    """The socket of a passt."""

    socket: str

    def __post_init__(self) -> None:
        check_fields(self.socket, FIELDS)

    async def open(self, vif: VifConfig) -> Uplink:
        return PasstUplink(fill_in(self.socket, FIELDS, vif))


class Hairpin(Kind, tag="hairpin", frozen=True):
    queues: Queues = 1

    async def open(self, vif: VifConfig) -> Uplink:
        return HairpinUplink(self.queues)


class Null(Kind, tag="null", frozen=True):
    queues: Queues = 1

    async def open(self, vif: VifConfig) -> Uplink:
        return NullUplink(self.queues)


UplinkConfig = Tap | SwitchPort | Passt | Hairpin | Null


class Filter(Kind, frozen=True):
    """A filter's settings, by the names that its class has for them; times are in ns there."""

    direction: Literal["tx", "rx", "both"] = "both"

    def put_on(self, below: Uplink) -> Uplink:
        settings = msgspec.structs.asdict(self)
        settings["direction"] = Direction[self.direction.upper()]
        for name in ("delay", "jitter"):
            if f"{name}_us" in settings:
                settings[name] = settings.pop(f"{name}_us") * 1000
        make: Callable[..., Uplink] = FILTERS[str(self.__struct_config__.tag)]
        return make(below, **settings)


class Random(Filter, frozen=True, kw_only=True):
    """What strikes a share of the packets, chosen by a seed."""

    seed: int
    probability: Share


class Loss(Random, tag="loss", frozen=True):
    pass


class Duplicate(Random, tag="duplicate", frozen=True):
    pass


class Corrupt(Random, tag="corrupt", frozen=True):
    pass


class Reorder(Random, tag="reorder", frozen=True, kw_only=True):
    delay_us: Natural


class Delay(Filter, tag="delay", frozen=True, kw_only=True):
    delay_us: Natural
    jitter_us: Natural = 0
    seed: int = 0


class Rate(Filter, tag="rate", frozen=True, kw_only=True):
    bytes_per_second: Annotated[int, msgspec.Meta(ge=1)]
    burst: Natural = 0


FilterConfig = Loss | Duplicate | Corrupt | Reorder | Delay | Rate


class VifUplink(msgspec.Struct, frozen=True):
    """Opens a vif's uplink with its filters, the first of them next to the uplink."""

    uplink: UplinkConfig
    filters: tuple[FilterConfig, ...] = ()

    async def __call__(self, vif: VifConfig) -> Uplink:
        top = await self.uplink.open(vif)
        try:
            for layer in self.filters:
                top = layer.put_on(top)
        except BaseException:
            top.close()
            raise
        return top

    def __str__(self) -> str:
        """Its kinds, and of each what is not the default."""
        return " + ".join(map(brief, (self.uplink, *self.filters)))


@cache
def _switch(name: str) -> Switch:
    """There as long as the daemon: its ports come and go."""
    return Switch(name or "switch")


def _mtu(vif: VifConfig) -> int | None:
    if not vif.mtu:
        return None
    if not (vif.mtu.isdecimal() and 68 <= int(vif.mtu) <= MAX_MTU):
        raise UsageError(f"{vif.path}/mtu is {vif.mtu!r}, not a number from 68 to {MAX_MTU}")
    return int(vif.mtu)
