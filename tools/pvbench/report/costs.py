"""What one request cost in things that Xen charges for."""

from pvdrivers.tools.pvbench.job.measurement import Result

# Accounts that count hypercalls, as against what was done in them.
HYPERCALLS = (
    "evtchn_send",
    "evtchn_other",
    "gnttab_map_call",
    "gnttab_unmap_call",
    "gnttab_copy_call",
    "gnttab_other",
    "memory_op",
)


def per_request(result: Result) -> dict[str, float]:
    """Averages over the measured run, ramp included. The suppressed notifications of the backend
    and the bytes it copied are averages over all that was asked of it."""
    front, back = result.front, result.back.stats
    requests = max(front.front["responses"], 1)
    answered = max(back["responses"], 1)
    accounts = front.back_accounts
    hypercalls = sum(front.front_accounts[kind] + accounts[kind] for kind in HYPERCALLS)
    return {
        "front_notifications_sent": front.front["notifications_sent"] / requests,
        "front_notifications_suppressed": front.front["notifications_suppressed"] / requests,
        "back_notifications_sent": accounts["evtchn_send"] / requests,
        "back_notifications_suppressed": back["notifications_suppressed"] / answered,
        "grant_maps": accounts["grants_mapped"] / requests,
        "grant_copies": accounts["grants_copied"] / requests,
        "front_bytes_copied": front.front["bytes_copied"] / requests,
        "back_bytes_copied": back["bytes_copied"] / answered,
        "hypercalls": hypercalls / requests,
    }
