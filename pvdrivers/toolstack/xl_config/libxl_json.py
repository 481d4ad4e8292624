"""A domain in the words of libxl's JSON, as `xl -N create FILE` prints a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pvdrivers.toolstack.xl_config.disk import DiskSpec
from pvdrivers.toolstack.xl_config.domain import DomainSpec
from pvdrivers.toolstack.xl_config.vif import VifSpec
from pvdrivers.toolstack.xl_config.vscsi import ScsiHostSpec
from pvdrivers.vnif.rate import Rate

Json = dict[str, Any]


def to_libxl(spec: DomainSpec, nodes: Sequence[Sequence[int]]) -> Json:
    """On a host whose NUMA node N has the CPUs `nodes[N]`. The defaults that libxl fills in when it
    creates the domain are there. What is empty is left out. `vscsi` is in words of our own."""
    actions = {f"on_{key}": _action(word) for key, word in asdict(spec.on).items()}
    return _without_empty(
        {
            "c_info": _create_info(spec),
            "b_info": _build_info(spec, nodes),
            "disks": [_disk(disk) for disk in spec.disks],
            "nics": [_nic(vif) for vif in spec.vifs],
            "vscsi": [_scsi_host(host) for host in spec.scsi_hosts],
            **actions,
        }
    )


def _create_info(spec: DomainSpec) -> Json:
    return _without_empty(
        {
            "type": spec.type,
            "name": spec.name,
            "uuid": str(spec.uuid or ""),
            "ssid_label": spec.init_seclabel,
            "pool_name": spec.cpu.pool,
            "driver_domain": str(spec.driver_domain),
        }
    )


def _build_info(spec: DomainSpec, nodes: Sequence[Sequence[int]]) -> Json:
    limits = asdict(spec.limits)
    event_channels = limits.pop("event_channels")
    ports = (
        {"serial": spec.serial[0]} if len(spec.serial) == 1 else {"serial_list": list(spec.serial)}
    )
    later = spec.seclabel if spec.seclabel != spec.init_seclabel else ""
    return _without_empty(
        {
            "max_vcpus": spec.maxvcpus,
            "avail_vcpus": list(range(spec.vcpus)),
            "vcpu_hard_affinity": [list(cpus.on(nodes)) for cpus in spec.cpu.hard],
            "vcpu_soft_affinity": [list(cpus.on(nodes)) for cpus in spec.cpu.soft],
            "max_memkb": spec.maxmem << 10,
            "target_memkb": spec.memory << 10,
            "exec_ssid_label": later,
            **{f"max_{key}": value for key, value in limits.items()},
            "sched_params": {"weight": spec.cpu.weight, "cap": spec.cpu.cap},
            "event_channels": event_channels,
            "kernel": spec.kernel,
            "cmdline": spec.cmdline,
            "ramdisk": spec.ramdisk,
            f"type.{spec.type}": ports if spec.serial else {},
        }
    )


def _disk(disk: DiskSpec) -> Json:
    return _without_empty(
        {
            "backend_domname": disk.backend,
            "pdev_path": disk.target,
            "vdev": disk.vdev,
            "backend": disk.backendtype,
            "format": disk.format,
            "script": disk.script,
            "removable": int(disk.cdrom),
            "readwrite": int(disk.writable),
            "is_cdrom": int(disk.cdrom),
            "direct_io_safe": disk.direct_io_safe,
            "discard_enable": str(disk.discard),
            "specification": disk.specification,
            "trusted": str(disk.trusted),
        }
    )


def _nic(vif: VifSpec) -> Json:
    rate = Rate.parse(vif.rate) if vif.rate else Rate()
    return _without_empty(
        {
            "backend_domname": vif.backend,
            "devid": vif.devid,
            "mtu": vif.mtu,
            "model": vif.model,
            "mac": vif.mac,
            "ip": vif.ip,
            "bridge": vif.bridge,
            "ifname": vif.vifname,
            "script": vif.script,
            "nictype": "vif_ioemu" if vif.kind == "ioemu" else vif.kind,
            "rate_bytes_per_interval": rate.bytes or None,
            "rate_interval_usecs": rate.usec or None,
            "gatewaydev": vif.gatewaydev,
            "trusted": str(vif.trusted),
        }
    )


def _scsi_host(host: ScsiHostSpec) -> Json:
    return _without_empty(
        {
            "backend_domname": host.backend,
            "devid": host.devid,
            "feature_host": host.whole,
            "devs": [{"p_dev": lun.p_dev, "v_dev": str(lun.v_dev)} for lun in host.luns],
        }
    )


def _action(word: str) -> str:
    return {"rename-restart": "restart_rename"}.get(word, word.replace("-", "_"))


def _without_empty(json: Json) -> Json:
    """Empty are texts, lists and what is not set; numbers, flags and records stand."""
    return {key: value for key, value in json.items() if value not in ("", [], None)}
