"""The other direction: our SCSI frontend in a guest's userspace, Linux's xen-scsiback in dom0."""

from __future__ import annotations

import json
from typing import Any

from block_devices import images
from guest import Background
from scsi_host import ScsiHost, scsi_host
from scsiback import debug_disk, delay_debug_disk, load_scsiback, unit
from serve import Lab
from step import GUEST, MEBIBYTE, command, step
from userspace_guest import PYTHON, userspace_guest

MEBIBYTES = 8
NEVER = 100_000  # ticks that a command of scsi_debug's takes


class Frontend:
    """in_guest_scsi.py, and what it has said."""

    def __init__(self, lab: Lab, job: Background) -> None:
        self.lab = lab
        self.job = job

    async def says(self, word: str) -> Any:
        """Waits for a value that has this name."""
        log = f"{self.job.path}.log"
        shell = self.lab.shell
        await shell.wait_for(f"test -e {self.job.path} || grep -q '\"{word}\"' {log}", 300)
        output = await shell.run(f"cat {log}")
        lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        found = [line for line in lines if word in line]
        assert found, output
        print(f"    {found[0]}", flush=True)
        return found[0][word]


@step
async def kernel_scsiback(lab: Lab) -> None:
    """Our frontend in the guest's userspace against Linux's xen-scsiback: a file of the target's,
    and a disk of scsi_debug's that comes, hangs, goes and comes again."""
    with images("scsiback", mebibytes=MEBIBYTES) as (image,):
        await load_scsiback()
        async with userspace_guest(lab), debug_disk() as attributes:
            control = f"fd_dev_name={image},fd_dev_size={MEBIBYTES * MEBIBYTE}"
            file = unit(0, "fileio", control=control)
            async with file as disk, unit(1, "pscsi", **attributes) as debug:
                async with scsi_host(lab, lab.shell, GUEST, disk) as host:
                    job = await lab.shell.start(f"{PYTHON} /in_guest_scsi.py 0")
                    said = Frontend(lab, job)
                    assert await said.says("md5") == (await command("md5sum", image)).split()[0]
                    await plugging(host, said, debug)
                await said.says("reads")
                await job.finished(60)


async def plugging(host: ScsiHost, said: Frontend, debug: str) -> None:
    await delay_debug_disk(NEVER)
    await host.add(1, debug)
    await said.says("timed_out")
    await delay_debug_disk(1)
    await host.remove(1)
    assert await said.says("luns") == 1
    await host.add(1, debug)
    await said.says("answered")
