"""Who has registered a key with a logical unit, and who has reserved it (SPC-4 5.13).

Nothing here knows CDBs. Whatever a method refuses it refuses before it changes anything.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import NamedTuple, Self

from pvdrivers.backends.targets.command import (
    CommandError,
    illegal_request,
    invalid_field,
    invalid_parameter,
)
from pvdrivers.backends.targets.operations import Access
from pvdrivers.scsi.result import Status

RESERVATIONS_PREEMPTED = (0x2A, 0x03)
RESERVATIONS_RELEASED = (0x2A, 0x04)
REGISTRATIONS_PREEMPTED = (0x2A, 0x05)
INVALID_RELEASE = (0x26, 0x04)
INSUFFICIENT_REGISTRATION_RESOURCES = (0x55, 0x04)

MAX_REGISTRATIONS = 128  # which a unit's journal has room for
_ACTION_KEY = 8  # where a parameter list has the service action reservation key
_FLAGS, _TRANSPORT_ID = 20, 24


class ReservationType(IntEnum):
    WRITE_EXCLUSIVE = 1
    EXCLUSIVE_ACCESS = 3
    WRITE_EXCLUSIVE_REGISTRANTS_ONLY = 5
    EXCLUSIVE_ACCESS_REGISTRANTS_ONLY = 6
    WRITE_EXCLUSIVE_ALL_REGISTRANTS = 7
    EXCLUSIVE_ACCESS_ALL_REGISTRANTS = 8


_NOTHING = frozenset({Access.NONE})
_READING = frozenset({Access.NONE, Access.READ})
_EVERYTHING = frozenset(Access)
_ALLOWED = {  # to those who do not hold it: registered, not registered
    ReservationType.WRITE_EXCLUSIVE: (_READING, _READING),
    ReservationType.EXCLUSIVE_ACCESS: (_NOTHING, _NOTHING),
    ReservationType.WRITE_EXCLUSIVE_REGISTRANTS_ONLY: (_EVERYTHING, _READING),
    ReservationType.EXCLUSIVE_ACCESS_REGISTRANTS_ONLY: (_EVERYTHING, _NOTHING),
    ReservationType.WRITE_EXCLUSIVE_ALL_REGISTRANTS: (_EVERYTHING, _READING),
    ReservationType.EXCLUSIVE_ACCESS_ALL_REGISTRANTS: (_EVERYTHING, _NOTHING),
}
_ALL_REGISTRANTS = {
    ReservationType.WRITE_EXCLUSIVE_ALL_REGISTRANTS,
    ReservationType.EXCLUSIVE_ACCESS_ALL_REGISTRANTS,
}
_HOLDER_ALONE = {ReservationType.WRITE_EXCLUSIVE, ReservationType.EXCLUSIVE_ACCESS}


class Registrant(NamedTuple):
    """An I_T nexus by what it is called, whether it is there or not."""

    initiator: str
    target_port: int


Attentions = list[tuple[Registrant, tuple[int, int]]]


@dataclass
class Reservations:
    """`keys`: of those who are registered, in the order in which they came. `holder`: who has made
    the reservation; with the types for all registrants they all hold it. `survives`: whether this
    outlasts a loss of power (APTPL of the last registration).

    Methods that change something return the unit attentions that follow from it. CommandError:
    they refuse it.
    """

    keys: dict[Registrant, int] = field(default_factory=dict)
    generation: int = 0
    kind: ReservationType | None = None
    holder: Registrant | None = None
    survives: bool = False

    def copy(self) -> Self:
        return replace(self, keys=dict(self.keys))

    # ---- questions ---------------------------------------------------------------------------

    @property
    def is_for_all_registrants(self) -> bool:
        return self.kind in _ALL_REGISTRANTS

    def is_held_by(self, who: Registrant) -> bool:
        return self.kind is not None and (
            who in self.keys if self.is_for_all_registrants else who == self.holder
        )

    def allows(self, who: Registrant, access: Access) -> bool:
        if self.kind is None or self.is_held_by(who):
            return True
        registered, others = _ALLOWED[self.kind]
        return access in (registered if who in self.keys else others)

    def gives_full_access_to(self, who: Registrant) -> bool:
        """Whether RESERVE and RELEASE of SPC-2 end with GOOD, without an effect (CRH)."""
        return self.kind is not None and self.allows(who, Access.WRITE)

    @property
    def holder_key(self) -> int:
        """As READ RESERVATION shows it, and PREEMPT names it: 0 when all registrants hold it."""
        if self.holder is None or self.is_for_all_registrants:
            return 0
        return self.keys[self.holder]

    # ---- registrations -----------------------------------------------------------------------

    def check_key(self, who: Registrant, key: int) -> None:
        """CommandError: it is not the one that `who` has registered."""
        if self.keys.get(who) != key:
            raise conflict()

    def register(
        self,
        who: Registrant,
        key: int,
        *,
        ports: Collection[int],
        others: Collection[str] | None = None,
        survives: bool = False,
    ) -> Attentions:
        """A new key for `who` at all `ports`, or none if it is 0. With `others` for them too (a
        list of initiators, which may be empty); none of them, nor `who`, has one by now."""
        if others is not None and who in self.keys:
            raise invalid_parameter(_FLAGS, 3)
        if who not in self.keys and key == 0:
            return []
        own = {who, *(Registrant(who.initiator, port) for port in ports)}
        further = {Registrant(name, port) for name in others or () for port in ports}
        if further & (own | self.keys.keys()):
            raise invalid_parameter(_TRANSPORT_ID)
        wanted = own | further
        if key and len(wanted | self.keys.keys()) > MAX_REGISTRATIONS:
            raise illegal_request(INSUFFICIENT_REGISTRATION_RESOURCES)
        self._count(survives)
        if key:
            self.keys.update(dict.fromkeys(sorted(wanted), key))
            return []
        return [told for one in sorted(wanted & self.keys.keys()) for told in self._remove(one)]

    def move(
        self, who: Registrant, to: Registrant, new_key: int, *, unregister: bool, survives: bool
    ) -> Attentions:
        if not self.is_held_by(who) or self.is_for_all_registrants:
            raise conflict()
        if new_key == 0:
            raise invalid_parameter(_ACTION_KEY)
        if to == who:
            raise invalid_parameter(_TRANSPORT_ID)
        if to not in self.keys and len(self.keys) >= MAX_REGISTRATIONS:
            raise illegal_request(INSUFFICIENT_REGISTRATION_RESOURCES)
        self._count(survives)
        self.keys[to] = new_key
        self.holder = to
        if unregister:
            del self.keys[who]
        return []

    def _remove(self, who: Registrant) -> Attentions:
        """A reservation ends with its holder's registration."""
        ends = self.is_held_by(who) and (not self.is_for_all_registrants or len(self.keys) == 1)
        del self.keys[who]
        if ends:
            return self._release()
        self._keep_a_holder()
        return []

    def _keep_a_holder(self) -> None:
        if self.is_for_all_registrants and self.holder not in self.keys:
            self.holder = next(iter(self.keys))

    def _count(self, survives: bool | None = None) -> None:
        self.generation = (self.generation + 1) & 0xFFFFFFFF
        if survives is not None:
            self.survives = survives

    # ---- reservations ------------------------------------------------------------------------

    def reserve(self, who: Registrant, kind: ReservationType) -> Attentions:
        if self.kind is None:
            self.kind, self.holder = kind, who
        elif not self.is_held_by(who) or kind is not self.kind:
            raise conflict()
        return []

    def release(self, who: Registrant, kind: ReservationType | None) -> Attentions:
        """`kind`: what the initiator takes the reservation's type for."""
        if not self.is_held_by(who):
            return []
        if kind is not self.kind:
            raise illegal_request(INVALID_RELEASE)
        return self._release(but=who)

    def _release(self, but: Registrant | None = None) -> Attentions:
        told = [] if self.kind in _HOLDER_ALONE else self._tell(RESERVATIONS_RELEASED, but)
        self.kind = self.holder = None
        return told

    def clear(self, who: Registrant) -> Attentions:
        told = self._tell(RESERVATIONS_PREEMPTED, who)
        self._count()
        self.keys.clear()
        self.kind = self.holder = None
        return told

    def preempt(self, who: Registrant, key: int, kind: ReservationType | None) -> Attentions:
        """Takes the reservation over from the holder that has this key, or, if it is another's, the
        registrations alone away. `kind`: None when the CDB names none that there is."""
        if self.kind is not None and key == self.holder_key:
            return self._take_over(who, key, kind)
        if key == 0:
            raise invalid_parameter(_ACTION_KEY)
        lost = [one for one, its in self.keys.items() if its == key]
        if not lost:
            raise conflict()
        self._count()
        self._drop(lost)
        return [(one, REGISTRATIONS_PREEMPTED) for one in lost if one != who]

    def _take_over(self, who: Registrant, key: int, kind: ReservationType | None) -> Attentions:
        if kind is None:
            raise invalid_field(2, 3)
        everybody = self.is_for_all_registrants
        lost = [one for one, its in self.keys.items() if one != who and (everybody or its == key)]
        changed = kind is not self.kind
        self._count()
        for one in lost:
            del self.keys[one]
        self.kind, self.holder = kind, who
        told: Attentions = [(one, REGISTRATIONS_PREEMPTED) for one in lost]
        return told + (self._tell(RESERVATIONS_RELEASED, who) if changed else [])

    def _drop(self, lost: Iterable[Registrant]) -> None:
        for one in lost:
            del self.keys[one]
        if not self.keys:
            self.kind = self.holder = None
        self._keep_a_holder()

    def _tell(self, code: tuple[int, int], but: Registrant | None) -> Attentions:
        return [(one, code) for one in self.keys if one != but]

    # ---- bytes -------------------------------------------------------------------------------

    def encode(self) -> bytes:
        """Without the generation, which a loss of power sets to 0."""
        holder = -1 if self.holder is None else list(self.keys).index(self.holder)
        data = _HEAD.pack(self.survives, self.kind or 0, holder, len(self.keys))
        for (initiator, port), key in self.keys.items():
            name = initiator.encode()
            data += _ENTRY.pack(key, port, len(name)) + name
        return data

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """ValueError: it was not made by `encode`."""
        try:
            survives, kind, holder, count = _HEAD.unpack_from(data)
            keys, place = {}, _HEAD.size
            for _ in range(count):
                key, port, size = _ENTRY.unpack_from(data, place)
                place += _ENTRY.size + size
                if place > len(data):
                    raise IndexError("a name")
                keys[Registrant(data[place - size : place].decode(), port)] = key
            reserved_by = list(keys)[holder] if kind else None
        except (struct.error, IndexError) as error:
            raise ValueError(f"reservations are cut off: {error}") from None
        of_kind = ReservationType(kind) if kind else None
        return cls(keys, kind=of_kind, holder=reserved_by, survives=survives)


_HEAD = struct.Struct("<?BhH")  # survives, type, index of the holder, registrations
_ENTRY = struct.Struct("<QHH")  # key, target port, bytes of the name behind it


def conflict() -> CommandError:
    return CommandError(Status.RESERVATION_CONFLICT)
