"""What guests' network drivers negotiate and publish, as data.

    with VnifLoopback(HairpinUplink, profile=WINDOWS) as loopback: ...

Sources: Linux 6.1's xen-netfront; the Windows PV drivers' xenvif and xennet; the xen-netfront of
Linux 2.6.18 for Xen, which ia64 guests of its time have.
"""

from __future__ import annotations

from dataclasses import dataclass

from pvdrivers.frontends.vnif.control import HashSettings
from pvdrivers.frontends.vnif.device import VnifFrontend
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.ring.abi import Abi
from pvdrivers.vnif.features import ALL_OFFLOADS, FrontendFeatures, Offloads
from pvdrivers.vnif.keys import CONTROL_KEYS, QUEUE_KEYS
from pvdrivers.xenbus.keys import NUM_QUEUES_KEY
from pvdrivers.xenstore.client import XenstoreClient

RINGS = (NUM_QUEUES_KEY, *CONTROL_KEYS, *QUEUE_KEYS)  # which every driver writes that has them
# The key of Microsoft's own verification suite for receive side scaling.
RSS_KEY = bytes.fromhex(
    "6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa"
)


@dataclass(frozen=True, slots=True)
class Profile:
    """One driver's features, the keys it writes beside rings and queues, and what it does when it
    is connected."""

    name: str
    features: FrontendFeatures
    keys: tuple[str, ...]
    abi: Abi = Abi.X86_64  # that it is usual with
    hash: bool = False  # it spreads what it receives over its queues, by a mapping of 128 entries
    addresses: tuple[str, ...] = ()  # that it publishes below attr/vif


LINUX = Profile(
    name="linux",
    features=FrontendFeatures(offloads=ALL_OFFLOADS, max_queues=4, control_ring=False),
    keys=(
        "request-rx-copy",
        "feature-rx-notify",
        "feature-sg",
        "feature-gso-tcpv4",
        "feature-gso-tcpv6",
        "feature-ipv6-csum-offload",
    ),
)

WINDOWS = Profile(
    name="windows",
    features=FrontendFeatures(offloads=ALL_OFFLOADS, max_queues=4, multicast_control=True),
    keys=(
        "request-rx-copy",
        "feature-rx-notify",
        "feature-sg",
        "feature-gso-tcpv4",
        "feature-gso-tcpv6",
        "feature-no-csum-offload",
        "feature-ipv6-csum-offload",
        "request-multicast-control",
    ),
    hash=True,
    addresses=("10.0.0.2", "fe80::216:3eff:fe00:1"),
)

IA64 = Profile(
    name="ia64",
    features=FrontendFeatures(
        offloads=Offloads(sg=True, gso_tcpv4=True, csum_ipv4=True),
        split_event_channels=False,
        control_ring=False,
    ),
    keys=(
        "request-rx-copy",
        "feature-rx-notify",
        "feature-no-csum-offload",
        "feature-sg",
        "feature-gso-tcpv4",
    ),
    abi=Abi.IA64,
)

PROFILES = {profile.name: profile for profile in (LINUX, WINDOWS, IA64)}


class ProfileFrontend(VnifFrontend):
    """Uses a network device as another driver would."""

    def __init__(
        self,
        client: XenstoreClient,
        path: str,
        hypervisor: Hypervisor,
        *,
        profile: Profile,
    ) -> None:
        super().__init__(client, path, hypervisor, profile.features)
        self.profile = profile

    async def publish_keys(self, keys: dict[str, str]) -> None:
        names = (*self.profile.keys, *RINGS)
        written = {key: value for key, value in keys.items() if key.split("/")[-1] in names}
        await super().publish_keys(written)

    async def attach(self) -> None:
        queues = self._agreed.queues
        if self.profile.hash and self._agreed.control_ring and self._hash is None:
            self._hash = HashSettings(RSS_KEY, mapping=tuple(i % queues for i in range(128)))
        await super().attach()
        if self.profile.addresses:
            await self.publish_addresses(*self.profile.addresses)
