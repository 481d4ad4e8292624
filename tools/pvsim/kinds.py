"""What a guest of a scenario does; docs/pvsim.md has each key."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec

from pvdrivers.sim import parse_size
from pvdrivers.tools.config_file import Kind

MAX_BLOCK = 1 << 20  # bytes of a disk's request
MAX_DISK = 1 << 30
MIN_FRAME, MAX_FRAME = 60, 1514  # bytes, as Ethernet counts them without the checksum
SECTOR = 512
_NS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9}
Frame = Annotated[int, msgspec.Meta(ge=MIN_FRAME, le=MAX_FRAME)]


def parse_time(text: str, what: str) -> int:
    """ns of a time such as 100us, more than none."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ns|us|ms|s|m)", text.strip())
    ns = round(float(match[1]) * _NS[match[2]]) if match else 0
    if ns <= 0:
        raise ValueError(f"{what} is a time such as 100us, 2ms or 1.5s, not {text!r}")
    return ns


def parse_optional_time(text: str, what: str) -> int:
    """The same, or 0 for an empty one."""
    return parse_time(text, what) if text else 0


def _sectors(text: str, what: str, most: int) -> int:
    """Bytes of a size that is whole sectors."""
    size = parse_size(text)
    if not 0 < size <= most or size % SECTOR:
        raise ValueError(f"{what} is a multiple of {SECTOR} bytes up to {most}, not {text!r}")
    return size


# ---- Without a device ------------------------------------------------------------------------


class Compute(Kind, frozen=True, tag="compute"):
    """Takes all the CPU time it gets."""


class Open(Kind, frozen=True, tag="open"):
    """Requests that come whether or not the last one has been answered."""

    interval: str  # between two of them, on average
    work: str  # CPU time for each
    arrival: Literal["poisson", "fixed"] = "poisson"

    def __post_init__(self) -> None:
        parse_time(self.interval, "interval")
        parse_time(self.work, "work")


class Closed(Kind, frozen=True, tag="closed"):
    """The next request comes some time after the last one has been answered."""

    work: str
    think: str

    def __post_init__(self) -> None:
        parse_time(self.work, "work")
        parse_time(self.think, "think")


# ---- With a device, on the real frontend and backend ------------------------------------------


class Disk(Kind, frozen=True, tag="disk"):
    """A job on a disk, in fio's words."""

    rw: Literal["read", "write", "randread", "randwrite", "randrw"] = "randread"
    bs: str = "4k"
    iodepth: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1
    rate_iops: Annotated[float, msgspec.Meta(ge=0, le=1e6)] = 0  # 0: as many as it can
    rate_process: Literal["linear", "poisson"] = "linear"
    thinktime: str = ""  # after each request
    work: str = ""  # CPU time of the guest for each
    size: str = "16M"
    latency: str = ""  # of what is behind the backend

    def __post_init__(self) -> None:
        size, block = self.bytes, self.block
        if block > size:
            raise ValueError(f"bs {self.bs} is more than size {self.size}")
        for name in ("thinktime", "work", "latency"):
            parse_optional_time(getattr(self, name), name)

    @property
    def block(self) -> int:
        return _sectors(self.bs, "bs", MAX_BLOCK)

    @property
    def bytes(self) -> int:
        return _sectors(self.size, "size", MAX_DISK)


class Client(Kind, frozen=True, tag="client"):
    """Sends requests to a guest over the network, whether or not the last one has been answered."""

    server: str  # that guest's name; of several alike, each has its share of the clients
    interval: str
    arrival: Literal["poisson", "fixed"] = "poisson"
    request: Frame = 128
    response: Frame = 1024

    def __post_init__(self) -> None:
        parse_time(self.interval, "interval")


class Server(Kind, frozen=True, tag="server"):
    """Answers them."""

    work: str = "50us"

    def __post_init__(self) -> None:
        parse_time(self.work, "work")


Workload = Compute | Open | Closed | Disk | Client | Server
WITH_DEVICE = (Disk, Client, Server)
