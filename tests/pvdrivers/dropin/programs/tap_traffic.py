"""tap_traffic.py NAME FRAMES COMMAND...: makes a TAP interface, as an uplink does, hands it so many
frames of 1024 bytes that a guest has transmitted, and runs the command while it is there."""

import fcntl
import os
import socket
import struct
import subprocess
import sys

TUNSETIFF, SIOCGIFFLAGS, SIOCSIFFLAGS = 0x400454CA, 0x8913, 0x8914
IFF_TAP, IFF_NO_PI, IFF_UP = 2, 0x1000, 1

name, frames, *command = sys.argv[1:]
tap = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
    fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH22x", name.encode(), IFF_UP))
for _ in range(int(frames)):
    os.write(tap, bytes([0xFF] * 6 + [2, 0, 0, 0, 0, 1, 0x88, 0xB5]).ljust(1024, b"\0"))
sys.exit(subprocess.run(command, check=False).returncode)
