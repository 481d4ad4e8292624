"""Guests that compute under Xen's credit scheduler."""

from __future__ import annotations

from scheduling import compare
from serve import Lab
from step import on_request


@on_request
async def credit_shares(lab: Lab) -> None:
    """Weights and caps, as `xl sched-credit` sets them."""
    await compare("credit")
