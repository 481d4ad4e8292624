"""A whole virtual block device on one machine, in any of a loopback's modes.

    with VbdLoopback(partial(RamStore, 1 << 20), mode="deterministic", seed=7) as loopback:
        loopback.run(scenario)

`pvdrivers.testing.loopback` says what a scenario and the modes are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from pvdrivers.backends.device import DeviceContext
from pvdrivers.backends.service import DeviceClass, Service
from pvdrivers.backends.stores.store import BlockStore
from pvdrivers.backends.vbd.device import VbdBackend, VbdBackendOptions
from pvdrivers.backends.vbd.disk import DiskConfig, read_disk
from pvdrivers.frontends.vbd.device import VbdFrontend
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.ring.abi import Abi
from pvdrivers.testing.device_under_test import DeviceUnderTest, FrontendFactory
from pvdrivers.testing.loopback import Loopback
from pvdrivers.testing.shared_cpus import SharedCpus
from pvdrivers.testing.vbd.dialects import FrontendDialect
from pvdrivers.testing.vbd.emulated import DialectFrontend
from pvdrivers.vbd.config import disk_config
from pvdrivers.xenbus.device import BackendDevice
from pvdrivers.xenstore.client import XenstoreClient


class BackendFactory(Protocol):
    """Makes the driver of a disk's backend, which does not own the store."""

    def __call__(
        self, context: DeviceContext, store: BlockStore, options: VbdBackendOptions, /
    ) -> BackendDevice: ...


@dataclass(frozen=True, slots=True)
class ServeDisks:
    """Makes a service for dom0's disks, all on one store, which the backend's process makes."""

    make_store: Callable[[], BlockStore]
    make_backend: BackendFactory
    options: VbdBackendOptions

    def __call__(
        self, client: XenstoreClient, hypervisor: Hypervisor, state_directory: Path | None
    ) -> Service[DiskConfig, VbdBackendOptions]:
        store = self.make_store()

        async def make(
            context: DeviceContext, disk: DiskConfig, options: VbdBackendOptions
        ) -> BackendDevice:
            return self.make_backend(context, store, options)

        return Service(
            DeviceClass("vbd", read_disk, make),
            client,
            hypervisor,
            lambda disk: self.options,
            state_directory=state_directory,
        )


def disk_under_test(
    make_store: Callable[[], BlockStore] | None,
    *,
    profile: FrontendDialect | None = None,
    frontend: FrontendFactory | None = None,
    backend: BackendFactory = VbdBackend,
    backend_options: VbdBackendOptions | None = None,
    daemon: Sequence[str] = (),
    **disk: Any,
) -> DeviceUnderTest:
    """A disk xvda as loopbacks and `pvdrivers.testing.checks` take it; `disk` goes to
    `disk_config`."""
    if frontend is None:
        frontend = partial(DialectFrontend, dialect=profile) if profile else VbdFrontend
    options = backend_options or VbdBackendOptions()
    return DeviceUnderTest(
        config=partial(disk_config, "xvda", **disk),
        frontend=frontend,
        serve=ServeDisks(make_store, backend, options) if make_store else None,
        daemon=daemon,
    )


class VbdLoopback(Loopback):
    """A disk between a backend in dom0 and a frontend in a guest."""

    def __init__(
        self,
        make_store: Callable[[], BlockStore] | None,
        *,
        mode: str = "loop",
        seed: int = 0,
        profile: FrontendDialect | None = None,
        abi: Abi | None = None,
        frontend: FrontendFactory | None = None,
        backend: BackendFactory = VbdBackend,
        backend_options: VbdBackendOptions | None = None,
        daemon: Sequence[str] = (),
        guest_memory: int | str = "64M",
        trace: bool = False,
        cpus: SharedCpus | None = None,
        **disk: Any,
    ) -> None:
        """`disk` goes to `disk_config`: writable, cdrom, trusted, discard, kind, params …

        `make_store` makes the store that all disks are served from, in the process of the backend;
        picklable for mode processes. `profile`: the guest's driver, one of `dialects.PROFILES`,
        which also says the ABI; or `frontend` makes another driver. `daemon` is a command that
        serves the disks in place of `make_store`, such as pvbackd; see `DeviceUnderTest`.
        """
        device = disk_under_test(
            make_store,
            profile=profile,
            frontend=frontend,
            backend=backend,
            backend_options=backend_options,
            daemon=daemon,
            **disk,
        )
        usual = profile.abi if profile else Abi.X86_64
        super().__init__(
            device,
            mode=mode,
            seed=seed,
            abi=usual if abi is None else abi,
            guest_memory=guest_memory,
            trace=trace,
            cpus=cpus,
        )
