"""What Xen would have charged for, in all and for each operation."""

from collections.abc import Mapping

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


def hypercalls(accounts: Mapping[str, int]) -> int:
    """Of one domain."""
    return sum(accounts[kind] for kind in HYPERCALLS)


def averages(
    frontend: Mapping[str, int],
    backend: Mapping[str, int],
    front_accounts: Mapping[str, int],
    back_accounts: Mapping[str, int],
    *,
    done: int,
    carried: int,
) -> dict[str, float]:
    """For each of `done` operations. The backend counts more than those, `carried`: the suppressed
    notifications and the bytes copied are averages over these."""
    done, carried = max(done, 1), max(carried, 1)
    return {
        "front_notifications_sent": frontend["notifications_sent"] / done,
        "front_notifications_suppressed": frontend["notifications_suppressed"] / done,
        "back_notifications_sent": back_accounts["evtchn_send"] / done,
        "back_notifications_suppressed": backend["notifications_suppressed"] / carried,
        "grant_maps": back_accounts["grants_mapped"] / done,
        "grant_copies": back_accounts["grants_copied"] / done,
        "front_bytes_copied": frontend["bytes_copied"] / done,
        "back_bytes_copied": backend["bytes_copied"] / carried,
        "hypercalls": (hypercalls(front_accounts) + hypercalls(back_accounts)) / done,
    }
