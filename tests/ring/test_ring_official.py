"""Our ring halves beside Xen's own macros on a twin page, compared byte for byte."""

import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pvdrivers.ring import BackRing, FrontRing, PeerError

SLOT_SIZES = [8, 12, 16, 108, 112, 252]  # netif rx, tx, control; blkif on 32 and 64 bits; vscsiif
PAGES = [*(pages * 4096 for pages in range(1, 17)), 16384]
WRAP = 1 << 32

near_the_edges = st.builds(
    lambda edge, off: (edge + off) % WRAP,
    st.sampled_from([0, 1 << 31, WRAP]),
    st.integers(-20, 20),
)


@functools.cache
def official() -> ctypes.CDLL:
    if not Path("/usr/include/xen/io/ring.h").exists():
        pytest.skip("needs Xen's public headers (Debian package libxen-dev)")
    if not shutil.which("gcc"):
        pytest.skip("needs gcc (Debian package gcc)")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "official.so"
        source = Path(__file__).parent / "official_ring.c"
        subprocess.run(["gcc", "-O1", "-w", "-shared", "-fPIC", "-o", library, source], check=True)
        return ctypes.CDLL(str(library))


class Official:
    """Both halves of a ring driven by the official macros."""

    def __init__(self, size: int, slot_size: int, index: int) -> None:
        self.slot_size = slot_size
        self.page = (ctypes.c_uint8 * size)()
        self._call("sring_init", self.page)
        start(self.page, index)
        self.front = self._attach("front_new", index)
        self.back = self._attach("back_new", index)

    def _attach(self, name: str, index: int) -> ctypes.c_void_p:
        function = official()[f"{name}_{self.slot_size}"]
        function.restype = ctypes.c_void_p
        size = ctypes.c_size_t(len(self.page))
        return ctypes.c_void_p(function(self.page, ctypes.c_uint32(index), size))

    def _call(self, name: str, *arguments: Any) -> int:
        function = official()[f"{name}_{self.slot_size}"]
        function.restype = ctypes.c_uint32
        return function(*arguments)

    def indices(self, half: str) -> list[int]:
        out = (ctypes.c_uint32 * 3)()
        self._call(f"{half}_indices", getattr(self, half), out)
        return list(out)

    def take(self, half: str) -> bytes:
        out = ctypes.create_string_buffer(self.slot_size)
        self._call(f"{half}_take", getattr(self, half), out)
        return out.raw

    def __call__(self, half: str, name: str, *arguments: Any) -> int:
        return self._call(f"{half}_{name}", getattr(self, half), *arguments)

    def free(self) -> None:
        libc = ctypes.CDLL(None)
        libc.free(self.front)
        libc.free(self.back)


def start(page: Any, index: int) -> None:
    """Makes a fresh shared header one whose indices have come as far as `index`."""
    words = memoryview(page).cast("B").cast("I")
    words[0] = words[2] = index
    words[1] = words[3] = (index + 1) % WRAP


class TwinRings(RuleBasedStateMachine):
    """Every operation on both twins; results, pages and private indices stay equal."""

    @initialize(size=st.sampled_from(PAGES), slot=st.sampled_from(SLOT_SIZES), index=near_the_edges)
    def attach(self, size: int, slot: int, index: int) -> None:
        self.theirs = Official(size, slot, index)
        self.page = bytearray(size)
        FrontRing.create(self.page, slot)
        start(self.page, index)
        self.front = FrontRing(self.page, slot, index)
        self.back = BackRing(self.page, slot)

    def padded(self, data: bytes) -> bytes:
        return data[: self.front.slot_size].ljust(self.front.slot_size, b"\0")

    @precondition(lambda self: self.front.free_requests)
    @rule(data=st.binary(min_size=1, max_size=252), count=st.integers(1, 600))
    def add_requests(self, data: bytes, count: int) -> None:
        data = self.padded(data)
        for _ in range(min(count, self.front.free_requests)):
            self.front.add_request(data)
            self.theirs("front", "add", data)

    @rule()
    def push_requests(self) -> None:
        assert self.front.push_requests() == self.theirs("front", "push")

    @rule(limit=st.integers(0, 600))
    def take_requests(self, limit: int) -> None:
        ready = self.back.unconsumed_requests()
        assert ready == self.theirs("back", "unconsumed")
        taken = self.back.take_requests(limit)
        assert taken == [self.theirs.take("back") for _ in range(min(ready, limit))]

    @precondition(lambda self: self.back.unanswered)
    @rule(data=st.binary(min_size=1, max_size=252), count=st.integers(1, 600))
    def add_responses(self, data: bytes, count: int) -> None:
        data = self.padded(data)
        for _ in range(min(count, self.back.unanswered)):
            self.back.add_response(data)
            self.theirs("back", "add", data)

    @rule()
    def push_responses(self) -> None:
        assert self.back.push_responses() == self.theirs("back", "push")

    @rule(limit=st.integers(0, 600))
    def take_responses(self, limit: int) -> None:
        ready = self.front.unconsumed_responses()
        assert ready == self.theirs("front", "unconsumed")
        taken = self.front.take_responses(limit)
        assert taken == [self.theirs.take("front") for _ in range(min(ready, limit))]

    @rule()
    def front_sleeps(self) -> None:
        assert self.front.final_check() == self.theirs("front", "final_check")

    @rule()
    def back_sleeps(self) -> None:
        assert self.back.final_check() == self.theirs("back", "final_check")

    @invariant()
    def twins_are_equal(self) -> None:
        if not hasattr(self, "front"):
            return
        front, back = self.front, self.back
        assert self.page == bytes(self.theirs.page)
        assert [front.req_prod_pvt, front.rsp_cons, front.nr_ents] == self.theirs.indices("front")
        assert [back.rsp_prod_pvt, back.req_cons, back.nr_ents] == self.theirs.indices("back")
        assert front.free_requests == self.theirs("front", "free")

    def teardown(self) -> None:
        if hasattr(self, "theirs"):
            self.theirs.free()


TestTwinRings = pytest.mark.slow(TwinRings.TestCase)
TestTwinRings.settings = settings(max_examples=60, stateful_step_count=40)


@pytest.mark.slow
@settings(max_examples=300)
@given(
    index=near_the_edges,
    written=st.integers(0, 32),
    taken=st.integers(0, 32),
    claim=st.integers(-40, 80) | st.integers(0, WRAP - 1),
)
def test_what_the_official_check_calls_overflow_is_a_peer_error(
    index: int, written: int, taken: int, claim: int
) -> None:
    """Ours refuses more: an index taken back behind what was consumed, answers to no request."""
    theirs = Official(4096, 112, index)
    page = bytearray(4096)
    FrontRing.create(page, 112)
    start(page, index)
    front, back = FrontRing(page, 112, index), BackRing(page, 112, index)
    for _ in range(written):
        front.add_request(b"x")
    front.push_requests()
    taken = len(back.take_requests(taken))
    for _ in range(taken):
        theirs.take("back")

    header = memoryview(page).cast("I")
    header[0] = header[2] = (index + claim) % WRAP
    claim %= WRAP
    for half, check, legal in (
        ("back", back.unconsumed_requests, taken <= claim <= 32),
        ("front", front.unconsumed_responses, claim <= written),
    ):
        if legal:
            assert check() == claim - (taken if half == "back" else 0)
            assert not theirs(half, "overflow", ctypes.c_uint32(header[0]))
        else:
            with pytest.raises(PeerError):
                check()
        assert (claim > 32) == theirs(half, "overflow", ctypes.c_uint32(header[0]))
    theirs.free()
