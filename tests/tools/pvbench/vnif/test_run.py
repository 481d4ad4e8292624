"""Whole benchmarks of network devices: guests and a backend, with every frame checked."""

import json

import pytest

from pvdrivers.tools.pvbench.__main__ import run
from pvdrivers.tools.pvbench.job.run import Observer, run_together
from pvdrivers.tools.pvbench.vnif.costs import per_packet
from pvdrivers.tools.pvbench.vnif.halves import open_halves
from pvdrivers.tools.pvbench.vnif.options import VnifOptions
from pvdrivers.tools.pvbench.vnif.reading import rx_dropped, tx_dropped

ENOUGH = 1000  # frames


def measure(**options):
    """Until enough frames have gone every way that the job has, or its time is over."""
    job = VnifOptions(**{"runtime": "600", **options}).job()
    observer = Observer()

    def watch(job, progress, seconds):
        frames = sum(progress.ios) if job.uplink == "null" else min(progress.ios)
        if frames >= ENOUGH:
            observer.interrupted.set()

    observer.watch = watch
    (result,) = run_together(open_halves, [job], False, observer)
    front = result.front
    assert front.failure is None
    assert front.elapsed_ns > 0
    assert front.corrupt == front.duplicated == front.reordered == 0
    assert front.front["violations"] == front.front["tx_errors"] == 0
    assert not result.back.errors
    assert front.tx.bytes == front.tx.packets * job.frame_size
    assert front.rx.bytes == front.rx.packets * job.frame_size
    return result


def test_tx_to_nowhere_copies_nothing():
    result = measure(direction="tx")
    assert result.front.tx.packets > 0
    assert result.front.rx.packets == 0
    costs = per_packet(result)
    assert costs["grant_copies"] == costs["back_bytes_copied"] == 0
    assert costs["front_bytes_copied"] == pytest.approx(64, rel=0.05)


@pytest.mark.parametrize("options", [{}, {"queues": 2, "frame_size": "9014"}, {"mode": "event"}])
def test_rx_loses_nothing(options):
    result = measure(direction="rx", **options)
    assert result.front.rx.packets > 0
    assert result.front.lost == rx_dropped(result) == result.front.foreign == 0
    assert per_packet(result)["grant_copies"] > 0.4


@pytest.mark.parametrize("direction", ["tx", "rx", "both"])
def test_guest_to_guest(direction):
    """What is lost the switch has dropped: no more, since a receiver is there to the end."""
    result = measure(direction=direction, uplink="switch", frame_size="1514", rate=20000)
    front = result.front
    assert 0 < front.rx.packets <= front.front["tx_packets"]
    assert front.lost <= rx_dropped(result)
    assert tx_dropped(result) == rx_dropped(result)
    assert front.foreign <= 2  # a guest's first frame
    taken = result.back.stats["uplink_tx_packets"] + tx_dropped(result)
    assert taken == front.front["tx_packets"] + 2


def test_a_hairpin_gives_everything_back():
    result = measure(direction="both", uplink="hairpin", queues=2)
    assert result.front.rx.packets > 0
    assert result.front.foreign == 0


def test_static_grants_are_copied_without_the_hypervisor():
    result = measure(direction="both", uplink="hairpin", queues=2, static_grants=True)
    assert result.front.rx.packets > 0
    assert result.back.stats["static_copies"] >= 2 * result.front.rx.packets
    assert per_packet(result)["grant_copies"] == 0


@pytest.mark.parametrize(
    "options",
    [
        {"uplink": "switch", "mode": "event"},
        {"uplink": "switch", "requests": 8, "queues": 2},
        {"uplink": "hairpin", "requests": 300},
    ],
)
def test_requests_are_answered(options):
    result = measure(**{"requests": 1, **options})
    front = result.front
    assert front.lost == 0
    assert 0 < front.latency.count == front.rx.packets
    assert front.latency.percentile(50) <= front.latency.percentile(99.9) <= front.latency.max


def test_a_rate_is_kept():
    result = measure(direction="tx", rate=1000, queues=2, runtime="100ms")
    assert result.front.elapsed_ns == 100_000_000
    assert result.front.tx.packets <= 2 * (100 + 1)
    result = measure(direction="rx", rate=1000, runtime="100ms")
    assert result.front.rx.packets <= 100 + 256 + 10  # what waited, and a backlog of 10 ms


@pytest.mark.parametrize("profile", ["linux", "windows", "ia64"])
def test_profiles(profile):
    result = measure(uplink="hairpin", profile=profile, frame_size="20000", queues=1)
    assert result.front.rx.packets > 0


def test_several_at_once_and_in_processes(capfd):
    words = "--processes --runtime=1 --name=a --direction=tx --uplink=switch --name=b"
    assert run(["vnif", *words.split(), "--requests=2", "--output-format=json,normal"]) == 0
    text, _, table = capfd.readouterr().out.partition("\n}\n")
    a, b = json.loads(text + "}")["jobs"]
    assert (a["jobname"], b["jobname"]) == ("a", "b")
    assert a["tx"]["packets"] >= a["rx"]["packets"] > 0
    assert a["tx"]["bps"] == pytest.approx(a["tx"]["pps"] * 64 * 8)
    assert a["latency_ns"] is None
    assert b["latency_ns"]["N"] == b["rx"]["packets"] > 0
    assert b["per_packet"]["hypercalls"] > 0
    assert b["device"]["requests"] == 2
    for part in ("packets/s", "From a request to its answer", "Per packet on a ring"):
        assert part in table
