"""MOVE MEDIUM, POSITION TO ELEMENT and INITIALIZE ELEMENT STATUS (SMC-3 6)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pvdrivers.backends.targets.changer.changer_unit import INVALID_ELEMENT_ADDRESS, ChangerUnit
from pvdrivers.backends.targets.changer.inventory import FIRST, Cartridge, Kind, tapes_in
from pvdrivers.backends.targets.command import Answer, CheckCondition, Command, illegal_request
from pvdrivers.backends.targets.journal import Journal
from pvdrivers.backends.targets.operations import operation
from pvdrivers.backends.targets.persistent import UnitState
from pvdrivers.backends.targets.spc.removal import MEDIUM_REMOVAL_PREVENTED, Removal
from pvdrivers.backends.targets.tape.unit import Tape
from pvdrivers.backends.targets.tape.volume import Volume
from pvdrivers.ring.errors import UsageError
from pvdrivers.scsi.sense import Sense, SenseKey

DESTINATION_FULL, SOURCE_EMPTY = (0x3B, 0x0D), (0x3B, 0x0E)
PREVENTED_BY_DRIVE = (0x53, 0x03)
LOAD_FAILED = Sense(SenseKey.MEDIUM_ERROR, 0x53, 0x00)
IMPORT_EXPORT_ACCESSED = (0x28, 0x01)

log = logging.getLogger("pvdrivers.backends")


class _Move(NamedTuple):
    """One that was begun, by the command of this identity."""

    identity: bytes
    source: int
    destination: int


class Moves(ChangerUnit, Removal):
    """A move is committed before a drive is touched, and finished by a successor: its parts may
    happen twice."""

    _moving: _Move | None = None

    @operation(0xA5, "MOVE MEDIUM", "a5 00 ff ff ff ff ff ff 00 00 00 00")
    def move_medium(self, command: Command) -> None:
        source, destination = command.number(4, 2), command.number(6, 2)
        self._check_transport(command.number(2, 2))
        self._check_places(source, destination)
        if source == destination:
            return
        self._check_drives(source, destination)
        self._moving = _Move(command.identity, source, destination)
        try:
            self.commit()
            self._finish_move()
        finally:
            self._moving = None

    def _check_transport(self, address: int) -> None:
        if address not in (0, FIRST[Kind.TRANSPORT]):
            raise illegal_request(INVALID_ELEMENT_ADDRESS)

    def _check_places(self, source: int, destination: int) -> None:
        kinds = self.kind_of(source), self.kind_of(destination)
        if Kind.TRANSPORT in kinds:  # it holds nothing but what it moves
            raise illegal_request(INVALID_ELEMENT_ADDRESS)
        if source not in self.inventory.cartridges:
            raise illegal_request(SOURCE_EMPTY)
        if destination in self.inventory.cartridges and destination != source:
            raise illegal_request(DESTINATION_FULL)
        if self.removal_is_prevented and Kind.IMPORT_EXPORT in kinds:
            raise illegal_request(MEDIUM_REMOVAL_PREVENTED)

    def _check_drives(self, source: int, destination: int) -> None:
        """Whatever can be known before."""
        if (emptied := self.drive_at(source)) and emptied.removal_is_prevented:
            raise illegal_request(PREVENTED_BY_DRIVE)
        if self.drive_at(destination):
            with _load_failure(self.identity.serial):
                Volume(self._path_at(source), 0, read_only=True).close()

    def _path_at(self, address: int) -> Path:
        return self.inventory.path_of(self.inventory.cartridges[address])

    def _finish_move(self) -> None:
        assert self._moving
        _, source, destination = self._moving
        path = self._path_at(source)
        if (filled := self.drive_at(destination)) and filled.cartridge != path:
            with _load_failure(self.identity.serial):
                filled.insert(path)
        if emptied := self.drive_at(source):
            _empty(emptied)
        self.inventory.move(source, destination)

    @operation(0x2B, "POSITION TO ELEMENT", "2b 00 ff ff ff ff 00 00 00 00")
    def position_to_element(self, command: Command) -> None:
        """Nothing can be seen of where the transport is."""
        self._check_transport(command.number(2, 2))
        self.kind_of(command.number(4, 2))

    # ---- INITIALIZE ELEMENT STATUS -----------------------------------------------------------

    @operation(0x07, "INITIALIZE ELEMENT STATUS", "07 00 00 00 00 00")
    @operation(
        0x37,
        "INITIALIZE ELEMENT STATUS WITH RANGE",
        "37 03 ff ff 00 00 ff ff 00 00",
    )
    def initialize_element_status(self, command: Command) -> None:
        """All elements, whatever the range: to look into the folder is fast."""
        if command.cdb[0] == 0x37 and command.cdb[1] & 0x01:
            self.kind_of(command.number(2, 2))
        try:
            self.rescan()
        except UsageError as error:
            log.warning("%s: %s", self.identity.serial, error)
            raise CheckCondition(Sense(SenseKey.NOT_READY, 0x04, 0x03)) from error

    def rescan(self) -> None:
        """An operator was at the folder: tapes that are new come into free import/export elements,
        then into slots, and those that are gone leave their elements, except from drives.

        UsageError: there is no room for them, or a name is no barcode.
        """
        names = tapes_in(self.inventory.folder)
        for address, cartridge in list(self.inventory.cartridges.items()):
            if cartridge.name not in names and not self.drive_at(address):
                del self.inventory.cartridges[address]
        known = {cartridge.name for cartridge in self.inventory.cartridges.values()}
        new = [name for name in names if name not in known]
        for address in self.inventory.put(new, Kind.IMPORT_EXPORT, Kind.STORAGE):
            if self.kind_of(address) is Kind.IMPORT_EXPORT:
                self.inventory.cartridges[address].is_new = True
                self.establish_attention(IMPORT_EXPORT_ACCESSED)

    # ---- over a kill -------------------------------------------------------------------------

    def take_up(self, journal: Journal) -> None:
        """Finishes a move that was begun."""
        super().take_up(journal)
        if self._moving:
            identity = self._moving.identity
            answer = self.answered(self._finish_move)
            self._moving = None
            self.commit(identity, answer)
        self._fill_drives()

    def execute(self, command: Command) -> Answer:
        """A drive that has been taken up after the changer has what its own journal says, which may
        be older."""
        self._fill_drives()
        return super().execute(command)

    def _fill_drives(self) -> None:
        """Puts what should be in each of them into it."""
        for address in self.inventory.addresses(Kind.DRIVE):
            drive, cartridge = self.drive_at(address), self.inventory.cartridges.get(address)
            assert drive
            path = self.inventory.path_of(cartridge) if cartridge else None
            if drive.cartridge == path:
                continue
            _empty(drive)
            if path:
                self._fill(drive, address, path)

    def _fill(self, drive: Tape, address: int, path: Path) -> None:
        try:
            drive.insert(path)
        except UsageError as error:
            log.warning("%s: %s", self.identity.serial, error)
            del self.inventory.cartridges[address]

    def state(self) -> UnitState:
        own: UnitState = {
            "cartridges": [
                (address, one.name, one.source, one.is_new)
                for address, one in sorted(self.inventory.cartridges.items())
            ]
        }
        if self._moving:
            own["moving"] = self._moving
        return super().state() | own

    def restore(self, state: UnitState) -> None:
        super().restore(state)
        self.inventory.cartridges = {
            address: Cartridge(*rest)
            for address, *rest in state["cartridges"]
            if self.inventory.kind_of(address)
        }
        if moving := state.get("moving"):
            self._moving = _Move(*moving)


@contextmanager
def _load_failure(serial: str) -> Iterator[None]:
    """A file that is no tape does not get into a drive."""
    try:
        yield
    except UsageError as error:
        log.warning("%s: %s", serial, error)
        raise CheckCondition(LOAD_FAILED) from error


def _empty(drive: Tape) -> None:
    try:
        drive.remove()
    except CheckCondition:
        log.warning("%r: what was written may not be on its file's medium", drive)
