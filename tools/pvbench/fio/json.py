"""Results in the shape of `fio --output-format=json`, version 3.33, with more keys added.

Programs that plot fio's results read this; what fio has no word for is under "pvbench".
"""

import statistics
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from pvdrivers.tools.pvbench.fio.costs import per_request
from pvdrivers.tools.pvbench.fio.measurement import DIRECTIONS, Direction, FioResult, Measurement
from pvdrivers.tools.pvbench.job.latency import Latency

FORMAT_VERSION = "fio-3.33"
# The upper bounds of fio's latency distribution, ns.
LATENCY_BOUNDS = tuple(
    scale * bound
    for scale, bounds in (
        (1, (2, 4, 10, 20, 50, 100, 250, 500, 750, 1000)),
        (1000, (2, 4, 10, 20, 50, 100, 250, 500, 750, 1000)),
        (1000_000, (2, 4, 10, 20, 50, 100, 250, 500, 750, 1000, 2000)),
    )
    for bound in bounds
)
_BATCHES = ("0", "4", "8", "16", "32", "64", ">=64")
_DEPTHS = ("1", "2", "4", "8", "16", "32", ">=64")


def _moments(latency: Latency) -> dict[str, Any]:
    return {
        "min": latency.min,
        "max": latency.max,
        "mean": float(latency.mean),
        "stddev": float(latency.stddev),
        "N": latency.count,
    }


def _latency(latency: Latency, percentiles: Sequence[float], bins: bool) -> dict[str, Any]:
    """Without percentiles: the moments alone, as fio has it."""
    table = _moments(latency)
    if latency.count and percentiles:
        table["percentile"] = {f"{p:.6f}": latency.percentile(p) for p in percentiles}
        if bins:
            table["bins"] = {str(value): count for value, count in latency.bins()}
    return table


def spread(prefix: str, values: Sequence[float], unit: float) -> dict[str, Any]:
    """fio's statistics over the samples of one direction."""
    scaled = [value / unit for value in values]
    return {
        f"{prefix}_min": int(min(scaled, default=0)),
        f"{prefix}_max": int(max(scaled, default=0)),
        f"{prefix}_mean": float(statistics.fmean(scaled)) if scaled else 0.0,
        f"{prefix}_{'dev' if prefix == 'bw' else 'stddev'}": float(statistics.stdev(scaled))
        if len(scaled) > 1
        else 0.0,
        f"{prefix}_samples": len(scaled),
    }


def _direction(direction: Direction, index: int, result: FioResult, bins: bool) -> dict[str, Any]:
    seconds = result.front.elapsed_ns / 1e9
    bw = direction.bytes / seconds if seconds and direction.ios else 0.0
    samples = result.samples if direction.ios else []
    reporting = result.job.reporting

    def latency(values: Latency, wanted: bool) -> dict[str, Any]:
        return _latency(values, result.job.percentiles if wanted else (), bins)

    return {
        "io_bytes": direction.bytes,
        "io_kbytes": direction.bytes // 1024,
        "bw_bytes": int(bw),
        "bw": int(bw / 1024),
        "iops": direction.ios / seconds if seconds else 0.0,
        "runtime": result.front.elapsed_ns // 1_000_000 if direction.ios else 0,
        "total_ios": direction.ios,
        "short_ios": 0,
        "drop_ios": 0,
        "slat_ns": latency(direction.slat, reporting.slat),
        "clat_ns": latency(direction.clat, reporting.clat),
        "lat_ns": latency(direction.lat, reporting.lat),
        "bw_agg": 100.0 if samples else 0.0,
        **spread("bw", [sum(clone[index] for clone in s.bw) for s in samples], 1024),
        **spread("iops", [sum(clone[index] for clone in s.iops) for s in samples], 1),
    }


def _shares(names: Sequence[str], counts: Sequence[int]) -> dict[str, float]:
    total = sum(counts)
    return {
        name: 100.0 * count / total if total else 0.0
        for name, count in zip(names, counts, strict=True)
    }


def latency_shares(front: Measurement) -> dict[str, dict[str, float]]:
    """What share of all operations took how long; each key is an upper bound."""
    latencies = [direction.lat for direction in front.directions]
    total = sum(lat.count for lat in latencies)
    tables: dict[str, dict[str, float]] = {"latency_ns": {}, "latency_us": {}, "latency_ms": {}}
    below = 0
    for index, bound in enumerate(LATENCY_BOUNDS):
        up_to = sum(lat.up_to(bound) for lat in latencies)
        unit, scale = ("ns", 1) if index < 10 else ("us", 1000) if index < 20 else ("ms", 1_000_000)
        share = 100.0 * (up_to - below) / total if total else 0.0
        tables[f"latency_{unit}"][str(bound // scale)] = share
        below = up_to
    tables["latency_ms"][">=2000"] = 100.0 * (total - below) / total if total else 0.0
    return tables


def shares_of_depth(front: Measurement) -> dict[str, float]:
    return _shares(_DEPTHS, front.depth_level)


def _job(result: FioResult, bins: bool) -> dict[str, Any]:
    front = result.front
    sync_lat = _latency(front.sync_lat, result.job.percentiles, bins)
    runtime = sum(clone.elapsed_ns for clone in front.clones)
    directions = zip(DIRECTIONS, front.directions, strict=True)
    return {
        "jobname": result.job.name,
        "groupid": result.job.reporting.groupid,
        "error": front.error,
        "eta": 0,
        "elapsed": -(-front.elapsed_ns // 1_000_000_000),
        "job options": {"name": result.job.name, **result.job.options},
        **{name: _direction(d, i, result, bins) for i, (name, d) in enumerate(directions)},
        "sync": {"total_ios": front.syncs, "lat_ns": sync_lat},
        "job_runtime": runtime // 1_000_000,
        "usr_cpu": 100.0 * front.user_ns / (runtime or 1),
        "sys_cpu": 100.0 * front.system_ns / (runtime or 1),
        "ctx": front.context_switches,
        "majf": front.major_faults,
        "minf": front.minor_faults,
        "iodepth_level": shares_of_depth(front),
        "iodepth_submit": _shares(_BATCHES, front.depth_submit),
        "iodepth_complete": _shares(_BATCHES, front.depth_complete),
        **latency_shares(front),
        "latency_depth": result.job.iodepth,
        "latency_target": 0,
        "latency_percentile": 100.0,
        "latency_window": 0,
        "pvbench": _extras(result),
    }


def _extras(result: FioResult) -> dict[str, Any]:
    job, front = result.job, result.front
    return {
        **job.describe_device(),
        "per_request": per_request(result),
        "verified_blocks": front.verified,
        "verify_errors": front.verify_errors,
        "failure": front.failure,
        "sleeps": front.sleeps,
        "frontend": front.front,
        "backend": result.back.stats,
        "backend_errors": result.back.errors,
        "frontend_accounts": front.front_accounts,
        "backend_accounts": front.back_accounts,
    }


def report(entries: Sequence[FioResult], version: str, bins: bool = False) -> dict[str, Any]:
    """fio's top-level object; `bins`: with whole histograms, as json+ has them."""
    now = time.time()
    return {
        "fio version": FORMAT_VERSION,
        "pvbench version": version,
        "timestamp": int(now),
        "timestamp_ms": int(now * 1000),
        "time": time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(now)),
        "global options": entries[0].job.common if entries else {},
        "jobs": [_job(entry, bins) for entry in entries],
        "disk_util": [],
    }


def encode(entries: Sequence[FioResult], version: str, bins: bool = False) -> str:
    return msgspec.json.format(
        msgspec.json.encode(report(entries, version, bins)), indent=2
    ).decode()
