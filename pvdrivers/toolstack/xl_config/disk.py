"""A disk as a configuration file has it (xl-disk-configuration(5))."""

from __future__ import annotations

from dataclasses import dataclass

from pvdrivers.ring.errors import UsageError
from pvdrivers.toolstack.devices import DeviceConfig
from pvdrivers.vbd.config import disk_config
from pvdrivers.vbd.numbering import name_of

FORMATS = ("raw", "qcow", "qcow2", "vhd", "qed", "empty")
BACKENDTYPES = ("phy", "qdisk", "tap", "standalone")
SPECIFICATIONS = ("xen", "virtio")


@dataclass(frozen=True, slots=True)
class DiskSpec:
    """`vdev`: as it is written: xvda, sdb1, d0p1 or a number. `backend`: a domain's name, "" for
    dom0. `backendtype`: "" for whatever suits. `script`: "" for none."""

    target: str
    vdev: str
    format: str = "raw"
    writable: bool = True
    cdrom: bool = False
    backend: str = ""
    backendtype: str = ""
    script: str = ""
    direct_io_safe: bool = False
    discard: bool = True
    trusted: bool = True
    specification: str = "xen"

    @property
    def name(self) -> str:
        """The disk's in the guest. ValueError: `vdev` is no disk's."""
        if not self.vdev[:1].isdigit():
            return self.vdev
        try:
            return name_of(int(self.vdev, 0))
        except ValueError:
            raise ValueError(f"{self.vdev!r} is not the number of a virtual disk") from None

    @property
    def params(self) -> str:
        """The path of what is behind it."""
        return (
            self.target if self.target.startswith("/") or not self.target else f"/dev/{self.target}"
        )

    def device(
        self, frontend_domid: int, backend_domid: int = 0, *, domain_name: str | None = None
    ) -> DeviceConfig:
        """What a toolstack writes for it. UsageError: it asks for what pvbackd does not do."""
        if self.format not in ("raw", "empty"):
            raise UsageError(
                f"disk {self.vdev} has format {self.format}, raw images can be served: convert it, "
                "as by qemu-img convert -O raw"
            )
        if self.script:
            raise UsageError(
                f"disk {self.vdev} needs the script {self.script[:40]!r}, none are run here"
            )
        if self.specification != "xen":
            raise UsageError(f"disk {self.vdev} is for virtio, specification=xen can be")
        device = self.backendtype == "phy" or self.params.startswith("/dev/")
        return disk_config(
            self.name,
            frontend_domid,
            backend_domid,
            params=self.params,
            kind="qdisk" if self.backendtype == "qdisk" else "phy" if device else "file",
            writable=self.writable,
            cdrom=self.cdrom,
            trusted=self.trusted,
            discard=self.discard,
            direct_io_safe=self.direct_io_safe,
            domain_name=domain_name,
        )
