"""From options, as fio names them, to jobs."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal, get_args

from cyclopts import Group, Parameter

from pvdrivers.poll.group import Mode
from pvdrivers.ring.abi import SECTOR, Abi
from pvdrivers.tools.pvbench.errors import OptionError
from pvdrivers.tools.pvbench.job.job import (
    RW,
    Backend,
    Job,
    Logs,
    Pace,
    Reporting,
    Sizes,
    Store,
    StoreKind,
)
from pvdrivers.tools.pvbench.units import parse_size, parse_time
from pvdrivers.tools.pvbench.vbd import shapes
from pvdrivers.tools.pvbench.vbd.fio_options import FioOptions, option
from pvdrivers.tools.pvbench.vbd.image import image_size

AbiName = Literal["x86_64", "x86_32", "ia64"]
Memory = Literal["malloc", "granted"]

DEFAULT_MEMORY_SIZE = 64 << 20  # bytes of a ram store
DEFAULT_NULL_SIZE = 1 << 40  # bytes of a null store

# Limits of the protocol and of the backend, inclusive.
LIMITS = {
    "iodepth": (1, 65536),
    "numjobs": (1, 1024),
    "queues": (1, 64),
    "ring_page_order": (0, 4),
    "indirect": (0, 4096),
    "rwmixread": (0, 100),
    "fsync": (0, 1 << 31),
    "loops": (1, 1 << 31),
    "thinktime_blocks": (1, 1 << 31),
    "log_avg_msec": (0, 1 << 31),
}

GROUP = Group("The device", sort_key=2)


def parse_cpus(_: object, tokens: Any) -> tuple[int, int]:
    front, back = map(int, tokens[0].value.split(","))
    return front, back


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Options(FioOptions):
    """The options of one job of `pvbench vbd`."""

    store: Annotated[
        StoreKind | None,
        option(
            "Where the backend's sectors live: file when there is an image, else ram; python is a "
            "null store written in Python.",
            GROUP,
        ),
    ] = None
    abi: Annotated[
        AbiName, option("The guest's ABI: layout of the ring, pages of 4 KiB or ia64's 16.", GROUP)
    ] = "x86_64"
    queues: Annotated[int, option("Rings of the device.", GROUP)] = 1
    ring_page_order: Annotated[int, option("Pages of a ring, as a power of two.", GROUP)] = 0
    persistent: Annotated[bool, option("Persistent grants.", GROUP)] = True
    indirect: Annotated[
        int, option("Segments in an indirect request at most; 0 for none.", GROUP)
    ] = 256
    trusted: Annotated[
        bool,
        option(
            "Whether the guest trusts the backend; if not, only zeroed pages are granted.", GROUP
        ),
    ] = True
    mode: Annotated[
        Mode,
        option(
            "How both sides wait: spinning (poll), spinning as long as waits have been of late, "
            "0.2 ms at most, and then sleeping (hybrid), or sleeping at once (event).",
            GROUP,
        ),
    ] = "hybrid"
    backend: Annotated[
        Backend,
        option(
            "Who serves the disk: our blkback, or QEMU (Debian package qemu-system-xen), from a "
            "file.",
            GROUP,
        ),
    ] = "pvdrivers"
    mem: Annotated[
        Memory,
        option(
            "Where the guest's data is: in memory of its own, copied to and from granted pages, "
            "or in the granted pages.",
            GROUP,
        ),
    ] = "malloc"
    cpus: Annotated[
        tuple[int, int] | None,
        Parameter(
            help="FRONT,BACK: with --processes, a processor for each of the two.",
            group=GROUP,
            converter=parse_cpus,
            n_tokens=1,
            negative="",
        ),
    ] = None
    given: Annotated[dict[str, str], Parameter(parse=False)] = field(default_factory=dict)

    def job(self, *, expect_content: bool = False) -> Job:
        """The job these options ask for. Raises OptionError."""
        self._check_limits()
        sizes = self._sizes()
        bs = shapes.common_unit(sizes)
        several = any(one != Sizes(bs, bs) for one in sizes)
        if self.verify and several:
            raise OptionError("--verify needs operations of one size: --bs with one number")
        if self.verify and bs < 64:
            raise OptionError("--bs: a verified block needs at least 64 bytes")
        if self.cpus and not set(self.cpus) <= os.sched_getaffinity(0):
            raise OptionError(f"--cpus: {self.cpus} are not both processors this process may use")
        if self.time_based and not self.runtime:
            raise OptionError("--time_based needs --runtime")
        if self.mem == "granted" and not (self.persistent and self.trusted):
            raise OptionError("--mem=granted needs persistent grants and a trusted backend")
        distribution, theta = shapes.parse_distribution(self.random_distribution)
        job = Job(
            name=self.name or self.rw,
            rw=self.rw,
            store=self._store(),
            options=self.given | self._defaults(),
            bs=bs,
            sizes=sizes if several else [],
            iodepth=self.iodepth,
            numjobs=self.numjobs,
            offset=self._size("offset"),
            size=self._size("size"),
            io_size=self._size("io_size"),
            loops=self.loops,
            runtime_ns=parse_time("--runtime", self.runtime or "0"),
            ramp_ns=parse_time("--ramp_time", self.ramp_time),
            time_based=self.time_based,
            random_map=not self.norandommap,
            distribution=distribution,
            theta=theta,
            pace=self._pace(),
            logs=self._logs(),
            reporting=self._reporting(),
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

    def _size(self, name: str) -> int:
        return parse_size(f"--{name}", getattr(self, name) or "0", self.kb_base)

    def _sizes(self) -> list[Sizes]:
        if self.bssplit:
            return shapes.parse_bssplit(self.bssplit, self.kb_base)
        if self.bsrange:
            return shapes.parse_bsrange(self.bsrange, self.kb_base)
        return shapes.parse_bs(self.bs, self.kb_base)

    def _pace(self) -> Pace:
        return Pace(
            rate=shapes.parse_rates("--rate", self.rate or "0", self.kb_base),
            rate_iops=shapes.parse_rates("--rate_iops", self.rate_iops or "0", self.kb_base),
            thinktime_ns=parse_time("--thinktime", self.thinktime, unit="us"),
            thinktime_blocks=self.thinktime_blocks,
        )

    def _logs(self) -> Logs:
        name = self.name or self.rw
        kinds = self.write_bw_log, self.write_iops_log, self.write_lat_log
        bw, iops, lat = (None if kind is None else kind or name for kind in kinds)
        return Logs(bw, iops, lat, self.log_avg_msec * 1_000_000, self.log_offset)

    def _reporting(self) -> Reporting:
        return Reporting(
            group=self.group_reporting,
            percentiles=shapes.parse_percentiles(self.percentile_list),
            slat=self.slat_percentiles,
            clat=self.clat_percentiles,
            lat=self.lat_percentiles,
        )

    def _defaults(self) -> dict[str, str]:
        """fio's options that were not given and are not empty: programs that plot ask for some."""
        return {
            each.name: str(getattr(self, each.name))
            for each in fields(FioOptions)
            if each.name not in self.given and getattr(self, each.name) not in (None, False)
        }

    def _check_qemu(self) -> None:
        """QEMU's limits, as options have them."""
        for name, value, fits in (
            ("store", "file", self.filename is not None),
            ("queues", "1", self.queues == 1),
            ("mem", "malloc", self.mem == "malloc"),
            ("abi", "x86_64 or x86_32", self.abi != "ia64"),
        ):
            if not fits:
                raise OptionError(f"--backend=qemu needs --{name} to be {value}")

    def _check_limits(self) -> None:
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise OptionError(f"--{name}: {value} is not between {low} and {high}")
        if self.kb_base not in (1000, 1024):
            raise OptionError(f"--kb_base: {self.kb_base} is neither 1000 nor 1024")

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
        if self.direct:
            raise OptionError(f"--direct needs an image (--filename): the {kind} store has no file")
        keeps = kind == "ram"
        if self.verify and not keeps:
            raise OptionError(f"--verify: the {kind} store keeps nothing that could be verified")
        default = DEFAULT_MEMORY_SIZE if keeps else DEFAULT_NULL_SIZE
        used = self._size("size")
        return Store(kind, max(used + self._size("offset"), SECTOR) if used else default)

    def _check_fit(self, job: Job) -> None:
        if job.offset % SECTOR:
            raise OptionError(f"--offset: {self.offset} is not a multiple of {SECTOR} bytes")
        if job.offset + max(job.size, job.max_bs) > job.store.size:
            what = job.store.path or f"the {job.store.kind} store"
            raise OptionError(
                f"{what} has {job.store.size} bytes, too few for --offset, --size and --bs"
            )
        if job.size and job.size < job.max_bs:
            raise OptionError("--size is smaller than --bs")


def check_only_with_rw(given: Mapping[str, object]) -> None:
    """Without --rw a set of workloads runs that chooses these itself. Raises OptionError."""
    chosen = (
        "bs bsrange bssplit iodepth numjobs size io_size loops offset rwmixread fsync verify store "
        "backend"
    )
    for name in chosen.split():
        if name in given:
            choices = ", ".join(get_args(RW))
            raise OptionError(f"--{name} needs --rw, which is one of {choices}")
