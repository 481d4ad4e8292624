"""The keys a toolstack writes for a new network device (xl-network-configuration, io/netif.h)."""

from pvdrivers.toolstack.devices import DeviceConfig
from pvdrivers.vnif.mac import default_mac, format_mac, parse_mac
from pvdrivers.vnif.rate import Rate

MTUS = range(68, 65522)
SCRIPTS = "/etc/xen/scripts/"  # where xl looks for a script


def vif_config(
    devid: int,
    frontend_domid: int,
    backend_domid: int = 0,
    *,
    mac: str | None = None,
    bridge: str = "",
    gatewaydev: str = "",
    script: str = "",
    ip: str = "",
    rate: str = "",
    mtu: int | None = None,
    vifname: str = "",
    kind: str = "vif",
    trusted: bool = True,
    domain_name: str | None = None,
    uuid: str | None = None,
) -> DeviceConfig:
    """A network device, in the words of xl; ValueError when one of them is not.

    mac: None for one in Xen's range that follows from `frontend_domid` and `devid`. script: such as
    vif-bridge; empty where the backend needs none. rate: such as 10Mb/s@20ms, of what the guest
    transmits. mtu: None for 1500, which is not written.
    """
    address = format_mac(parse_mac(mac)) if mac else default_mac(frontend_domid, devid)
    if mtu is not None and mtu not in MTUS:
        raise ValueError(f"mtu is {mtu}, {MTUS[0]} to {MTUS[-1]} can be")
    backend_keys = {"handle": str(devid), "mac": address, "type": kind, "bridge": bridge}
    frontend_keys = {"handle": str(devid), "mac": address, "trusted": str(int(trusted))}
    if script:
        backend_keys["script"] = script if script.startswith("/") else SCRIPTS + script
        backend_keys["hotplug-status"] = ""  # until the script writes `connected`
    if rate:
        backend_keys["rate"] = Rate.parse(rate).key
    if mtu is not None:
        backend_keys["mtu"] = frontend_keys["mtu"] = str(mtu)
    named = {"ip": ip, "gatewaydev": gatewaydev, "vifname": vifname}
    named |= {"domain": domain_name or "", "uuid": uuid or ""}
    backend_keys |= {key: value for key, value in named.items() if value}
    return DeviceConfig("vif", devid, frontend_domid, backend_domid, frontend_keys, backend_keys)
