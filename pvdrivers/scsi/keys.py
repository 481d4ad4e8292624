"""The xenstore keys of virtual SCSI hosts: written and read here, by both ends (io/vscsiif.h).

Nothing here does I/O. Readers take a table of keys, as read in one transaction, and raise PeerError
for what no correct peer writes. The exception is a LUN's directory, of which the toolstack is the
author: what is wrong there concerns that LUN alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pvdrivers.ring.errors import PeerError
from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.scsi.features import BackendFeatures
from pvdrivers.xenbus.keys import PROTOCOLS, Keys, QueueKeys, number
from pvdrivers.xenbus.states import XenbusState, parse_state

KIND = "vscsi"  # as in backend/vscsi and device/vscsi
SG_GRANT_KEY = "feature-sg-grant"
HOST_KEY = "feature-host"
FRONTEND_KEYS = ("protocol", *QueueKeys.names())
LUNS = "vscsi-devs"  # the directory with one for each LUN, in that of either end
_LARGEST_SG_GRANT = 0xFFFF


# ---- backend's keys ------------------------------------------------------------------------


def backend_keys(features: BackendFeatures) -> dict[str, str]:
    """What a backend publishes before InitWait."""
    return {SG_GRANT_KEY: str(features.sg_grant)} if features.sg_grant else {}


def read_backend(keys: Keys) -> BackendFeatures:
    """A backend's offer."""
    return BackendFeatures(sg_grant=number(keys, SG_GRANT_KEY, 0, _LARGEST_SG_GRANT))


def read_feature_host(keys: Keys) -> bool:
    """Whether the toolstack has given the guest a whole host."""
    return number(keys, HOST_KEY, 0) != 0


# ---- frontend's keys -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FrontendRing:
    """What a frontend publishes before Initialised."""

    protocol: str | None  # None: it does not say, as Linux does not
    queue: QueueKeys

    def keys(self) -> dict[str, str]:
        return ({"protocol": self.protocol} if self.protocol else {}) | self.queue.keys()

    @classmethod
    def read(cls, keys: Keys) -> "FrontendRing":
        protocol = keys.get("protocol")
        if protocol is not None and protocol not in PROTOCOLS:
            raise PeerError(f"protocol {protocol[:40]!r} is not known")
        return cls(protocol, QueueKeys.read(keys))


# ---- LUNs ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LunKeys:
    """A LUN as its directory at the backend describes it.

    `name`: of the directory, such as dev-0. `p_dev`: what the toolstack has put behind it, in the
    words of whoever serves it; empty: it does not say. `v_dev`: where the guest sees it; None: it
    does not say, or not in a way that can be read.
    """

    name: str
    state: XenbusState
    p_dev: str
    v_dev: ScsiAddress | None

    @staticmethod
    def names(name: str) -> list[str]:
        return [f"{LUNS}/{name}/{key}" for key in ("state", "p-dev", "v-dev")]

    @classmethod
    def read(cls, keys: Keys, name: str) -> "LunKeys":
        state, p_dev, v_dev = (keys.get(key) for key in cls.names(name))
        try:
            address = ScsiAddress.parse(v_dev or "")
        except ValueError:
            address = None
        return cls(name, parse_state(state), p_dev or "", address)


def lun_state_key(name: str) -> str:
    """Where either end publishes the state of the LUN in directory `name`."""
    return f"{LUNS}/{name}/state"


def lun_key_names(names: Iterable[str]) -> list[str]:
    return [key for name in names for key in LunKeys.names(name)]


def read_luns(keys: Keys, names: Sequence[str]) -> list[LunKeys]:
    """The LUNs in the directories `names` (the keys of `lun_key_names`)."""
    return [LunKeys.read(keys, name) for name in names]
