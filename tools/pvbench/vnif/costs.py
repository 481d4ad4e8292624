"""What one packet cost in things that Xen charges for."""

from pvdrivers.tools.pvbench.report.accounts import averages
from pvdrivers.tools.pvbench.vnif.measurement import VnifResult


def per_packet(result: VnifResult) -> dict[str, float]:
    """Averages over the run, ramp included, by packets on rings: one that goes from guest to guest
    is on two. The suppressed notifications of the backend and the bytes it copied are averages over
    all that it carried."""
    front, back = result.front, result.back.stats
    return averages(
        front.front,
        back,
        front.front_accounts,
        front.back_accounts,
        done=front.front["tx_packets"] + front.front["rx_packets"],
        carried=back["tx_packets"] + back["rx_packets"],
    )
