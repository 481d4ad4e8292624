"""A whole virtual SCSI host on one machine, in any of a loopback's modes.

    with ScsiLoopback({"disk": ByteUnit}, mode="deterministic", seed=7) as loopback:
        loopback.run(scenario)

`pvdrivers.testing.loopback` says what a scenario and the modes are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pvdrivers.backends.device import DeviceContext
from pvdrivers.backends.scsi.host import HostConfig, ServeOptions
from pvdrivers.backends.scsi.service import ScsiService
from pvdrivers.backends.service import DeviceClass, PluggedDevice, Service
from pvdrivers.backends.targets.logical_unit import LogicalUnit
from pvdrivers.frontends.scsi.device import ScsiFrontend
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.ring.abi import Abi
from pvdrivers.ring.errors import UsageError
from pvdrivers.scsi.config import scsi_config
from pvdrivers.scsi.keys import KIND
from pvdrivers.testing.device_under_test import DeviceUnderTest, FrontendFactory
from pvdrivers.testing.loopback import Loopback
from pvdrivers.testing.scsi.pair import luns_of
from pvdrivers.testing.shared_cpus import SharedCpus
from pvdrivers.toolstack.devices import DeviceConfig
from pvdrivers.xenbus.device import BackendDevice
from pvdrivers.xenstore.client import XenstoreClient

Units = Mapping[str, Callable[[], LogicalUnit]]


class BackendFactory(Protocol):
    """Makes the driver of a host's backend, which does not own the units."""

    def __call__(
        self, context: DeviceContext, units: Mapping[str, LogicalUnit], /
    ) -> BackendDevice: ...


@dataclass(frozen=True, slots=True)
class ServeHosts:
    """Makes a service for dom0's hosts, which share the units that the backend's process makes.

    `make_backend`: None for the backend that the package has.
    """

    units: Units
    make_backend: BackendFactory | None

    def __call__(
        self, client: XenstoreClient, hypervisor: Hypervisor, state_directory: Path | None
    ) -> Service[Any, Any]:
        if self.make_backend:
            return self._serve_by(self.make_backend, client, hypervisor, state_directory)
        options = ServeOptions(self._open_unit)
        return ScsiService(
            client, hypervisor, lambda host: options, state_directory=state_directory
        )

    async def _open_unit(self, host: HostConfig, p_dev: str) -> LogicalUnit:
        if p_dev not in self.units:
            raise UsageError(f"{p_dev!r} is no unit here: there is {', '.join(self.units)}")
        return self.units[p_dev]()

    def _serve_by(
        self,
        make_backend: BackendFactory,
        client: XenstoreClient,
        hypervisor: Hypervisor,
        state_directory: Path | None,
    ) -> Service[PluggedDevice, bool]:
        units = {name: make() for name, make in self.units.items()}

        async def read(client: XenstoreClient, path: str) -> PluggedDevice:
            return PluggedDevice(path)

        async def make(context: DeviceContext, host: PluggedDevice, _: bool) -> BackendDevice:
            return make_backend(context, units)

        return Service(
            DeviceClass(KIND, read, make),
            client,
            hypervisor,
            lambda host: True,
            state_directory=state_directory,
        )


def host_under_test(
    units: Units | None,
    *,
    frontend: FrontendFactory = ScsiFrontend,
    backend: BackendFactory | None = None,
    daemon: Sequence[str] = (),
    **host: Any,
) -> DeviceUnderTest:
    """A host 0 as loopbacks and `pvdrivers.testing.checks` take it; `host` goes to `scsi_config`,
    whose LUNs are those of `luns_of` unless it names others."""

    def config(domid: int) -> DeviceConfig:
        return scsi_config(0, domid, **{"luns": luns_of(units or {}), **host})

    return DeviceUnderTest(
        config=config,
        frontend=frontend,
        serve=ServeHosts(units, backend) if units is not None else None,
        daemon=daemon,
    )


class ScsiLoopback(Loopback):
    """A virtual host between a backend in dom0 and a frontend in a guest."""

    def __init__(
        self,
        units: Units | None,
        *,
        mode: str = "loop",
        seed: int = 0,
        abi: Abi = Abi.X86_64,
        frontend: FrontendFactory = ScsiFrontend,
        backend: BackendFactory | None = None,
        daemon: Sequence[str] = (),
        guest_memory: int | str = "64M",
        trace: bool = False,
        cpus: SharedCpus | None = None,
        **host: Any,
    ) -> None:
        """`host` goes to `scsi_config`: luns, feature_host …

        `units`: what makes each logical unit, in the process of the backend, by the names that LUNs
        have as `p-dev`; picklable for mode processes. For mode deterministic their `may_block` is
        false, since a thread is not the seed's. The guest sees them at 0:0:0:0, 0:0:0:1 … in this
        order, unless `luns` says otherwise. `daemon` is a command that serves the hosts in
        place of `units`, such as pvbackd; see `DeviceUnderTest`.
        """
        device = host_under_test(units, frontend=frontend, backend=backend, daemon=daemon, **host)
        super().__init__(
            device,
            mode=mode,
            seed=seed,
            abi=abi,
            guest_memory=guest_memory,
            trace=trace,
            cpus=cpus,
        )
