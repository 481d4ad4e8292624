"""Results as JSON; docs/pvbench.md says what the keys mean."""

import time
from collections.abc import Sequence
from typing import Any

import msgspec

from pvdrivers.tools.pvbench.job.latency import Latency
from pvdrivers.tools.pvbench.vnif.costs import per_packet
from pvdrivers.tools.pvbench.vnif.measurement import Count, VnifResult
from pvdrivers.tools.pvbench.vnif.reading import rx_dropped, seconds, tx_dropped


def _rates(count: Count, result: VnifResult) -> dict[str, Any]:
    return {
        "packets": count.packets,
        "bytes": count.bytes,
        "pps": count.packets / seconds(result),
        "bps": 8 * count.bytes / seconds(result),
    }


def _latency(latency: Latency, percentiles: Sequence[float]) -> dict[str, Any]:
    return {
        "min": latency.min,
        "max": latency.max,
        "mean": latency.mean,
        "stddev": latency.stddev,
        "N": latency.count,
        "percentile": {f"{p:.6f}": latency.percentile(p) for p in percentiles},
    }


def _job(result: VnifResult) -> dict[str, Any]:
    job, front = result.job, result.front
    elapsed = (front.elapsed_ns or 1) * len(job.roles)
    asked = front.latency.count > 0
    return {
        "jobname": job.name,
        "failure": front.failure,
        "elapsed_ns": front.elapsed_ns,
        "job options": {"name": job.name, **job.options},
        "device": job.describe_device(),
        "tx": _rates(front.tx, result) | {"dropped": tx_dropped(result), "no_room": front.no_room},
        "rx": _rates(front.rx, result)
        | {
            "dropped": rx_dropped(result),
            "lost": front.lost,
            "reordered": front.reordered,
            "duplicated": front.duplicated,
            "corrupt": front.corrupt,
            "foreign": front.foreign,
        },
        "latency_ns": _latency(front.latency, job.percentiles) if asked else None,
        "per_packet": per_packet(result),
        "usr_cpu": 100.0 * front.user_ns / elapsed,
        "sys_cpu": 100.0 * front.system_ns / elapsed,
        "ctx": front.context_switches,
        "sleeps": front.sleeps,
        "frontend": front.front,
        "backend": result.back.stats,
        "backend_errors": result.back.errors,
        "frontend_accounts": front.front_accounts,
        "backend_accounts": front.back_accounts,
    }


def encode(results: Sequence[VnifResult], version: str) -> str:
    report = {
        "pvbench version": version,
        "timestamp": int(time.time()),
        "global options": results[0].job.common if results else {},
        "jobs": [_job(result) for result in results],
    }
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()
