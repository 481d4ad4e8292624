"""What is asked of a benchmark of a network device: plain data that travels to its processes as
JSON."""

from typing import Literal

from pvdrivers.tools.pvbench.job.job import Job, ProfileName
from pvdrivers.vnif.features import Offloads

Direction = Literal["tx", "rx", "both"]  # as the guest sees it
UplinkKind = Literal["null", "hairpin", "switch"]
Role = Literal["guest", "peer"]  # peer: another guest at the switch

MACS: dict[Role, str] = {"guest": "00:16:3e:00:00:01", "peer": "00:16:3e:00:00:02"}
ETHERNET_HEADER = 14


class VnifJob(Job, frozen=True, kw_only=True):
    """One workload on one network device, or on two that a switch connects."""

    direction: Direction = "both"
    uplink: UplinkKind = "null"
    role: Role = "guest"
    frame_size: int = 64  # bytes
    batch: int = 32
    requests: int = 0  # outstanding on each queue; 0: the frames are no requests
    rate: int = 0  # frames a second on each queue; 0: no limit
    static_grants: bool = False  # the backend keeps the guest's pages mapped
    profile: ProfileName | None = None
    offloads: Offloads | None = None  # that the guest takes; None: those of its driver

    @property
    def unit(self) -> str:
        return "packets/s"

    @property
    def roles(self) -> tuple[Role, ...]:
        """The guests that there are."""
        return ("guest", "peer") if self.uplink == "switch" else ("guest",)

    @property
    def sends(self) -> bool:
        """Whether this guest sends of its own accord."""
        if self.direction == "both":
            return self.role == "guest" or not self.requests
        return (self.direction == "tx") == (self.role == "guest")

    @property
    def until_stopped(self) -> bool:
        """Whether this guest goes on receiving when its time is over, since another may still
        send."""
        if self.uplink != "switch":
            return False
        return not self.sends or (self.direction == "both" and self.role == "peer")

    @property
    def mtu(self) -> int:
        return max(1500, self.frame_size - ETHERNET_HEADER)

    def describe_device(self) -> dict[str, object]:
        """What the report says of the device."""
        return {
            "direction": self.direction,
            "uplink": self.uplink,
            "frame_size": self.frame_size,
            "batch": self.batch,
            "requests": self.requests,
            "mode": self.mode,
            "queues": self.queues,
            "static_grants": self.static_grants,
            "profile": self.profile,
        }
