"""A guest or the backend of a network benchmark in a process of its own; see job/remote_half.py."""

from pvdrivers.tools.pvbench.job.remote_half import serve_half
from pvdrivers.tools.pvbench.vnif.back import Back
from pvdrivers.tools.pvbench.vnif.front import Front
from pvdrivers.tools.pvbench.vnif.job import VnifJob

if __name__ == "__main__":
    serve_half(VnifJob, Front, Back)
