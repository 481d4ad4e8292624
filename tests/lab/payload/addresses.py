"""Who has which address on the lab's network, in dom0 and in the guest."""

from __future__ import annotations

from dataclasses import dataclass

UDP_PORT = 7009  # of dom0; what comes there is sent back


@dataclass(frozen=True)
class Family:
    """IPv4 or IPv6: dom0's and the guest's address."""

    version: int
    dom0: str
    guest: str
    prefix: int


FAMILIES = (
    Family(4, "192.168.9.1", "192.168.9.2", 24),
    Family(6, "fd00:9::1", "fd00:9::2", 64),
)
