"""PERSISTENT RESERVE IN and OUT (SPC-4 6.15, 6.16), and what reservations forbid to others."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

from pvdrivers.backends.targets.command import (
    PARAMETER_LIST_LENGTH,
    Command,
    Nexus,
    illegal_request,
    invalid_field,
    invalid_parameter,
)
from pvdrivers.backends.targets.operations import Access, Operation, operation
from pvdrivers.backends.targets.persistent import UnitState
from pvdrivers.backends.targets.spc.reservation_file import ReservationFile
from pvdrivers.backends.targets.spc.reservations import (
    INSUFFICIENT_REGISTRATION_RESOURCES,
    Attentions,
    Registrant,
    Reservations,
    ReservationType,
    conflict,
)
from pvdrivers.backends.targets.spc.reserve import RELEASE, RESERVE, Reserve
from pvdrivers.backends.targets.spc.transport_id import encode_transport_id, parse_transport_ids

IN, OUT = 0x5E, 0x5F
_SPEC_I_PT, _ALL_TG_PT, _APTPL = 0x08, 0x04, 0x01  # of a parameter list
_UNREG = 0x02  # of that of REGISTER AND MOVE
_LIST = 24  # bytes of a parameter list without TransportIDs

_TMV = 0x80
_CRH, _SIP_C, _ATP_C, _PTPL_C = 0x10, 0x08, 0x04, 0x01
_TYPES = sum(1 << kind for kind in ReservationType)

Mark = Callable[[Callable[..., Any]], Callable[..., Any]]


def _in(action: int, name: str) -> Mark:
    return operation(
        IN,
        f"PERSISTENT RESERVE IN {name}",
        f"5e {action:02x} 00 00 00 00 00 ff ff 00",
        service_action=action,
        access=Access.NONE,
    )


def _out(action: int, name: str) -> Mark:
    """Whom it is open to, the registrations themselves say."""
    return operation(
        OUT,
        f"PERSISTENT RESERVE OUT {name}",
        f"5f {action:02x} ff 00 00 ff ff ff ff 00",
        service_action=action,
        access=Access.NONE,
        excludes_direct_access=True,
    )


class PersistentReserve(Reserve):
    """What is asked to survive a loss of power (APTPL) needs a file for it, and is refused without
    one."""

    def __init__(self) -> None:
        super().__init__()
        self.reservations = Reservations()
        self.reservation_file: ReservationFile | None = None

    def keep_reservations_in(self, file: ReservationFile) -> None:
        """In a new unit, before it takes up a journal, which counts more. What the file has holds
        from now on. UsageError: it is no such file."""
        self.reservations, self.reservation_file = file.load(), file

    def state(self) -> UnitState:
        kept = self.reservations
        own = [kept.generation, kept.encode()] if kept != Reservations() else None
        return super().state() | ({"reservations": own} if own else {})

    def restore(self, state: UnitState) -> None:
        super().restore(state)
        self.reservations = Reservations()
        if own := state.get("reservations"):
            self.reservations = Reservations.decode(own[1])
            self.reservations.generation = own[0]

    # ---- what others may do ------------------------------------------------------------------

    def check_access(self, found: Operation, command: Command) -> None:
        who = _registrant(command.nexus)
        if found.opcode in (IN, OUT):
            if self.is_reserved:
                raise conflict()
        elif found.opcode in RESERVE | RELEASE:
            if self._keys and not self.reservations.gives_full_access_to(who):
                raise conflict()
        elif not self.reservations.allows(who, found.access_of(command.cdb)):
            raise conflict()
        super().check_access(found, command)

    def reserve(self, command: Command) -> None:
        """Without an effect for those to whom a persistent reservation gives all they need."""
        if not self.reservations.keys:
            super().reserve(command)

    # ---- PERSISTENT RESERVE IN -----------------------------------------------------------------

    @_in(0, "READ KEYS")
    def read_keys(self, command: Command) -> bytes:
        return self._listed(command, [struct.pack(">Q", key) for key in self._keys.values()])

    @_in(1, "READ RESERVATION")
    def read_reservation(self, command: Command) -> bytes:
        kind = self.reservations.kind
        if kind is None:
            return self._listed(command, [])
        entry = struct.pack(">Q4xxBxx", self.reservations.holder_key, kind)
        return self._listed(command, [entry])

    @_in(2, "REPORT CAPABILITIES")
    def report_capabilities(self, command: Command) -> bytes:
        can_survive = _PTPL_C if self.reservation_file else 0
        data = struct.pack(
            ">HBBH2x",
            8,
            _CRH | _SIP_C | _ATP_C | can_survive,
            _TMV | self.reservations.survives,
            (_TYPES & 0xFF) << 8 | _TYPES >> 8,
        )
        return data[: command.number(7, 2)]

    @_in(3, "READ FULL STATUS")
    def read_full_status(self, command: Command) -> bytes:
        return self._listed(command, [self._full_status(who) for who in self._keys])

    def _full_status(self, who: Registrant) -> bytes:
        is_held = self.reservations.is_held_by(who)
        kind = self.reservations.kind if is_held else 0
        name = encode_transport_id(who.initiator)
        head = (self._keys[who], is_held, kind, who.target_port, len(name))
        return struct.pack(">Q4xBB4xHI", *head) + name

    def _listed(self, command: Command, entries: Sequence[bytes]) -> bytes:
        data = b"".join(entries)
        head = struct.pack(">II", self.reservations.generation, len(data))
        return (head + data)[: command.number(7, 2)]

    @property
    def _keys(self) -> dict[Registrant, int]:
        return self.reservations.keys

    # ---- PERSISTENT RESERVE OUT ----------------------------------------------------------------

    @_out(0, "REGISTER")
    def register(self, command: Command) -> None:
        self._register(command, ignore_key=False)

    @_out(6, "REGISTER AND IGNORE EXISTING KEY")
    def register_and_ignore_existing_key(self, command: Command) -> None:
        self._register(command, ignore_key=True)

    def _register(self, command: Command, *, ignore_key: bool) -> None:
        who, data = _registrant(command.nexus), _parameter_list(command)
        key, new_key = _keys_in(data)
        flags = data[20]
        if not ignore_key and self._keys.get(who, 0) != key:
            raise conflict()
        if ignore_key and flags & _SPEC_I_PT:
            raise invalid_parameter(20, 3)
        others = _further_initiators(data, bool(flags & _SPEC_I_PT))
        ports = self.target_ports if flags & _ALL_TG_PT else [who.target_port]
        survives = self._survives(flags, 20)
        self._change(
            lambda new: new.register(who, new_key, ports=ports, others=others, survives=survives)
        )

    @_out(7, "REGISTER AND MOVE")
    def register_and_move(self, command: Command) -> None:
        who, data = _registrant(command.nexus), _parameter_list(command)
        key, new_key = _keys_in(data)
        flags, port, length = struct.unpack_from(">BHI", data, 17)
        self.reservations.check_key(who, key)
        if length != len(data) - _LIST:
            raise illegal_request(PARAMETER_LIST_LENGTH)
        initiators = parse_transport_ids(data, _LIST)
        if len(initiators) != 1:
            raise invalid_parameter(20)
        if port not in self.target_ports:
            raise invalid_parameter(18)
        to, survives = Registrant(initiators[0], port), self._survives(flags, 17)
        self._change(
            lambda new: new.move(
                who, to, new_key, unregister=bool(flags & _UNREG), survives=survives
            )
        )

    @_out(1, "RESERVE")
    def persistent_reserve(self, command: Command) -> None:
        who, _ = self._checked(command)
        kind = _type_in(command)
        if kind is None:
            raise invalid_field(2)
        self._change(lambda new: new.reserve(who, kind))

    @_out(2, "RELEASE")
    def persistent_release(self, command: Command) -> None:
        who, _ = self._checked(command)
        self._change(lambda new: new.release(who, _type_in(command)))

    @_out(3, "CLEAR")
    def clear_registrations(self, command: Command) -> None:
        who, _ = self._checked(command)
        self._change(lambda new: new.clear(who))

    @_out(4, "PREEMPT")
    @_out(5, "PREEMPT AND ABORT")
    def preempt(self, command: Command) -> None:
        """There is nothing to abort: commands of others are carried out before, or will find that
        they are not registered."""
        who, key = self._checked(command)
        self._change(lambda new: new.preempt(who, key, _type_in(command)))

    def _checked(self, command: Command) -> tuple[Registrant, int]:
        """Who it is, and the service action's key. CommandError: the nexus is not registered with
        the key that it names, or the parameter list is too long."""
        who, data = _registrant(command.nexus), _parameter_list(command)
        if len(data) != _LIST:
            raise illegal_request(PARAMETER_LIST_LENGTH)
        key, action_key = _keys_in(data)
        self.reservations.check_key(who, key)
        return who, action_key

    def _survives(self, flags: int, place: int) -> bool:
        """CheckCondition: that is wanted and there is no file for it."""
        wanted = bool(flags & _APTPL)
        if wanted and self.reservation_file is None:
            raise invalid_parameter(place, 0)
        return wanted

    def _change(self, act: Callable[[Reservations], Attentions]) -> None:
        """All of it, or, if it is refused or cannot be kept, nothing."""
        new = self.reservations.copy()
        attentions = act(new)
        if self.reservation_file:
            try:
                self.reservation_file.save(new)
            except OSError as error:
                raise illegal_request(INSUFFICIENT_REGISTRATION_RESOURCES) from error
        self.reservations = new
        for who, code in attentions:
            for nexus in self.nexuses:
                if _registrant(nexus) == who:
                    self.establish_attention(code, only=nexus)


def _registrant(nexus: Nexus) -> Registrant:
    return Registrant(nexus.name, nexus.target_port)


def _parameter_list(command: Command) -> bytes:
    length = command.number(5, 4)
    if length < _LIST:
        raise illegal_request(PARAMETER_LIST_LENGTH)
    return command.parameters(length)


def _keys_in(data: bytes) -> tuple[int, int]:
    """The reservation key and the service action reservation key."""
    key, action_key = struct.unpack_from(">QQ", data)
    return key, action_key


def _further_initiators(data: bytes, are_there: bool) -> list[str] | None:
    if not are_there:
        if len(data) != _LIST:
            raise illegal_request(PARAMETER_LIST_LENGTH)
        return None
    start = _LIST + 4
    if len(data) < start or int.from_bytes(data[_LIST:start], "big") != len(data) - start:
        raise illegal_request(PARAMETER_LIST_LENGTH)
    return parse_transport_ids(data, start)


def _type_in(command: Command) -> ReservationType | None:
    """None: there is no such type, or the scope is not the whole unit."""
    try:
        return ReservationType(command.cdb[2])
    except ValueError:
        return None
