"""The handshakes over grant entries as programs of the guest that grants and of the hypervisor.

The guest's half is ring/grant_table.c, the hypervisor's pvdrivers/sim/. A hypervisor program
is a peer that uses the page and lets it go. Page n is the variable `page n`; the entry names one.
"""

from collections.abc import Callable

from .explorer import Scenario
from .grant_sites import TABLES
from .machines import Choice, Memory, Op, Program, Steps, read
from .sites import Code, Weakening, swap

ACCESS, TRANSFER = 1, 2  # GTF_permit_access, GTF_accept_transfer
READONLY, READING, WRITING = 4, 8, 16
COMMITTED, COMPLETED = 4, 8  # of a transfer: the same bits

FLAGS = (0, ACCESS, ACCESS | READING, ACCESS | READING | WRITING, ACCESS | READONLY)
STATUS = (0, READING, READING | WRITING)
FRAMES = (0, 1, 2)
FRAME = {
    1: "&pv_grant_entry_v1(entries, ref)->frame",
    2: "&pv_grant_entry_v2(entries, ref)->full_page.frame",
}
BYTES = (0, 1, 2, 3, 5, 9)
OWN, PEERS = 9, 5  # bytes the guest keeps to itself; bytes the peer writes


def read_page(page: int) -> Steps:
    text = f"read page {page}"
    return (yield Choice(Op("load", f"page {page}", text=text), BYTES))


def write_page(page: int, byte: int) -> Steps:
    yield Op("store", f"page {page}", byte, text=f"write {byte} to page {page}")
    return 0


class Entry:
    """A grant entry of either version, and what each side does with it."""

    def __init__(self, version: int, without: Weakening | None) -> None:
        self.version = version
        self.code = Code(TABLES, without)

    # ---- The guest --------------------------------------------------------------------------

    def publish(self, frame: int, kind: int = ACCESS) -> Steps:
        yield from self.code.store("set_frame", FRAME[self.version], "frame", frame)
        return (yield from self.code.store("publish", "&header->flags", "flags", kind))

    def change_flags(self, busy: int, keep: int, new: int) -> Steps:
        seen = yield from self.code.load("change_flags", "word", "flags", FLAGS)
        while True:
            flags = seen
            if flags & busy:
                return False
            seen = yield from self.code.change(
                "change_flags", "word", "flags", FLAGS, swap(flags, flags & keep | new)
            )
            if seen == flags:
                return True

    def query(self) -> Steps:
        return (yield from self.code.load("pv_grant_query", "word", "status", STATUS))

    def end(self) -> Steps:
        if self.version == 1:
            return (yield from self.change_flags(READING | WRITING, 0, 0))
        header = "&pv_grant_entry_v2(entries, ref)->hdr.flags"
        yield from self.code.store("pv_grant_end", header, "flags", 0)
        yield from self.code.fence("pv_grant_end")
        return not (yield from self.query())

    def make_readonly(self) -> Steps:
        if self.version == 1:
            return (yield from self.change_flags(WRITING, 0xFFFF, READONLY))
        header = "&pv_grant_entry_v2(entries, ref)->hdr.flags"
        yield from self.code.change(
            "pv_grant_make_readonly", header, "flags", FLAGS, lambda flags: flags | READONLY
        )
        if not (yield from self.query()) & WRITING:
            return True
        yield from self.make_writable()
        return False

    def make_writable(self) -> Steps:
        return (
            yield from self.code.change(
                "pv_grant_make_writable",
                "&pv_grant_entry_header(entries, ref)->flags",
                "flags",
                FLAGS,
                lambda flags: flags & ~READONLY,
            )
        )

    # ---- The hypervisor ---------------------------------------------------------------------

    def grants(self, flags: int, write: bool) -> bool:
        return bool(flags & ACCESS) and not (write and flags & READONLY)

    def mark(self, write: bool, tries: int = 5) -> Steps:
        wanted = READING | WRITING if write else READING
        seen = yield from self.code.load(f"mark_v{self.version}", "word", "flags", FLAGS)
        if self.version == 2:
            if not self.grants(seen, write):
                return False
            yield from self.code.change(
                "mark_v2", "&entries->status[ref]", "status", STATUS, lambda old: old | wanted
            )
            seen = yield from self.code.load("mark_v2", "word", "flags", FLAGS, nth=1)
            return self.grants(seen, write)
        for _ in range(tries):
            old = seen
            if not self.grants(old, write):
                return False
            seen = yield from self.code.change(
                "mark_v1", "word", "flags", FLAGS, swap(old, old | wanted)
            )
            if seen == old:
                return True
        return False

    def clear_marks(self) -> Steps:
        return (
            yield from self.code.change(
                "grant_clear_marks",
                "marks(entries, ref)",
                "flags" if self.version == 1 else "status",
                FLAGS if self.version == 1 else STATUS,
                lambda marks: marks & ~(READING | WRITING),
            )
        )

    def frame(self) -> Steps:
        where = FRAME[1] if self.version == 1 else "&entry->full_page.frame"
        return (yield from self.code.load("read_entry", where, "frame", FRAMES))


