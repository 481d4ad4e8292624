"""Bytes on shared pages: the guest ABIs, the halves of a shared ring, and the C core."""

from pvdrivers.ring.abi import Abi, Layout, layout
from pvdrivers.ring.errors import PeerError, UsageError
from pvdrivers.ring.rings import BackRing, FrontRing

__all__ = ["Abi", "BackRing", "FrontRing", "Layout", "PeerError", "UsageError", "layout"]
