"""The text of a disk: positional words, keys, flags and prefixes (libxlu_disk_l.l).

xl finds words as flex does: of all rules, the one that matches most, and of several the first. What
a rule looks at behind its word counts. So `RULES` are such rules, in libxlu's order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from pvdrivers.toolstack.xl_config.disk import BACKENDTYPES, FORMATS, SPECIFICATIONS, DiskSpec
from pvdrivers.toolstack.xl_config.text import Atom, ConfigError, Note
from pvdrivers.vbd.numbering import number_of

ACCESS = {"r": False, "ro": False, "rw": True, "w": True}  # whether it can be written
LONGEST = 8192  # more than a path and all keys need
SYNTAX = "TARGET, FORMAT, VDEV, ACCESS, then KEY=VALUE or flags, and target=TARGET last"


@dataclass
class _Disk:
    """What has been found so far."""

    atom: Atom
    notes: list[Note]
    words: dict[str, str] = field(default_factory=dict)
    flags: dict[str, bool] = field(default_factory=dict)
    vdev_index: int = 0  # where it is in the text
    prefixed: bool = False
    positional_access: bool = False

    def error(self, message: str, index: int) -> ConfigError:
        return self.atom.error(message, index)

    def unknown(self, index: int) -> ConfigError:
        key = re.split("[=,]", self.atom.text[index:], maxsplit=1)[0]
        return self.error(f"found {key[:40]!r}, which is no key of a disk: write {SYNTAX}", index)

    def save(self, key: str, value: str, index: int) -> None:
        if self.words.get(key):
            raise self.error(f"{key} is given twice in this disk", index)
        self.words[key] = value
        if key == "vdev":
            self.vdev_index = index

    def check(self, key: str, value: str, index: int, words: Collection[str]) -> None:
        if value not in words:
            raise self.error(f"{key} is {value[:40]!r}, {', '.join(words)} can be", index)

    def choose(self, key: str, value: str, index: int, words: Collection[str]) -> None:
        self.check(key, value, index, words)
        if self.words.get(key, value) != value:
            raise self.error(f"{key} is {self.words[key]} and {value} in this disk", index)
        self.words[key] = value

    def set_format(self, value: str, index: int) -> None:
        self.choose("format", value or "raw", index, FORMATS)

    def set_access(self, value: str, index: int) -> None:
        value = value or "rw"
        self.check("access", value, index, ACCESS)
        self.flags["writable"] = ACCESS[value]

    def set_devtype(self, value: str, index: int) -> None:
        self.check("devtype", value, index, ("cdrom", "disk"))
        self.flags["cdrom"] = value == "cdrom"

    def typed_vdev(self, value: str, index: int) -> bool:
        """Takes VDEV:DEVTYPE. False: it is not that."""
        vdev, colon, devtype = value.rpartition(":")
        if colon:
            self.save("vdev", vdev, index)
            self.set_devtype(devtype, index + len(vdev) + 1)
        return bool(colon)

    def position(self, value: str, index: int) -> None:
        """A word that stands for itself: what it is, what is there already says."""
        if self.atom.text.startswith("=", index + len(value)):
            raise self.unknown(index)
        if "target" not in self.words:
            self.words["target"] = value
        elif not self.prefixed and "format" not in self.words:
            if not self.words["target"] and self.typed_vdev(value, index):
                self.words["format"] = "empty"
            else:
                self.set_format(value, index)
        elif "vdev" not in self.words:
            if not self.typed_vdev(value, index):
                self.save("vdev", value, index)
        elif not self.positional_access:
            self.positional_access = True
            self.set_access(value, index)
        else:
            raise self.error(f"found {value[:40]!r}, which is one too many: write {SYNTAX}", index)


Action = Callable[[_Disk, str, int], None]  # the disk, the word, and where its value is in the text


class Rule(NamedTuple):
    word: re.Pattern[str]
    behind: re.Pattern[str] | None  # is looked at, and not taken
    action: Action


def _rule(word: str, action: Action, behind: str = "") -> Rule:
    return Rule(re.compile(word), re.compile(behind) if behind else None, action)


def _key(name: str, action: Action) -> Rule:
    """NAME=VALUE: the action gets VALUE."""

    def act(disk: _Disk, word: str, index: int) -> None:
        action(disk, word[len(name) + 1 :].removesuffix(","), index + len(name) + 1)

    return _rule(f"{name}=[^,]*,?", act)


def _text(key: str) -> Rule:
    return _key(key, lambda disk, value, index: disk.save(key, value, index))


def _flag(name: str, key: str, value: bool) -> Rule:
    return _rule(f"{name},?", lambda disk, word, index: disk.flags.update({key: value}))


def _one_of(key: str, words: Collection[str]) -> Rule:
    return _key(key, lambda disk, value, index: disk.choose(key, value, index, words))


def _ignore(disk: _Disk, word: str, index: int) -> None:
    pass


def _unused(disk: _Disk, word: str, index: int) -> None:
    key = word.removesuffix(",").partition("=")[0]
    disk.notes.append(Note(disk.atom.place_of(index), f"{key} of a disk is not used here"))


def _colo_port(disk: _Disk, value: str, index: int) -> None:
    if not re.match(r"\s*[+-]?0*[1-9]", value, re.ASCII):
        raise disk.error(f"colo-port is {value[:40]!r}, a port number can be", index)
    _unused(disk, "colo-port", index - len("colo-port="))


def _target(disk: _Disk, word: str, index: int) -> None:
    disk.save("target", word.removeprefix("target=").removesuffix(","), index)


def _format_prefix(disk: _Disk, word: str, index: int) -> None:
    disk.prefixed = True
    disk.set_format(word.removesuffix(":"), index)


def _script_prefix(disk: _Disk, word: str, index: int) -> None:
    disk.prefixed = True
    disk.save("script", f"block-{word.removesuffix(':')}", index)


def _prefix(disk: _Disk, word: str, index: int) -> None:
    disk.prefixed = True


def _unknown_prefix(disk: _Disk, word: str, index: int) -> None:
    message = f"found the prefix {word[:40]!r}, which xl does not know: write target=TARGET last"
    raise disk.error(message, index)


def _position(disk: _Disk, word: str, index: int) -> None:
    disk.position(word.removesuffix(","), index)


REST = ".*"  # behind a prefix, so that it goes before a positional word
RULES = (
    _rule(r"[ \t\n]+", _ignore, r"([^ \t\n].*)?"),
    _key("format", _Disk.set_format),
    _flag("cdrom", "cdrom", True),
    _key("devtype", _Disk.set_devtype),
    _key("access", _Disk.set_access),
    _text("backend"),
    _one_of("backendtype", BACKENDTYPES),
    _one_of("specification", SPECIFICATIONS),
    _text("vdev"),
    _text("script"),
    _flag("direct-io-safe", "direct_io_safe", True),
    _flag("discard", "discard", True),
    _flag("no-discard", "discard", False),
    _rule("(no-)?colo,?", _unused),
    _key("colo-port", _colo_port),
    _rule("(colo-host|colo-export|active-disk|hidden-disk)=[^,]*,?", _unused),
    _flag("trusted", "trusted", True),
    _flag("untrusted", "trusted", False),
    _rule("target=.*", _target),
    _rule("(raw|qcow2?|vhd):", _format_prefix, REST),
    _rule("(iscsi|e?nbd|drbd):", _script_prefix, REST),
    _rule("(tapdisk|tap2?|aio|ioemu|file|phy):", _prefix, REST),
    _rule("[a-z][a-z0-9]*:", _unknown_prefix, "([^a-z0-9].*)?"),
    _rule("[^=,]*,|[^=,]+,?", _position),
)


def _longest(text: str, index: int) -> tuple[Rule, str] | None:
    """The rule that applies there, and its word."""
    best, length = None, 0
    for rule in RULES:
        word = rule.word.match(text, index)
        if not word:
            continue
        behind = rule.behind.match(text, word.end()) if rule.behind else None
        end = behind.end() if behind else word.end()
        if end - index > length:
            best, length = (rule, word[0]), end - index
    return best


def parse_disk(atom: Atom, notes: list[Note]) -> DiskSpec:
    """ConfigError: it is no disk. What it has that is not used here is added to `notes`."""
    atom.check_length("a disk", LONGEST)
    disk, text, index = _Disk(atom, notes), atom.text, 0
    while index < len(text):
        found = _longest(text, index)
        if not found:
            raise disk.unknown(index)
        rule, word = found
        rule.action(disk, word, index)
        index += len(word)
    return _finish(disk)


def _finish(disk: _Disk) -> DiskSpec:
    words, cdrom = disk.words, disk.flags.get("cdrom", False)
    target = words.get("target", "")
    if "vdev" not in words:
        raise disk.error(f"this disk has no vdev, such as xvda: write {SYNTAX}", 0)
    if not target and not cdrom:
        raise disk.error("this disk has no target, which only a cdrom need not have", 0)
    writable = disk.flags.get("writable", True) and not cdrom
    spec = DiskSpec(
        target=target,
        vdev=words["vdev"],
        format="empty" if cdrom and not target else words.get("format", "raw"),
        writable=writable,
        cdrom=cdrom,
        backend=words.get("backend", ""),
        backendtype=words.get("backendtype", ""),
        script=words.get("script", ""),
        direct_io_safe=disk.flags.get("direct_io_safe", False),
        discard=disk.flags.get("discard", writable),
        trusted=disk.flags.get("trusted", True),
        specification=words.get("specification", "xen"),
    )
    try:
        number_of(spec.name)
    except ValueError:
        message = f"vdev is {spec.vdev[:40]!r}, names such as xvda, sda1, hdc, d0p1 can be"
        raise disk.error(message, disk.vdev_index) from None
    return spec
