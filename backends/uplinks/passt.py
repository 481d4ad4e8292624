"""An uplink to the Internet without privileges: passt's socket."""

import logging
import os

from pvdrivers._core import lib
from pvdrivers.backends.owned import created
from pvdrivers.backends.uplinks.uplink import Uplink
from pvdrivers.ring.errors import UsageError
from pvdrivers.vnif.packet import packet_pool

log = logging.getLogger("pvdrivers.backends.uplinks")

MAX_PATH = 107  # bytes of a Unix socket's address


class PasstUplink(Uplink):
    """Frames to the passt (`passt --socket PATH`) that listens at `path`.

    passt may end and be started again: the uplink tries to connect once a second.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        encoded = os.fsencode(self.path)
        if not 0 < len(encoded) <= MAX_PATH:
            raise UsageError(
                f"passt socket {self.path!r}: a path of {len(encoded)} bytes, not 1 to {MAX_PATH}"
            )
        pointer = lib.pv_passt_uplink_create(packet_pool(), encoded)
        super().__init__(created(pointer, f"passt socket {self.path}"))
        if not self.connected:
            log.warning(
                "no passt listens at %s yet: `passt --socket %s` starts one; until then its guest "
                "has no network",
                self.path,
                self.path,
            )

    @property
    def connected(self) -> bool:
        """Whether passt was there at the last try."""
        return bool(lib.pv_passt_uplink_connected(self.pointer))

    def where(self) -> str:
        return f"{self.name} {self.path}"
