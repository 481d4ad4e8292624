"""A domain as a configuration file describes it, with libxl's defaults filled in (xl.cfg(5))."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from pvdrivers.toolstack.xl_config.cpus import CpuList
from pvdrivers.toolstack.xl_config.disk import DiskSpec
from pvdrivers.toolstack.xl_config.vif import VifSpec
from pvdrivers.toolstack.xl_config.vscsi import ScsiHostSpec

TYPES = ("pv", "pvh", "hvm")
DeviceSpec = DiskSpec | VifSpec | ScsiHostSpec
ACTIONS = (
    "destroy",
    "restart",
    "rename-restart",
    "preserve",
    "coredump-destroy",
    "coredump-restart",
    "soft-reset",
)


@dataclass(frozen=True, slots=True)
class CpuSpec:
    """How a domain's vcpus are scheduled. `hard` and `soft`: a list of CPUs for each of the first
    vcpus; the others may run on all. `pool`: "" for the host's first one."""

    weight: int = 256
    cap: int = 0  # percent of a CPU; 0: none
    pool: str = ""
    hard: tuple[CpuList, ...] = ()
    soft: tuple[CpuList, ...] = ()


@dataclass(frozen=True, slots=True)
class LimitSpec:
    """None: as the host has it."""

    grant_frames: int | None = None
    maptrack_frames: int | None = None
    grant_version: int | None = None
    event_channels: int | None = None


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """What becomes of a domain when it ends, by the way it ends."""

    poweroff: str = "destroy"
    reboot: str = "restart"
    watchdog: str = "destroy"
    crash: str = "destroy"
    soft_reset: str = "soft-reset"


@dataclass(frozen=True, slots=True)
class DomainSpec:
    """`memory` and `maxmem`: MiB. `vcpus` of `maxvcpus` are up from the beginning. `kernel`: "" if
    the file leaves that to a boot loader or firmware. `seclabel`: while it runs, `init_seclabel`
    before. `serial`: an HVM guest's serial ports. `notes`: what the file has that is not used
    here or has no effect, one sentence each."""

    name: str
    uuid: UUID | None = None
    type: str = "pv"
    memory: int = 32
    maxmem: int = 32
    vcpus: int = 1
    maxvcpus: int = 1
    cpu: CpuSpec = CpuSpec()
    kernel: str = ""
    ramdisk: str = ""
    cmdline: str = ""
    disks: tuple[DiskSpec, ...] = ()
    vifs: tuple[VifSpec, ...] = ()
    scsi_hosts: tuple[ScsiHostSpec, ...] = ()
    serial: tuple[str, ...] = ()
    on: ActionSpec = ActionSpec()
    seclabel: str = ""
    init_seclabel: str = ""
    driver_domain: bool = False
    limits: LimitSpec = LimitSpec()
    notes: tuple[str, ...] = ()

    @property
    def devices(self) -> tuple[DeviceSpec, ...]:
        return (*self.disks, *self.vifs, *self.scsi_hosts)
