"""A guest's shared page: client and server halves with an event channel made of two eventfds."""

import asyncio
import contextlib
import os
import struct

import pytest

from pvdrivers._core import ffi, lib
from pvdrivers.xenstore import XenStore, XenstoreClient, XenstoreError
from pvdrivers.xenstore.server import RingConnection
from pvdrivers.xenstore.wire import Message, MessageType, encode


class Channel:
    """One end of an event channel."""

    def __init__(self, mine, peer):
        self._mine, self._peer = mine, peer
        self.notified = 0

    def fileno(self):
        return self._mine

    def acknowledge(self):
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._mine)

    def notify(self):
        self.notified += 1
        os.eventfd_write(self._peer, 1)


@pytest.fixture
def channels():
    fds = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2)]
    yield Channel(fds[0], fds[1]), Channel(fds[1], fds[0])
    for fd in fds:
        os.close(fd)


@pytest.fixture(params=[0, 2**31 - 7, 2**32 - 7])
def page(request):
    """A page whose indices start anywhere: a guest must not assume 0."""
    page = bytearray(4096)
    struct.pack_into("<IIII", page, 2048, *[request.param] * 4)
    return page


def as_struct(page):
    return ffi.from_buffer("struct xenstore_domain_interface *", page)


def test_client_and_server(page, channels):
    async def body():
        store = XenStore()
        dom0 = XenstoreClient.in_process(store)
        await dom0.mkdir("/local/domain/5")
        await dom0.set_permissions("/local/domain/5", ["n5"])
        server = RingConnection(store, 5, page, channels[0])
        server.serve()
        guest = XenstoreClient.over_ring(page, channels[1])
        assert lib.pv_xenstore_features(as_struct(page)) == 15
        value = bytes(range(256)) * 8  # larger than the ring
        await guest.write("value", value[:2000])
        assert await guest.read("value") == value[:2000]
        async with await guest.watch("value") as watch:
            assert await anext(watch) == "value"
            await dom0.write("/local/domain/5/value", "x")
            assert await anext(watch) == "value"
        await asyncio.gather(*(guest.write(f"n{i}", "x" * 100) for i in range(100)))
        assert len(await guest.directory("/local/domain/5")) == 101
        with pytest.raises(XenstoreError, match="EACCES"):
            await guest.introduce(6, 1, 1)
        guest.close()
        server.close()

    asyncio.run(asyncio.wait_for(body(), 30))


@pytest.fixture
def server(page, channels):
    """A server half that is stepped by hand, and the store."""
    store = XenStore()
    return store, RingConnection(store, 5, page, channels[0])


def put_request(page, data):
    assert lib.pv_xenstore_write_request(as_struct(page), data, len(data)) == len(data)


def take_response(page):
    buffer = ffi.new("char[1024]")
    return bytes(ffi.buffer(buffer, lib.pv_xenstore_read_response(as_struct(page), buffer, 1024)))


READ_ROOT = encode(Message(MessageType.GET_DOMAIN_PATH, 7, 0, b"5\0"))


def test_every_update_is_signalled(page, channels, server):
    store, ring = server
    assert channels[0].notified == 1  # connected
    put_request(page, READ_ROOT)
    ring.handle_event()
    assert channels[0].notified == 2  # consumed
    store.run()
    assert channels[0].notified == 3  # answered
    assert take_response(page).endswith(b"/local/domain/5\0")


@pytest.mark.parametrize("field", ["req_prod", "rsp_cons"])
def test_xsa_38_broken_indices(page, channels, server, field):
    store, ring = server
    shared = as_struct(page)
    if field == "req_prod":
        shared.req_prod = (shared.req_cons + 1025) & 0xFFFFFFFF
        ring.handle_event()
    else:
        shared.rsp_cons = (shared.rsp_cons + 1) & 0xFFFFFFFF
        put_request(page, READ_ROOT)
        ring.handle_event()
        store.run()
    assert shared.error == lib.XENSTORE_ERROR_RINGIDX
    ring.handle_event()
    assert store.connections == {}
    assert 5 in store.domains  # XSA-325: the domain stays known until it is released


def test_xsa_420_a_payload_too_long(page, server):
    store, ring = server
    put_request(page, struct.pack("<IIII", 2, 1, 0, 0x80000000))
    ring.handle_event()
    assert as_struct(page).error == lib.XENSTORE_ERROR_PROTO
    assert store.connections == {}


def test_xsa_425_reconnect_with_requests_in_flight(page, channels, server):
    store, ring = server
    put_request(page, encode(Message(MessageType.TRANSACTION_START, 1, 0, b"\0")))
    put_request(page, encode(Message(MessageType.WATCH, 2, 0, b"x\0t\0")))
    ring.handle_event()
    store.run()
    put_request(page, READ_ROOT + READ_ROOT[:10])
    ring.handle_event()  # one request waits to be served, another has half arrived
    put_request(page, b"left in the ring")
    lib.pv_xenstore_ask_reconnect(as_struct(page))
    before = channels[0].notified
    ring.handle_event()
    assert channels[0].notified == before + 1
    assert lib.pv_xenstore_connection(as_struct(page)) == lib.XENSTORE_CONNECTED
    assert store.domains[5].usage.transactions == store.domains[5].usage.watches == 0
    store.run()
    assert take_response(page) == b""
    put_request(page, READ_ROOT)
    ring.handle_event()
    store.run()
    assert take_response(page).endswith(b"/local/domain/5\0")


def test_a_broken_guest_may_reconnect(page, server):
    store, ring = server
    put_request(page, struct.pack("<IIII", 2, 1, 0, 5000))
    ring.handle_event()
    lib.pv_xenstore_ask_reconnect(as_struct(page))
    ring.handle_event()
    assert as_struct(page).error == lib.XENSTORE_ERROR_NONE
    put_request(page, READ_ROOT)
    ring.handle_event()
    store.run()
    assert take_response(page).endswith(b"/local/domain/5\0")


def test_responses_wait_for_room(page, server):
    store, ring = server
    for _ in range(40):
        put_request(page, READ_ROOT)
        ring.handle_event()
        store.run()
    received = b""
    while part := take_response(page):
        received += part
        ring.handle_event()
        store.run()
    assert received.count(b"/local/domain/5\0") == 40


def test_release_ends_the_page(page, server):
    store, ring = server
    store.release(5)
    before = bytes(page)
    ring.handle_event()
    assert bytes(page) == before
