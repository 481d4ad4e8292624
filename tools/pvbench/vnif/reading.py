"""What is read from a result in every report."""

from pvdrivers.tools.pvbench.vnif.measurement import VnifResult


def seconds(result: VnifResult) -> float:
    return result.front.elapsed_ns / 1e9 or 1.0


def tx_dropped(result: VnifResult) -> int:
    """Packets of guests that the backend did not pass on, from connection to end."""
    stats = result.back.stats
    return stats["tx_errors"] + stats["uplink_tx_dropped"]


def rx_dropped(result: VnifResult) -> int:
    """Packets for guests that the backend had no room for, or could not give, from connection to
    end."""
    stats = result.back.stats
    return stats["rx_dropped"] + stats["rx_grant_errors"] + stats["uplink_rx_dropped"]
