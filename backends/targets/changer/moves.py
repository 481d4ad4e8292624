"""MOVE MEDIUM, EXCHANGE MEDIUM, POSITION TO ELEMENT and INITIALIZE ELEMENT STATUS (SMC-3 6)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from pvdrivers.backends.targets.changer.changer_unit import INVALID_ELEMENT_ADDRESS, ChangerUnit
from pvdrivers.backends.targets.changer.inventory import FIRST, Cartridge, Kind, Move, tapes_in
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


class Moves(ChangerUnit, Removal):
    """What is where after a move is committed, with the command's answer, before a drive is
    touched. What the drives lack then, they get from whoever goes on."""

    @operation(0xA5, "MOVE MEDIUM", "a5 00 ff ff ff ff ff ff 00 00 00 00")
    def move_medium(self, command: Command) -> None:
        self._move(command, Move(command.number(4, 2), command.number(6, 2)))

    @operation(0xA6, "EXCHANGE MEDIUM", "a6 00 ff ff ff ff ff ff ff ff 00 00")
    def exchange_medium(self, command: Command) -> None:
        """What was in the first destination goes to the second, which may be the source."""
        source, first, second = (command.number(place, 2) for place in (4, 6, 8))
        self._move(command, Move(source, first), Move(first, second))

    def _move(self, command: Command, *moves: Move) -> None:
        """All at the same time."""
        self._check_transport(command.number(2, 2))
        self._check_places(moves)
        if moves[0].source == moves[0].destination:
            return
        for move in moves:
            self._check_drives(move)
        self.inventory.move(moves)
        self.commit(command.identity, Answer())
        self._fill_drives()

    def _check_transport(self, address: int) -> None:
        if address not in (0, FIRST[Kind.TRANSPORT]):
            raise illegal_request(INVALID_ELEMENT_ADDRESS)

    def _check_places(self, moves: Sequence[Move]) -> None:
        sources, destinations = zip(*moves, strict=True)
        kinds = {self.kind_of(address) for address in sources + destinations}
        if Kind.TRANSPORT in kinds:  # it holds nothing but what it moves
            raise illegal_request(INVALID_ELEMENT_ADDRESS)
        if any(source not in self.inventory.cartridges for source in sources):
            raise illegal_request(SOURCE_EMPTY)
        full = {one for one in destinations if one in self.inventory.cartridges}
        several = min(len({*sources}), len({*destinations})) < len(moves)  # at one place
        if several or not full <= {*sources}:
            raise illegal_request(DESTINATION_FULL)
        if self.removal_is_prevented and Kind.IMPORT_EXPORT in kinds:
            raise illegal_request(MEDIUM_REMOVAL_PREVENTED)

    def _check_drives(self, move: Move) -> None:
        """Whatever can be known before."""
        if (emptied := self.drive_at(move.source)) and emptied.removal_is_prevented:
            raise illegal_request(PREVENTED_BY_DRIVE)
        if self.drive_at(move.destination):
            path = self.inventory.path_of(self.inventory.cartridges[move.source])
            try:
                Volume(path, 0, read_only=True).close()
            except UsageError as error:  # a file that is no tape does not get into a drive
                log.warning("%s: %s", self.identity.serial, error)
                raise CheckCondition(LOAD_FAILED) from error

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
        super().take_up(journal)
        self._fill_drives()

    def execute(self, command: Command) -> Answer:
        """A drive that has been taken up after the changer has what its own journal says, which may
        be older."""
        self._fill_drives()
        return super().execute(command)

    def _fill_drives(self) -> None:
        """Puts what should be in each of them into it, when all others are out."""
        wrong = []
        for address in self.inventory.addresses(Kind.DRIVE):
            drive, cartridge = self.drive_at(address), self.inventory.cartridges.get(address)
            assert drive
            path = self.inventory.path_of(cartridge) if cartridge else None
            if drive.cartridge != path:
                _empty(drive)
                wrong.append((drive, address, path))
        for drive, address, path in wrong:
            if path:
                self._fill(drive, address, path)

    def _fill(self, drive: Tape, address: int, path: Path) -> None:
        try:
            drive.insert(path)
        except UsageError as error:
            log.warning("%s: %s", self.identity.serial, error)
            del self.inventory.cartridges[address]

    def state(self) -> UnitState:
        return super().state() | {
            "cartridges": [
                (address, one.name, one.source, one.is_new)
                for address, one in sorted(self.inventory.cartridges.items())
            ]
        }

    def restore(self, state: UnitState) -> None:
        super().restore(state)
        self.inventory.cartridges = {
            address: Cartridge(*rest)
            for address, *rest in state["cartridges"]
            if self.inventory.kind_of(address)
        }


def _empty(drive: Tape) -> None:
    try:
        drive.remove()
    except CheckCondition:
        log.warning("%r: what was written may not be on its file's medium", drive)
