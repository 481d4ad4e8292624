"""What connects the two stacks: a PV device (the guest's TAP, its netfront, rings, netback, the
backend's TAP), or a veth pair."""

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
from pvdrivers.tools.pvbench.vnif.real.namespaces import connect
from pvdrivers.tools.pvbench.vnif.real.network import PV, VETH, TwoStacks
from pvdrivers.tools.pvbench.vnif.xenbus import device_config, features
from pvdrivers.xenstore.client import XenstoreClient

INTERFACE = "pv0"  # the guest's
VIF = "vif1.0"


@contextmanager
def pv_device(
    job: VnifJob, stacks: TwoStacks, capture: Path | None = None
) -> Iterator[TapFrontend]:
    """The guest's end of a device as `job` has it, between the two stacks."""
    loop = stacks.loop
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
        below: Uplink = loop.call(
            TapUplink.open(VIF, queues=job.queues, namespace=stacks.host.name)
        )
        if capture:
            file = stack.enter_context(Capture(capture))
            below = CaptureUplink(file, below, VIF)
        uplink = stack.enter_context(below)
        tap = loop.call(TapUplink.open(INTERFACE, queues=job.queues, namespace=stacks.guest.name))
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
        stacks.configure(PV, INTERFACE, VIF, MACS["guest"])
        yield frontend


def _abort(loop: Loop, device: VnifBackend | TapFrontend) -> None:
    loop.call(device.abort())


async def _start(device: VnifBackend | TapFrontend) -> None:
    device.start()


@contextmanager
def veth_pair(stacks: TwoStacks) -> Iterator[None]:
    """Connects the two stacks by the kernel alone; it ends with them."""
    stacks.loop.call(connect(stacks.guest, stacks.host, "veth"))
    stacks.configure(VETH, "veth", "veth")
    yield
