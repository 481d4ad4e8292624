"""One half of a SCSI disk's benchmark in a process of its own; see job/remote_half.py."""

from pvdrivers.tools.pvbench.job.remote_half import serve_half
from pvdrivers.tools.pvbench.scsi.back import Back
from pvdrivers.tools.pvbench.scsi.front import Front
from pvdrivers.tools.pvbench.scsi.job import ScsiJob

if __name__ == "__main__":
    serve_half(ScsiJob, Front, Back)
