"""A disk, as SCSI initiators know it, on a block store."""

from __future__ import annotations

from collections.abc import Collection

from pvdrivers.backends.stores.store import BlockStore
from pvdrivers.backends.targets.background import Background, BackgroundThread
from pvdrivers.backends.targets.command import CommandError, Nexus
from pvdrivers.backends.targets.disk.atomic import AtomicCommands
from pvdrivers.backends.targets.disk.block_unit import MAX_COMPARE_AND_WRITE, Limits
from pvdrivers.backends.targets.disk.capacity import Capacity
from pvdrivers.backends.targets.disk.defects import Defects
from pvdrivers.backends.targets.disk.erase import Erase
from pvdrivers.backends.targets.disk.medium import Medium
from pvdrivers.backends.targets.disk.pages import Pages
from pvdrivers.backends.targets.disk.power import Power
from pvdrivers.backends.targets.disk.provisioning import Provisioning
from pvdrivers.backends.targets.disk.snapshots import Snapshots
from pvdrivers.backends.targets.disk.token_copy import TokenCopy
from pvdrivers.backends.targets.disk.transfers import Transfers
from pvdrivers.backends.targets.logical_unit import UnitStatus
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.ring.errors import UsageError

SBC_3_DESCRIPTOR = 0x04C0
THIN_ONLY = {"UNMAP", "GET LBA STATUS"}


class Disk(
    Transfers,
    AtomicCommands,
    Provisioning,
    Capacity,
    Defects,
    Pages,
    Erase,
    Power,
    TokenCopy,
    Snapshots,
):
    """It owns the store and closes it. `refuse` names commands that it shall not have, as
    REPORT SUPPORTED OPERATION CODES calls them; UsageError: there is no such."""

    device_type = 0x00
    standards = (SBC_3_DESCRIPTOR,)
    store: BlockStore

    def __init__(
        self,
        store: BlockStore,
        identity: Identity,
        *,
        limits: Limits | None = None,
        refuse: Collection[str] = (),
        background: Background | None = None,
    ) -> None:
        self.store = store  # before the pages, which speak of it
        self.medium = Medium(store)
        self.limits = limits or Limits.for_block_size(self.medium.block_size)
        if self.limits.compare_and_write * self.medium.block_size > MAX_COMPARE_AND_WRITE:
            raise UsageError(
                f"COMPARE AND WRITE of {self.limits.compare_and_write} blocks of "
                f"{self.medium.block_size} bytes: at most {MAX_COMPARE_AND_WRITE} bytes"
            )
        self.background = background or BackgroundThread()
        super().__init__(identity)
        self.operations = self.operations.without(self._missing(refuse))

    @classmethod
    def check_refused(cls, names: Collection[str]) -> None:
        """UsageError: there is no such command."""
        known = {found.name for found in cls.operations}
        for name in names:
            if name not in known:
                raise UsageError(f"a disk has no command {name!r}: {', '.join(sorted(known))}")

    def _missing(self, refuse: Collection[str]) -> set[str]:
        self.check_refused(refuse)
        return {*refuse} | (set() if self.medium.is_thin else THIN_ONLY)

    # ---- what goes to the store without asking -----------------------------------------------

    def direct_access(self, nexus: Nexus) -> tuple[bool, bool]:
        """The same rules as for commands that come here. With WCE 0 writes come here too, to be
        flushed, and so they do while tokens or snapshots depend on the blocks."""
        if self.has_attention(nexus):
            return False, False
        reads, writes = (self._is_open(nexus, opcode) for opcode in (0x28, 0x2A))
        watched = self.tokens.are_there or self.has_snapshots
        return reads, writes and self.caches_writes and not watched

    def _is_open(self, nexus: Nexus, opcode: int) -> bool:
        try:
            self.check_open(nexus, opcode)
        except CommandError:
            return False
        return True

    def status(self) -> UnitStatus:
        copied = sum(one.copied_bytes for one in self.snapshots.values() if one.is_taken)
        return UnitStatus("disk", counts={"snapshot_bytes": copied})

    def close(self) -> None:
        super().close()
        self.store.close()

    def __repr__(self) -> str:
        return f"<Disk {self.identity.serial} on {self.store!r}>"
