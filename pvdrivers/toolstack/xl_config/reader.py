"""Reads a configuration file."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from uuid import UUID

from pvdrivers.ring.errors import UsageError
from pvdrivers.sim.vcpu import MAX_VCPUS
from pvdrivers.toolstack.xl_config.cpus import CpuList, parse_cpus
from pvdrivers.toolstack.xl_config.disk import DiskSpec
from pvdrivers.toolstack.xl_config.disk_spec import parse_disk
from pvdrivers.toolstack.xl_config.domain import (
    ACTIONS,
    TYPES,
    ActionSpec,
    CpuSpec,
    DomainSpec,
    LimitSpec,
)
from pvdrivers.toolstack.xl_config.grammar import parse
from pvdrivers.toolstack.xl_config.keys import unused
from pvdrivers.toolstack.xl_config.settings import Settings
from pvdrivers.toolstack.xl_config.text import Atom, ConfigError, Note
from pvdrivers.toolstack.xl_config.vif import VifSpec, parse_vif
from pvdrivers.toolstack.xl_config.vscsi import parse_vscsi
from pvdrivers.vbd.numbering import number_of

MAX_MEMORY = 64 << 20  # MiB, what a simulated machine can have
MAX_SIZE = 1 << 18  # bytes
MAX_LIMIT = 0x7FFFFFFF
UUID_TEXT = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
BUILDERS = {"generic": "pv", "hvm": "hvm"}


def read_config(path: Path) -> DomainSpec:
    """Of a file. OSError: it cannot be read. UsageError: what is wrong, in one sentence, which is a
    ConfigError where it has a line and a column."""
    return parse_config(read_text(path), str(path))


def read_text(path: Path) -> bytes:
    """A file's bytes. OSError: it cannot be read. UsageError: it has too many."""
    with path.open("rb") as file:
        data = file.read(MAX_SIZE + 1)
    if len(data) > MAX_SIZE:
        raise UsageError(
            f"{path}: a configuration has at most {MAX_SIZE} bytes, this file has more"
        )
    return data


def parse_config(data: bytes, source: str) -> DomainSpec:
    """Of a file's bytes; `source` is what errors and notes call it. ConfigError: what is wrong."""
    settings = Settings(parse(data.decode(errors="surrogateescape"), source), source)
    notes: list[Note] = []
    kind = _type(settings)
    vcpus, maxvcpus = _amounts(settings, "vcpus", "maxvcpus", MAX_VCPUS, 1)
    memory, maxmem = _amounts(settings, "memory", "maxmem", MAX_MEMORY, 32)
    init_seclabel, seclabel = _seclabels(settings)
    spec = DomainSpec(
        name=_name(settings),
        uuid=_uuid(settings),
        type=kind,
        memory=memory,
        maxmem=maxmem,
        vcpus=vcpus,
        maxvcpus=maxvcpus,
        cpu=_cpu(settings, maxvcpus),
        kernel=_kernel(settings, kind, notes),
        ramdisk=settings.string("ramdisk") or "",
        cmdline=_cmdline(settings, notes),
        disks=_disks(settings, notes),
        vifs=_vifs(settings, kind, notes),
        scsi_hosts=parse_vscsi(settings.atoms("vscsi")),
        serial=_serial(settings, kind, notes),
        on=_actions(settings),
        seclabel=seclabel,
        init_seclabel=init_seclabel,
        driver_domain=settings.flag("driver_domain") or False,
        limits=_limits(settings),
    )
    _check_kernel(settings, spec)
    notes += unused(settings)
    return replace(spec, notes=tuple(map(str, sorted(notes))))


def _name(settings: Settings) -> str:
    atom = settings.atom("name")
    if not atom:
        raise ConfigError(settings.end, 'the domain has no name: add a line name = "NAME"')
    if not atom.text or not atom.text.isprintable() or "/" in atom.text:
        raise atom.error(
            "a domain's name has at least one character, no control characters and no /"
        )
    return atom.text


def _uuid(settings: Settings) -> UUID | None:
    atom = settings.atom("uuid")
    if not atom:
        return None
    if not UUID_TEXT.fullmatch(atom.text):
        allowed = "one such as 6f0a2f1c-3b1d-4f7e-9a52-0d2b5c8e4a10 can be"
        raise atom.error(f"uuid is {atom.text[:40]!r}, {allowed}")
    return UUID(atom.text)


def _type(settings: Settings) -> str:
    kind = settings.choice("type", TYPES)
    word = settings.choice("builder", BUILDERS)
    if word is None:
        return kind or "pv"
    if kind not in (None, BUILDERS[word]):
        raise settings.error("builder", f"builder is {word} and type is {kind}: leave builder out")
    return BUILDERS[word]


def _amounts(
    settings: Settings, key: str, max_key: str, highest: int, default: int
) -> tuple[int, int]:
    """What a domain begins with, and the most that it can have."""
    amount = settings.number(key, 1, highest) or default
    most = settings.number(max_key, 1, highest) or amount
    if most < amount:
        message = f"{max_key} is {most}, {key}, which is {amount}, or more can be"
        raise settings.error(max_key, message)
    return amount, most


