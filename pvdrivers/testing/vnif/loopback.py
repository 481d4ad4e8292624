"""A whole virtual network device on one machine, in any of a loopback's modes.

    with VnifLoopback(HairpinUplink, mode="deterministic", seed=7) as loopback:
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
from pvdrivers.backends.uplinks.uplink import Uplink
from pvdrivers.backends.vnif.device import VnifBackend, VnifBackendOptions
from pvdrivers.backends.vnif.vif import VifConfig, read_vif
from pvdrivers.frontends.vnif.device import VnifFrontend
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.ring.abi import Abi
from pvdrivers.testing.device_under_test import DeviceUnderTest, FrontendFactory
from pvdrivers.testing.loopback import Loopback
from pvdrivers.testing.shared_cpus import SharedCpus
from pvdrivers.testing.vnif.profiles import Profile, ProfileFrontend
from pvdrivers.vnif.config import vif_config
from pvdrivers.xenbus.device import BackendDevice
from pvdrivers.xenstore.client import XenstoreClient


class BackendFactory(Protocol):
    """Makes the driver of a vif's backend."""

    def __call__(
        self, context: DeviceContext, uplink: Uplink, options: VnifBackendOptions, /
    ) -> BackendDevice: ...


class OwningBackend(VnifBackend):
    """Closes its uplink when the device is gone."""

    async def removed(self) -> None:
        await super().removed()  # no queue may be left on the uplink
        self.uplink.close()


@dataclass(frozen=True, slots=True)
class ServeVifs:
    """Makes a service for dom0's vifs, each on an uplink of its own."""

    make_uplink: Callable[[], Uplink]
    make_backend: BackendFactory
    options: VnifBackendOptions

    def __call__(
        self, client: XenstoreClient, hypervisor: Hypervisor, state_directory: Path | None
    ) -> Service[VifConfig, VnifBackendOptions]:
        async def make(
            context: DeviceContext, vif: VifConfig, options: VnifBackendOptions
        ) -> BackendDevice:
            return self.make_backend(context, self.make_uplink(), options)

        return Service(
            DeviceClass("vif", read_vif, make),
            client,
            hypervisor,
            lambda vif: self.options,
            state_directory=state_directory,
        )


def vif_under_test(
    make_uplink: Callable[[], Uplink] | None,
    *,
    profile: Profile | None = None,
    frontend: FrontendFactory | None = None,
    backend: BackendFactory = OwningBackend,
    backend_options: VnifBackendOptions | None = None,
    daemon: Sequence[str] = (),
    **vif: Any,
) -> DeviceUnderTest:
    """A vif 0 as loopbacks and `pvdrivers.testing.checks` take it; `vif` goes to `vif_config`."""
    if frontend is None:
        frontend = partial(ProfileFrontend, profile=profile) if profile else VnifFrontend
    options = backend_options or VnifBackendOptions()
    return DeviceUnderTest(
        config=partial(vif_config, 0, **vif),
        frontend=frontend,
        serve=ServeVifs(make_uplink, backend, options) if make_uplink else None,
        daemon=daemon,
    )


class VnifLoopback(Loopback):
    """A network device between a backend in dom0 and a frontend in a guest."""

    def __init__(
        self,
        make_uplink: Callable[[], Uplink] | None,
        *,
        mode: str = "loop",
        seed: int = 0,
        profile: Profile | None = None,
        abi: Abi | None = None,
        frontend: FrontendFactory | None = None,
        backend: BackendFactory = OwningBackend,
        backend_options: VnifBackendOptions | None = None,
        daemon: Sequence[str] = (),
        guest_memory: int | str = "64M",
        trace: bool = False,
        cpus: SharedCpus | None = None,
        **vif: Any,
    ) -> None:
        """`vif` goes to `vif_config`: mac, mtu, rate, trusted …

        `make_uplink` makes the uplink of each vif, in the process of the backend, which closes it;
        picklable for mode processes. `profile`: the guest's driver, which also says the ABI; or
        `frontend` makes another driver. `daemon` is a command that serves the vifs in place of
        `make_uplink`, such as pvbackd; see `DeviceUnderTest`.
        """
        device = vif_under_test(
            make_uplink,
            profile=profile,
            frontend=frontend,
            backend=backend,
            backend_options=backend_options,
            daemon=daemon,
            **vif,
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
