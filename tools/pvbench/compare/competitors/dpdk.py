"""DPDK's testpmd: one process sends frames of 64 bytes, another receives them, a processor each."""

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack

from pvdrivers.tools.pvbench.compare.model import Contender, Measured, Setting
from pvdrivers.tools.pvbench.compare.needs import TWO_PROCESSORS, program
from pvdrivers.tools.pvbench.compare.processors import processors
from pvdrivers.tools.pvbench.errors import BenchError

PATIENCE = 30.0  # seconds for both to start
DEVICES = {  # of the receiver and of the sender
    "virtio-user to vhost": (
        "net_vhost0,iface={},queues=1",
        "net_virtio_user0,path={},queue_size=256",
    ),
    "memif": (
        "net_memif0,role=server,id=0,socket={},socket-abstract=no,rsize=10",
        "net_memif0,role=client,id=0,socket={},socket-abstract=no,rsize=10",
    ),
}


def testpmd(kind: str) -> Contender:
    """`kind`: one of DEVICES."""
    receiver, sender = DEVICES[kind]

    def measure(setting: Setting) -> Measured:
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pvbench-"))
            socket = os.path.join(folder, "socket")
            back, front = processors()
            received = _start(stack, "rxonly", receiver.format(socket), back, folder)
            _wait_for(socket, received)
            _start(stack, "txonly", sender.format(socket), front, folder)
            rates = _rates(received)
            next(rates)  # of a second that had begun before
            wanted = max(round(setting.seconds), 1)
            return Measured(sum(next(rates) for _ in range(wanted)) / wanted)

    needs = [program("dpdk-testpmd", "dpdk-dev"), TWO_PROCESSORS]
    return Contender(f"DPDK, {kind}", measure, needs)


def _start(
    stack: ExitStack, mode: str, device: str, processor: int, folder: str
) -> "subprocess.Popen[str]":
    command = ["dpdk-testpmd", "--no-huge", "-m", "256", "--no-pci", f"--vdev={device}"]
    command += [
        f"--lcores=0@{processor},1@{processor}",
        f"--file-prefix={os.path.basename(folder)}{mode}",
    ]
    command += ["--", f"--forward-mode={mode}", "--burst=64", "--total-num-mbufs=16384"]
    command += ["--stats-period=1"]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,  # whose end would end it
        stdout=subprocess.PIPE if mode == "rxonly" else subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


def _wait_for(socket: str, process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + PATIENCE
    while not os.path.exists(socket):
        if process.poll() is not None or time.monotonic() > end:
            raise BenchError("dpdk-testpmd did not start")
        time.sleep(0.05)


def _rates(process: "subprocess.Popen[str]") -> Iterator[float]:
    """Packets of each second, once there are some."""
    end = time.monotonic() + PATIENCE
    assert process.stdout
    for line in process.stdout:
        if found := re.search(r"Rx-pps:\s+(\d+)", line):
            if rate := int(found[1]):
                yield float(rate)
            elif time.monotonic() > end:
                raise BenchError("dpdk-testpmd receives nothing")
    raise BenchError("dpdk-testpmd has ended")
