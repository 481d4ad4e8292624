"""What a program with the preload library finds, beyond what sg3-utils use."""

from __future__ import annotations

import asyncio

from .conftest import Machine


def test_a_program_of_its_own(machine: Machine) -> None:
    """By the C library's functions: that hooks are in their place, not what is behind them."""

    async def main() -> None:
        async with machine("0=ram:1M") as programs:
            await programs.python("""
import mmap, select, stat, tempfile
PATH = "/dev/pvsg/guest/0:0:0:0"
INQUIRY, READ = "12 00 00 00 24 00", "28 00 00 00 00 00 00 00 08 00"

fd = os.open(PATH, os.O_RDWR)
for status in (os.stat(PATH), os.lstat(PATH), os.fstat(fd)):
    assert stat.S_ISCHR(status.st_mode) and os.major(status.st_rdev) == 21
assert os.access(PATH, os.R_OK) and not os.access("/dev/pvsg/guest/0:0:0:1", os.R_OK)
assert get_int(fd, 0x2282) == 30536

inquiry = Command(INQUIRY, 96).execute(fd)
assert inquiry.data.raw[8:16] == b"PVDRIVER" and inquiry.resid == 60

poll = select.poll()
poll.register(fd, select.POLLIN | select.POLLOUT)
assert poll.poll(0) == [(fd, select.POLLOUT)]
first, second = Command(INQUIRY, 36), Command(READ, 4096)
first.pack_id, second.pack_id = 1, 2
first.write(fd)
second.write(fd)
assert select.select([fd], [], []) == ([fd], [], [])
assert {read_header(fd).pack_id, read_header(fd).pack_id} == {1, 2}
assert first.data.raw[8:16] == b"PVDRIVER"
poll.modify(fd, select.POLLIN)
assert poll.poll(0) == []

fcntl.ioctl(fd, 0x2275, (65536).to_bytes(4, "little"))
memory = mmap.mmap(fd, 65536)
write = Command("2a 00 00 00 00 00 00 00 08 00", 4096)
memory[:4096] = b"mapped!!" * 512
write.dxfer_direction, write.flags = TO_DEVICE, 4
write.execute(fd)
assert Command(READ, 4096).execute(fd).data.raw == b"mapped!!" * 512

with tempfile.TemporaryFile() as other:  # nothing else has changed
    other.write(b"x" * 8192)
    other.flush()
    assert os.fstat(other.fileno()).st_size == 8192
    assert mmap.mmap(other.fileno(), 0)[8191:] == b"x"
os.close(fd)
try:
    os.fstat(fd)
except OSError as error:
    assert error.errno == 9
else:
    raise AssertionError
""")

    asyncio.run(main())


def test_a_child_uses_what_it_opens(machine: Machine) -> None:
    async def main() -> None:
        async with machine("0=ram:1M") as programs:
            await programs.python("""
fd = os.open("/dev/pvsg/guest/0:0:0:0", os.O_RDWR)
if child := os.fork():
    assert os.waitpid(child, 0)[1] == 0
else:
    own = os.open("/dev/pvsg/guest/0:0:0:0", os.O_RDWR)
    Command("00 00 00 00 00 00").execute(own)
    try:
        Command("00 00 00 00 00 00").execute(fd)
    except OSError:
        os.close(fd)
        os._exit(0)
    os._exit(1)
assert Command("00 00 00 00 00 00").execute(fd).status == 0
""")

    asyncio.run(main())
