"""Results in the shape of `fio --output-format=json`, version 3.33, with more keys added.

Programs that plot fio's results read this; what fio has no word for is under "pvbench".
"""

import statistics
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from pvdrivers.tools.pvbench.costs import per_request
from pvdrivers.tools.pvbench.job import (
    DIRECTIONS,
    LATENCY_BOUNDS,
    PERCENTILES,
    Direction,
    Latency,
    Measurement,
    Result,
)

FORMAT_VERSION = "fio-3.33"
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


def _percentiles(latency: Latency) -> dict[str, Any]:
    if not latency.count:
        return _moments(latency)
    values = zip(PERCENTILES, latency.percentiles, strict=True)
    return _moments(latency) | {"percentile": {f"{p:.6f}": value for p, value in values}}


def _spread(prefix: str, values: Sequence[float], stddev: str, unit: float) -> dict[str, Any]:
    """fio's statistics over the samples of one direction."""
    scaled = [value / unit for value in values]
    return {
        f"{prefix}_min": int(min(scaled, default=0)),
        f"{prefix}_max": int(max(scaled, default=0)),
        f"{prefix}_mean": float(statistics.fmean(scaled)) if scaled else 0.0,
        f"{prefix}_{stddev}": float(statistics.stdev(scaled)) if len(scaled) > 1 else 0.0,
        f"{prefix}_samples": len(scaled),
    }


def _direction(direction: Direction, index: int, result: Result) -> dict[str, Any]:
    seconds = result.front.elapsed_ns / 1e9
    bw = direction.bytes / seconds if seconds and direction.ios else 0.0
    samples = result.samples if direction.ios else []
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
        "slat_ns": _moments(direction.slat),
        "clat_ns": _percentiles(direction.clat),
        "lat_ns": _percentiles(direction.lat),
        "bw_agg": 100.0 if samples else 0.0,
        **_spread("bw", [s.bw[index] for s in samples], "dev", 1024),
        **_spread("iops", [s.iops[index] for s in samples], "stddev", 1),
    }


def _shares(names: Sequence[str], counts: Sequence[int]) -> dict[str, float]:
    total = sum(counts)
    return {
        name: 100.0 * count / total if total else 0.0
        for name, count in zip(names, counts, strict=True)
    }


def _latency_distribution(front: Measurement) -> dict[str, dict[str, float]]:
    """What share of all operations took how long; each key is an upper bound."""
    total = sum(d.lat.count for d in front.directions)
    tables: dict[str, dict[str, float]] = {"latency_ns": {}, "latency_us": {}, "latency_ms": {}}
    below = 0
    for index, bound in enumerate(LATENCY_BOUNDS):
        up_to = sum(d.lat.up_to[index] for d in front.directions)
        unit, scale = ("ns", 1) if index < 10 else ("us", 1000) if index < 20 else ("ms", 1_000_000)
        share = 100.0 * (up_to - below) / total if total else 0.0
        tables[f"latency_{unit}"][str(bound // scale)] = share
        below = up_to
    tables["latency_ms"][">=2000"] = 100.0 * (total - below) / total if total else 0.0
    return tables


def _job(result: Result) -> dict[str, Any]:
    front = result.front
    elapsed = front.elapsed_ns or 1
    directions = zip(DIRECTIONS, front.directions, strict=True)
    return {
        "jobname": result.job.name,
        "groupid": 0,
        "error": front.error,
        "eta": 0,
        "elapsed": -(-front.elapsed_ns // 1_000_000_000),
        "job options": {"name": result.job.name, **result.job.options},
        **{name: _direction(d, i, result) for i, (name, d) in enumerate(directions)},
        "sync": {"total_ios": front.syncs, "lat_ns": _percentiles(front.sync_lat)},
        "job_runtime": front.elapsed_ns // 1_000_000,
        "usr_cpu": 100.0 * front.user_ns / elapsed,
        "sys_cpu": 100.0 * front.system_ns / elapsed,
        "ctx": front.context_switches,
        "majf": front.major_faults,
        "minf": front.minor_faults,
        "iodepth_level": _shares(_DEPTHS, front.depth_level),
        "iodepth_submit": _shares(_BATCHES, front.depth_submit),
        "iodepth_complete": _shares(_BATCHES, front.depth_complete),
        **_latency_distribution(front),
        "latency_depth": result.job.iodepth,
        "latency_target": 0,
        "latency_percentile": 100.0,
        "latency_window": 0,
        "pvbench": _extras(result),
    }


def _extras(result: Result) -> dict[str, Any]:
    job, front = result.job, result.front
    return {
        "store": job.store.kind,
        "mode": job.mode,
        "queues": job.queues,
        "ring_page_order": job.ring_page_order,
        "persistent": job.persistent,
        "indirect": job.indirect,
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


def report(results: Sequence[Result], version: str) -> dict[str, Any]:
    """fio's top-level object."""
    now = time.time()
    return {
        "fio version": FORMAT_VERSION,
        "pvbench version": version,
        "timestamp": int(now),
        "timestamp_ms": int(now * 1000),
        "time": time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(now)),
        "global options": {},
        "jobs": [_job(result) for result in results],
        "disk_util": [],
    }


def encode(results: Sequence[Result], version: str) -> str:
    return msgspec.json.format(msgspec.json.encode(report(results, version)), indent=2).decode()
