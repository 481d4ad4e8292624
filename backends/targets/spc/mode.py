"""MODE SENSE and MODE SELECT, 6 and 10 bytes, over mode pages that are small records (SPC-4 6.13,
6.11, 7.5). Nothing is saved: PS is 0, and asking for saved values or for saving is refused."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pvdrivers.backends.targets.command import (
    SAVING_PARAMETERS_NOT_SUPPORTED,
    Command,
    Nexus,
    check_length,
    illegal_request,
    invalid_field,
    invalid_parameter,
)
from pvdrivers.backends.targets.operations import Access, operation
from pvdrivers.backends.targets.persistent import PersistentUnit, UnitState
from pvdrivers.scsi.sense import Sense, SenseKey

MODE_PARAMETERS_CHANGED = (0x2A, 0x01)
CONTROL_PAGE = 0x0A
ALL_PAGES, ALL_SUBPAGES = 0x3F, 0xFF
HARDWARE_PROTECTED = Sense(SenseKey.DATA_PROTECT, 0x27, 0x00)
SOFTWARE_PROTECTED = Sense(SenseKey.DATA_PROTECT, 0x27, 0x02)

_CURRENT, _CHANGEABLE, _DEFAULT, _SAVED = range(4)  # PC
_SUBPAGE_FORMAT = 0x40
_WRITE_PROTECTED = 0x80  # in the device-specific parameter, of disks and tapes

PageKey = tuple[int, int]  # page code and subpage code


@dataclass(frozen=True, slots=True)
class ModePage:
    """`default`: the bytes behind the page length. `changeable`: as many, with a bit set where
    MODE SELECT may change one; empty: it may change none."""

    code: int
    default: bytes
    changeable: bytes = b""
    subcode: int = 0

    @property
    def key(self) -> PageKey:
        return self.code, self.subcode

    @property
    def mask(self) -> bytes:
        return self.changeable or bytes(len(self.default))

    def encode(self, body: bytes) -> bytes:
        if self.subcode:
            head = struct.pack(">BBH", self.code | _SUBPAGE_FORMAT, self.subcode, len(body))
        else:
            head = struct.pack(">BB", self.code, len(body))
        return head + body


# For units that add them to their own: no limits of a connection, and no exceptions told (DEXCPT).
DISCONNECT_PAGE = ModePage(0x02, bytes(14))
EXCEPTIONS_PAGE = ModePage(0x1C, b"\x08" + bytes(9))


def control_page(*, write_protectable: bool = False) -> ModePage:
    """D_SENSE is changeable, and for media that can be written SWP."""
    default = bytearray(10)
    default[0] = 0x02  # GLTSD: log parameters are not saved
    default[1] = 0x10  # unrestricted reordering
    changeable = bytearray(10)
    changeable[0] = 0x04  # D_SENSE
    changeable[2] = 0x08 if write_protectable else 0  # SWP
    return ModePage(CONTROL_PAGE, bytes(default), bytes(changeable))


class ModePages(PersistentUnit):
    """All initiators share the pages. A reset brings the defaults back. `write_protectable`:
    whether initiators may protect the medium (SWP)."""

    write_protectable = False

    def __init__(self) -> None:
        super().__init__()
        pages = sorted(self.mode_pages(), key=lambda page: page.key)
        self._mode_pages = {page.key: page for page in pages}
        self._current: dict[PageKey, bytes] = {}

    # ---- what subclasses say -----------------------------------------------------------------

    def mode_pages(self) -> Iterable[ModePage]:
        """All there are; called once. Subclasses add theirs."""
        return (control_page(write_protectable=self.write_protectable),)

    def device_specific_parameter(self) -> int:
        """A byte of the mode parameter header; subclasses set more bits."""
        return _WRITE_PROTECTED if self.write_protection() else 0

    def block_descriptor(self, long: bool) -> bytes:
        """8 bytes, or 16 when `long` ones are asked for and there are any; or none."""
        return b""

    def select_block_descriptor(self, descriptor: bytes, place: int) -> None:
        """What MODE SELECT wants, 8 or 16 bytes, at `place` of its list; carried out when the rest
        of the list is right. CheckCondition: it cannot be."""
        raise invalid_parameter(place)

    def check_mode_page(self, key: PageKey, value: bytes, place: int) -> None:
        """A new value, at `place` of the list, that differs only where it may. CheckCondition: it
        cannot be."""

    # ---- current values ----------------------------------------------------------------------

    def mode_page(self, code: int, subcode: int = 0) -> bytes:
        """The current value of a page there is."""
        key = code, subcode
        return self._current.get(key) or self.initial_mode_page(key)

    def initial_mode_page(self, key: PageKey) -> bytes:
        """The value of a page as long as no initiator has chosen another."""
        return self._mode_pages[key].default

    def deselect(self, key: PageKey) -> None:
        """What initiators have chosen counts no more."""
        self._current.pop(key, None)

    def state(self) -> UnitState:
        pages = [(*key, value) for key, value in sorted(self._current.items())]
        return super().state() | ({"mode pages": pages} if pages else {})

    def restore(self, state: UnitState) -> None:
        super().restore(state)
        for code, subcode, value in state.get("mode pages", ()):
            if (code, subcode) in self._mode_pages:
                self._current[code, subcode] = value

    @property
    def software_write_protected(self) -> bool:
        return bool(self.mode_page(CONTROL_PAGE)[2] & 0x08)

    def write_protection(self) -> Sense | None:
        return SOFTWARE_PROTECTED if self.software_write_protected else super().write_protection()

    def encode_sense(self, sense: Sense) -> bytes:
        d_sense = self.mode_page(CONTROL_PAGE)[0] & 0x04
        return sense.descriptor() if d_sense else sense.fixed()

    def reset(self, nexus: Nexus) -> None:
        self._current.clear()
        super().reset(nexus)

    # ---- MODE SENSE --------------------------------------------------------------------------

    @operation(0x1A, "MODE SENSE(6)", "1a 08 ff ff ff 00", access=Access.READ, is_query=True)
    def mode_sense_6(self, command: Command) -> bytes:
        pages = self._pages_asked_for(command)
        descriptor = self._descriptor_asked_for(command, long=False)
        length = 3 + len(descriptor) + len(pages)
        data = struct.pack(
            ">BBBB", min(length, 0xFF), 0, self.device_specific_parameter(), len(descriptor)
        )
        return (data + descriptor + pages)[: command.cdb[4]]

    @operation(
        0x5A, "MODE SENSE(10)", "5a 18 ff ff 00 00 00 ff ff 00", access=Access.READ, is_query=True
    )
    def mode_sense_10(self, command: Command) -> bytes:
        pages = self._pages_asked_for(command)
        descriptor = self._descriptor_asked_for(command, long=bool(command.cdb[1] & 0x10))
        data = struct.pack(
            ">HBBBxH",
            6 + len(descriptor) + len(pages),
            0,
            self.device_specific_parameter(),
            len(descriptor) == 16,  # LONGLBA
            len(descriptor),
        )
        return (data + descriptor + pages)[: command.number(7, 2)]

    def _descriptor_asked_for(self, command: Command, *, long: bool) -> bytes:
        return b"" if command.cdb[1] & 0x08 else self.block_descriptor(long)  # DBD

    def _pages_asked_for(self, command: Command) -> bytes:
        control, code, subcode = command.cdb[2] >> 6, command.cdb[2] & 0x3F, command.cdb[3]
        if control == _SAVED:
            raise illegal_request(SAVING_PARAMETERS_NOT_SUPPORTED)
        keys = [key for key in self._mode_pages if _is_asked_for(key, code, subcode)]
        if not keys:
            known = code == ALL_PAGES or any(key[0] == code for key in self._mode_pages)
            raise invalid_field(3) if known else invalid_field(2, 5)
        return b"".join(self._encode_page(key, control) for key in keys)

    def _encode_page(self, key: PageKey, control: int) -> bytes:
        page = self._mode_pages[key]
        if control == _CURRENT:
            return page.encode(self.mode_page(*key))
        return page.encode(page.mask if control == _CHANGEABLE else page.default)

    # ---- MODE SELECT -------------------------------------------------------------------------

    @operation(0x15, "MODE SELECT(6)", "15 10 00 00 ff 00", excludes_direct_access=True)
    def mode_select_6(self, command: Command) -> None:
        data = self._list_of(command, command.cdb[4])
        if data:
            check_length(data, 4)
            self._select(command.nexus, data, 4, data[3], 8)

    @operation(
        0x55, "MODE SELECT(10)", "55 10 00 00 00 00 00 ff ff 00", excludes_direct_access=True
    )
    def mode_select_10(self, command: Command) -> None:
        data = self._list_of(command, command.number(7, 2))
        if data:
            check_length(data, 8)
            size = 16 if data[4] & 0x01 else 8
            self._select(command.nexus, data, 8, int.from_bytes(data[6:8], "big"), size)

    def _list_of(self, command: Command, length: int) -> bytes:
        if not command.cdb[1] & 0x10:  # PF: pages as the standard has them
            raise invalid_field(1, 4)
        return command.parameters(length)

    def _select(self, nexus: Nexus, data: bytes, start: int, descriptors: int, size: int) -> None:
        """All of the list is checked before anything changes."""
        pages = start + descriptors
        if descriptors not in (0, size):
            raise invalid_parameter(start - 1)
        check_length(data, pages)
        values = dict(self._values_in(data, pages))
        before = self.block_descriptor(False)
        if descriptors:
            self.select_block_descriptor(data[start:pages], start)
        changed = {key: values[key] for key in values if values[key] != self.mode_page(*key)}
        self._current.update(changed)
        if changed or self.block_descriptor(False) != before:
            self.establish_attention(MODE_PARAMETERS_CHANGED, but=nexus)

    def _values_in(self, data: bytes, place: int) -> Iterator[tuple[PageKey, bytes]]:
        while place < len(data):
            page, head = self._page_at(data, place)
            length = int.from_bytes(data[place + (2 if page.subcode else 1) : place + head], "big")
            if length != len(page.default):
                raise invalid_parameter(place + head - 1)
            check_length(data, place + head + length)
            value = data[place + head : place + head + length]
            self._check_changeable(page, value, place + head)
            if value != self.mode_page(*page.key):
                self.check_mode_page(page.key, value, place + head)
            yield page.key, value
            place += head + length

    def _page_at(self, data: bytes, place: int) -> tuple[ModePage, int]:
        """The page, and how long its head is."""
        has_subcode = bool(data[place] & _SUBPAGE_FORMAT)
        head = 4 if has_subcode else 2
        check_length(data, place + head)
        page = self._mode_pages.get((data[place] & 0x3F, data[place + 1] if has_subcode else 0))
        if page is None:
            raise invalid_parameter(place)
        return page, head

    def _check_changeable(self, page: ModePage, value: bytes, place: int) -> None:
        for i, (new, old, mask) in enumerate(
            zip(value, self.mode_page(*page.key), page.mask, strict=True)
        ):
            if wrong := (new ^ old) & ~mask:
                raise invalid_parameter(place + i, wrong.bit_length() - 1)


def _is_asked_for(key: PageKey, code: int, subcode: int) -> bool:
    if code == ALL_PAGES and subcode not in (0, ALL_SUBPAGES):
        return False
    return code in (ALL_PAGES, key[0]) and subcode in (ALL_SUBPAGES, key[1])
