"""What each end of a virtual SCSI host can do, and what the two agree on.

`PROTOCOL_FEATURES` is the plain list of what vscsiif knows and whether we do it; `negotiate` is the
only place where two offers meet. An absent key stands for what peers older than the key do.
"""

from dataclasses import dataclass

from pvdrivers.ring.abi import Abi
from pvdrivers.xenbus.keys import PROTOCOLS, ProtocolFeature

SLOT_SEGMENTS = 26  # that a request has room for
DESCRIPTOR = 8  # bytes of a segment, in the slot or in a list
MAX_SG_GRANT = 4096  # that we offer or use, of the 65535 that the key can name
SG_GRANT = 128  # as Linux offers

PROTOCOL_FEATURES = (
    ProtocolFeature("commands", "", True, True, "CDBs of up to 16 bytes"),
    ProtocolFeature("abort", "", True, True, ""),
    ProtocolFeature("reset", "", True, True, "of a logical unit"),
    ProtocolFeature(
        "segment lists",
        "feature-sg-grant",
        True,
        True,
        f"{SG_GRANT} segments by default, up to {MAX_SG_GRANT}",
    ),
    ProtocolFeature(
        "LUN hotplug", "vscsi-devs/dev-N/state", True, True, "by the states 7 and 8 of both ends"
    ),
    ProtocolFeature("whole host", "feature-host", True, True, "all LUNs of a host"),
    ProtocolFeature("guest ABI", "protocol", True, True, ", ".join(PROTOCOLS)),
    ProtocolFeature(
        "segment preset",
        "",
        False,
        False,
        "deprecated by the protocol: answered with an error, never sent",
    ),
)


@dataclass(frozen=True, slots=True)
class BackendFeatures:
    """What a backend offers; the defaults are those of a backend that writes none of the keys.

    `sg_grant`: how many segments a request's list may have; 0: none may have a list.
    """

    sg_grant: int = 0


@dataclass(frozen=True, slots=True)
class FrontendFeatures:
    """What a frontend wants, and can use, at most.

    `protocol`: what it writes; None: nothing, as Linux does. `sg_grant`: as above.
    """

    protocol: str | None = None
    sg_grant: int = SG_GRANT

    def __post_init__(self) -> None:
        if self.protocol is not None and self.protocol not in PROTOCOLS:
            raise ValueError(f"protocol {self.protocol!r} is none of {', '.join(PROTOCOLS)}")
        check_sg_grant(self.sg_grant)


@dataclass(frozen=True, slots=True)
class Agreement:
    """What both ends will use on this connection. `max_segments`: of a request, in its slot or in a
    list."""

    max_segments: int

    def describe(self) -> str:
        """One line, for logs and tools."""
        return f"{self.max_segments} segments"


def check_sg_grant(number: int) -> None:
    """ValueError: it is no number of segments to be offered or used."""
    if number and not SLOT_SEGMENTS <= number <= MAX_SG_GRANT:
        raise ValueError(f"sg_grant is 0 or {SLOT_SEGMENTS} to {MAX_SG_GRANT}")


def list_segments(abi: Abi) -> int:
    """How many segments the pages have room for that a slot can name."""
    return SLOT_SEGMENTS * abi.page_size // DESCRIPTOR


def negotiate(front: FrontendFeatures, back: BackendFeatures) -> Agreement:
    """What this pair uses. A list that is no longer than a slot is not worth its page."""
    return Agreement(max_segments=max(SLOT_SEGMENTS, min(front.sg_grant, back.sg_grant)))
