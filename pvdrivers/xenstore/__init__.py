"""xenstore: wire codec, store, servers and the asyncio client."""

from pvdrivers.xenstore.client import Transaction, Watch, XenstoreClient
from pvdrivers.xenstore.errors import ProtocolError, XenstoreError
from pvdrivers.xenstore.permissions import Access, Permission
from pvdrivers.xenstore.quotas import QUOTAS, Quotas
from pvdrivers.xenstore.store import XenStore

__all__ = [
    "QUOTAS",
    "Access",
    "Permission",
    "ProtocolError",
    "Quotas",
    "Transaction",
    "Watch",
    "XenStore",
    "XenstoreClient",
    "XenstoreError",
]
