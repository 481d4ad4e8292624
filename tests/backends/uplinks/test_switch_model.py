"""The switch against a model of a learning bridge: who gets which packet, in what order."""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pvdrivers.backends.uplinks.switch import Switch
from pvdrivers.testing.vnif.uplink_guest import UplinkGuest

PORTS = 4
AGEING = 100
LIMIT = 2  # addresses of a port
WAITING = 8
EXPIRY = 1_000_000_000  # a full port looks for old addresses no more often

STATIONS = [bytes([2, 0, 0, 0, 0, number]) for number in range(6)]
BROADCAST = b"\xff" * 6
MULTICAST = b"\x01\x00\x5e\x00\x00\x01"
RESERVED = b"\x01\x80\xc2\x00\x00\x0e"  # of LLDP
NOBODY = bytes(6)
DESTINATIONS = [*STATIONS, BROADCAST, MULTICAST, RESERVED]
SOURCES = [*STATIONS, *STATIONS, NOBODY, MULTICAST]
TAGS = [b"", b"\x81\x00\x00\x05", b"\x81\x00\xe0\x05", b"\x88\xa8\x00\x06", b"\x81\x00\xe0\x00"]


def vlan(frame: bytes) -> int:
    tagged = frame[12:14] in (b"\x81\x00", b"\x88\xa8")
    return int.from_bytes(frame[14:16]) & 0xFFF if tagged else 0


@dataclass
class Port:
    isolated: bool
    carrier: bool = True
    waiting: list[bytes] = field(default_factory=list)
    next_expiry: int = 0


class Bridge:
    """A learning bridge in the plainest words."""

    def __init__(self) -> None:
        self.ports: dict[int, Port] = {}
        self.known: dict[tuple[int, bytes], tuple[int, int]] = {}  # (VLAN, MAC): port, last seen

    def forget(self, port: int) -> None:
        self.known = {key: at for key, at in self.known.items() if at[0] != port}

    def learn(self, port: int, frames: list[bytes], now: int) -> None:
        """A batch: first those that are known are seen again, then others are learnt."""
        keys = [(vlan(frame), frame[6:12]) for frame in frames]
        unknown = [key for key in keys if self.known.get(key, (None, 0))[0] != port]
        self.known |= dict.fromkeys(set(keys) - set(unknown), (port, now))
        for key in unknown:
            if len(self.of(port) - {key}) == LIMIT and now >= self.ports[port].next_expiry:
                for old in self.of(port):
                    if now - self.known[old][1] > AGEING:
                        del self.known[old]
                self.ports[port].next_expiry = now + EXPIRY
            if len(self.of(port) - {key}) < LIMIT:
                self.known[key] = port, now

    def of(self, port: int) -> set[tuple[int, bytes]]:
        return {key for key, at in self.known.items() if at[0] == port}

    def targets(self, port: int, frame: bytes, now: int) -> list[int]:
        at, seen = self.known.get((vlan(frame), frame[:6]), (None, 0))
        known = at is not None and now - seen <= AGEING and not frame[0] & 1
        return [
            number
            for number, to in self.ports.items()
            if (number == at or not known)
            and number != port
            and to.carrier
            and not (to.isolated and self.ports[port].isolated)
        ]

    def send(self, port: int, frames: list[bytes], now: int) -> None:
        valid = [
            frame
            for frame in frames
            if frame[6:12] != NOBODY and not frame[6] & 1 and frame[:6] != RESERVED
        ]
        self.learn(port, valid, now)  # before any is passed on
        for frame in valid:
            for number in self.targets(port, frame, now):
                if len(self.ports[number].waiting) < WAITING:
                    self.ports[number].waiting.append(frame)


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    payload = draw(st.binary(min_size=2, max_size=6))
    parts = (DESTINATIONS, SOURCES, TAGS)
    return b"".join(draw(st.sampled_from(part)) for part in parts) + b"\x88\xb5" + payload


class SwitchMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.bridge = Bridge()
        self.guests: dict[int, UplinkGuest] = {}
        self.switch = Switch(ageing_ns=AGEING)

    ports = st.integers(0, PORTS - 1)

    @initialize(isolated=st.lists(st.booleans(), min_size=PORTS, max_size=PORTS))
    def start(self, isolated: list[bool]) -> None:
        for number in range(PORTS):
            self.open(number, isolated[number])

    def open(self, number: int, isolated: bool) -> None:
        port = self.switch.port(macs=LIMIT, waiting=WAITING, isolated=isolated)
        self.guests[number] = UplinkGuest(port)
        self.bridge.ports[number] = Port(isolated)

    @rule(port=ports, batch=st.lists(frames(), min_size=1, max_size=4))
    def send(self, port: int, batch: list[bytes]) -> None:
        if port in self.guests and self.bridge.ports[port].carrier:
            self.guests[port].send(batch, now=self.now)
            self.bridge.send(port, batch, self.now)

    @rule(port=ports)
    def receive(self, port: int) -> None:
        if port in self.guests:
            received = [packet.data for packet in self.guests[port].receive()]
            assert received == self.bridge.ports[port].waiting
            self.bridge.ports[port].waiting.clear()

    @rule(time=st.sampled_from([1, AGEING // 2, AGEING, EXPIRY]))
    def wait(self, time: int) -> None:
        self.now += time

    @rule(port=ports, there=st.booleans())
    def carrier(self, port: int, there: bool) -> None:
        if port in self.guests:
            self.guests[port].set_carrier(int(there))
            self.bridge.ports[port].carrier = there
            if not there:
                self.bridge.forget(port)
                self.bridge.ports[port].waiting.clear()

    @rule(port=ports, isolated=st.booleans())
    def close_or_open(self, port: int, isolated: bool) -> None:
        if port not in self.guests:
            self.open(port, isolated)
            return
        guest = self.guests.pop(port)
        guest.close()
        guest.uplink.close()
        del self.bridge.ports[port]
        self.bridge.forget(port)

    @invariant()
    def knows_as_many(self) -> None:
        assert self.switch.statistics().macs == len(self.bridge.known)
        assert self.switch.statistics().ports == len(self.bridge.ports)

    def teardown(self) -> None:
        for number in list(self.guests):
            self.receive(number)
            self.close_or_open(number, False)
        self.switch.close()


SwitchMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
test_switch_as_the_model = SwitchMachine.TestCase
