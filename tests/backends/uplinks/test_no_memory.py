"""Uplinks without memory for another packet: what needs one fails, and nothing else."""

import subprocess
import sys

PROGRAM = """
import mmap
import resource

from pvdrivers._core import ffi, lib
from pvdrivers.backends.uplinks.filters import Direction, PacketCorruption
from pvdrivers.backends.uplinks.python_uplink import PythonUplink
from pvdrivers.backends.uplinks.switch import Switch
from pvdrivers.testing.vnif.uplink_guest import UplinkGuest
from pvdrivers.vnif.packet import Packet, packet_pool

FRAME = Packet(bytes([255] * 6 + [2, 0, 0, 0, 0, 1, 0x88, 0xB5]) + bytes(5000))  # a large one


class Silent(PythonUplink):
    def send(self, packets):
        pass


switch = Switch()
sender, other = switch.port(), switch.port()
corrupted = PacketCorruption(switch.port(), seed=1, probability=1, direction=Direction.RX)
guests = [UplinkGuest(uplink) for uplink in (sender, other, corrupted)]
silent = Silent()
silent_guest = UplinkGuest(silent)
cache = lib.pv_packet_cache_create(packet_pool())
kept = [FRAME.to_pointer(cache)]  # the switch passes it on later

pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (16 << 20), -1))
held = []
while (packet := lib.pv_packet_alloc(cache, 5000)) != ffi.NULL:
    held.append(packet)
assert len(held) > 16
rest = []
try:
    while True:
        rest.append(mmap.mmap(-1, 1 << 16))
except OSError:
    del rest[-12:]  # for Python; large packets come in more than that

try:
    silent.deliver([FRAME])
except OSError as error:
    print(error)
sender.pointer.ops.send(sender.pointer, 0, cache, ffi.new("struct pv_packet *[]", kept), 1, 0)
print("other:", other.pointer.ops.arm(other.pointer, 0))
print("corrupted:", guests[2].receive(), corrupted.statistics().rx_dropped)
print("other:", guests[1].receive()[0] == FRAME)

lib.pv_packet_release(cache, held, len(held))
print("delivered:", silent.deliver([FRAME]), len(silent_guest.receive()))
"""


def test_what_needs_a_packet_fails_alone() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "[Errno 12] no memory for a packet",
        "other: True",
        "corrupted: [] 1",
        "other: True",
        "delivered: 1 1",
    ]