def _cpu(settings: Settings, vcpus: int) -> CpuSpec:
    return CpuSpec(
        weight=settings.number("cpu_weight", 1, 65535) or 256,
        cap=settings.number("cap", 0, 100 * vcpus) or 0,
        pool=settings.string("pool") or "",
        hard=_affinity(settings, "cpus", vcpus),
        soft=_affinity(settings, "cpus_soft", vcpus),
    )


def _affinity(settings: Settings, key: str, vcpus: int) -> tuple[CpuList, ...]:
    """A string is for all vcpus, a list has a string for each; those beyond them have no effect."""
    value = settings.value(key)
    if isinstance(value, Atom):
        return (parse_cpus(value),) * vcpus
    return tuple(parse_cpus(atom) for atom in settings.atoms(key))[:vcpus]


def _kernel(settings: Settings, kind: str, notes: list[Note]) -> str:
    kernel = settings.string("kernel") or ""
    if kind == "hvm" and kernel.rpartition("/")[2] == "hvmloader":
        message = "kernel is hvmloader, which an HVM guest has anyhow, and has no effect"
        notes.append(Note(settings.place("kernel"), message))
        return ""
    return kernel


def _cmdline(settings: Settings, notes: list[Note]) -> str:
    cmdline = settings.string("cmdline")
    root, extra = settings.string("root"), settings.string("extra")
    if cmdline is not None:
        for key in ("root", "extra"):
            if key in settings.all:
                notes.append(Note(settings.place(key), f"{key} has no effect beside cmdline"))
        return cmdline
    words = [] if root is None else [f"root={root}"]
    return " ".join(words if extra is None else [*words, extra])


def _disks(settings: Settings, notes: list[Note]) -> tuple[DiskSpec, ...]:
    disks: dict[int, DiskSpec] = {}
    for atom in settings.atoms("disk"):
        disk = parse_disk(atom, notes)
        number = number_of(disk.name)
        if number in disks:
            raise atom.error(f"two disks are {disks[number].vdev}: each needs a vdev of its own")
        disks[number] = disk
    return tuple(disks.values())


def _vifs(settings: Settings, kind: str, notes: list[Note]) -> tuple[VifSpec, ...]:
    vifs: dict[int, VifSpec] = {}
    for index, atom in enumerate(settings.atoms("vif")):
        vif = parse_vif(atom, VifSpec(index, "ioemu" if kind == "hvm" else "vif"), notes)
        if vif.kind == "ioemu" and kind != "hvm":
            raise atom.error(
                f"type is ioemu, which a guest of type {kind} cannot have: leave it out"
            )
        if vif.devid in vifs:
            raise atom.error(f"two vifs have devid {vif.devid}")
        vifs[vif.devid] = vif
    return tuple(vifs.values())


def _serial(settings: Settings, kind: str, notes: list[Note]) -> tuple[str, ...]:
    value = settings.value("serial")
    ports = (value,) if isinstance(value, Atom) else settings.atoms("serial")
    if kind == "hvm" or not value:
        return tuple(port.text for port in ports)
    message = f"serial has no effect for a guest of type {kind}, whose console is a PV one"
    notes.append(Note(settings.place("serial"), message))
    return ()


def _actions(settings: Settings) -> ActionSpec:
    default = ActionSpec()
    return ActionSpec(
        poweroff=settings.choice("on_poweroff", ACTIONS) or default.poweroff,
        reboot=settings.choice("on_reboot", ACTIONS) or default.reboot,
        watchdog=settings.choice("on_watchdog", ACTIONS) or default.watchdog,
        crash=settings.choice("on_crash", ACTIONS) or default.crash,
        soft_reset=settings.choice("on_soft_reset", ACTIONS) or default.soft_reset,
    )


def _seclabels(settings: Settings) -> tuple[str, str]:
    """The label before the domain runs, and the one while it does."""
    label = settings.string("seclabel") or ""
    return settings.string("init_seclabel") or label, label


def _limits(settings: Settings) -> LimitSpec:
    return LimitSpec(
        grant_frames=settings.number("max_grant_frames", 0, MAX_LIMIT),
        maptrack_frames=settings.number("max_maptrack_frames", 0, MAX_LIMIT),
        grant_version=settings.number("max_grant_version", 0, MAX_LIMIT),
        event_channels=settings.number("max_event_channels", 0, MAX_LIMIT),
    )


def _check_kernel(settings: Settings, spec: DomainSpec) -> None:
    """As xl and libxl do."""
    others = [key for key in ("bootloader", "firmware") if key in settings.all]
    if spec.type == "hvm":
        for key in ("ramdisk", "cmdline", "root", "extra"):
            if key in settings.all and not spec.kernel:
                raise settings.error(key, f"{key} of an HVM guest needs a kernel")
    elif not spec.kernel and not others:
        raise ConfigError(settings.end, f'a guest of type {spec.type} needs a line kernel = "FILE"')
