"""Uplinks that stand on an uplink and change what happens to its packets, as Linux's netem does.

Everything random comes from a seed: the same packets in the same order on a queue have the same
outcome, so that a failed run can be played again.
"""

from enum import IntFlag
from typing import Any

from pvdrivers._core import ffi, lib
from pvdrivers.backends.owned import created
from pvdrivers.backends.uplinks.uplink import Uplink
from pvdrivers.ring.errors import UsageError

MAX_TIME = 2**62  # ns


class Direction(IntFlag):
    """tx is what the guest sends, rx what it receives."""

    TX = lib.PV_UPLINK_TX
    RX = lib.PV_UPLINK_RX
    BOTH = lib.PV_UPLINK_BOTH


class UplinkFilter(Uplink):
    """An uplink that stands on another and owns it: closing the filter closes both."""

    def __init__(self, below: Uplink, create: Any, config: Any, *arguments: int) -> None:
        below.check_unused()
        super().__init__(created(create(below.pointer, config, *arguments), type(self).__name__))
        self.below = below
        below._pointer = None

    def where(self) -> str:
        return f"{self.name} on {self.below.where()}"

    def _leave_nothing(self) -> None:
        self.below._leave_nothing()

    def _forget(self) -> None:
        super()._forget()
        self.below._forget()


def _config(seed: int, direction: Direction, probability: float = 1) -> Any:
    if not 0 <= probability <= 1:
        raise UsageError(f"a probability of {probability} is not between 0 and 1")
    config = ffi.new("struct pv_uplink_filter_config *")
    config.seed = seed % 2**64
    config.directions = direction
    config.probability = probability
    return config


def _check_time(what: str, time: int) -> None:
    if not 0 <= time <= MAX_TIME:
        raise UsageError(f"a {what} of {time} ns is not between 0 and {MAX_TIME}")


class _RandomFilter(UplinkFilter):
    """Strikes a share of the packets, and needs to know no more."""

    create: Any  # the C function

    def __init__(
        self,
        below: Uplink,
        *,
        seed: int,
        probability: float,
        direction: Direction = Direction.BOTH,
    ) -> None:
        super().__init__(below, self.create, _config(seed, direction, probability))


class PacketLoss(_RandomFilter):
    """Drops a share of the packets."""

    create = lib.pv_uplink_loss_create


class PacketDuplication(_RandomFilter):
    """Gives a share of the packets on twice."""

    create = lib.pv_uplink_duplicate_create


class PacketCorruption(_RandomFilter):
    """Flips a bit in a share of the packets, behind the Ethernet header, which the receiver's
    checksums tell. A blank checksum is filled in before, and a GSO packet cut into segments, of
    which one is struck."""

    create = lib.pv_uplink_corrupt_create


class PacketReordering(UplinkFilter):
    """Holds a share of the packets back for `delay` ns, so that those behind overtake them."""

    def __init__(
        self,
        below: Uplink,
        *,
        seed: int,
        probability: float,
        delay: int,
        direction: Direction = Direction.BOTH,
    ) -> None:
        _check_time("delay", delay)
        config = _config(seed, direction, probability)
        super().__init__(below, lib.pv_uplink_reorder_create, config, delay)


class PacketDelay(UplinkFilter):
    """Holds packets back for `delay` and a random part of `jitter`, both in ns; jitter reorders."""

    def __init__(
        self,
        below: Uplink,
        *,
        delay: int,
        jitter: int = 0,
        seed: int = 0,
        direction: Direction = Direction.BOTH,
    ) -> None:
        _check_time("delay", delay)
        _check_time("jitter", jitter)
        super().__init__(below, lib.pv_uplink_delay_create, _config(seed, direction), delay, jitter)


class PacketRate(UplinkFilter):
    """Lets `bytes_per_second` of each direction through, after a pause `burst` bytes at once."""

    def __init__(
        self,
        below: Uplink,
        *,
        bytes_per_second: int,
        burst: int = 0,
        direction: Direction = Direction.BOTH,
    ) -> None:
        if not (0 < bytes_per_second < 2**64 and 0 <= burst <= bytes_per_second * 3600):
            raise UsageError(
                f"{bytes_per_second} bytes a second with a burst of {burst} bytes: the first is "
                "to be positive, and the second no more than an hour's worth"
            )
        config = _config(0, direction)
        super().__init__(below, lib.pv_uplink_rate_create, config, bytes_per_second, burst)


# By the names that a configuration has.
FILTERS: dict[str, type[UplinkFilter]] = {
    "loss": PacketLoss,
    "duplicate": PacketDuplication,
    "corrupt": PacketCorruption,
    "reorder": PacketReordering,
    "delay": PacketDelay,
    "rate": PacketRate,
}
