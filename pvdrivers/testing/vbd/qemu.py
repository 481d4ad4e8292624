"""QEMU's own block backend (xen-block, in xl's words qdisk) as the peer of a frontend.

    async with QemuLoopback(machine, guest, "disk.img") as disk:
        await disk.frontend.write(0, b"x" * 512)

`pvdrivers.testing.qemu` says what QEMU is given.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from typing import Any

from pvdrivers.frontends.vbd.device import VbdFrontend
from pvdrivers.sim import Domain, Machine
from pvdrivers.testing.qemu import QemuDevice
from pvdrivers.vbd.config import disk_config
from pvdrivers.vbd.features import FrontendFeatures
from pvdrivers.xenbus.states import XenbusState
from pvdrivers.xenstore.client import XenstoreClient


class QemuLoopback(QemuDevice[VbdFrontend]):
    """A file that QEMU serves to a frontend in `guest`."""

    def __init__(
        self,
        machine: Machine,
        guest: Domain,
        image: str | os.PathLike[str],
        *,
        name: str = "xvda",
        features: FrontendFeatures | None = None,
        arguments: Sequence[str] = (),
        **disk: Any,
    ) -> None:
        """`disk`: what `disk_config` takes beside (cdrom, discard ...); `arguments`: QEMU's."""
        params = f"aio:{os.path.abspath(image)}"
        config = disk_config(name, guest.domid, kind="qdisk", params=params, **disk)
        super().__init__(machine, guest, config, arguments)
        self.features = features

    def make_frontend(self, client: XenstoreClient) -> VbdFrontend:
        path, hypervisor = self.config.frontend_path, self.guest.hypervisor
        return VbdFrontend(client, path, hypervisor, self.features)

    async def kill_and_restart(self) -> None:
        """SIGKILL, and another QEMU on the same disk.

        QEMU takes up no device that is connected already, so the toolstack sends the backend's
        state back to Initialising, where a backend starts and a frontend starts over.
        """
        await self.qemu.stop(signal.SIGKILL)
        await self.toolstack.write(f"/local/domain/0/device-model/{self.guest.domid}/state", "")
        await self.qemu.start()
        state = f"{self.config.backend_path}/state"
        await self.toolstack.write(state, str(int(XenbusState.INITIALISING)))
