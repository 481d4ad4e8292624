"""The PV device between the two namespaces: a guest's TAP, its netfront, rings, netback, and the
backend's TAP."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from pvdrivers.backends.device import DeviceContext
from pvdrivers.backends.uplinks.pcapng import Capture, CaptureUplink
from pvdrivers.backends.uplinks.tap import TapUplink
from pvdrivers.backends.uplinks.uplink import Uplink
from pvdrivers.backends.vnif.device import VnifBackend, VnifBackendOptions
from pvdrivers.poll.threads import PollThreads
from pvdrivers.ring.abi import Abi
from pvdrivers.sim.machine import Machine
from pvdrivers.tools.pvbench.job.xenstore import Loop, Xenstore
from pvdrivers.tools.pvbench.vnif.halves import guest_memory
from pvdrivers.tools.pvbench.vnif.job import MACS, VnifJob
from pvdrivers.tools.pvbench.vnif.real.frontend import TapFrontend
from pvdrivers.tools.pvbench.vnif.real.namespaces import Namespace
from pvdrivers.tools.pvbench.vnif.xenbus import device_config, features
from pvdrivers.xenstore.client import XenstoreClient

INTERFACE = "pv0"  # the guest's
VIF = "vif1.0"


@contextmanager
def pv_device(
    job: VnifJob, guest: Namespace, host: Namespace, loop: Loop, capture: Path | None
) -> Iterator[TapFrontend]:
    """The guest's end of a device as `job` has it. The interfaces at its ends are not up yet."""
    memory = guest_memory(job)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pvbench-"))
        socket = os.path.join(folder, "xenstore")
        machine = stack.enter_context(Machine(memory + (64 << 20)))
        xenstore = stack.enter_context(closing(Xenstore(socket)))
        dom0 = machine.create_domain(memory="16M", privileged=True)
        domu = machine.create_domain(abi=Abi(job.abi), memory=memory)
        config = device_config(job, domu.domid, dom0.domid)
        xenstore.add(config)
        below: Uplink = loop.call(TapUplink.open(VIF, queues=job.queues, namespace=host.name))
        if capture:
            file = stack.enter_context(Capture(capture))
            below = CaptureUplink(file, below, VIF)
        uplink = stack.enter_context(below)
        tap = loop.call(TapUplink.open(INTERFACE, queues=job.queues, namespace=guest.name))
        stack.enter_context(tap)
        back = stack.enter_context(PollThreads(1, job.mode))
        front = stack.enter_context(PollThreads(1, job.mode))

        back_hypervisor = stack.enter_context(closing(machine.open_hypervisor(dom0.domid)))
        front_hypervisor = stack.enter_context(closing(machine.open_hypervisor(domu.domid)))
        context = DeviceContext(
            loop.call(XenstoreClient.connect(socket)), config.backend_path, back_hypervisor, back
        )
        backend = VnifBackend(context, uplink, VnifBackendOptions(max_queues=job.queues))
        frontend = TapFrontend(
            loop.call(XenstoreClient.connect(socket)),
            config.frontend_path,
            front_hypervisor,
            features(job),
            tap,
            front,
        )
        for device in (frontend, backend):
            stack.callback(_abort, loop, device)
            loop.call(_start(device))
        loop.call(frontend.connected())
        yield frontend


def _abort(loop: Loop, device: VnifBackend | TapFrontend) -> None:
    loop.call(device.abort())


async def _start(device: VnifBackend | TapFrontend) -> None:
    device.start()


GUEST_MAC = MACS["guest"]
