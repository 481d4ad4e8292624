"""What one request cost in things that Xen charges for."""

from pvdrivers.tools.pvbench.fio.measurement import FioResult
from pvdrivers.tools.pvbench.report.accounts import hypercalls


def per_request(result: FioResult) -> dict[str, float]:
    """Averages over the measured run, ramp included. The suppressed notifications of the backend
    and the bytes it copied are averages over all that was asked of it."""
    front, back = result.front, result.back.stats
    requests = max(front.front["responses"], 1)
    answered = max(back["responses"], 1)
    accounts = front.back_accounts
    calls = hypercalls(front.front_accounts) + hypercalls(accounts)
    return {
        "front_notifications_sent": front.front["notifications_sent"] / requests,
        "front_notifications_suppressed": front.front["notifications_suppressed"] / requests,
        "back_notifications_sent": accounts["evtchn_send"] / requests,
        "back_notifications_suppressed": back["notifications_suppressed"] / answered,
        "grant_maps": accounts["grants_mapped"] / requests,
        "grant_copies": accounts["grants_copied"] / requests,
        "front_bytes_copied": front.front["bytes_copied"] / requests,
        "back_bytes_copied": back["bytes_copied"] / answered,
        "hypercalls": calls / requests,
    }
