"""What a step is, and what several steps do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from tempfile import TemporaryFile

from serve import Lab

MEBIBYTE = 1 << 20
GUEST = 1  # its domid
XL = "/usr/lib/xen-4.17/bin/xl"
FRONTEND = "/modules/*-xen-blkfront.ko"
FIO = (
    "fio --name=verify --direct=1 --ioengine=libaio --size=16M"
    " --verify=crc32c --verify_fatal=1 --do_verify=1 --output-format=terse --terse-version=3"
)

Step = Callable[[Lab], Awaitable[None]]
STEPS: dict[str, Step] = {}


def step(function: Step) -> Step:
    """Adds a step."""
    STEPS[function.__name__] = function
    return function


def on_request(function: Step) -> Step:
    """Adds a step that a run of everything leaves out (`choices.py` reads so)."""
    return step(function)


async def command(*words: str) -> str:
    """What a command in dom0 printed. OSError when its exit status is not 0."""
    with TemporaryFile() as output:  # a pipe would end only with the last child of `xl create`
        process = await asyncio.create_subprocess_exec(*words, stdout=output, stderr=output)
        status = await process.wait()
        output.seek(0)
        text = output.read().decode().strip()
    if status:
        raise OSError(f"{' '.join(words)}: exit status {status}: {text}")
    return text


async def wait_until(test: str, patience: int) -> None:
    """Until a shell command in dom0 ends well; OSError after `patience` seconds."""
    await command("timeout", str(patience), "bash", "-c", f"until {test}; do sleep 0.5; done")


async def frontend_keys(lab: Lab, path: str, prefix: str = "") -> dict[str, str]:
    """All keys of the frontend's directory, in the order the store gives them."""
    keys = {}
    for name in await lab.client.directory(path):
        keys[prefix + name] = await lab.client.read_str(f"{path}/{name}")
        if not keys[prefix + name]:
            del keys[prefix + name]
            keys |= await frontend_keys(lab, f"{path}/{name}", f"{prefix}{name}/")
    return keys


async def reload_frontend(lab: Lab, parameters: str = "") -> None:
    """Loads the guest's driver again, once it has released the last disk."""
    await lab.shell.wait_for("rmmod xen_blkfront 2>/dev/null")
    await lab.shell.run(f"insmod {FRONTEND} {parameters}")


async def file_system_and_fio(lab: Lab, name: str) -> None:
    """mkfs, fio with verify on a file, fstrim, fsck."""
    shell = lab.shell
    await shell.run(f"mkfs.ext4 -q -F /dev/{name} && mount -t ext4 /dev/{name} /mnt", 300)
    job = "--filename=/mnt/file --size=2M --rw=randwrite --bsrange=4k-256k --iodepth=8 --fsync=8"
    await shell.run(f"{FIO} {job}", 300)
    await shell.run("fstrim /mnt; umount /mnt")
    await shell.run(f"fsck.ext4 -f -n /dev/{name}", 300)


async def write_and_verify(lab: Lab, name: str, mebibytes: int = 4) -> None:
    """Random data through the page cache, read back past it."""
    shell = lab.shell
    await shell.run(f"dd if=/dev/urandom of=/tmp/data bs=1M count={mebibytes}")
    await shell.run(f"dd if=/tmp/data of=/dev/{name} bs=1M oflag=direct conv=fsync")
    await shell.run(
        f"dd if=/dev/{name} of=/tmp/back bs=64k count={mebibytes * 16} iflag=direct"
        " && cmp /tmp/data /tmp/back"
    )
    await shell.run("rm /tmp/data /tmp/back")
