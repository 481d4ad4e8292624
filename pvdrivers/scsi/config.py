"""What a toolstack writes for a new virtual SCSI host and its LUNs (io/vscsiif.h, libxl)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.scsi.keys import HOST_KEY, KIND, LUNS
from pvdrivers.toolstack.devices import DeviceConfig
from pvdrivers.xenbus.states import XenbusState


@dataclass(frozen=True, slots=True)
class LunConfig:
    """A LUN to be plugged in.

    `p_dev`: what is behind it, as the backend knows it: `0:0:1:0`, `naa.50014051:0`, a name.
    `v_dev`: where the guest sees it. `p_devname`: what the person who configured it called it.
    """

    p_dev: str
    v_dev: ScsiAddress
    p_devname: str = ""

    def keys(self, name: str) -> dict[str, str]:
        """Of the backend, for a LUN in the directory `name`."""
        keys = {
            "p-dev": self.p_dev,
            "p-devname": self.p_devname or self.p_dev,
            "v-dev": str(self.v_dev),
            "state": str(int(XenbusState.INITIALISING)),
        }
        return {f"{LUNS}/{name}/{key}": value for key, value in keys.items()}


def scsi_config(
    devid: int,
    frontend_domid: int,
    backend_domid: int = 0,
    *,
    luns: Sequence[LunConfig] = (),
    feature_host: bool = False,
    domain_name: str | None = None,
) -> DeviceConfig:
    """A virtual host whose LUNs are in the directories dev-0, dev-1 …

    `feature_host`: the guest gets all LUNs that the host behind it has.
    """
    backend_keys = {HOST_KEY: str(int(feature_host))}
    for number, lun in enumerate(luns):
        backend_keys |= lun.keys(f"dev-{number}")
    if domain_name is not None:
        backend_keys["domain"] = domain_name
    frontend_keys: Mapping[str, str] = {}
    return DeviceConfig(KIND, devid, frontend_domid, backend_domid, frontend_keys, backend_keys)
