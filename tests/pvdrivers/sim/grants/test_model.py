"""The grant table against a plain model: several domains publish, map, copy, unmap, change version
and are destroyed in any order; every status code, pin count, mark and page reference must agree.

The model is written from grant_table.h's rules, not from the C code: dictionaries and integers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pvdrivers._core import ffi, lib
from pvdrivers.ring.abi import Abi
from pvdrivers.sim import Machine

PAGES = 6
ABIS = [Abi.X86_64, Abi.X86_64, Abi.IA64]
PAGE_SIZES = [4096, 4096, 16384]
NOBODY = 5
DEVICE, HOST, READONLY = lib.GNTMAP_device_map, lib.GNTMAP_host_map, lib.GNTMAP_readonly
MARKS = lib.GTF_reading | lib.GTF_writing

domids = st.sampled_from([0, 1, 2])
peers = st.sampled_from([0, 1, 2, 0, 1, 2, NOBODY])
refs = st.sampled_from([0, 8, 9, 10])
any_refs = st.sampled_from([0, 8, 9, 10, 8, 9, 10, 511, 4096, 2**32 - 1])
gfns = st.integers(0, PAGES)  # the last is not populated


@dataclass
class Entry:
    flags: int = 0
    domid: int = 0
    frame: int = 0
    part: tuple[int, int] = (0, 0)  # sub-page: offset, length
    behind: tuple[int, int] = (0, 0)  # transitive: domid, ref
    status: int = 0


@dataclass
class Active:
    domid: int
    frame: int
    part: tuple[int, int] | None  # None: the whole page
    pins: list[int] = field(default_factory=lambda: [0, 0, 0, 0])  # host rw, ro; device rw, ro

    @property
    def written(self) -> bool:
        return bool(self.pins[0] or self.pins[2])


@dataclass
class Handle:
    granter: int
    ref: int
    flags: int
    cdata: Any


class Table:
    """One domain's grants, as Xen's documentation describes them."""

    def __init__(self, domid: int) -> None:
        self.domid, self.version, self.dying = domid, 1, False
        self.entries: dict[int, Entry] = {}
        self.active: dict[int, Active] = {}

    @property
    def count(self) -> int:
        return PAGE_SIZES[self.domid] // (8 if self.version == 1 else 16)

    def entry(self, ref: int) -> Entry:
        return self.entries.setdefault(ref, Entry())

    def marks(self, ref: int) -> int:
        entry = self.entry(ref)
        return (entry.flags if self.version == 1 else entry.status) & MARKS

    def set_marks(self, ref: int, marks: int) -> None:
        entry = self.entry(ref)
        if self.version == 1:
            entry.flags = (entry.flags & ~MARKS) | marks
        else:
            entry.status = marks

    def clear_unpinned_marks(self, ref: int) -> None:
        """Marks without a pin that needs them go."""
        active = self.active.get(ref)
        keep = 0 if active is None else MARKS if active.written else lib.GTF_reading
        self.set_marks(ref, self.marks(ref) & keep)

    def may(self, ref: int, asker: int, write: bool, mapping: bool) -> bool:
        entry = self.entry(ref)
        if write and entry.flags & lib.GTF_readonly:
            return False
        if ref in self.active:
            return True
        kind = entry.flags & lib.GTF_type_mask
        if entry.domid != asker or (mapping and entry.flags & lib.GTF_sub_page):
            return False
        return kind == lib.GTF_permit_access or (
            kind == lib.GTF_transitive and self.version == 2 and not mapping
        )

    def pin(self, ref: int, asker: int, kinds: list[int], write: bool, mapping: bool) -> int | str:
        """Status, or "transitive" (then nothing is pinned)."""
        if ref >= self.count:
            return lib.GNTST_bad_gntref
        active = self.active.get(ref)
        if active and (active.domid != asker or (mapping and active.part is not None)):
            return lib.GNTST_general_error
        if active is None or (write and not active.written):
            if not self.may(ref, asker, write, mapping):
                return lib.GNTST_general_error
            result = self._look(ref, asker, active)
            if result != lib.GNTST_okay:
                self.clear_unpinned_marks(ref)
                return result
            self.set_marks(ref, self.marks(ref) | (MARKS if write else lib.GTF_reading))
        for kind in kinds:
            self.active[ref].pins[kind] += 1
        return lib.GNTST_okay

    def _look(self, ref: int, asker: int, active: Active | None) -> int | str:
        entry = self.entry(ref)
        kind = entry.flags & lib.GTF_type_mask
        if kind == lib.GTF_transitive and active is None:
            return "transitive"
        sub_page = self.version == 2 and entry.flags & lib.GTF_sub_page
        part = entry.part if sub_page else None
        if active is not None:
            same = (kind, entry.frame, part) == (lib.GTF_permit_access, active.frame, active.part)
            return lib.GNTST_okay if same else lib.GNTST_general_error
        if entry.frame >= PAGES:
            return lib.GNTST_bad_page
        self.active[ref] = Active(asker, entry.frame, part)
        return lib.GNTST_okay

    def unpin(self, ref: int, kinds: list[int]) -> None:
        active = self.active[ref]
        for kind in kinds:
            active.pins[kind] -= 1
        if not any(active.pins):
            del self.active[ref]
        self.clear_unpinned_marks(ref)


def pin_kinds(flags: int) -> list[int]:
    readonly = 1 if flags & READONLY else 0
    return [k + readonly for k, flag in ((0, HOST), (2, DEVICE)) if flags & flag]


class GrantTables(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.machine = Machine("4M", max_domains=8, max_domain_memory="1M")
        self.free = self.machine.free_memory
        self.tables: dict[int, Table] = {}
        self.handles: list[tuple[int, Handle]] = []
        for domid in range(3):
            self._create(domid)

    def teardown(self) -> None:
        with self.machine:
            for domid in list(self.tables):
                if self._alive(domid):
                    self._destroy(domid)
            assert self.machine.free_memory == self.free

    def _create(self, domid: int) -> None:
        memory = PAGES * PAGE_SIZES[domid]
        self.machine.create_domain(domid=domid, abi=ABIS[domid], memory=memory)
        self.tables[domid] = Table(domid)

    def _alive(self, domid: int) -> Table | None:
        table = self.tables.get(domid)
        return table if table and not table.dying else None

    def _entries(self, domid: int) -> Any:
        entries = ffi.new("struct pv_grant_entries *")
        assert lib.pv_gnttab_entries(self.machine.cdata, domid, entries) == 0
        return entries

    # ---- The guest's own side ----

    @rule(domid=domids, ref=refs, to=domids, gfn=gfns, readonly=st.booleans())
    def publish(self, domid: int, ref: int, to: int, gfn: int, readonly: bool) -> None:
        if (table := self._alive(domid)) is None:
            return
        lib.pv_grant_publish(self._entries(domid), ref, to, gfn, readonly)
        entry = table.entry(ref)
        entry.domid, entry.frame = to, gfn
        entry.flags = lib.GTF_permit_access | (lib.GTF_readonly if readonly else 0)

    @rule(domid=domids, ref=refs, to=domids, gfn=gfns, off=st.integers(0, 4096))
    def publish_sub_page(self, domid: int, ref: int, to: int, gfn: int, off: int) -> None:
        table = self._alive(domid)
        if table is None or table.version == 1:
            return
        lib.pv_grant_publish_sub_page(self._entries(domid), ref, to, gfn, off, 300, False)
        entry = table.entry(ref)
        entry.domid, entry.frame, entry.part = to, gfn, (off, 300)
        entry.flags = lib.GTF_permit_access | lib.GTF_sub_page

    @rule(domid=domids, ref=st.sampled_from([9, 10]), to=domids, behind=peers, behind_ref=any_refs)
    def publish_transitive(
        self, domid: int, ref: int, to: int, behind: int, behind_ref: int
    ) -> None:
        table = self._alive(domid)
        if table is None or table.version == 1 or ref in table.active:
            return
        lib.pv_grant_publish_transitive(self._entries(domid), ref, to, behind, behind_ref, False)
        entry = table.entry(ref)
        entry.domid, entry.behind, entry.frame = to, (behind, behind_ref), behind_ref
        entry.flags = lib.GTF_transitive

    @rule(domid=domids, ref=refs)
    def end(self, domid: int, ref: int) -> None:
        if (table := self._alive(domid)) is None:
            return
        busy = bool(table.marks(ref))
        assert (lib.pv_grant_end(self._entries(domid), ref) < 0) == busy
        if table.version == 2 or not busy:
            table.entry(ref).flags = 0

    # ---- Hypercalls ----

    @rule(
        caller=domids,
        granter=peers,
        ref=any_refs,
        flags=st.sampled_from(
            [0, HOST, DEVICE, HOST | DEVICE, HOST | READONLY, HOST | DEVICE | READONLY]
        ),
    )
    def map(self, caller: int, granter: int, ref: int, flags: int) -> None:
        if self._alive(caller) is None:
            return
        op = ffi.new("struct gnttab_map_grant_ref *", {"flags": flags, "ref": ref, "dom": granter})
        assert lib.pv_gnttab_op_map(self.machine.cdata, caller, op, 1) == 0
        table = self._alive(granter)
        expected: int | str
        if not flags & (HOST | DEVICE):
            expected = lib.GNTST_bad_gntref
        elif table is None:
            expected = lib.GNTST_bad_domain
        else:
            expected = table.pin(ref, caller, pin_kinds(flags), not flags & READONLY, True)
        assert op.status == expected
        if expected == lib.GNTST_okay:
            self.handles.append((caller, Handle(granter, ref, flags, op)))

    @precondition(lambda self: self.handles)
    @rule(data=st.data(), parts=st.sampled_from([0, HOST, DEVICE, HOST | DEVICE, HOST | DEVICE]))
    def unmap(self, data: st.DataObject, parts: int) -> None:
        index = data.draw(st.integers(0, len(self.handles) - 1))
        caller, handle = self.handles[index]
        op = ffi.new("struct gnttab_unmap_grant_ref *", {"handle": handle.cdata.handle})
        op.host_addr = handle.cdata.host_addr if parts & HOST else 0
        op.dev_bus_addr = handle.cdata.dev_bus_addr if parts & DEVICE else 0
        if parts & DEVICE and op.dev_bus_addr == 0:
            return  # machine page 0 cannot be named
        assert lib.pv_gnttab_op_unmap(self.machine.cdata, caller, op, 1) == 0
        assert op.status == lib.GNTST_okay
        gone = parts & handle.flags
        handle.flags &= ~gone
        self._unpin(handle, gone | (handle.flags & READONLY))
        if not handle.flags & (HOST | DEVICE):
            del self.handles[index]
            assert lib.pv_gnttab_op_unmap(self.machine.cdata, caller, op, 1) == 0
            assert op.status == lib.GNTST_bad_handle

    def _unpin(self, handle: Handle, flags: int) -> None:
        kinds = pin_kinds(flags)
        table = self.tables[handle.granter]
        if kinds:
            table.unpin(handle.ref, kinds)
        if table.dying and not table.active:
            del self.tables[handle.granter]

    def _copy_status(
        self, caller: int, table: Table | None, ref: int, off: int, size: int, write: bool
    ) -> int:
        """Pins for a copy, checks its bounds and unpins: one grant at one end, a page of the
        caller at the other."""
        if table is None:
            return int(lib.GNTST_bad_domain)
        result = table.pin(ref, caller, [0 if write else 1], write, False)
        if result == "transitive":
            entry = table.entry(ref)
            behind = self._alive(entry.behind[0])
            if behind is None or behind is table:
                return int(lib.GNTST_general_error)
            through = behind.pin(entry.behind[1], table.domid, [0 if write else 1], write, False)
            if through == "transitive":
                return int(lib.GNTST_general_error)
            if through != lib.GNTST_okay:
                return int(through)
            table, ref = behind, entry.behind[1]
        elif result != lib.GNTST_okay:
            return int(result)
        active, page_size = table.active[ref], PAGE_SIZES[table.domid]
        start, length = active.part if active.part is not None else (0, page_size)
        table.unpin(ref, [0 if write else 1])
        if off + size > page_size or size > PAGE_SIZES[caller]:
            return int(lib.GNTST_bad_copy_arg)
        inside = start <= off and off + size <= start + length
        return int(lib.GNTST_okay if inside else lib.GNTST_general_error)

    @rule(
        caller=domids,
        granter=peers,
        ref=any_refs,
        off=st.integers(0, 16384),
        size=st.integers(1, 5000) | st.integers(1, 100),
        write=st.booleans(),
    )
    def copy(self, caller: int, granter: int, ref: int, off: int, size: int, write: bool) -> None:
        if self._alive(caller) is None:
            return
        op = ffi.new("struct gnttab_copy_x86_64 *", {"len": size, "status": 1})
        op.flags = lib.GNTCOPY_dest_gref if write else lib.GNTCOPY_source_gref
        grant, local = (op.dest, op.source) if write else (op.source, op.dest)
        grant.u.ref, grant.domid, grant.offset = ref, granter, off
        local.u.gmfn, local.domid = 0, lib.DOMID_SELF
        assert lib.pv_gnttab_op_copy(self.machine.cdata, caller, op, 1) == 0
        assert op.status == self._copy_status(caller, self._alive(granter), ref, off, size, write)

    @rule(domid=domids, version=st.sampled_from([1, 2]))
    def set_version(self, domid: int, version: int) -> None:
        if (table := self._alive(domid)) is None:
            return
        op = ffi.new("struct gnttab_set_version *", {"version": version})
        result = lib.pv_gnttab_op_set_version(self.machine.cdata, domid, op)
        changes = version != table.version
        assert (result < 0) == (changes and any(ref >= 8 for ref in table.active))
        if changes and result == 0:
            table.entries = {ref: e for ref, e in table.entries.items() if ref < 8}
            for ref, entry in table.entries.items():
                if version == 2:
                    entry.status, entry.flags = entry.flags & MARKS, entry.flags & ~MARKS
                elif entry.flags & lib.GTF_type_mask == lib.GTF_permit_access:
                    entry.flags, entry.status = entry.flags | entry.status, 0
                else:  # nothing of a version 2 entry that grants nothing is kept
                    table.entries[ref] = Entry()
            table.version = version
        assert op.version == table.version

    @rule(domid=domids)
    def destroy_or_create(self, domid: int) -> None:
        if domid not in self.tables:
            self._create(domid)
        elif not self.tables[domid].dying:
            self._destroy(domid)

    def _destroy(self, domid: int) -> None:
        assert lib.pv_domain_destroy(self.machine.cdata, domid) == 0
        self.tables[domid].dying = True
        for caller, handle in [item for item in self.handles if item[0] == domid]:
            self.handles.remove((caller, handle))
            self._unpin(handle, handle.flags)
        if domid in self.tables and not self.tables[domid].active:
            del self.tables[domid]

    @rule(granter=domids, caller=domids, ref=refs, gfn=gfns, both=st.booleans())
    def publish_and_map(self, granter: int, caller: int, ref: int, gfn: int, both: bool) -> None:
        """Makes maps likely, those of one's own grants too."""
        self.publish(granter, ref, caller, gfn, False)
        self.map(caller, granter, ref, HOST | DEVICE if both else HOST)

    # ---- What must always hold ----

    @invariant()
    def pins_and_marks_agree(self) -> None:
        for domid, table in self.tables.items():
            for ref in (0, 8, 9, 10):
                active = table.active.get(ref)
                pins = active.pins if active else [0, 0, 0, 0]
                word = sum(pin << 8 * i for i, pin in enumerate(pins))
                assert lib.pv_gnttab_pins(self.machine.cdata, domid, ref) == word
                assert lib.pv_grant_query(self._entries(domid), ref) == table.marks(ref)

    @invariant()
    def handles_agree(self) -> None:
        for domid in self.tables:
            held = sum(caller == domid for caller, _ in self.handles)
            assert lib.pv_gnttab_handles(self.machine.cdata, domid) == held

    @invariant()
    def no_page_is_lost_or_freed_too_early(self) -> None:
        used = 0
        for domid, table in self.tables.items():
            pages = {a.frame for a in table.active.values()} if table.dying else range(PAGES)
            used += len(pages) * PAGE_SIZES[domid]
        assert self.machine.free_memory == self.free - used


TestGrantTables = pytest.mark.slow(GrantTables.TestCase)
TestGrantTables.settings = settings(max_examples=80, stateful_step_count=60)
