"""The kernel's TCP and ping through our network device, beside another way between the same two
network stacks."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from pvdrivers.poll.group import Mode
from pvdrivers.tools.pvbench.compare.model import Contender, Measured, Need, Setting
from pvdrivers.tools.pvbench.compare.needs import program
from pvdrivers.tools.pvbench.errors import BenchError
from pvdrivers.tools.pvbench.vnif.options import VnifOptions
from pvdrivers.tools.pvbench.vnif.real import programs
from pvdrivers.tools.pvbench.vnif.real.namespaces import check_privileges
from pvdrivers.tools.pvbench.vnif.real.network import PV, Subnet, TwoStacks, two_stacks
from pvdrivers.tools.pvbench.vnif.real.path import pv_device

Connect = Callable[[TwoStacks], AbstractContextManager[None]]


def _without_privileges(_: Setting) -> str | None:
    try:
        check_privileges()
    except BenchError as error:
        return str(error)
    return None


def _without_tun(_: Setting) -> str | None:
    return None if Path("/dev/net/tun").exists() else "this kernel has no TAP interfaces"


NEEDS = [
    Need(None, _without_privileges),
    Need(None, _without_tun),
    *(program(name, package) for name, package in programs.PACKAGES.items()),
]


class RealNetwork:
    """Both contenders: our device and `connect` between the same stacks, one in use at a time."""

    def __init__(self, mode: Mode, subnet: Subnet, connect: Connect) -> None:
        self._mode, self._subnet, self._connect = mode, subnet, connect
        self._stacks: TwoStacks | None = None

    @contextmanager
    def around(self, setting: Setting) -> Iterator[None]:
        job = VnifOptions(mode=self._mode, direction="both").job()
        with ExitStack() as stack:
            self._stacks = stack.enter_context(two_stacks())
            stack.enter_context(pv_device(job, self._stacks))
            stack.enter_context(self._connect(self._stacks))
            for subnet in (PV, self._subnet):  # the ends get to know each other
                programs.ping(self._stacks.guest, subnet.far_end[4])
            yield

    def tcp(self, name: str, subnet: Subnet) -> Contender:
        """Bytes a second of one connection."""

        def measure(setting: Setting) -> Measured:
            stacks = self._stacks
            assert stacks
            address = subnet.far_end[4]
            stream = programs.iperf3(stacks.guest, stacks.host, address, setting.seconds, False)
            return Measured(stream.bits_per_second / 8)

        return Contender(name, measure, NEEDS)

    def ping(self, name: str, subnet: Subnet) -> Contender:
        """ns from an echo to its answer, the one in the middle."""

        def measure(setting: Setting) -> Measured:
            assert self._stacks
            return Measured(programs.ping(self._stacks.guest, subnet.far_end[4]).median)

        return Contender(name, measure, NEEDS)
