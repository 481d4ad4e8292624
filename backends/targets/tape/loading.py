"""Cartridges that come and go: LOAD UNLOAD (SSC-4 7.2)."""

from __future__ import annotations

import logging
from pathlib import Path
from threading import RLock

from pvdrivers.backends.targets.command import (
    Answer,
    CheckCondition,
    Command,
    Nexus,
    illegal_request,
    invalid_field,
)
from pvdrivers.backends.targets.operations import operation
from pvdrivers.backends.targets.persistent import UnitState
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.backends.targets.spc.removal import (
    MEDIUM_MAY_HAVE_CHANGED,
    MEDIUM_NOT_PRESENT,
    MEDIUM_REMOVAL_PREVENTED,
    Removal,
)
from pvdrivers.backends.targets.tape.image import Position
from pvdrivers.backends.targets.tape.partitions import PARTITIONS_PAGE
from pvdrivers.backends.targets.tape.tape_unit import REMOVAL_PREVENTED_ALERT
from pvdrivers.backends.targets.tape.transfers import Transfers
from pvdrivers.backends.targets.tape.volume import Volume
from pvdrivers.ring.errors import UsageError
from pvdrivers.scsi.sense import Sense

_EOT, _LOAD = 0x04, 0x01

log = logging.getLogger("pvdrivers.backends")


class Loading(Transfers, Removal):
    """A cartridge that initiators have unloaded is still in the drive, where LOAD finds it.

    `changer`: the serial number of the one whose drive it is, if any.
    """

    changer = ""

    def __init__(self, identity: Identity) -> None:
        self.lock = RLock()  # whoever handles cartridges has a thread of its own, as commands have
        super().__init__(identity)

    # ---- for whoever handles the cartridges --------------------------------------------------

    @property
    def cartridge(self) -> Path | None:
        """What is in the drive, loaded or not."""
        return self.volume.path if self.volume else None

    def insert(self, path: Path, *, read_only: bool = False) -> None:
        """Puts a cartridge into the empty drive and loads it; initiators get a unit attention.

        UsageError: it cannot be opened, it is no tape image, or there is one in the drive.
        """
        with self.lock:
            if self.volume:
                raise UsageError(f"{path}: the drive has {self.volume.path} already")
            self.volume = Volume(path, self.capacity, read_only=read_only)
            self._load()
            self.establish_attention(MEDIUM_MAY_HAVE_CHANGED)
            self.commit()

    def remove(self) -> None:
        """Takes it out, whatever initiators prevent. CheckCondition: what was written cannot be
        flushed; it is out all the same."""
        with self.lock:
            volume = self.volume
            if volume is None:
                return
            try:
                if self.loaded:
                    self.flush()
            finally:
                self.volume, self.loaded, self.position = None, False, Position()
                volume.close()
                self.commit()

    def _load(self) -> None:
        self.loaded, self.position = True, Position()
        self.alerts.clear()
        self.deselect(PARTITIONS_PAGE)

    # ---- commands ----------------------------------------------------------------------------

    @operation(0x1B, "LOAD UNLOAD", "1b 01 00 00 07 00")
    def load_unload(self, command: Command) -> None:
        """What is loaded is rewound. IMMED too waits for the end."""
        flags = command.cdb[4]
        if flags & _LOAD and flags & _EOT:
            raise invalid_field(4, 2)
        if self.volume is None:
            raise CheckCondition(MEDIUM_NOT_PRESENT)
        if flags & _LOAD:
            if not self.loaded:
                self.establish_attention(MEDIUM_MAY_HAVE_CHANGED, but=command.nexus)
            self._load()
        elif self.loaded:
            self._unload()

    def _unload(self) -> None:
        if self.removal_is_prevented:
            self.alerts.add(REMOVAL_PREVENTED_ALERT)
            raise illegal_request(MEDIUM_REMOVAL_PREVENTED)
        self.flush()
        self.loaded, self.position = False, Position()

    def condition(self) -> Sense | None:
        return super().condition() if self.loaded else MEDIUM_NOT_PRESENT

    # ---- one at a time -----------------------------------------------------------------------

    def execute(self, command: Command) -> Answer:
        with self.lock:
            return super().execute(command)

    def attach(self, nexus: Nexus) -> None:
        with self.lock:
            super().attach(nexus)

    def detach(self, nexus: Nexus) -> None:
        with self.lock:
            super().detach(nexus)

    def reset(self, nexus: Nexus) -> None:
        with self.lock:
            super().reset(nexus)

    def luns_changed(self, nexus: Nexus) -> None:
        with self.lock:
            super().luns_changed(nexus)

    # ---- over a kill -------------------------------------------------------------------------

    def state(self) -> UnitState:
        volume = self.volume
        return super().state() | {
            "cartridge": volume and str(volume.path),
            "read_only": volume is not None and volume.read_only,
            "loaded": self.loaded,
            "position": self.position,
            "ends": [image.size for image in volume.images] if volume else [],
        }

    def restore(self, state: UnitState) -> None:
        super().restore(state)
        if self.volume:
            self.volume.close()
        self.volume, self.loaded = None, False
        if state["cartridge"]:
            self._restore_cartridge(Path(state["cartridge"]), state)

    def _restore_cartridge(self, path: Path, state: UnitState) -> None:
        """What is behind a committed end comes from a command that was killed. It would begin
        there again; without it, it is no record."""
        try:
            self.volume = Volume(path, self.capacity, read_only=state["read_only"])
            for image, end in zip(self.volume.images, state["ends"], strict=False):
                if image.size > end and not image.read_only:
                    image.cut(end)
        except (UsageError, OSError) as error:
            log.warning("%s: the drive is empty from now on: %s", self.identity.serial, error)
            return
        self.loaded, position = state["loaded"], Position(*state["position"])
        is_there = position.partition < len(self.volume.images)  # unless somebody took the files
        self.position = position if is_there else Position()
