"""One half of a disk's benchmark in a process of its own; see job/remote_half.py."""

from pvdrivers.tools.pvbench.job.remote_half import serve_half
from pvdrivers.tools.pvbench.vbd.back import Back
from pvdrivers.tools.pvbench.vbd.front import Front
from pvdrivers.tools.pvbench.vbd.job import VbdJob

if __name__ == "__main__":
    serve_half(VbdJob, Front, Back)
