"""Debian's iperf3 and ping, in two network namespaces."""

import json
import re
import shutil
import statistics
import subprocess

from msgspec import Struct

from pvdrivers.tools.pvbench.errors import BenchError
from pvdrivers.tools.pvbench.vnif.real.namespaces import Namespace

PACKAGES = {"iperf3": "iperf3", "ping": "iputils-ping", "nsenter": "util-linux"}
PINGS, PING_INTERVAL = 200, "0.002"
PATIENCE = 30.0  # seconds beyond a run's time


class Stream(Struct, frozen=True):
    """One TCP connection, as its receiver has it."""

    bits_per_second: float
    retransmits: int


class RoundTrips(Struct, frozen=True):
    """ns of echo requests."""

    min: float
    median: float
    mean: float
    max: float
    lost: float  # share


def check_programs() -> None:
    """BenchError: one of them is missing."""
    for program, package in PACKAGES.items():
        if shutil.which(program) is None:
            raise BenchError(f"--real needs {program} (Debian package {package})")


def iperf3(
    client: Namespace, server: Namespace, address: str, seconds: float, reverse: bool
) -> Stream:
    """TCP from the client's namespace to the server's, or with `reverse` the other way."""
    serving = subprocess.Popen(
        server.command("iperf3", "-s", "-1", "-B", address, "--forceflush"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        _wait_for_listening(serving)
        words = ["iperf3", "-c", address, "-C", "cubic", "-J", "-t", f"{max(round(seconds), 1)}"]
        report = json.loads(_output(client.command(*words, *(["-R"] if reverse else [])), seconds))
    finally:
        serving.kill()
        serving.wait()
    if "error" in report:
        raise BenchError(f"iperf3: {report['error']}")
    end = report["end"]
    return Stream(end["sum_received"]["bits_per_second"], end["sum_sent"].get("retransmits", 0))


def _wait_for_listening(serving: "subprocess.Popen[str]") -> None:
    assert serving.stdout
    for line in serving.stdout:
        if "Server listening" in line:
            return
    raise BenchError("iperf3 -s has ended")


def ping(client: Namespace, address: str) -> RoundTrips:
    words = ["ping", "-n", "-c", str(PINGS), "-i", PING_INTERVAL, address]
    return read_ping(_output(client.command(*words), PINGS * float(PING_INTERVAL)))


def read_ping(text: str) -> RoundTrips:
    lost = re.search(r"([\d.]+)% packet loss", text)
    times = re.search(r"= ([\d.]+)/([\d.]+)/([\d.]+)/", text)
    if not lost or not times:
        raise BenchError(f"ping got no answer: {text.strip().splitlines()[-1:]}")
    low, mean, high = (float(times[group]) * 1e6 for group in (1, 2, 3))
    each = [float(ms) * 1e6 for ms in re.findall(r"time=([\d.]+) ms", text)]
    return RoundTrips(low, statistics.median(each), mean, high, float(lost[1]) / 100)


def _output(command: list[str], seconds: float) -> str:
    limit = seconds + PATIENCE
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit)
    except subprocess.TimeoutExpired:
        raise BenchError(f"{command[2]} did not end in time") from None
    return done.stdout
