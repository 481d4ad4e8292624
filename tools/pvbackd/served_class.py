"""What the daemon has to know of a device class that it serves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pvdrivers.backends.service import Service
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.poll.driver import PollDriver
from pvdrivers.tools.pvbackd.config import Config
from pvdrivers.xenstore.client import XenstoreClient

Status = dict[str, Any]  # of a device, as `status` tells it


class Family(NamedTuple):
    """Counters of one kind in the metrics: name and meaning, a label of their own, and by the
    label's value the field of the devices' statistics. `is_gauge`: they also go down."""

    name: str
    about: str
    label: str
    fields: dict[str, str]
    is_gauge: bool = False


class Column(NamedTuple):
    """Of the status table, to the right of a device's name and state."""

    title: str
    cell: Callable[[Status], str]
    is_number: bool = False


def counter(title: str, name: str) -> Column:
    """A column of a device's counter."""
    return Column(title, lambda device: str(device.get("counters", {}).get(name, "")), True)


class MakeService(Protocol):
    """A class's service."""

    def __call__(
        self,
        client: XenstoreClient,
        hypervisor: Hypervisor,
        options_for: Callable[[Any], Any],
        *,
        driver: PollDriver,
        state_directory: Path | None,
    ) -> Service[Any, Any]: ...


async def nothing(config: Config) -> None:
    """There is nothing to prepare."""


@dataclass(frozen=True, slots=True)
class ServedClass:
    kind: str
    service: MakeService
    options_for: Callable[[Config, Any], Any]
    """How a device is served by a configuration; None: not by us."""
    families: tuple[Family, ...]
    columns: tuple[Column, ...]
    prepare: Callable[[Config], Awaitable[None]] = nothing
    """Before the daemon goes by a configuration that is new."""

    def make_service(
        self,
        client: XenstoreClient,
        hypervisor: Hypervisor,
        config: Callable[[], Config],
        driver: PollDriver,
        state_directory: Path | None,
    ) -> Service[Any, Any]:
        """A service that asks `config` for every device: a reload changes what that returns."""
        return self.service(
            client,
            hypervisor,
            lambda device: self.options_for(config(), device),
            driver=driver,
            state_directory=state_directory,
        )
