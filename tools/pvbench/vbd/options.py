"""The options of a virtual block device's job."""

from dataclasses import dataclass, replace
from typing import Annotated, Any, Self

from cyclopts import Parameter

from pvdrivers.testing.vbd.dialects import PROFILES
from pvdrivers.tools.pvbench.errors import OptionError
from pvdrivers.tools.pvbench.fio.options import FioOptions
from pvdrivers.tools.pvbench.job.job import ProfileName
from pvdrivers.tools.pvbench.job.options import DEVICE, Rule, option
from pvdrivers.tools.pvbench.vbd.job import Backend, VbdJob


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class VbdOptions(FioOptions):
    """The options of one job of `pvbench vbd`."""

    ring_page_order: Annotated[
        int, option("Pages of a ring, as a power of two.", DEVICE), Rule(limits=(0, 4))
    ] = 0
    persistent: Annotated[bool, option("Persistent grants.", DEVICE)] = True
    indirect: Annotated[
        int,
        option("Segments in an indirect request at most; 0 for none.", DEVICE),
        Rule(limits=(0, 4096)),
    ] = 256
    trusted: Annotated[
        bool,
        option(
            "Whether the guest trusts the backend; if not, only zeroed pages are granted.", DEVICE
        ),
    ] = True
    backend: Annotated[
        Backend,
        option(
            "Who serves the disk: our blkback, or QEMU (Debian package qemu-system-xen), from a "
            "file.",
            DEVICE,
        ),
        Rule(suite_sets=True),
    ] = "pvdrivers"
    profile: Annotated[
        ProfileName | None,
        option(
            "Negotiate and publish what a driver of this name does; what it can is the default of "
            "abi, persistent, indirect and ring_page_order.",
            DEVICE,
        ),
    ] = None

    def job(self) -> VbdJob:
        self.check()
        return self._with_profile()._job()

    def _with_profile(self) -> Self:
        """What the driver can, where nothing else was asked for."""
        if self.profile is None:
            return self
        if self.backend == "qemu":
            raise OptionError("--profile: QEMU's disk is used by our own frontend alone")
        driver = PROFILES[self.profile]
        if self.queues > driver.max_queues:
            raise OptionError(
                f"--queues: {self.profile}'s driver has {driver.max_queues} at most,"
                f" not {self.queues}"
            )
        usual: dict[str, Any] = {
            "abi": driver.abi.name.lower(),
            "persistent": driver.persistent,
            "indirect": driver.max_indirect_segments,
            "ring_page_order": driver.max_ring_page_order,
        }
        return replace(self, **{name: usual[name] for name in usual.keys() - self.given.keys()})

    def _job(self) -> VbdJob:
        if self.mem == "granted" and not (self.persistent and self.trusted):
            raise OptionError("--mem=granted needs persistent grants and a trusted backend")
        job = VbdJob(
            **self.shared(),
            ring_page_order=self.ring_page_order,
            persistent=self.persistent,
            indirect=self.indirect,
            trusted=self.trusted,
            backend=self.backend,
            profile=self.profile,
        )
        self.check_fit(job)
        if job.backend == "qemu":
            self._check_qemu()
        return job

    def _check_qemu(self) -> None:
        """QEMU's limits, as options have them."""
        for name, value, fits in (
            ("store", "file", self.filename is not None),
            ("queues", "1", self.queues == 1),
            ("mem", "malloc", self.mem == "malloc"),
            ("abi", "x86_64 or x86_32", self.abi != "ia64"),
        ):
            if not fits:
                raise OptionError(f"--backend=qemu needs --{name} to be {value}")
