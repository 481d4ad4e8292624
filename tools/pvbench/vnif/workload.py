"""The workload of a benchmark: packets on the queues of a connected device, wholly in C."""

import os
from typing import Any

from pvdrivers._core import ffi, lib
from pvdrivers.frontends.vnif.device import VnifFrontend
from pvdrivers.frontends.vnif.queue import VnifQueue
from pvdrivers.poll.group import MODES, Mode
from pvdrivers.tools.pvbench.errors import BenchError
from pvdrivers.vnif.mac import parse_mac
from pvdrivers.vnif.packet import Packet, packet_pool

HELLO = bytes.fromhex("ffffffffffff") + bytes(6) + bytes.fromhex("88b5")  # for experiments
HELLO_SIZE = 60


class PacketWorkload:
    """`struct pv_packet_workload` on all queues of the device; it runs on the thread of its caller.

    BenchError: it cannot be, or has failed.
    """

    def __init__(self, device: VnifFrontend, mode: Mode, **settings: Any) -> None:
        """`settings`: further members of `struct pv_packet_workload_config`."""
        self._queues = [queue for queue in device.queues if isinstance(queue, VnifQueue)]
        queues = ffi.new("struct pv_netfront_queue *[]", [q.pointer for q in self._queues])
        config = {
            "hypervisor": device.hypervisor.cdata,
            "evtchn": device.channels.cdata,
            "queues": queues,
            "nr_queues": len(self._queues),
            "pool": packet_pool(),
            "mode": MODES[mode],
            **settings,
        }
        self._workload = lib.pv_packet_workload_create(
            ffi.new("struct pv_packet_workload_config *", config)
        )
        if self._workload == ffi.NULL:
            raise BenchError(f"the workload cannot be set up: {os.strerror(ffi.errno)}")

    def announce(self, mac: str) -> None:
        """Tells the switch where this guest is, as guests do that have just come up."""
        cache = lib.pv_packet_cache_create(packet_pool())
        frame = bytearray(HELLO.ljust(HELLO_SIZE, b"\0"))
        frame[6:12] = parse_mac(mac)
        packets = ffi.new("struct pv_packet *[]", [Packet(bytes(frame)).to_pointer(cache)])
        sent = lib.pv_netfront_send(self._queues[0].pointer, packets, 1)
        lib.pv_packet_release(cache, packets, 1)
        lib.pv_packet_cache_destroy(cache)
        if sent != 1:
            raise BenchError(f"nothing can be sent on {self._queues[0]}")

    def run(self) -> None:
        """Ramp and measured run."""
        status = lib.pv_packet_workload_run(self._workload)
        if status < 0:
            raise BenchError(f"the run failed: {os.strerror(-status)}{self._broken_ring()}")

    def _broken_ring(self) -> str:
        broken = [repr(q) for q in self._queues if lib.pv_netfront_broken(q.pointer)]
        return f" ({broken[0]})" if broken else ""

    def stop(self) -> None:
        """Ends the run early; what is outstanding is still answered."""
        lib.pv_packet_workload_stop(self._workload)

    def progress(self) -> Any:
        """`struct pv_packet_progress` as it is now."""
        progress = ffi.new("struct pv_packet_progress *")
        lib.pv_packet_workload_get_progress(self._workload, progress)
        return progress

    def result(self) -> Any:
        """`struct pv_packet_workload_result`, of the workload's own memory."""
        return lib.pv_packet_workload_get_result(self._workload)

    def close(self) -> None:
        lib.pv_packet_workload_destroy(self._workload)
