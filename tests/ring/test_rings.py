"""The Python halves: what they refuse, whose fault it is, and how they show themselves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvdrivers.ring import Abi, BackRing, FrontRing, PeerError, UsageError


@given(st.lists(st.binary(min_size=1, max_size=16), max_size=200), st.sampled_from(list(Abi)))
def test_everything_asked_is_answered_in_order(questions: list[bytes], abi: Abi) -> None:
    page = bytearray(abi.page_size)
    front, back = FrontRing.create(page, 16), BackRing(page, 16)
    answers: list[bytes] = []
    left = list(questions)
    while len(answers) < len(questions):
        while left and front.free_requests:
            front.add_request(left.pop(0))
        front.push_requests()
        for request in back.take_requests(limit=7):
            back.add_response(request[::-1])
        back.push_responses()
        answers += front.take_responses()
    assert answers == [question.ljust(16, b"\0")[::-1] for question in questions]


def test_a_caller_cannot_overfill_or_answer_nothing() -> None:
    page = bytearray(4096)
    front, back = FrontRing.create(page, 112), BackRing(page, 112)
    with pytest.raises(UsageError, match="no request"):
        back.add_response(b"")
    for _ in range(front.nr_ents):
        front.add_request(b"x")
    with pytest.raises(UsageError, match="full"):
        front.add_request(b"x")
    with pytest.raises(UsageError, match="113 bytes into a slot of 112"):
        FrontRing.create(bytearray(4096), 112).add_request(b"x" * 113)


@pytest.mark.parametrize(
    ("area", "slot", "why"),
    [
        (bytearray(4096), 0, "0 bytes"),
        (bytearray(64), 8, "no slot"),
        (memoryview(bytearray(4097))[1:], 112, "aligned"),
    ],
)
def test_memory_that_is_no_ring_is_the_callers_mistake(
    area: bytearray | memoryview, slot: int, why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        FrontRing(area, slot)


def test_memory_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(BufferError):
        BackRing(memoryview(bytes(4096)), 112)


def test_a_peers_overrun_is_the_peers_fault_and_is_shown() -> None:
    page = bytearray(4096)
    front, back = FrontRing.create(page, 112), BackRing(page, 112)
    header = memoryview(page).cast("I")
    header[0], header[2] = 33, 1
    with pytest.raises(PeerError, match="req_prod=33"):
        back.take_requests()
    with pytest.raises(PeerError, match="rsp_prod=1"):
        front.take_responses()
    assert back.final_check(), "the backend must not sleep over it"
    assert front.final_check()


def test_a_backend_that_comes_back_takes_what_was_not_answered() -> None:
    page = bytearray(4096)
    front, back = FrontRing.create(page, 112), BackRing(page, 112)
    for i in range(3):
        front.add_request(bytes([i]))
    front.push_requests()
    assert len(back.take_requests()) == 3
    back.add_response(b"0")
    back.push_responses()

    reborn = BackRing(page, 112)
    assert [request[0] for request in reborn.take_requests()] == [0x01, 0x02]


def test_a_half_describes_itself_in_one_line() -> None:
    page = bytearray(4096)
    front, back = FrontRing.create(page, 112), BackRing(page, 112)
    front.add_request(b"x")
    assert repr(front) == (
        "<FrontRing 32 x 112 B, req_prod_pvt=1 rsp_cons=0; "
        "req_prod=0 req_event=1 rsp_prod=0 rsp_event=1>"
    )
    assert repr(back).startswith("<BackRing 32 x 112 B, rsp_prod_pvt=0 req_cons=0; req_prod=0 ")
