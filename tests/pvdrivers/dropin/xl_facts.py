"""What Debian's xl says of a configuration file, and what ours says, in the same words."""

from typing import Any

from pvdrivers.ring.errors import UsageError
from pvdrivers.toolstack.xl_config.disk_spec import parse_disk
from pvdrivers.toolstack.xl_config.domain import DomainSpec
from pvdrivers.toolstack.xl_config.libxl_json import to_libxl
from pvdrivers.toolstack.xl_config.reader import parse_config
from pvdrivers.toolstack.xl_config.text import Atom
from pvdrivers.toolstack.xl_config.vif import VifSpec, parse_vif

from .conftest import DryRunXl

NODES = [(0, 1), (2, 3)]
BASE = 'name="a"\nkernel="k"\n'

# What libxl fills in when it creates the domain, but not yet for `xl -N create`.
DISK = {"removable": 0, "readwrite": 0, "is_cdrom": 0, "direct_io_safe": False}
DISK |= {"specification": "xen", "trusted": "True"}
COLO = ("colo_enable", "colo_host", "colo_port", "colo_export", "active_disk", "hidden_disk")
NIC = {"mtu": 1500, "model": "rtl8139", "bridge": "xenbr0", "script": "vif-bridge"}
NIC |= {"trusted": "True"}
BUILD = {"max_vcpus": 1, "avail_vcpus": [0], "max_memkb": 32 << 10, "target_memkb": 32 << 10}
ACTIONS = ("on_poweroff", "on_reboot", "on_watchdog", "on_crash", "on_soft_reset")
# What the file does not say, and what no simulated host has.
LEFT_OUT = ("run_hotplug_scripts", "claim_mode", "numa_placement", "arch_arm", "arch_x86")


def without_empty(theirs: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in theirs.items() if value not in ("", [])}


def disk_facts(theirs: dict[str, Any]) -> dict[str, Any]:
    discard = str(bool(theirs.get("readwrite", 0)))
    known = {key: value for key, value in theirs.items() if key not in COLO}
    return without_empty(DISK | {"discard_enable": discard} | known)


def nic_facts(theirs: dict[str, Any], kind: str) -> dict[str, Any]:
    nictype = "vif_ioemu" if kind == "hvm" else "vif"
    known = {key: value for key, value in theirs.items() if "colo" not in key}
    if known.get("mac") == "00:00:00:00:00:00":
        del known["mac"]
    return without_empty(NIC | {"nictype": nictype} | known)


def facts(theirs: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """xl's JSON as ours has to be."""
    create = {"driver_domain": "False"} | theirs["c_info"]
    if "uuid" not in ours["c_info"]:
        del create["uuid"]  # made by xl
    kind = create["type"]
    union = f"type.{kind}"
    build = BUILD | theirs["b_info"]
    build["sched_params"] = {"weight": 256, "cap": 0} | build["sched_params"]
    build[union] = {k: v for k, v in build[union].items() if k in ("serial", "serial_list")}
    build["max_memkb"] = build["max_memkb"] or build["target_memkb"]
    build = {key: value for key, value in build.items() if key in ours["b_info"]}
    for key in ("vcpu_hard_affinity", "vcpu_soft_affinity"):
        if key in build:
            build[key] = [[cpu for cpu in cpus if cpu < 4] for cpus in build[key]]
    result = {
        "c_info": {key: value for key, value in create.items() if key not in LEFT_OUT},
        "b_info": build,
        "disks": [disk_facts(disk) for disk in theirs.get("disks", ())],
        "nics": [nic_facts(nic, kind) for nic in theirs.get("nics", ())],
        **{key: theirs.get(key, "destroy") for key in ACTIONS},
    }
    return without_empty(result)


def ours(text: str) -> dict[str, Any] | None:
    try:
        return to_libxl(parse_config(text.encode(), "domain.cfg"), NODES)
    except UsageError:
        return None


def check_alike(xl: DryRunXl, text: str) -> None:
    """Taken by both, for the same."""
    mine = to_libxl(parse_config(text.encode(), "domain.cfg"), NODES)
    theirs = xl.create(text)
    assert theirs is not None, "xl refuses it"
    assert mine == facts(theirs, mine)


def quote(text: str) -> str:
    letters = {"\\": "\\\\", '"': '\\"', "\n": "\\n"}
    return '"' + "".join(letters.get(letter, letter) for letter in text) + '"'


def with_list(key: str, specs: list[str]) -> str:
    return f"{BASE}{key}=[{','.join(map(quote, specs))}]\n"


def our_disk(spec: str) -> dict[str, Any]:
    return to_libxl(DomainSpec("a", disks=(parse_disk(Atom.of(spec), []),)), NODES)["disks"][0]


def our_vif(spec: str, devid: int) -> dict[str, Any]:
    vif = parse_vif(Atom.of(spec), VifSpec(devid), [])
    return to_libxl(DomainSpec("a", vifs=(vif,)), NODES)["nics"][0]


def check_disks(xl: DryRunXl, specs: list[str]) -> None:
    theirs = xl.create(with_list("disk", specs))
    assert theirs is not None, specs
    for spec, disk in zip(specs, theirs["disks"], strict=True):
        assert our_disk(spec) == disk_facts(disk), spec
