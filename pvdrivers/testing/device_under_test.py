"""What a loopback needs to know of a device class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pvdrivers.backends.service import Service
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.toolstack.devices import DeviceConfig
from pvdrivers.xenbus.device import FrontendDevice
from pvdrivers.xenstore.client import XenstoreClient


class ServiceFactory(Protocol):
    """Makes the backend's service, in the process of the backend; picklable for mode processes.

    `state_directory` outlives the process: what a successor needs to take connections up. None in
    the modes whose backend cannot be killed.
    """

    def __call__(
        self, client: XenstoreClient, hypervisor: Hypervisor, state_directory: Path | None
    ) -> Service[Any, Any]: ...


class FrontendFactory(Protocol):
    """Makes the frontend's driver."""

    def __call__(
        self, client: XenstoreClient, path: str, hypervisor: Hypervisor
    ) -> FrontendDevice: ...


@dataclass(frozen=True, slots=True)
class DeviceUnderTest:
    """A device of any class: a loopback plugs one into each guest.

    `config` gives the keys that the toolstack writes for a frontend in this domid, with the backend
    in domain 0. `daemon` is a program that serves the devices instead of `serve`, in mode
    processes; it is given --machine=SOCKET and --xenstore=SOCKET.
    """

    config: Callable[[int], DeviceConfig]
    frontend: FrontendFactory
    serve: ServiceFactory | None = None
    daemon: Sequence[str] = ()
