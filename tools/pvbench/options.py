"""From options, as fio names them, to jobs."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from pvdrivers.ring.abi import SECTOR, Abi
from pvdrivers.tools.pvbench.errors import OptionError
from pvdrivers.tools.pvbench.image import image_size
from pvdrivers.tools.pvbench.job import RW, Backend, Job, Mode, Store, StoreKind
from pvdrivers.tools.pvbench.units import parse_size, parse_time

AbiName = Literal["x86_64", "x86_32", "ia64"]
Memory = Literal["malloc", "granted"]
Verify = Literal["crc32c"]

DEFAULT_MEMORY_SIZE = 64 << 20  # bytes of a ram store
DEFAULT_NULL_SIZE = 1 << 40  # bytes of a null store

# Limits of the protocol and of the backend, inclusive.
LIMITS = {
    "iodepth": (1, 65536),
    "numjobs": (1, 1024),
    "queues": (1, 64),
    "ring-page-order": (0, 4),
    "indirect": (0, 4096),
    "rwmixread": (0, 100),
    "fsync": (0, 1 << 31),
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of `pvbench vbd`, one job's worth. None: not given."""

    rw: RW = "read"
    bs: str = "4k"
    iodepth: int = 1
    numjobs: int = 1
    size: str | None = None
    offset: str = "0"
    runtime: str | None = None
    ramp_time: str = "0"
    time_based: bool = False
    rwmixread: int = 50
    fsync: int = 0
    randseed: int = 1
    verify: Verify | None = None
    filename: Path | None = None
    store: StoreKind | None = None
    direct: bool = False
    abi: AbiName = "x86_64"
    queues: int = 1
    ring_page_order: int = 0
    persistent: bool = True
    indirect: int = 256
    trusted: bool = True
    mode: Mode = "hybrid"
    backend: Backend = "pvdrivers"
    mem: Memory = "malloc"
    cpus: tuple[int, int] | None = None
    name: str | None = None
    given: dict[str, str] = field(default_factory=dict)  # for the report

    def job(self, *, expect_content: bool = False) -> Job:
        """The job these options ask for. Raises OptionError."""
        self._check_limits()
        bs = parse_size("--bs", self.bs)
        if bs == 0 or bs % SECTOR:
            raise OptionError(f"--bs: {self.bs} is not a multiple of {SECTOR} bytes")
        if self.verify and bs < 64:
            raise OptionError("--bs: a verified block needs at least 64 bytes")
        runtime = parse_time("--runtime", self.runtime) if self.runtime else 0
        if self.cpus and not set(self.cpus) <= os.sched_getaffinity(0):
            raise OptionError(f"--cpus: {self.cpus} are not both processors this process may use")
        if self.time_based and not runtime:
            raise OptionError("--time_based needs --runtime")
        if self.mem == "granted" and not (self.persistent and self.trusted):
            raise OptionError("--mem=granted needs persistent grants and a trusted backend")
        job = Job(
            name=self.name or self.rw,
            rw=self.rw,
            store=self._store(),
            options=self.given,
            bs=bs,
            iodepth=self.iodepth,
            numjobs=self.numjobs,
            offset=parse_size("--offset", self.offset),
            size=parse_size("--size", self.size) if self.size else 0,
            runtime_ns=runtime,
            ramp_ns=parse_time("--ramp_time", self.ramp_time),
            time_based=self.time_based,
            rwmixread=self.rwmixread,
            fsync=self.fsync,
            randseed=self.randseed,
            verify=self.verify is not None,
            expect_content=expect_content,
            abi=Abi[self.abi.upper()],
            queues=self.queues,
            ring_page_order=self.ring_page_order,
            persistent=self.persistent,
            indirect=self.indirect,
            trusted=self.trusted,
            mode=self.mode,
            backend=self.backend,
            granted_memory=self.mem == "granted",
            cpus=self.cpus,
        )
        self._check_fit(job)
        if job.backend == "qemu":
            self._check_qemu()
        return job

    def _check_qemu(self) -> None:
        """QEMU's limits, as options have them."""
        for option, value, fits in (
            ("store", "file", self.filename is not None),
            ("queues", "1", self.queues == 1),
            ("mem", "malloc", self.mem == "malloc"),
            ("abi", "x86_64 or x86_32", self.abi != "ia64"),
        ):
            if not fits:
                raise OptionError(f"--backend=qemu needs --{option} to be {value}")

    def _check_limits(self) -> None:
        for option, (low, high) in LIMITS.items():
            value = getattr(self, option.replace("-", "_"))
            if not low <= value <= high:
                raise OptionError(f"--{option}: {value} is not between {low} and {high}")

    @property
    def writable(self) -> bool:
        return self.rw not in ("read", "randread")

    def _store(self) -> Store:
        kind = self.store or ("file" if self.filename else "ram")
        if kind == "file":
            if self.filename is None:
                raise OptionError("--store=file needs --filename or --make-image")
            size = image_size(self.filename, self.writable)
            if size < SECTOR:
                raise OptionError(f"{self.filename} is empty")
            path = str(self.filename.absolute())
            return Store("file", size, path, direct=self.direct, read_only=not self.writable)
        if self.filename is not None:
            raise OptionError(f"--filename has no meaning with --store={kind}")
        keeps = kind == "ram"
        if self.verify and not keeps:
            raise OptionError(f"--verify: the {kind} store keeps nothing that could be verified")
        default = DEFAULT_MEMORY_SIZE if keeps else DEFAULT_NULL_SIZE
        used = parse_size("--size", self.size) if self.size else 0
        return Store(
            kind, max(used + parse_size("--offset", self.offset), SECTOR) if used else default
        )

    def _check_fit(self, job: Job) -> None:
        if job.offset % SECTOR:
            raise OptionError(f"--offset: {self.offset} is not a multiple of {SECTOR} bytes")
        if job.offset + max(job.size, job.bs) > job.store.size:
            what = job.store.path or f"the {job.store.kind} store"
            raise OptionError(
                f"{what} has {job.store.size} bytes, too few for --offset, --size and --bs"
            )
        if job.size and job.size < job.bs:
            raise OptionError("--size is smaller than --bs")


def check_only_with_rw(given: Mapping[str, object]) -> None:
    """Without --rw a set of workloads runs that chooses these itself. Raises OptionError."""
    chosen = "bs iodepth numjobs size offset rwmixread fsync verify store backend".split()
    for option in chosen:
        if option in given:
            choices = ", ".join(get_args(RW))
            raise OptionError(f"--{option} needs --rw, which is one of {choices}")
