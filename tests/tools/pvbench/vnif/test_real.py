"""The kernel's TCP and ping through a PV device."""

import json
import os
import shutil

import pytest

from pvdrivers.backends.uplinks.pcapng_file import read_pcapng
from pvdrivers.tools.pvbench.__main__ import run
from pvdrivers.tools.pvbench.errors import BenchError
from pvdrivers.tools.pvbench.vnif.real import programs
from pvdrivers.tools.pvbench.vnif.real.namespaces import check_privileges
from pvdrivers.tools.pvbench.vnif.real.offloads import name_offloads, parse_offloads


def capabilities(tmp_path, effective):
    path = tmp_path / "status"
    path.write_text(f"Name:\tpvbench\nCapEff:\t{effective:016x}\n")
    return path


def test_without_privileges_one_sentence_names_what_is_missing(tmp_path):
    check_privileges(capabilities(tmp_path, 1 << 12 | 1 << 21))
    with pytest.raises(BenchError, match="needs CAP_NET_ADMIN and CAP_SYS_ADMIN, as root has"):
        check_privileges(capabilities(tmp_path, 1 << 20))
    with pytest.raises(BenchError, match="needs CAP_SYS_ADMIN, as root has"):
        check_privileges(capabilities(tmp_path, 1 << 12))


def test_a_missing_program_is_named_with_its_package(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BenchError, match=r"needs iperf3 \(Debian package iperf3\)"):
        programs.check_programs()


def test_pings_are_read():
    text = (
        "PING 198.18.0.2 (198.18.0.2) 56(84) bytes of data.\n"
        "64 bytes from 198.18.0.2: icmp_seq=1 ttl=64 time=0.063 ms\n"
        "64 bytes from 198.18.0.2: icmp_seq=2 ttl=64 time=0.070 ms\n"
        "64 bytes from 198.18.0.2: icmp_seq=4 ttl=64 time=6.01 ms\n\n"
        "--- 198.18.0.2 ping statistics ---\n"
        "200 packets transmitted, 199 received, 0.5% packet loss, time 401ms\n"
        "rtt min/avg/max/mdev = 0.063/0.373/6.012/0.500 ms\n"
    )
    trips = programs.read_ping(text)
    assert trips == programs.RoundTrips(63_000, 70_000, 373_000, 6_012_000, 0.005)
    with pytest.raises(BenchError, match="no answer"):
        programs.read_ping("ping: connect: Network is unreachable\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--real --frame-size=100", "--real has no jobs; it takes abi, mode, profile, queues"),
        ("--real --name=a", "--real has no jobs"),
        ("--capture=a.pcapng --direction=tx", "--capture needs --real"),
        ("--offloads=none --direction=tx", "--offloads needs --real"),
        ("--real --offloads=sg,gs04", "--offloads: 'gs04': did you mean gso4?"),
        ("--real --offloads=", "--offloads: '': there are sg, gso4, gso6, csum4, csum6, none"),
        ("--real --offloads=gso6,csum4", "--offloads: gso6 needs sg and csum6 too"),
    ],
)
def test_what_cannot_be(capfd, words, sentence):
    assert run(["vnif", *words.split()]) == 2
    assert sentence in capfd.readouterr().err


@pytest.mark.parametrize("text", ["none", "sg", "csum4,csum6", "sg,gso4,gso6,csum4,csum6"])
def test_offloads_are_named_as_they_are_given(text):
    assert name_offloads(parse_offloads(text)) == text


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", ["--queues=2", "--mode=event --profile=windows", "--offloads=csum6"]
)
def test_tcp_and_ping(capfd, tmp_path, words):
    """Data come in packets that the kernel has left unsegmented, both ways, and so does every
    echo."""
    for program in programs.PACKAGES:
        if shutil.which(program) is None:
            pytest.skip(f"needs {program} (Debian package {programs.PACKAGES[program]})")
    pytest.importorskip("pyroute2")
    try:
        check_privileges()
    except BenchError as error:
        pytest.skip(str(error))
    capture = tmp_path / "a.pcapng"
    given = f"--real {words} --runtime=1 --capture={capture} --output-format=json"
    assert run(["vnif", *given.split()]) == 0
    report = json.loads(capfd.readouterr().out)
    offloads = "csum6" if "offloads" in words else "sg,gso4,gso6,csum4,csum6"
    queues = 2 if "queues" in words else 1
    assert report["negotiated"] == {
        "queues": queues,
        "split_event_channels": True,
        "mtu": 1500,
        "offloads": offloads,
    }
    outcomes = report["outcomes"]
    assert {(o["path"], o["version"], o["direction"]) for o in outcomes} == {
        (path, version, direction)
        for path in ("pv", "veth")
        for version in (4, 6)
        for direction in ("ping", "tx", "rx")
    }
    for outcome in outcomes:
        direction, counters = outcome["direction"], outcome["counters"]
        if direction == "ping":
            assert outcome["round_trips"]["lost"] < 1
        else:
            assert outcome["stream"]["bits_per_second"] > 0
        if outcome["path"] == "pv":
            assert counters["refused"] == counters["tx_errors"] == counters["rx_dropped"] == 0
            if direction != "ping":
                assert (counters[f"{direction}_gso"] > 0) == ("gso" in offloads)
    assert sum(1 for _ in zip(range(1000), read_pcapng(capture), strict=False)) == 1000
    assert not any(str(os.getpid()) in name for name in os.listdir("/run/netns"))
