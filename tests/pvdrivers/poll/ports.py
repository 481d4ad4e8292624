"""A backend's end of event channels, and pollables in Python that count their pumps."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pvdrivers.hypervisor import EventChannels
from pvdrivers.poll.pollable import PythonPollable
from pvdrivers.sim import Machine


class Ports:
    """Two handles with ports that are connected pairwise."""

    def __init__(self, machine: Machine) -> None:
        self._own, self._peer = machine.create_domain(privileged=True), machine.create_domain()
        self.channels = self._own.hypervisor.open_event_channels()
        self._peer_channels = self._peer.hypervisor.open_event_channels()
        self._peer_ports: dict[int, int] = {}

    def bind(self) -> int:
        """A new port of `channels`."""
        peer_port = self._peer_channels.bind_unbound_port(self._own.hypervisor.domid)
        port = self.channels.bind_interdomain(self._peer.hypervisor.domid, peer_port)
        self._peer_ports[port] = peer_port
        return port

    def fire(self, port: int) -> None:
        self._peer_channels.notify(self._peer_ports[port])

    def close(self) -> None:
        self._peer_channels.close()
        self.channels.close()


@contextmanager
def open_ports() -> Iterator[Ports]:
    with Machine() as machine:
        ports = Ports(machine)
        yield ports
        ports.close()


class Counting(PythonPollable):
    """Its pumps do what `work` returns, and arming finds nothing."""

    def __init__(self, channels: EventChannels, port: int, work: Callable[[], int]) -> None:
        super().__init__(channels, port)
        self.port, self.pumps, self._work = port, 0, work

    def pump(self, budget: int, now: int) -> int:
        self.pumps += 1
        return self._work()

    def arm(self) -> bool:
        return False
