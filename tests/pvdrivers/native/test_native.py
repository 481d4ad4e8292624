"""The seam over the Xen libraries, against fakes of them that count, check and fail."""

import asyncio
import ctypes
import errno
import os
import select
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pvdrivers import native
from pvdrivers._core import ffi, lib
from pvdrivers.hypervisor import GrantError, Hypervisor, HypervisorError
from pvdrivers.ring.errors import UsageError
from pvdrivers.xenstore import XenStore, XenstoreClient

SONAMES = ("libxenevtchn.so.1", "libxengnttab.so.1", "libxenforeignmemory.so.1")
PAGE = 4096
GUEST = 7
OWN = 3


class Fakes:
    """The three libraries are one file, so they are one set of variables too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._library = ctypes.CDLL(os.fspath(folder / SONAMES[0]))
        self._library.fake_memory.restype = ctypes.c_void_p
        base = self._library.fake_memory()
        self.memory = memoryview((ctypes.c_char * (256 * PAGE)).from_address(base)).cast("B")

    def fail(self, name: str, error: int, after: int = 0) -> None:
        self._library.fake_fail(name.encode(), error, after)

    def page(self, number: int) -> memoryview:
        return self.memory[number * PAGE : (number + 1) * PAGE]

    def __getattr__(self, name: str) -> Callable[[], int]:
        return getattr(self._library, f"fake_{name}")


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler (Debian package gcc)")
    folder = tmp_path_factory.mktemp("xen")
    source = Path(__file__).with_name("fake_xen.c")
    fake = folder / "fake.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", fake, source], check=True
    )
    for soname in SONAMES:
        (folder / soname).symlink_to(fake)
    return folder


@pytest.fixture
def fakes(libraries: Path) -> Iterator[Fakes]:
    fakes = Fakes(libraries)
    fakes.fail("", 0)
    for number in range(256):
        fakes.page(number)[:] = bytes(PAGE)
    yield fakes
    assert fakes.open_handles() == 0
    assert fakes.mapped_ranges() == 0


def open_native(libraries: Path) -> native.NativeHypervisor:
    opened = ffi.new("struct pv_hypervisor **")
    problem = ffi.new("char[512]")
    folder = os.fsencode(libraries)
    error = lib.pv_native_open_hypervisor(folder, OWN, opened, problem, len(problem))
    assert error == 0, ffi.string(problem)
    return native.NativeHypervisor(opened[0])


@pytest.fixture
def hypervisor(fakes: Fakes) -> Iterator[Hypervisor]:
    with open_native(fakes.folder) as hypervisor:
        yield hypervisor


# ---- Opening ------------------------------------------------------------------------------------


async def opened_with(libraries: Path | None, domid: int = OWN) -> Hypervisor:
    store = XenStore()
    dom0 = XenstoreClient.in_process(store)
    await dom0.write(f"/local/domain/{domid}/domid", domid)
    await dom0.set_permissions(f"/local/domain/{domid}/domid", [f"n{domid}"])
    return await native.open_hypervisor(XenstoreClient.in_process(store, domid), libraries)


def test_the_store_knows_the_own_domid(fakes: Fakes) -> None:
    with asyncio.run(opened_with(fakes.folder)) as hypervisor:
        assert repr(hypervisor) == f"<Hypervisor native, domain {OWN}, 4096-byte pages>"


def test_the_end_of_a_process_unmaps_what_others_granted(hypervisor: Hypervisor) -> None:
    """Even while it is used, so the kernel must not use it after the process."""
    assert not hypervisor.maps_outlive_process


def test_missing_library_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"^there is no Xen on this machine: .*libxenevtchn\.so\.1"
    ):
        asyncio.run(opened_with(tmp_path))


def test_missing_function(libraries: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    empty = tmp_path / "empty.c"
    empty.write_text("int nothing;")
    compiler = shutil.which("cc") or "gcc"
    subprocess.run([compiler, "-shared", "-o", old / SONAMES[0], empty], check=True)
    for soname in SONAMES[1:]:
        (old / soname).symlink_to(libraries / soname)
    with pytest.raises(UsageError, match=r"libxenevtchn\.so\.1 has no function xenevtchn_open"):
        asyncio.run(opened_with(old))


def test_missing_device(fakes: Fakes) -> None:
    fakes.fail("xengnttab_open", errno.ENOENT)
    with pytest.raises(UsageError, match="no Xen on this machine: the grant device"):
        asyncio.run(opened_with(fakes.folder))


def test_forbidden_device(fakes: Fakes) -> None:
    fakes.fail("xengnttab_open", errno.EACCES)
    with pytest.raises(HypervisorError, match="the grant device cannot be opened") as refused:
        asyncio.run(opened_with(fakes.folder))
    assert refused.value.errno == errno.EACCES


def test_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XENSTORED_PATH", raising=False)
    with pytest.raises(UsageError, match="there is no xenstore on this machine"):
        asyncio.run(native.connect_store(tmp_path / "socket", tmp_path / "xenbus"))


# ---- Event channels -----------------------------------------------------------------------------


def test_events(hypervisor: Hypervisor) -> None:
    channels = hypervisor.open_event_channels()
    first = channels.bind_interdomain(GUEST, 5)
    second = channels.bind_unbound_port(GUEST)
    third = channels.bind_virq(0)
    assert len({first, second, third}) == 3
    assert channels.pending() is None  # and did not block
    channels.notify(second)
    assert select.select([channels], [], [], 60)[0]
    assert channels.pending() == second
    channels.unmask(second)
    assert channels.pending() is None
    channels.unbind(second)
    channels.close()


@pytest.mark.parametrize(
    ("function", "call"),
    [
        ("xenevtchn_bind_interdomain", lambda c: c.bind_interdomain(GUEST, 5)),
        ("xenevtchn_bind_unbound_port", lambda c: c.bind_unbound_port(GUEST)),
        ("xenevtchn_bind_virq", lambda c: c.bind_virq(0)),
        ("xenevtchn_unbind", lambda c: c.unbind(1)),
        ("xenevtchn_notify", lambda c: c.notify(1)),
        ("xenevtchn_pending", lambda c: c.pending()),
        ("xenevtchn_unmask", lambda c: c.unmask(1)),
    ],
)
def test_event_channel_failures(
    hypervisor: Hypervisor, fakes: Fakes, function: str, call: Callable[..., object]
) -> None:
    channels = hypervisor.open_event_channels()
    fakes.fail(function, errno.ENOSPC)
    with pytest.raises(HypervisorError) as refused:
        call(channels)
    assert refused.value.errno == errno.ENOSPC
    channels.close()


@pytest.mark.parametrize("function", ["xenevtchn_open", "xenevtchn_fd"])
def test_event_channels_that_do_not_open(
    hypervisor: Hypervisor, fakes: Fakes, function: str
) -> None:
    fakes.fail(function, errno.EMFILE)
    with pytest.raises(HypervisorError) as refused:
        hypervisor.open_event_channels()
    assert refused.value.errno == errno.EMFILE


# ---- Grants of others ---------------------------------------------------------------------------


def test_mapped_side_by_side(hypervisor: Hypervisor, fakes: Fakes) -> None:
    fakes.page(9)[0], fakes.page(4)[0] = 9, 4
    pages = hypervisor.map_grants(GUEST, [9, 4])
    assert (pages.view[0], pages.view[PAGE]) == (9, 4)
    pages.view[PAGE + 1] = 77
    assert fakes.page(4)[1] == 77
    hypervisor.unmap_grants(pages)


def test_all_or_none(hypervisor: Hypervisor, fakes: Fakes) -> None:
    with pytest.raises(HypervisorError) as refused:
        hypervisor.map_grants(GUEST, [1, 2, 999])
    assert refused.value.errno == errno.EINVAL
    assert fakes.mapped_ranges() == 0


def mapped(hypervisor: Hypervisor, refs: list[int]) -> object:
    maps = ffi.new("struct pv_grant_map[]", len(refs))
    for map_, ref in zip(maps, refs, strict=True):
        map_.ref, map_.domid, map_.flags = ref, GUEST, lib.GNTMAP_host_map
    assert hypervisor.ops.gnttab_map(hypervisor.cdata, maps, len(refs)) == 0
    return maps


@pytest.mark.parametrize(("count", "calls"), [(1, 1), (64, 1), (65, 2), (200, 4)])
def test_a_batch_is_mapped_in_few_calls(
    hypervisor: Hypervisor, fakes: Fakes, count: int, calls: int
) -> None:
    fakes.calls()
    maps = mapped(hypervisor, list(range(count)))
    assert (fakes.calls(), fakes.mapped_ranges()) == (calls, calls)
    for index in range(count):
        ffi.cast("uint8_t *", maps[index].address)[0] = index
    assert all(fakes.page(index)[0] == index for index in range(count))
    assert hypervisor.ops.gnttab_unmap(hypervisor.cdata, maps, count) == 0
    assert {m.status for m in maps} == {0}
    assert (fakes.calls(), fakes.mapped_ranges()) == (calls, 0)


def test_a_batch_is_taken_back_with_its_last_page(hypervisor: Hypervisor, fakes: Fakes) -> None:
    maps = mapped(hypervisor, [1, 2, 3])
    for index in (2, 0):
        for status in (0, lib.GNTST_bad_virt_addr):  # a second time is a mistake
            assert hypervisor.ops.gnttab_unmap(hypervisor.cdata, maps + index, 1) == 0
            assert maps[index].status == status
    ffi.cast("uint8_t *", maps[1].address)[0] = 42
    assert fakes.page(2)[0] == 42
    fakes.fail("xengnttab_unmap", errno.EINVAL)
    hypervisor.ops.gnttab_unmap(hypervisor.cdata, maps + 1, 1)
    assert (maps[1].status, fakes.mapped_ranges()) == (lib.GNTST_bad_virt_addr, 1)
    fakes.fail("", 0)
    hypervisor.ops.gnttab_unmap(hypervisor.cdata, maps + 1, 1)
    assert (maps[1].status, fakes.mapped_ranges()) == (0, 0)


def test_read_only_and_writable_pages_in_one_batch(hypervisor: Hypervisor, fakes: Fakes) -> None:
    maps = ffi.new("struct pv_grant_map[]", 4)
    for ref, flags in enumerate((0, 0, lib.GNTMAP_readonly, lib.GNTMAP_readonly)):
        maps[ref] = {"ref": ref, "domid": GUEST, "flags": lib.GNTMAP_host_map | flags}
    fakes.calls()
    assert hypervisor.ops.gnttab_map(hypervisor.cdata, maps, 4) == 0
    assert ({m.status for m in maps}, fakes.calls()) == ({0}, 2)
    assert hypervisor.ops.gnttab_unmap(hypervisor.cdata, maps, 4) == 0


def test_a_batch_has_a_status_each_and_is_unmapped_in_any_order(
    hypervisor: Hypervisor, fakes: Fakes
) -> None:
    maps = mapped(hypervisor, [1, 999, 2, 3])
    assert [m.status for m in maps] == [0, lib.GNTST_general_error, 0, 0]
    assert maps[1].address == ffi.NULL
    ffi.cast("uint8_t *", maps[2].address)[0] = 42
    assert fakes.page(2)[0] == 42
    for index in (3, 0, 2):
        assert hypervisor.ops.gnttab_unmap(hypervisor.cdata, maps + index, 1) == 0
        assert maps[index].status == 0
    assert hypervisor.ops.gnttab_unmap(hypervisor.cdata, maps, 1) == 0
    assert maps[0].status == lib.GNTST_bad_virt_addr


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errno.ENOMEM, lib.GNTST_no_space),
        (errno.ENOSPC, lib.GNTST_no_space),
        (errno.EPERM, lib.GNTST_permission_denied),
        (errno.EAGAIN, lib.GNTST_eagain),
        (errno.EINVAL, lib.GNTST_general_error),
    ],
)
def test_map_errors_become_statuses(
    hypervisor: Hypervisor, fakes: Fakes, error: int, status: int
) -> None:
    fakes.fail("xengnttab_map_grant_refs", error, after=2)  # both at once, and the first alone
    maps = mapped(hypervisor, [1, 999])
    assert [m.status for m in maps] == [0, status]
    assert hypervisor.ops.gnttab_unmap(hypervisor.cdata, maps, 1) == 0


def test_copies(hypervisor: Hypervisor, fakes: Fakes) -> None:
    hypervisor.copy_to_grant(GUEST, 5, 100, b"hello")
    assert bytes(fakes.page(5)[99:106]) == b"\0hello\0"
    assert hypervisor.copy_from_grant(GUEST, 5, 102, 3) == b"llo"
    with pytest.raises(GrantError) as refused:
        hypervisor.copy_from_grant(GUEST, 999, 0, 4)
    assert refused.value.status == lib.GNTST_bad_gntref


def copies_of(count: int) -> tuple[object, object]:
    buffer = ffi.new("uint8_t[]", count)
    copies = ffi.new("struct pv_grant_copy[]", count)
    for number in range(count):
        copies[number].source.ref, copies[number].source.domid = number, GUEST
        copies[number].dest.address = buffer + number
        copies[number].len, copies[number].flags = 1, lib.GNTCOPY_source_gref
    return copies, buffer


def test_copies_go_out_in_few_calls(hypervisor: Hypervisor, fakes: Fakes) -> None:
    for number in range(200):
        fakes.page(number)[0] = number
    copies, buffer = copies_of(200)
    fakes.calls()
    assert hypervisor.ops.gnttab_copy(hypervisor.cdata, copies, 200) == 0
    assert fakes.calls() == 4
    assert bytes(ffi.buffer(buffer)) == bytes(range(200))
    assert {c.status for c in copies} == {0}


def test_copies_that_fail_in_the_middle(hypervisor: Hypervisor, fakes: Fakes) -> None:
    copies, _ = copies_of(200)
    fakes.fail("xengnttab_grant_copy", errno.EFAULT, after=1)
    assert hypervisor.ops.gnttab_copy(hypervisor.cdata, copies, 200) == -errno.EFAULT
    assert [c.status for c in copies] == [0] * 64 + [lib.GNTST_general_error] * 136


def test_unmap_failure(hypervisor: Hypervisor, fakes: Fakes) -> None:
    pages = hypervisor.map_grants(GUEST, [1])
    fakes.fail("xengnttab_unmap", errno.EINVAL)
    with pytest.raises(HypervisorError):
        hypervisor.unmap_grants(pages)
    fakes.fail("", 0)
    hypervisor.unmap_grants(pages)


# ---- Grants of own pages ------------------------------------------------------------------------


def test_granted_page_keeps_its_place_and_contents(hypervisor: Hypervisor, fakes: Fakes) -> None:
    pages = hypervisor.allocate_pages(3)
    assert not any(pages.view)
    pages.view[PAGE] = 11
    middle = ffi.cast("uint8_t *", pages.address) + PAGE
    ref = hypervisor.grant_access(GUEST, middle)
    assert fakes.page(ref)[0] == 11
    fakes.page(ref)[1] = 22  # what the peer writes is seen here
    assert pages.view[PAGE + 1] == 22
    with pytest.raises(HypervisorError) as again:
        hypervisor.grant_access(GUEST, middle)
    assert again.value.errno == errno.EBUSY
    with pytest.raises(HypervisorError) as busy:
        hypervisor.free_pages(pages)
    assert busy.value.errno == errno.EBUSY
    hypervisor.end_access(ref)
    fakes.page(ref)[2] = 33  # and after the end no more
    assert bytes(pages.view[PAGE : PAGE + 3]) == bytes([11, 22, 0])
    with pytest.raises(HypervisorError) as ended:
        hypervisor.end_access(ref)
    assert ended.value.errno == errno.EINVAL
    hypervisor.free_pages(pages)


def test_each_page_has_its_ref(hypervisor: Hypervisor, fakes: Fakes) -> None:
    pages = hypervisor.allocate_pages(8)
    refs = hypervisor.grant_pages(GUEST, pages)
    assert len(set(refs)) == 8
    for number, ref in enumerate(refs):
        pages.view[number * PAGE] = number + 1
        assert fakes.page(ref)[0] == number + 1
    for ref in refs[::-1]:
        hypervisor.end_access(ref)
    hypervisor.free_pages(pages)


@pytest.mark.parametrize("function", ["xengntshr_open", "xengntshr_share_pages"])
def test_failed_grant_leaves_the_page(hypervisor: Hypervisor, fakes: Fakes, function: str) -> None:
    pages = hypervisor.allocate_pages(1)
    pages.view[0] = 5
    fakes.fail(function, errno.ENOSPC)
    with pytest.raises(HypervisorError) as refused:
        hypervisor.grant_access(GUEST, pages.address)
    assert refused.value.errno == errno.ENOSPC
    assert pages.view[0] == 5
    fakes.fail("", 0)
    hypervisor.end_access(hypervisor.grant_access(GUEST, pages.address))
    hypervisor.free_pages(pages)


def test_only_whole_pages_are_granted(hypervisor: Hypervisor) -> None:
    pages = hypervisor.allocate_pages(1)
    with pytest.raises(HypervisorError) as refused:
        hypervisor.grant_access(GUEST, ffi.cast("uint8_t *", pages.address) + 1)
    assert refused.value.errno == errno.EINVAL
    hypervisor.free_pages(pages)


def test_closed_with_grants(fakes: Fakes) -> None:
    hypervisor = open_native(fakes.folder)
    pages = hypervisor.allocate_pages(2)
    hypervisor.grant_pages(GUEST, pages)
    hypervisor.close()
    pages.view[0] = 1  # the memory is its owner's


def test_not_closed_under_a_driver(fakes: Fakes) -> None:
    hypervisor = open_native(fakes.folder)
    channels = hypervisor.open_event_channels()
    with pytest.raises(UsageError, match="is in use"):
        hypervisor.close()
    channels.close()
    hypervisor.close()


# ---- Foreign memory -----------------------------------------------------------------------------


def test_foreign_memory(hypervisor: Hypervisor, fakes: Fakes) -> None:
    pages = hypervisor.map_foreign(GUEST, [6, 5])
    pages.view[PAGE] = 3
    assert fakes.page(5)[0] == 3
    hypervisor.unmap_foreign(GUEST, pages)
    with pytest.raises(HypervisorError) as beyond:
        hypervisor.map_foreign(GUEST, [1000])
    assert beyond.value.errno == errno.EINVAL


@pytest.mark.parametrize("function", ["xenforeignmemory_open", "xenforeignmemory_map"])
def test_foreign_memory_refused(hypervisor: Hypervisor, fakes: Fakes, function: str) -> None:
    fakes.fail(function, errno.EPERM)
    with pytest.raises(HypervisorError) as refused:
        hypervisor.map_foreign(GUEST, [1])
    assert refused.value.errno == errno.EPERM
