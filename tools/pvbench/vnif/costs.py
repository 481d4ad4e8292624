"""What one packet cost in things that Xen charges for."""

from pvdrivers.tools.pvbench.report.accounts import hypercalls
from pvdrivers.tools.pvbench.vnif.measurement import VnifResult


def per_packet(result: VnifResult) -> dict[str, float]:
    """Averages over the run, ramp included, by packets on rings: one that goes from guest to guest
    is on two. The suppressed notifications of the backend and the bytes it copied are averages over
    all that it carried."""
    front, back = result.front, result.back.stats
    packets = max(front.front["tx_packets"] + front.front["rx_packets"], 1)
    carried = max(back["tx_packets"] + back["rx_packets"], 1)
    accounts = front.back_accounts
    calls = hypercalls(front.front_accounts) + hypercalls(accounts)
    return {
        "front_notifications_sent": front.front["notifications_sent"] / packets,
        "front_notifications_suppressed": front.front["notifications_suppressed"] / packets,
        "back_notifications_sent": accounts["evtchn_send"] / packets,
        "back_notifications_suppressed": back["notifications_suppressed"] / carried,
        "grant_maps": accounts["grants_mapped"] / packets,
        "grant_copies": accounts["grants_copied"] / packets,
        "front_bytes_copied": front.front["bytes_copied"] / packets,
        "back_bytes_copied": back["bytes_copied"] / carried,
        "hypercalls": calls / packets,
    }
