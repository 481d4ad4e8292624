"""All frontends, or the backend, in a process of its own.

`python -m pvdrivers.tools.pvbench.scale.processes frontends|backend MACHINE XENSTORE`: the last
two are sockets; see `job/remote.py`.
"""

import sys
from collections.abc import Callable, Sequence

import msgspec

from pvdrivers.sim.machine import Machine
from pvdrivers.tools.pvbench.job.job import Sockets
from pvdrivers.tools.pvbench.job.remote import Remote, Served, serve
from pvdrivers.tools.pvbench.scale.backend import Backend
from pvdrivers.tools.pvbench.scale.files import raise_file_limit
from pvdrivers.tools.pvbench.scale.frontends import Frontends
from pvdrivers.tools.pvbench.scale.spec import Activity, Memory, ScaleSpec
from pvdrivers.tools.pvbench.scale.vif_backend import VifBackend
from pvdrivers.tools.pvbench.scale.vif_frontends import VifFrontends

KINDS: dict[tuple[str, str], Callable[[Machine, str, ScaleSpec], Served]] = {
    ("frontends", "vbd"): Frontends,
    ("frontends", "vif"): VifFrontends,
    ("backend", "vbd"): Backend,
    ("backend", "vif"): VifBackend,
}


def main() -> None:
    half, socket, xenstore = sys.argv[1:]
    raise_file_limit()

    def make(line: bytes) -> Served:
        spec = msgspec.json.decode(line, type=ScaleSpec)
        return KINDS[half, spec.device](machine, xenstore, spec)

    with Machine.attach(socket) as machine:
        serve(make)


class FrontendProcess(Remote):
    """The process that holds `Frontends`."""

    def __init__(self, sockets: Sockets, spec: ScaleSpec) -> None:
        super().__init__("guests'", __name__, ["frontends", *sockets], spec)

    def connect(self, domids: Sequence[int]) -> None:
        self.call(type(None), "connect", domids)

    def run(self, active: int, seconds: float, block_size: int) -> Activity:
        return self.call(Activity, "run", active, seconds, block_size)


class BackendProcess(Remote):
    """The process that holds the `Backend`."""

    def __init__(self, sockets: Sockets, spec: ScaleSpec) -> None:
        super().__init__("backend", __name__, ["backend", *sockets], spec)

    def memory(self) -> Memory:
        return self.call(Memory, "memory")


if __name__ == "__main__":
    main()
