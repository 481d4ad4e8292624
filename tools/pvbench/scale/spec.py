"""How many guests are set up, and what is measured of them: plain data that travels as JSON."""

from typing import Literal

from msgspec import Struct

from pvdrivers.poll.group import Mode

NAMES = ("xvda", "xvdb")
PAGE = 4096  # bytes
QUEUE_PAGES = 1056 + 64  # of a queue: data, descriptors, ring
VIF_PAGES = 2 * 256 + 64  # of a network device: data of both directions, rings


class ScaleSpec(Struct, frozen=True):
    """Every guest has the same disks, in the backend's memory, with a queue of one page each, or a
    network device with one queue.

    A guest's disks are dealt to the processors, one thread on each drives what has come to it: the
    first disk's to the first processor, and so on.
    """

    device: Literal["vbd", "vif"] = "vbd"
    disks: int = 2  # of a guest, len(NAMES) at most
    disk_size: int = 256 << 10  # bytes
    block_size: int = 4096
    iodepth: int = 32  # of a disk
    front_cpus: tuple[int, ...] = ()  # none: one thread, anywhere
    back_cpus: tuple[int, ...] = ()
    # The backend's; with "event" the frontend sleeps too, else it spins. A frontend's thread that
    # sleeps has one disk to drive.
    mode: Mode = "hybrid"

    @property
    def shared(self) -> bool:
        """Whether both halves of a disk have the same processor."""
        return bool(set(self.front_cpus) & set(self.back_cpus))

    @property
    def guest_memory(self) -> int:
        """Bytes: of each device the pages for data and its rings, and what a domain has besides."""
        if self.device == "vif":
            return (VIF_PAGES * PAGE // (1 << 20) + 2) << 20
        buffers = self.iodepth * -(-self.block_size // PAGE)
        pages = self.disks * (QUEUE_PAGES + buffers)
        return (pages * PAGE // (1 << 20) + 2) << 20


class Activity(Struct, frozen=True):
    """What the active guests did."""

    rate: float  # operations a second, of all together
    operations: list[int]  # by guest


class Memory(Struct, frozen=True):
    """Bytes of the backend's process."""

    resident: int  # without the simulated hypervisor's tables
    rings: int  # of these, pages of rings
