"""One side of a crowd in a process of its own.

`python -m pvdrivers.tools.pvbench.crowd.worker fronts|backs MACHINE XENSTORE`: two sockets; see
remote.py.
"""

import sys
from collections.abc import Sequence

import msgspec

from pvdrivers.sim.machine import Machine
from pvdrivers.tools.pvbench.crowd.backs import Backs
from pvdrivers.tools.pvbench.crowd.files import raise_file_limit
from pvdrivers.tools.pvbench.crowd.fronts import Fronts
from pvdrivers.tools.pvbench.crowd.plan import Activity, Memory, Plan
from pvdrivers.tools.pvbench.job import Sockets
from pvdrivers.tools.pvbench.remote import Remote, serve


def main() -> None:
    side, socket, xenstore = sys.argv[1:]
    raise_file_limit()
    kind = Fronts if side == "fronts" else Backs
    with Machine.attach(socket) as machine:
        serve(lambda line: kind(machine, xenstore, msgspec.json.decode(line, type=Plan)))


class RemoteFronts(Remote):
    """`Fronts` in a process of their own."""

    def __init__(self, sockets: Sockets, plan: Plan) -> None:
        super().__init__("guests'", __name__, ["fronts", *sockets], plan)

    def connect(self, domids: Sequence[int]) -> None:
        self.call(type(None), "connect", domids)

    def run(self, active: int, seconds: float, block_size: int) -> Activity:
        return self.call(Activity, "run", active, seconds, block_size)


class RemoteBacks(Remote):
    """`Backs` in a process of their own."""

    def __init__(self, sockets: Sockets, plan: Plan) -> None:
        super().__init__("backend", __name__, ["backs", *sockets], plan)

    def memory(self) -> Memory:
        return self.call(Memory, "memory")


if __name__ == "__main__":
    main()
