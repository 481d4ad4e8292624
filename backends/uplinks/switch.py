"""A switch between guests: each vif has a port of its own, which is its uplink."""

from dataclasses import dataclass
from typing import Any

from pvdrivers._core import ffi, lib
from pvdrivers.backends.owned import Owned, created
from pvdrivers.backends.uplinks.uplink import Uplink, check_queues
from pvdrivers.ring.errors import UsageError
from pvdrivers.vnif.packet import packet_pool

AGEING_NS = int(lib.PV_SWITCH_AGEING_NS)
PORT_MACS = int(lib.PV_SWITCH_PORT_MACS)
MAX_PORT_MACS = int(lib.PV_SWITCH_MAX_PORT_MACS)
WAITING_PACKETS = int(lib.PV_UPLINK_WAITING_PACKETS)
MAX_WAITING_PACKETS = int(lib.PV_UPLINK_MAX_WAITING_PACKETS)


@dataclass(frozen=True, slots=True)
class SwitchStatistics:
    ports: int
    macs: int  # addresses that are known now
    moved: int  # times an address was seen at another port than before
    refused: int  # packets whose source was not learnt, since the port has its number
    flooded: int  # packets that went to all ports


class Switch(Owned):
    """Passes packets between its ports as a learning bridge does. Close it after its ports."""

    def __init__(self, name: str = "switch", *, ageing_ns: int = AGEING_NS) -> None:
        """A source that is silent for `ageing_ns` is forgotten."""
        if not 0 < ageing_ns < 2**63:
            raise UsageError(f"{name}: an ageing time of {ageing_ns} ns is not 1 to {2**63 - 1}")
        config = ffi.new("struct pv_switch_config *")
        config.pool = packet_pool()
        config.ageing_ns = ageing_ns
        self.name = name
        self._pointer = created(lib.pv_switch_create(config), name)

    @property
    def pointer(self) -> Any:
        """`struct pv_switch *`."""
        if self._pointer is None:
            raise UsageError(f"{self.name} is closed")
        return self._pointer

    def port(
        self,
        queues: int = 1,
        *,
        macs: int = PORT_MACS,
        waiting: int = WAITING_PACKETS,
        isolated: bool = False,
    ) -> "SwitchUplink":
        """A new port, for one vif. At most `macs` sources are learnt from it, and at most `waiting`
        packets wait for each of its queues. Nothing passes between two isolated ports."""
        return SwitchUplink(self, queues, macs=macs, waiting=waiting, isolated=isolated)

    def statistics(self) -> SwitchStatistics:
        stats = ffi.new("struct pv_switch_stats *")
        lib.pv_switch_get_stats(self.pointer, stats)
        return SwitchStatistics(stats.ports, stats.macs, stats.moved, stats.refused, stats.flooded)

    def close(self) -> None:
        """A second call does nothing. UsageError while it has ports."""
        if self._pointer is None:
            return
        if ports := self.statistics().ports:
            raise UsageError(f"{self.name} has {ports} ports in use: close them first")
        lib.pv_switch_destroy(self._pointer)
        self._pointer = None

    def __repr__(self) -> str:
        if self._pointer is None:
            return f"<Switch {self.name}, closed>"
        statistics = self.statistics()
        return f"<Switch {self.name}, {statistics.ports} ports, {statistics.macs} MACs known>"


class SwitchUplink(Uplink):
    """A port of a switch."""

    def __init__(
        self,
        switch: Switch,
        queues: int = 1,
        *,
        macs: int = PORT_MACS,
        waiting: int = WAITING_PACKETS,
        isolated: bool = False,
    ) -> None:
        check_queues(queues, f"port of {switch.name}")
        if not 1 <= macs <= MAX_PORT_MACS:
            raise UsageError(f"port of {switch.name}: {macs} MACs are not 1 to {MAX_PORT_MACS}")
        if not 1 <= waiting <= MAX_WAITING_PACKETS:
            raise UsageError(
                f"port of {switch.name}: {waiting} waiting packets are not "
                f"1 to {MAX_WAITING_PACKETS}"
            )
        config = ffi.new("struct pv_switch_port_config *")
        config.queues = queues
        config.macs = macs
        config.waiting = waiting
        config.isolated = isolated
        pointer = lib.pv_switch_port_create(switch.pointer, config)
        super().__init__(created(pointer, f"port of {switch.name}"))
        self.switch = switch
        self.isolated = isolated

    def where(self) -> str:
        return f"port of {self.switch.name}" + (", isolated" if self.isolated else "")
