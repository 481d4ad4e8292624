"""SCSI devices as xend's configuration files had them: `PDEV,VDEV[,DOM]`. xl knows none.

Devices whose VDEV begins with the same number are LUNs of one virtual host, which has that number
as its device id. With `host` for VDEV the guest gets the whole host that PDEV is a LUN of.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.scsi.config import LunConfig, scsi_config
from pvdrivers.toolstack.devices import DeviceConfig
from pvdrivers.toolstack.xl_config.text import Atom

WHOLE = "host"
SYNTAX = "PDEV,VDEV or PDEV,VDEV,DOMAIN, where VDEV is H:C:T:L or host"


@dataclass(frozen=True, slots=True)
class ScsiHostSpec:
    """A virtual host. `backend`: a domain's name, "" for dom0. `whole`: the guest gets the host
    with this number behind it, of which `luns` has those that the file names."""

    devid: int
    luns: tuple[LunConfig, ...]
    backend: str = ""
    whole: bool = False

    def device(
        self, frontend_domid: int, backend_domid: int = 0, *, domain_name: str | None = None
    ) -> DeviceConfig:
        """What a toolstack writes for it."""
        return scsi_config(
            self.devid,
            frontend_domid,
            backend_domid,
            luns=self.luns,
            feature_host=self.whole,
            domain_name=domain_name,
        )


def parse_vscsi(atoms: Iterable[Atom]) -> tuple[ScsiHostSpec, ...]:
    """The hosts of all the devices. ConfigError: one of them is none, or does not suit another."""
    hosts: dict[int, ScsiHostSpec] = {}
    taken: set[str] = set()
    for atom in atoms:
        devid, lun, backend, whole = _parse(atom)
        for what in (f"PDEV {lun.p_dev}", f"VDEV {lun.v_dev}"):
            if what in taken:
                raise atom.error(f"{what} is there twice in vscsi")
            taken.add(what)
        host = hosts.get(devid, ScsiHostSpec(devid, (), backend, whole))
        if (host.backend, host.whole) != (backend, whole):
            raise atom.error(
                f"host {devid} has devices of different backend domains, or is both a whole host "
                "and one of single devices"
            )
        hosts[devid] = ScsiHostSpec(devid, (*host.luns, lun), backend, whole)
    return tuple(hosts.values())


def _parse(atom: Atom) -> tuple[int, LunConfig, str, bool]:
    words = [word.strip() for word in atom.text.split(",")]
    if len(words) not in (2, 3) or not all(words):
        raise atom.error(f"found {atom.text[:60]!r}: write {SYNTAX}")
    p_dev, v_dev, *domain = words
    whole = v_dev == WHOLE
    try:
        address = ScsiAddress.parse(p_dev if whole else v_dev)
    except ValueError as error:
        what = "PDEV of a whole host" if whole else "VDEV"
        raise atom.error(f"{what}: {error}, or write {SYNTAX}") from None
    return address.host, LunConfig(p_dev, address), domain[0] if domain else "", whole
