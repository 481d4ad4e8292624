"""Xenstore keys that device classes have in common: numbers, rings, queues, the guest's ABI.

Nothing here does I/O. Readers take a table of keys, as read in one transaction, and raise PeerError
for what no correct peer writes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pvdrivers.ring.abi import Abi
from pvdrivers.ring.errors import PeerError

Keys = Mapping[str, str]

PROTOCOLS = tuple(abi.protocol for abi in Abi)
EVENT_CHANNEL = "event-channel"
MAX_QUEUES_KEY = "multi-queue-max-queues"  # the backend's offer
NUM_QUEUES_KEY = "multi-queue-num-queues"  # the frontend's choice; 1 when absent


class ProtocolFeature(NamedTuple):
    """One feature of a protocol: its name, its keys, which of our ends have it, and a remark."""

    name: str
    keys: str
    backend: bool
    frontend: bool
    remark: str


def number(keys: Keys, key: str, default: int | None = None, maximum: int = 0xFFFFFFFF) -> int:
    """A decimal key; PeerError when it is garbled, too large, or absent without a default."""
    text = keys.get(key)
    if text is None:
        if default is None:
            raise PeerError(f"{key} is missing")
        return default
    digits = text.strip()
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 20:
        raise PeerError(f"{key} is {text[:40]!r}, not a number")
    if int(digits) > maximum:
        raise PeerError(f"{key} is {digits}, at most {maximum} can be")
    return int(digits)


def read_protocol(keys: Keys, default: str) -> str:
    """The guest ABI that a frontend names in `protocol`, one of PROTOCOLS; `default` without."""
    protocol = keys.get("protocol", default)
    if protocol not in PROTOCOLS:
        raise PeerError(f"protocol {protocol[:40]!r} is not known")
    return protocol


def read_num_queues(keys: Keys, offered: int) -> int:
    """How many queues a frontend uses, of those `offered`."""
    queues = number(keys, NUM_QUEUES_KEY, 1)
    if not 1 <= queues <= offered:
        raise PeerError(f"{NUM_QUEUES_KEY} is {queues}, 1 to {offered} can be")
    return queues


def queue_prefixes(queues: int) -> list[str]:
    """The prefix of each queue's keys: empty when there is only one queue."""
    return [""] if queues == 1 else [f"queue-{index}/" for index in range(queues)]


def ring_ref_names(pages: int | None = None) -> list[str]:
    """The keys with the grants of a ring's pages. None: the frontend names no number of pages."""
    return ["ring-ref"] if pages is None else [f"ring-ref{index}" for index in range(pages)]


@dataclass(frozen=True, slots=True)
class QueueKeys:
    """A queue of one ring as its frontend publishes it."""

    ring_refs: tuple[int, ...]
    event_channel: int

    @staticmethod
    def names(prefix: str = "", ring_refs: Sequence[str] = ("ring-ref",)) -> list[str]:
        return [prefix + name for name in (*ring_refs, EVENT_CHANNEL)]

    @classmethod
    def read(
        cls, keys: Keys, prefix: str = "", ring_refs: Sequence[str] = ("ring-ref",)
    ) -> "QueueKeys":
        *refs, port = (number(keys, name) for name in cls.names(prefix, ring_refs))
        return cls(tuple(refs), port)

    def keys(self, prefix: str = "", ring_refs: Sequence[str] = ("ring-ref",)) -> dict[str, str]:
        values = map(str, (*self.ring_refs, self.event_channel))
        return dict(zip(self.names(prefix, ring_refs), values, strict=True))
