"""How the daemon serves virtual network devices, and what it tells of them."""

from __future__ import annotations

from pvdrivers.backends.uplinks import netlink
from pvdrivers.backends.vnif.service import VnifService
from pvdrivers.daemon_threads import in_daemon_thread
from pvdrivers.tools.pvbackd.config import Config
from pvdrivers.tools.pvbackd.served_class import Column, Family, ServedClass, counter
from pvdrivers.tools.pvbackd.uplinks import Tap


async def prepare(config: Config) -> None:
    """What interfaces take is loaded before a guest waits, and off the loop."""
    if any(isinstance(rule.uplink, Tap) for rule in config.vif):
        await in_daemon_thread(netlink.load)


VIF = ServedClass(
    "vif",
    VnifService,
    Config.vif_options,
    (
        Family(
            "pv_vif_packets",
            "Packets passed.",
            "direction",
            {"tx": "tx_packets", "rx": "rx_packets"},
        ),
        Family(
            "pv_vif_bytes", "Bytes of these.", "direction", {"tx": "tx_bytes", "rx": "rx_bytes"}
        ),
        Family(
            "pv_vif_gso_packets",
            "Packets of several segments.",
            "direction",
            {"tx": "tx_gso", "rx": "rx_gso"},
        ),
        Family("pv_vif_tx_errors", "Packets of a frontend not passed on.", "", {"": "tx_errors"}),
        Family(
            "pv_vif_rx_dropped", "Packets for a guest that had no room.", "", {"": "rx_dropped"}
        ),
        Family("pv_vif_rx_filtered", "Multicast no guest asked for.", "", {"": "rx_filtered"}),
        Family(
            "pv_vif_rx_stalls", "Times a guest had no rx buffers for long.", "", {"": "rx_stalls"}
        ),
        Family("pv_vif_throttled", "Times tx waited for its rate.", "", {"": "throttled"}),
        Family("pv_vif_errors", "What frontends do wrong on their rings.", "", {"": "errors"}),
    ),
    (
        Column("UPLINK", lambda device: str(device.get("uplink", "")).strip("<>")),
        Column("MAC", lambda device: str(device.get("mac", ""))),
        counter("TX", "tx_packets"),
        counter("RX", "rx_packets"),
        counter("TX ERRORS", "tx_errors"),
        counter("RX DROPPED", "rx_dropped"),
    ),
    prepare,
)
