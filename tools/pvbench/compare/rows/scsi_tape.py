"""Records of 64 KiB that a tape's thread writes into a file on a tmpfs, beside memcpy by one core
out of as much memory into as many blocks."""

from pathlib import Path
from tempfile import TemporaryDirectory

from pvdrivers.tools.pvbench.compare.competitors.bare import bare
from pvdrivers.tools.pvbench.compare.model import Comparison, Contender, Measured, Setting
from pvdrivers.tools.pvbench.compare.ours import SCSI, bytes_moved, job, measured, run
from pvdrivers.tools.pvbench.compare.scratch import FILE_SIZE, MEMORY

DEPTH = 8


def measure(setting: Setting) -> Measured:
    with TemporaryDirectory(prefix="pvbench-", dir=MEMORY) as folder:
        wanted = job(
            setting,
            SCSI,
            unit="tape",
            filename=Path(folder) / "tape.tap",
            rw="write",
            bs="64k",
            size=str(FILE_SIZE),
            iodepth=DEPTH,
            mem="granted",
        )
        return measured(run(wanted, SCSI), bytes_moved)


comparison = Comparison(
    workload=f"SCSI tape, file on a tmpfs, 64 KiB records written, QD{DEPTH}",
    unit="bytes/s",
    ours=Contender("pvdrivers", measure),
    baseline=bare("memcpy", FILE_SIZE, 64 << 10, DEPTH),
)
