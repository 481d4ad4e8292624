"""The options of a disk's job that every device class of disks has, as fio names them."""

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from pvdrivers.ring.abi import SECTOR
from pvdrivers.tools.pvbench.errors import OptionError
from pvdrivers.tools.pvbench.fio import shapes
from pvdrivers.tools.pvbench.fio.image import image_size
from pvdrivers.tools.pvbench.fio.job import (
    RW,
    FioJob,
    Logs,
    Pace,
    Reporting,
    Sizes,
    StoreKind,
    StoreSpec,
)
from pvdrivers.tools.pvbench.job.options import DEVICE, JobOptions, Rule, option
from pvdrivers.tools.pvbench.units import parse_size, parse_time

Memory = Literal["malloc", "granted"]
Verify = Literal["crc32c"]

DEFAULT_MEMORY_SIZE = 64 << 20  # bytes of a ram store
DEFAULT_NULL_SIZE = 1 << 40  # bytes of a null store


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class FioOptions(JobOptions):
    """The options of one job on a disk."""

    iodepth: Annotated[
        int, option("Operations outstanding per job."), Rule(limits=(1, 65536), suite_sets=True)
    ] = 1
    numjobs: Annotated[
        int,
        option("Clones of the job on its disk, iodepth operations each; one thread."),
        Rule(limits=(1, 1024), suite_sets=True),
    ] = 1
    time_based: Annotated[bool, option("Run for the whole runtime.")] = False
    randseed: Annotated[int, option("The seed of everything random.")] = 1
    kb_base: Annotated[
        int, option("1024 or 1000: what k stands for in sizes; kib is of the other base.")
    ] = 1024
    new_group: Annotated[bool, option("Begin a new group in the report, as a stonewall does.")] = (
        False
    )
    group_reporting: Annotated[
        bool, option("One entry in the report for all jobs of a group, not one for each clone.")
    ] = False
    clat_percentiles: Annotated[
        bool, option("Report percentiles of the time from submission to completion.")
    ] = True
    lat_percentiles: Annotated[bool, option("Report percentiles of the whole latency.")] = False
    slat_percentiles: Annotated[
        bool, option("Report percentiles of the time until an operation is submitted.")
    ] = False
    rw: Annotated[RW, option("The kind of I/O."), Rule(aliases=("readwrite",))] = "read"
    bs: Annotated[
        str,
        option("Bytes of one operation, such as 4k; 4k,64k for reads and writes."),
        Rule(aliases=("blocksize",), suite_sets=True),
    ] = "4k"
    bsrange: Annotated[
        str | None,
        option("Bytes of an operation: multiples of the first, such as 4k-64k."),
        Rule(aliases=("blocksize_range",), suite_sets=True),
    ] = None
    bssplit: Annotated[
        str | None,
        option("Bytes of an operation and percents, such as 4k/60:64k/40."),
        Rule(suite_sets=True),
    ] = None
    size: Annotated[
        str | None,
        option("Bytes of the device that are used; each job ends after as many, or is time_based."),
        Rule(suite_sets=True),
    ] = None
    io_size: Annotated[
        str | None,
        option("Bytes after which a job ends, if not after size."),
        Rule(aliases=("io_limit",), suite_sets=True),
    ] = None
    loops: Annotated[
        int, option("Times a job does its size."), Rule(limits=(1, 1 << 31), suite_sets=True)
    ] = 1
    offset: Annotated[
        str,
        option("Where on the device they start."),
        Rule(aliases=("fileoffset",), suite_sets=True),
    ] = "0"
    rwmixread: Annotated[
        int,
        option("Percentage of reads in a mixed workload."),
        Rule(limits=(0, 100), suite_sets=True),
    ] = 50
    fsync: Annotated[
        int, option("A flush after this many writes."), Rule(limits=(0, 1 << 31), suite_sets=True)
    ] = 0
    norandommap: Annotated[
        bool, option("Random blocks may come again before all blocks have been used.")
    ] = False
    random_distribution: Annotated[
        str, option("Which blocks: random, zipf:THETA or pareto:H; the last two without a map.")
    ] = "random"
    rate: Annotated[
        str | None, option("Bytes a second of a job at most; 1m,500k for reads and writes.")
    ] = None
    rate_iops: Annotated[
        str | None, option("Operations a second of a job at most, or for reads and writes.")
    ] = None
    thinktime: Annotated[
        str, option("Idle time, in microseconds unless it has a unit, after each thinktime_blocks.")
    ] = "0"
    thinktime_blocks: Annotated[
        int, option("Operations between two think times."), Rule(limits=(1, 1 << 31))
    ] = 1
    verify: Annotated[
        Verify | None,
        option("Check all content: writes are read back, reads of an image compare with the file."),
        Rule(suite_sets=True),
    ] = None
    filename: Annotated[
        Path | None,
        option(
            "An image file or a block device for the backend. Writing workloads overwrite it; "
            "without rw it is only read, and what writes works on a copy of its first 256 MiB."
        ),
    ] = None
    direct: Annotated[bool, option("Open the image with O_DIRECT.")] = False
    write_bw_log: Annotated[
        str | None,
        option("Write NAME_bw.1.log, KiB/s, a file for each clone."),
        Rule(optional_value=True),
    ] = None
    write_iops_log: Annotated[
        str | None, option("Write NAME_iops.1.log."), Rule(optional_value=True)
    ] = None
    write_lat_log: Annotated[
        str | None,
        option("Write NAME_lat.1.log, NAME_clat.1.log and NAME_slat.1.log, ns."),
        Rule(optional_value=True),
    ] = None
    log_avg_msec: Annotated[
        int,
        option("A line per this many ms and direction; 0: a line per operation."),
        Rule(limits=(0, 1 << 31)),
    ] = 0
    log_offset: Annotated[bool, option("Enter offsets into the logs.")] = False
    store: Annotated[
        StoreKind | None,
        option(
            "Where the backend's sectors live: file when there is an image, else ram; python is a "
            "null store written in Python.",
            DEVICE,
        ),
        Rule(suite_sets=True),
    ] = None
    mem: Annotated[
        Memory,
        option(
            "Where the guest's data is: in memory of its own, copied to and from granted pages, "
            "or in the granted pages.",
            DEVICE,
        ),
    ] = "malloc"

    def check(self) -> None:
        super().check()
        if self.kb_base not in (1000, 1024):
            raise OptionError(f"--kb_base: {self.kb_base} is neither 1000 nor 1024")
        if self.time_based and not self.runtime:
            raise OptionError("--time_based needs --runtime")

    def shared(self) -> dict[str, Any]:
        """With the name."""
        sizes = self._sizes()
        bs = shapes.common_unit(sizes)
        several = any(one != Sizes(bs, bs) for one in sizes)
        if self.verify and several:
            raise OptionError("--verify needs operations of one size: --bs with one number")
        if self.verify and bs < 64:
            raise OptionError("--bs: a verified block needs at least 64 bytes")
        distribution, theta = shapes.parse_distribution(self.random_distribution)
        return super().shared() | {
            "name": self.name or self.rw,
            "iodepth": self.iodepth,
            "numjobs": self.numjobs,
            "begins_group": self.stonewall or self.new_group,
            "time_based": self.time_based,
            "randseed": self.randseed,
            "reporting": Reporting(
                group=self.group_reporting,
                slat=self.slat_percentiles,
                clat=self.clat_percentiles,
                lat=self.lat_percentiles,
            ),
            "rw": self.rw,
            "store": self._store(),
            "bs": bs,
            "sizes": sizes if several else [],
            "offset": self._size("offset"),
            "size": self._size("size"),
            "io_size": self._size("io_size"),
            "loops": self.loops,
            "random_map": not self.norandommap,
            "distribution": distribution,
            "theta": theta,
            "pace": self._pace(),
            "logs": self._logs(),
            "rwmixread": self.rwmixread,
            "fsync": self.fsync,
            "verify": self.verify is not None,
            "expect_content": self.verify is not None and self.filename is not None,
            "granted_memory": self.mem == "granted",
        }

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

    @property
    def writable(self) -> bool:
        return self.rw not in ("read", "randread")

    def _store(self) -> StoreSpec:
        kind = self.store or ("file" if self.filename else "ram")
        if kind == "file":
            if self.filename is None:
                raise OptionError("--store=file needs --filename or --make-image")
            size = image_size(self.filename, self.writable)
            if size < SECTOR:
                raise OptionError(f"{self.filename} is empty")
            path = str(self.filename.absolute())
            return StoreSpec("file", size, path, direct=self.direct, read_only=not self.writable)
        if self.filename is not None:
            raise OptionError(f"--filename has no meaning with --store={kind}")
        if self.direct:
            raise OptionError(f"--direct needs an image (--filename): the {kind} store has no file")
        keeps = kind == "ram"
        if self.verify and not keeps:
            raise OptionError(f"--verify: the {kind} store keeps nothing that could be verified")
        default = DEFAULT_MEMORY_SIZE if keeps else DEFAULT_NULL_SIZE
        used = self._size("size")
        return StoreSpec(kind, max(used + self._size("offset"), SECTOR) if used else default)

    @abstractmethod
    def job(self) -> FioJob: ...

    def check_fit(self, job: FioJob) -> None:
        """OptionError: the device is too small for it."""
        if job.offset % SECTOR:
            raise OptionError(f"--offset: {self.offset} is not a multiple of {SECTOR} bytes")
        if job.offset + max(job.size, job.max_bs) > job.store.size:
            what = job.store.path or f"the {job.store.kind} store"
            raise OptionError(
                f"{what} has {job.store.size} bytes, too few for --offset, --size and --bs"
            )
        if job.size and job.size < job.max_bs:
            raise OptionError("--size is smaller than --bs")
