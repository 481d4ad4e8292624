"""The two kinds of trouble a driver can have, kept apart: the other end's and its own user's."""


class PeerError(Exception):
    """The other end broke the protocol. It costs that end its device, and nothing else."""


class DeviceError(Exception):
    """A driver was asked for what it cannot do: not connected, out of range, not offered."""
