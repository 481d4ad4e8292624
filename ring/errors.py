"""The two ways in which a call can be wrong, kept apart everywhere in the project."""


class PeerError(Exception):
    """The other half broke the protocol: nothing on this ring or device can be believed any more.

    It is counted and the ring stops; it is never a reason to stop serving other guests.
    """


class UsageError(ValueError):
    """The caller of this library made a mistake."""
