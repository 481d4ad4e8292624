"""fio's options of a job that are here: name, type, default and meaning, once for the command line,
job files, the report and the manual."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from pvdrivers.tools.pvbench.job.job import PERCENTILES, RW

Verify = Literal["crc32c"]

GROUP = Group("fio's options", sort_key=1)


def option(text: str, group: Group = GROUP) -> Any:
    """One under its own name: fio's have underscores."""
    negative = "" if group is GROUP else None
    return Parameter(help=text, group=group, negative=negative, name_transform=str)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class FioOptions:
    """None: not given, and no default that could be named."""

    name: Annotated[
        str | None, option("The job's name in the report; on a command line, begins another job.")
    ] = None
    rw: Annotated[RW, option("The kind of I/O.")] = "read"
    bs: Annotated[
        str, option("Bytes of one operation, such as 4k; 4k,64k for reads and writes.")
    ] = "4k"
    bsrange: Annotated[
        str | None, option("Bytes of an operation: multiples of the first, such as 4k-64k.")
    ] = None
    bssplit: Annotated[
        str | None, option("Bytes of an operation and percents, such as 4k/60:64k/40.")
    ] = None
    iodepth: Annotated[int, option("Operations outstanding per job.")] = 1
    numjobs: Annotated[
        int, option("Clones of the job on its disk, iodepth operations each; one thread.")
    ] = 1
    size: Annotated[
        str | None,
        option("Bytes of the device that are used; each job ends after so many, or is time_based."),
    ] = None
    io_size: Annotated[str | None, option("Bytes after which a job ends, if not after size.")] = (
        None
    )
    loops: Annotated[int, option("Times a job does its size.")] = 1
    offset: Annotated[str, option("Where on the device they start.")] = "0"
    runtime: Annotated[
        str | None, option("The longest time, in seconds unless it ends in ms, s, m or h.")
    ] = None
    ramp_time: Annotated[str, option("Time before the measured run.")] = "0"
    time_based: Annotated[bool, option("Run for the whole runtime.")] = False
    rwmixread: Annotated[int, option("Percentage of reads in a mixed workload.")] = 50
    fsync: Annotated[int, option("A flush after so many writes.")] = 0
    randseed: Annotated[int, option("The seed of everything random.")] = 1
    norandommap: Annotated[
        bool, option("Random blocks may come again before all have had their turn.")
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
    thinktime_blocks: Annotated[int, option("Operations between two think times.")] = 1
    verify: Annotated[
        Verify | None,
        option("Check all content: writes are read back, reads of an image compare with the file."),
    ] = None
    filename: Annotated[
        Path | None,
        option(
            "An image file or a block device for the backend. Writing workloads overwrite it; "
            "without rw it is only read, and what writes works on a copy of its first 256 MiB."
        ),
    ] = None
    direct: Annotated[bool, option("Open the image with O_DIRECT.")] = False
    kb_base: Annotated[
        int, option("1024 or 1000: what k stands for in sizes; kib is of the other base.")
    ] = 1024
    stonewall: Annotated[bool, option("Start when the jobs before have ended, in a new group.")] = (
        False
    )
    new_group: Annotated[bool, option("Begin a new group in the report.")] = False
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
    percentile_list: Annotated[
        str, option("The percentiles in JSON and terse reports, 20 at most.")
    ] = ":".join(map(str, PERCENTILES))
    write_bw_log: Annotated[
        str | None, option("Write NAME_bw.1.log, KiB/s, a file for each clone.")
    ] = None
    write_iops_log: Annotated[str | None, option("Write NAME_iops.1.log.")] = None
    write_lat_log: Annotated[
        str | None, option("Write NAME_lat.1.log, NAME_clat.1.log and NAME_slat.1.log, ns.")
    ] = None
    log_avg_msec: Annotated[
        int, option("A line for so many ms and each direction; 0: a line for each operation.")
    ] = 0
    log_offset: Annotated[bool, option("Enter offsets into the logs.")] = False
