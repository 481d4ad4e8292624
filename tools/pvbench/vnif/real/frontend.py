"""A guest's device whose packets come from and go to the kernel, by way of a TAP."""

import os
from dataclasses import replace
from typing import Any

from pvdrivers._core import ffi, lib
from pvdrivers.backends.uplinks.uplink import Uplink, UplinkOffloads
from pvdrivers.frontends.vnif.device import VnifFrontend
from pvdrivers.frontends.vnif.queue import VnifQueue
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.poll.threads import PollThreads
from pvdrivers.vnif.features import FrontendFeatures, Offloads
from pvdrivers.vnif.packet import packet_pool
from pvdrivers.xenstore.client import XenstoreClient


def _kernel_offloads(agreed: Offloads) -> Offloads:
    """What the guest's kernel may leave undone: checksums of both versions of IP, or none. A ring
    carries nothing else than agreed."""
    if not (agreed.csum_ipv4 and agreed.csum_ipv6):
        agreed = replace(agreed, csum_ipv4=False, csum_ipv6=False)
    return agreed & agreed  # no GSO without checksums


class TapFrontend(VnifFrontend):
    """`uplink` is the guest's stack."""

    def __init__(
        self,
        client: XenstoreClient,
        path: str,
        hypervisor: Hypervisor,
        features: FrontendFeatures,
        uplink: Uplink,
        threads: PollThreads,
    ) -> None:
        """`threads`: one, since the queues share a handle of event channels."""
        super().__init__(client, path, hypervisor, features)
        self.uplink = uplink
        self._threads = threads
        self._stacks: list[Any] = []

    @property
    def refused(self) -> int:
        """Packets of the stack that the rings cannot carry."""
        return sum(int(lib.pv_guest_stack_refused(stack)) for stack in self._stacks)

    def serve(self) -> None:
        self.uplink.set_rx_offloads(UplinkOffloads.of(_kernel_offloads(self._agreed.offloads)))
        for queue in self.queues:
            if isinstance(queue, VnifQueue):
                self._serve(queue)
        self.uplink.set_carrier(len(self._stacks))

    def _serve(self, queue: VnifQueue) -> None:
        config = {
            "hypervisor": self.hypervisor.cdata,
            "evtchn": self.channels.cdata,
            "front": queue.pointer,
            "uplink": self.uplink.pointer,
            "pool": packet_pool(),
            "queue": queue.index,
        }
        stack = lib.pv_guest_stack_create(ffi.new("struct pv_guest_stack_config *", config))
        if stack == ffi.NULL:
            raise OSError(ffi.errno, f"no stack: {os.strerror(ffi.errno)}")
        self._stacks.append(stack)
        self._threads.add(lib.pv_guest_stack_pollable(stack))

    async def disconnect(self) -> None:
        stacks, self._stacks = self._stacks, []
        for stack in stacks:
            self._threads.remove(lib.pv_guest_stack_pollable(stack))
            lib.pv_guest_stack_destroy(stack)
        if stacks:
            self.uplink.set_carrier(0)
        await super().disconnect()
