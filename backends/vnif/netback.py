"""What the queues of one connection share: the data plane's vif, in C."""

import os
from typing import Any

from pvdrivers._core import ffi, lib
from pvdrivers.backends.uplinks.uplink import Uplink
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.ring.abi import Abi
from pvdrivers.vnif.features import Offloads
from pvdrivers.vnif.rate import Rate


class Netback:
    """Holds a `struct pv_netback_vif *`. The uplink knows of the guest as long as it is open."""

    def __init__(
        self,
        hypervisor: Hypervisor,
        frontend: int,
        abi: Abi,
        uplink: Uplink,
        offloads: Offloads,
        fields: dict[str, Any],
    ) -> None:
        """`fields`: more of `struct pv_netback_vif_config`. OSError: there is no room for it."""
        self.abi = abi
        self.uplink = uplink
        config = {
            "hypervisor": hypervisor.cdata,
            "frontend": frontend,
            "abi": abi,
            "uplink": uplink.pointer,
            "sg": offloads.sg,
            "gso_tcpv4": offloads.gso_tcpv4,
            "gso_tcpv6": offloads.gso_tcpv6,
            "csum_ipv4": offloads.csum_ipv4,
            "csum_ipv6": offloads.csum_ipv6,
            **fields,
        }
        self.pointer = lib.pv_netback_vif_create(ffi.new("struct pv_netback_vif_config *", config))
        if self.pointer == ffi.NULL:
            raise OSError(ffi.errno, f"no vif: {os.strerror(ffi.errno)}")

    def set_uplink(self, uplink: Uplink) -> None:
        """Goes on with another one, while its queues are closed. What the guest has told it
        stays."""
        lib.pv_netback_vif_set_uplink(self.pointer, uplink.pointer)
        old, self.uplink = self.uplink, uplink
        old.set_carrier(0)

    def set_rate(self, rate: Rate) -> None:
        lib.pv_netback_vif_set_rate(self.pointer, rate.bytes, rate.usec)

    def set_multicast_control(self, enabled: bool) -> None:
        lib.pv_netback_vif_set_multicast_control(self.pointer, enabled)

    def set_xdp_headroom(self, headroom: int) -> None:
        lib.pv_netback_vif_set_xdp_headroom(self.pointer, headroom)

    @property
    def stalled(self) -> bool:
        """Whether packets wait for the guest to post buffers, too long, on every queue."""
        return bool(lib.pv_netback_vif_stalled(self.pointer))

    def close(self) -> None:
        """Its queues are closed already."""
        lib.pv_netback_vif_destroy(self.pointer)
