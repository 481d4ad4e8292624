"""A virtual network device as the toolstack describes it, and how it is served."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from pvdrivers.backends.exchange import changes, open_in_time
from pvdrivers.backends.service import PluggedDevice
from pvdrivers.backends.uplinks.uplink import Uplink
from pvdrivers.backends.vnif.device import VnifBackendOptions
from pvdrivers.xenstore.client import XenstoreClient

VIF_KEYS = ("mac", "handle", "type", "bridge", "script", "ip", "mtu", "vifname")


@dataclass(frozen=True, slots=True)
class VifConfig(PluggedDevice):
    """What the toolstack has written about a vif; `path` is the backend's directory."""

    mac: str = ""
    handle: str = ""
    kind: str = ""  # the key `type`
    bridge: str = ""
    script: str = ""
    ip: str = ""
    mtu: str = ""
    vifname: str = ""

    @property
    def interface(self) -> str:
        """The name of its network interface."""
        return self.vifname or self.first_interface

    @property
    def first_interface(self) -> str:
        """The name by which Xen's hotplug scripts look for it; they then give it `vifname`."""
        return f"vif{self.domid}.{self.devid}"


async def read_vif(client: XenstoreClient, path: str) -> VifConfig:
    keys = await client.read_keys(path, VIF_KEYS)
    return VifConfig(path, *(keys.get(key, "") for key in VIF_KEYS))


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How a vif is served. `open_uplink` must not block the loop; what it raises ends up in the
    device's error node. A reload changes nothing if they are equal."""

    open_uplink: Callable[[VifConfig], Awaitable[Uplink]]
    limits: VnifBackendOptions = field(default_factory=VnifBackendOptions)

    async def open(self, vif: VifConfig) -> Uplink:
        """The uplink, which becomes the caller's. TimeoutError: it is not open in time."""
        return await open_in_time(self.open_uplink(vif), vif.interface)

    @property
    def opens(self) -> object:
        return self.open_uplink

    def changes(self, new: ServeOptions) -> str:
        """What differs in `new`, in words."""
        return changes("uplink", self.open_uplink, new.open_uplink, self.limits, new.limits)
