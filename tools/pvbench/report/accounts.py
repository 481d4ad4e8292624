"""What Xen would have charged for."""

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