# ---- The peer's program -----------------------------------------------------------------------


def use(entry: Entry, write: bool = False) -> Program:
    result = "refused"
    if (yield from entry.mark(write)):
        frame = yield from entry.frame()
        if write:
            yield from write_page(frame, PEERS)
            result = f"wrote page {frame}"
        else:
            result = f"read {(yield from read_page(frame))} from page {frame}"
    yield from entry.clear_marks()
    return result


def read_then_write(entry: Entry) -> Program:
    yield from use(entry)
    return (yield from use(entry, write=True))


# ---- The guest's programs ---------------------------------------------------------------------


def grant(entry: Entry) -> Program:
    yield from write_page(1, 1)
    yield from entry.publish(1)
    return "done"


def take_back(entry: Entry) -> Program:
    if not (yield from entry.end()):
        return "busy"
    found = yield from read_page(1)
    yield from write_page(1, OWN)
    return f"ended, found {found}"


def grant_another(entry: Entry) -> Program:
    if not (yield from entry.end()):
        return "busy"
    yield from write_page(1, OWN)
    yield from entry.publish(2)
    return "done"


def protect(entry: Entry) -> Program:
    if not (yield from entry.make_readonly()):
        return "busy"
    return f"protected, found {(yield from read_page(1))}"


def allow(entry: Entry) -> Program:
    found = yield from read_page(1)
    yield from write_page(1, 3)
    yield from entry.make_writable()
    return f"allowed, found {found}"


def allow_and_take_back(entry: Entry) -> Program:
    yield from entry.make_writable()
    return (yield from take_back(entry))


# ---- Transfers --------------------------------------------------------------------------------


def end_transfer(entry: Entry) -> Steps:
    """The frame where a page has come, 0 when the entry was taken back, -1 when one is to come."""
    if (yield from entry.change_flags(COMMITTED, 0, 0)):
        return 0
    function = "pv_grant_end_transfer"
    committed = TRANSFER | COMMITTED
    flags = yield from entry.code.load(
        function, "word", "flags", (committed, committed | COMPLETED)
    )
    if not flags & COMPLETED:
        return -1
    frame = yield from entry.code.load(function, FRAME[entry.version], "frame", FRAMES)
    yield from entry.code.store(function, "word", "flags", 0)
    return frame


def receive(entry: Entry) -> Program:
    """Offers frame 1, takes that back if it can, and offers frame 2."""
    yield from entry.publish(1, TRANSFER)
    frame = yield from end_transfer(entry)
    if frame == 0:
        yield from entry.publish(2, TRANSFER)
        frame = yield from end_transfer(entry)
    if frame <= 0:
        return "nothing came"
    return f"found {(yield from read_page(frame))} in page {frame}"


