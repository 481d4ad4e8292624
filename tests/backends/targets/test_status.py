"""What units tell whoever looks after a service."""

from __future__ import annotations

from pathlib import Path

from pvdrivers.backends.stores.store import RamStore
from pvdrivers.backends.targets.changer.unit import Changer
from pvdrivers.backends.targets.command import Nexus
from pvdrivers.backends.targets.disk.snapshot import CHUNK, Snapshot, snapshot_size
from pvdrivers.backends.targets.disk.snapshots import SnapshotDisk
from pvdrivers.backends.targets.disk.unit import Disk
from pvdrivers.backends.targets.passthrough.path import OpenSession
from pvdrivers.backends.targets.passthrough.policy import Policy
from pvdrivers.backends.targets.passthrough.unit import PassThrough
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.backends.targets.tape.unit import Tape
from pvdrivers.scsi.block_range import BlockRange
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

TAKE, DROP = (f"a4 1f {drop:02x} 00 00 00 00 01 00 00 00 00" for drop in (0, 1))


def test_a_disk_and_its_snapshot() -> None:
    size = 4 * CHUNK
    disk = Disk(RamStore(size), Identity.of("disk"))
    disk.snapshots[1] = Snapshot(disk.medium, RamStore(snapshot_size(size)))
    reader, initiator = SnapshotDisk(disk.snapshots[1], Identity.of("1")), UnitInitiator(disk)
    assert reader.status() == ("snapshot", "not taken", {})
    initiator.good(TAKE)
    initiator.good(BlockRange(0, 1).cdb(0x2A), bytes(512))
    assert reader.status() == ("snapshot", "taken", {})
    assert disk.status() == ("disk", "", {"snapshot_bytes": CHUNK})
    initiator.good(DROP)
    assert reader.status() == ("snapshot", "not taken", {})
    assert disk.status() == ("disk", "", {"snapshot_bytes": 0})
    reader.close()
    disk.close()


def test_a_tape_and_a_changer(tmp_path: Path) -> None:
    for name in ("A.tap", "B.tap"):
        (tmp_path / name).touch()
    drive = Tape(Identity.of("drive"))
    robot = Changer(Identity.of("robot"), tmp_path, [drive])
    assert drive.status().medium == "empty"
    assert robot.status() == ("changer", "2 tapes, 0 in drives", {})
    UnitInitiator(robot).good("a5 00 00 00 04 00 01 00 00 00 00 00")
    initiator = UnitInitiator(drive)
    initiator.good("0a 00 00 00 05 00", b"block")
    assert drive.status() == ("tape", "A.tap", {"tape_bytes_written": 5, "tape_bytes_read": 0})
    assert robot.status().medium == "2 tapes, 1 in drives"
    initiator.good("1b 00 00 00 00 00")
    assert drive.status().medium == "A.tap, unloaded"
    robot.close()
    drive.close()


def test_a_pass_through() -> None:
    def no_session(nexus: Nexus) -> OpenSession:
        raise AssertionError

    unit = PassThrough("iscsi://san/target/1", no_session, Policy(), 1)
    assert unit.status() == ("pass-through", "", {})
    unit.close()
