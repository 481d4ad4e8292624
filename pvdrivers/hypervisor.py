"""The seam in Python: what a driver may ask of a hypervisor, over the C table of operations.

`Hypervisor` wraps any `struct pv_hypervisor *`, so the simulated machine and a real Xen have one
Python face. The data plane never comes here: its C code calls the same table directly.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import Any, Self

from pvdrivers._core import ffi, lib
from pvdrivers.ring.abi import Abi
from pvdrivers.ring.errors import UsageError


class HypervisorError(OSError):
    """A hypervisor call failed; `errno` says why."""


class GrantError(HypervisorError):
    """A grant operation failed; `status` is its GNTST_* code."""

    def __init__(self, what: str, status: int) -> None:
        super().__init__(errno.EIO, f"{what}: GNTST status {status}")
        self.status = status


def check(result: int, what: str) -> int:
    """`result`, or HypervisorError when it is a negative errno."""
    if result < 0:
        raise HypervisorError(-result, f"{what}: {os.strerror(-result)}")
    return result


def _address(pointer: Any, what: str) -> Any:
    if pointer == ffi.NULL:
        raise HypervisorError(ffi.errno, f"{what}: {os.strerror(ffi.errno)}")
    return pointer


class EventChannels:
    """An open event-channel handle: ports are bound to it and delivered through one fd.

    A delivered port stays masked until `unmask`.
    """

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._ops = hypervisor.ops
        self._cdata = _address(self._ops.evtchn_open(hypervisor.cdata), "evtchn_open")
        self.hypervisor = hypervisor
        hypervisor.open_channels += 1

    @property
    def cdata(self) -> Any:
        """The `struct pv_evtchn *`; UsageError once the handle is closed."""
        if self._cdata is None:
            raise UsageError("the event channel handle is closed")
        return self._cdata

    def fileno(self) -> int:
        return int(self._ops.evtchn_fd(self.cdata))

    def bind_unbound_port(self, remote: int) -> int:
        """A new port that `remote` may bind to."""
        return check(self._ops.evtchn_bind_unbound_port(self.cdata, remote), "bind_unbound_port")

    def bind_interdomain(self, remote: int, remote_port: int) -> int:
        """A new port connected to `remote_port` of `remote`; it is pending once at first."""
        return check(
            self._ops.evtchn_bind_interdomain(self.cdata, remote, remote_port),
            f"bind_interdomain to port {remote_port} of domain {remote}",
        )

    def bind_virq(self, virq: int) -> int:
        return check(self._ops.evtchn_bind_virq(self.cdata, virq), f"bind_virq {virq}")

    def unbind(self, port: int) -> None:
        check(self._ops.evtchn_unbind(self.cdata, port), f"unbind port {port}")

    def notify(self, port: int) -> None:
        check(self._ops.evtchn_notify(self.cdata, port), f"notify port {port}")

    def pending(self) -> int | None:
        """The next delivered port (now masked), or None."""
        port = self._ops.evtchn_pending(self.cdata)
        return None if port == -errno.EAGAIN else check(port, "pending")

    def unmask(self, port: int) -> None:
        check(self._ops.evtchn_unmask(self.cdata, port), f"unmask port {port}")

    def close(self) -> None:
        if self._cdata is not None:
            self._ops.evtchn_close(self._cdata)
            self._cdata = None
            self.hypervisor.open_channels -= 1

    def __repr__(self) -> str:
        state = "closed" if self._cdata is None else f"fd {self.fileno()}"
        return f"<EventChannels of domain {self.hypervisor.domid}, {state}>"


class EventChannel:
    """One port with a handle of its own: what a single connection needs."""

    def __init__(self, channels: EventChannels, port: int) -> None:
        self.channels = channels
        self.port = port

    def fileno(self) -> int:
        """Readable while an event waits."""
        return self.channels.fileno()

    def acknowledge(self) -> None:
        """Takes the waiting event and lets the next one in."""
        if self.channels.pending() is not None:
            self.channels.unmask(self.port)

    def notify(self) -> None:
        self.channels.notify(self.port)

    def close(self) -> None:
        self.channels.close()


@dataclass(frozen=True, slots=True)
class MappedPages:
    """Pages side by side in this process; `view` is all of them, writable."""

    address: Any
    count: int
    size: int

    @property
    def view(self) -> memoryview:
        return memoryview(ffi.buffer(self.address, self.size))


class Hypervisor:
    """One domain's view of the hypervisor from this process."""

    def __init__(self, cdata: Any, keep_alive: object = None) -> None:
        self._cdata = cdata
        self.ops = cdata.ops
        self.open_channels = 0  # handles
        self._keep_alive = keep_alive

    @property
    def cdata(self) -> Any:
        """The `struct pv_hypervisor *`; UsageError once it is closed."""
        if self._cdata is None:
            raise UsageError("the hypervisor is closed")
        return self._cdata

    @property
    def domid(self) -> int:
        return int(self.cdata.domid)

    @property
    def abi(self) -> Abi:
        return Abi(self.cdata.abi)

    @property
    def page_size(self) -> int:
        """Bytes of this domain's pages, and of its grants."""
        return int(self.cdata.page_size)

    @property
    def maps_outlive_process(self) -> bool:
        """Whether pages mapped from others may be given to I/O that the kernel carries on with when
        this process is gone."""
        return bool(self.cdata.maps_outlive_process)

    def open_event_channels(self) -> EventChannels:
        return EventChannels(self)

    # ---- pages of its own

    def allocate_pages(self, count: int) -> MappedPages:
        """`count` zeroed pages of this domain's memory, side by side."""
        address = _address(self.ops.pages_alloc(self.cdata, count), f"pages_alloc of {count} pages")
        return MappedPages(address, count, count * self.page_size)

    def free_pages(self, pages: MappedPages) -> None:
        """Raises HypervisorError(EBUSY) while a peer still maps one of them."""
        check(self.ops.pages_free(self.cdata, pages.address, pages.count), "pages_free")

    def grant_access(self, domid: int, page: Any, readonly: bool = False) -> int:
        """Grants `domid` one of this domain's pages (an address); returns the gref."""
        ref = ffi.new("grant_ref_t *")
        check(
            self.ops.grant_access(self.cdata, domid, page, readonly, ref),
            f"grant_access to domain {domid}",
        )
        return int(ref[0])

    def grant_pages(self, domid: int, pages: MappedPages, readonly: bool = False) -> list[int]:
        start = ffi.cast("uint8_t *", pages.address)
        return [
            self.grant_access(domid, start + i * self.page_size, readonly)
            for i in range(pages.count)
        ]

    def end_access(self, ref: int) -> None:
        """Raises HypervisorError(EBUSY) while the peer still uses the grant."""
        check(self.ops.grant_end(self.cdata, ref), f"grant_end of gref {ref}")

    def balloon(self, pages: int) -> int:
        """Brings this domain's memory to `pages`, or as near as can be: pages in use do not leave,
        and no more come than it may own or the machine has. Returns how many it has then.
        UsageError: the guest's kernel has its memory to itself."""
        if self.ops.balloon == ffi.NULL:
            raise UsageError("the memory of this domain is its kernel's to give back")
        return check(self.ops.balloon(self.cdata, pages), f"balloon to {pages} pages")

    # ---- pages of others

    def map_grants(
        self, domid: int, refs: list[int], readonly: bool = False, page_size: int | None = None
    ) -> MappedPages:
        """Maps grants of `domid` side by side; all of them or none.

        `page_size` is that domain's, in bytes, when it is not this one's. HypervisorError(EPROTO):
        its pages are smaller, so that less than `page_size` of each is mapped.
        """
        size, what = page_size or self.page_size, f"mapping grefs {refs} of domain {domid}"
        address = _address(
            self.ops.gnttab_map_contiguous(self.cdata, domid, refs, len(refs), readonly), what
        )
        pages = MappedPages(address, len(refs), len(refs) * size)
        if size > self.granted_page_size(domid):
            self.unmap_grants(pages)
            raise HypervisorError(errno.EPROTO, f"{what}: its pages are smaller than {size} bytes")
        return pages

    def granted_page_size(self, domid: int) -> int:
        """Bytes of the pages that a domain grants; 0: there is no such domain."""
        if self.ops.gnttab_page_size == ffi.NULL:
            return self.page_size
        return int(self.ops.gnttab_page_size(self.cdata, domid))

    def unmap_grants(self, pages: MappedPages) -> None:
        check(
            self.ops.gnttab_unmap_contiguous(self.cdata, pages.address, pages.count),
            "gnttab_unmap",
        )

    def copy_from_grant(self, domid: int, ref: int, offset: int, size: int) -> bytes:
        """`size` bytes of a granted page, by grant copy."""
        buffer = ffi.new("uint8_t[]", max(size, 1))
        copy = ffi.new("struct pv_grant_copy *", {"len": size, "flags": lib.GNTCOPY_source_gref})
        copy.source.ref, copy.source.domid, copy.source.offset = ref, domid, offset
        copy.dest.address = buffer
        self._copy(copy, f"copy from gref {ref} of domain {domid}")
        return bytes(ffi.buffer(buffer, size))

    def copy_to_grant(self, domid: int, ref: int, offset: int, data: bytes) -> None:
        copy = ffi.new("struct pv_grant_copy *", {"len": len(data), "flags": lib.GNTCOPY_dest_gref})
        source = ffi.from_buffer(data)
        copy.source.address = source
        copy.dest.ref, copy.dest.domid, copy.dest.offset = ref, domid, offset
        self._copy(copy, f"copy to gref {ref} of domain {domid}")

    def _copy(self, copy: Any, what: str) -> None:
        check(self.ops.gnttab_copy(self.cdata, copy, 1), what)
        if copy.status != lib.GNTST_okay:
            raise GrantError(what, copy.status)

    def map_foreign(
        self, domid: int, gfns: list[int], readonly: bool = False, page_size: int | None = None
    ) -> MappedPages:
        """Maps guest frames: this domain's own, or of one it is privileged over."""
        size = page_size or self.page_size
        address = _address(
            self.ops.foreign_map(self.cdata, domid, gfns, len(gfns), readonly),
            f"mapping frames {gfns} of domain {domid}",
        )
        return MappedPages(address, len(gfns), len(gfns) * size)

    def unmap_foreign(self, domid: int, pages: MappedPages) -> None:
        check(
            self.ops.foreign_unmap(self.cdata, domid, pages.address, pages.count), "foreign_unmap"
        )

    def close(self) -> None:
        if self._cdata is not None:
            self.ops.close(self._cdata)
            self._cdata = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._cdata is None:
            return "<Hypervisor, closed>"
        name = ffi.string(self.ops.name).decode()
        return f"<Hypervisor {name}, domain {self.domid}, {self.page_size}-byte pages>"