def transfer(entry: Entry) -> Program:
    flags = yield from entry.code.load("commit", "word", "flags", (0, TRANSFER))
    for _ in range(5):
        if flags != TRANSFER:
            return "refused"
        seen = yield from entry.code.change(
            "commit", "word", "flags", (0, TRANSFER), swap(TRANSFER, TRANSFER | COMMITTED)
        )
        if seen == flags:
            break
        flags = seen
    frame = yield from entry.code.load("wanted_gfn", FRAME[entry.version], "frame", FRAMES)
    yield from write_page(frame, PEERS)
    yield from entry.code.change(
        "finish",
        "&header->flags",
        "flags",
        (TRANSFER | COMMITTED, 0),
        lambda flags: flags | COMPLETED,
    )
    return "done"


# ---- Scenarios --------------------------------------------------------------------------------

Start = Callable[[Entry], Program]


def scenario(
    guest: Start,
    peer: Start,
    version: int,
    flags: int,
    fault: Callable[[tuple[str, ...], Memory], str],
    write: bool = False,
) -> Scenario:
    def programs(without: Weakening | None) -> tuple[Callable[[], Program], Callable[[], Program]]:
        entry = Entry(version, without)
        return lambda: guest(entry), lambda: peer(entry)

    name = f"v{version}: {guest.__name__}, {peer.__name__}{' to write' if write else ''}"
    memory = {"flags": flags, "status": 0, "frame": 1 if flags else 0}
    memory |= {"page 0": 0, "page 1": 1 if flags else 0, "page 2": 2}
    return Scenario(("guest", "hypervisor"), programs, memory, fault, name)


def writer(entry: Entry) -> Program:
    return use(entry, write=True)


def sees_what_was_granted(outcomes: tuple[str, ...], memory: Memory) -> str:
    peer = outcomes[1]
    return "" if peer in ("refused", "read 1 from page 1", "read 2 from page 2") else peer


def is_over(outcomes: tuple[str, ...], memory: Memory) -> str:
    """What the guest has ended or protected is as it left it, with all that was written before."""
    guest, peer = outcomes
    if peer.startswith(f"read {OWN}"):
        return f"the peer {peer}, which was the guest's again"
    if guest.startswith("ended") and read(memory, "page 1") != OWN:
        return "the peer wrote to what was the guest's again"
    if guest != "busy" and guest.endswith("found 1") and peer == "wrote page 1":
        return "the guest did not find what the peer wrote"
    return ""


def comes_after(outcomes: tuple[str, ...], memory: Memory) -> str:
    guest, peer = outcomes
    if guest == f"allowed, found {PEERS}":
        return "the guest read what the peer was not yet allowed to write"
    if peer == "wrote page 1" and read(memory, "page 1") != PEERS:
        return "the peer's write is lost under an older one of the guest's"
    return ""


def comes_whole(outcomes: tuple[str, ...], memory: Memory) -> str:
    guest, peer = outcomes
    if guest.startswith("found") and not guest.startswith(f"found {PEERS}"):
        return f"the guest {guest}, not what was transferred"
    if peer == "done" and read(memory, "flags") not in (0, TRANSFER | COMMITTED | COMPLETED):
        return "a page was transferred, and the entry does not say so"
    return ""


SCENARIOS = [
    made
    for version in (1, 2)
    for made in (
        scenario(grant, use, version, 0, sees_what_was_granted),
        scenario(take_back, use, version, ACCESS, is_over),
        scenario(take_back, writer, version, ACCESS, is_over),
        scenario(grant_another, use, version, ACCESS, sees_what_was_granted),
        scenario(protect, writer, version, ACCESS, is_over),
        scenario(protect, read_then_write, version, ACCESS, is_over),
        scenario(allow, writer, version, ACCESS | READONLY, comes_after),
        scenario(allow_and_take_back, use, version, ACCESS | READONLY, is_over),
        scenario(receive, transfer, version, 0, comes_whole),
    )
]
