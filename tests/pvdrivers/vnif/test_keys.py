"""Negotiation over all feature combinations, and what is made of keys no correct peer writes."""

import itertools
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvdrivers.ring.errors import PeerError
from pvdrivers.vnif.features import (
    BackendFeatures,
    FrontendFeatures,
    Offloads,
    negotiate,
)
from pvdrivers.vnif.keys import (
    BACKEND_KEYS,
    FRONTEND_HEAD_KEYS,
    TOOLSTACK_KEYS,
    ControlRing,
    DeviceInfo,
    FrontendHead,
    QueueRings,
    backend_keys,
    frontend_keys,
    queue_key_names,
    read_backend,
    read_frontend_head,
    read_link,
    read_queues,
)
from pvdrivers.xenbus.keys import PROTOCOLS

OFFER = BackendFeatures(rx_copy=True, max_queues=4, control_ring=True)
PLAIN = {"request-rx-copy": "1", "tx-ring-ref": "8", "rx-ring-ref": "9", "event-channel": "3"}

offloads = st.builds(Offloads, *[st.booleans()] * 5)
backends = st.builds(
    BackendFeatures,
    rx_copy=st.booleans(),
    offloads=offloads,
    split_event_channels=st.booleans(),
    max_queues=st.integers(1, 64),
    multicast_control=st.booleans(),
    dynamic_multicast_control=st.booleans(),
    control_ring=st.booleans(),
    xdp_headroom=st.booleans(),
)
heads = st.builds(
    FrontendHead,
    protocol=st.sampled_from([None, *PROTOCOLS]),
    queues=st.integers(1, 64),
    offloads=offloads,
    rx_notify=st.booleans(),
    multicast_control=st.booleans(),
    xdp_headroom=st.integers(0, 2048),
    control=st.none() | st.builds(ControlRing, st.integers(8, 2**32 - 1), st.integers(1, 4095)),
)


@given(backends)
def test_a_backends_offer_is_read_as_written(back: BackendFeatures) -> None:
    assert read_backend(backend_keys(back)) == back
    assert set(backend_keys(back)) == {*BACKEND_KEYS, "feature-rx-flip"}


@given(heads, st.booleans())
def test_what_a_frontend_publishes_is_read_as_written(head: FrontendHead, split: bool) -> None:
    offer = BackendFeatures(max_queues=64, control_ring=True)
    queues = [
        QueueRings(q, 100 + q, 200 + q, 300 + q, (400 if split else 300) + q)
        for q in range(head.queues)
    ]
    written = frontend_keys(head, queues)
    assert read_frontend_head(written, offer) == head
    assert read_queues(written, head.queues) == queues
    assert set(written) <= {*FRONTEND_HEAD_KEYS, *queue_key_names(head.queues)}


def test_the_names_of_two_split_queues_are_those_of_the_header() -> None:
    head = FrontendHead(None, 2, Offloads(), True, False, 0, None)
    written = frontend_keys(head, [QueueRings(0, 8, 9, 1, 2), QueueRings(1, 10, 11, 3, 4)])
    assert {key: value for key, value in written.items() if key.startswith("queue-")} == {
        "queue-0/tx-ring-ref": "8", "queue-0/rx-ring-ref": "9",
        "queue-0/event-channel-tx": "1", "queue-0/event-channel-rx": "2",
        "queue-1/tx-ring-ref": "10", "queue-1/rx-ring-ref": "11",
        "queue-1/event-channel-tx": "3", "queue-1/event-channel-rx": "4",
    }  # fmt: skip
    assert written["multi-queue-num-queues"] == "2"


def test_all_combinations_of_offloads() -> None:
    """The complete matrix, 32 by 32, against the plain rule."""
    for ours in itertools.product((False, True), repeat=5):
        for theirs in itertools.product((False, True), repeat=5):
            front = FrontendFeatures(offloads=Offloads(*ours))
            back = BackendFeatures(offloads=Offloads(*theirs))
            sg, gso4, gso6, csum4, csum6 = (a and b for a, b in zip(ours, theirs, strict=True))
            expected = Offloads(sg, gso4 and sg and csum4, gso6 and sg and csum6, csum4, csum6)
            assert negotiate(front, read_backend(backend_keys(back))).offloads == expected


@pytest.mark.parametrize("name", ["split_event_channels", "control_ring"])
def test_a_feature_needs_both_ends(name: str) -> None:
    for front_has, back_has in itertools.product((False, True), repeat=2):
        front = replace(FrontendFeatures(), **{name: front_has})
        back = replace(BackendFeatures(), **{name: back_has})
        assert getattr(negotiate(front, back), name) == (front_has and back_has)


def test_a_legacy_backend_has_blank_ipv4_checksums_and_nothing_else() -> None:
    agreement = negotiate(FrontendFeatures(max_queues=4), read_backend({}))
    assert agreement.queues == 1
    assert agreement.offloads == Offloads(csum_ipv4=True)
    found = [field.name for field in fields(agreement) if getattr(agreement, field.name) is True]
    assert found == ["rx_notify"]


def test_a_legacy_frontend_has_one_queue_with_one_event_channel() -> None:
    head = read_frontend_head(PLAIN, OFFER)
    assert head == FrontendHead(None, 1, Offloads(csum_ipv4=True), False, False, 0, None)
    assert read_queues(PLAIN, 1) == [QueueRings(0, 8, 9, 3, 3)]


def test_a_control_ring_that_was_not_offered_is_not_used() -> None:
    keys = PLAIN | {"ctrl-ring-ref": "5", "event-channel-ctrl": "6"}
    assert read_frontend_head(keys, OFFER).control == ControlRing(5, 6)
    assert read_frontend_head(keys, replace(OFFER, control_ring=False)).control is None


@pytest.mark.parametrize(
    "keys",
    [
        {"request-rx-copy": "0"},
        {"request-rx-copy": "yes"},
        {"multi-queue-num-queues": "0"},  # zero queues are refused
        {"multi-queue-num-queues": "5"},
        {"multi-queue-num-queues": "2"},  # beside flat keys
        {"multi-queue-num-queues": ""},
        {"protocol": "vax-abi"},
        {"protocol": ""},
        {"feature-sg": "on"},
        {"feature-rx-notify": "-1"},
        {"feature-gso-tcpv4": "٣"},
        {"request-multicast-control": "9" * 4000},
        {"xdp-headroom": "2049"},
        {"xdp-headroom": "-1"},
        {"ctrl-ring-ref": "5"},
        {"event-channel-ctrl": "5"},
        {"ctrl-ring-ref": "5", "event-channel-ctrl": "x"},
    ],
)
def test_bad_frontend_keys(keys: dict[str, str]) -> None:
    with pytest.raises(PeerError):
        read_frontend_head(PLAIN | keys, OFFER)


def test_a_frontend_that_does_not_ask_for_copies_is_refused() -> None:
    with pytest.raises(PeerError, match="request-rx-copy"):
        read_frontend_head({"feature-sg": "1"}, OFFER)


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"tx-ring-ref": "8", "rx-ring-ref": "9"},
        {"tx-ring-ref": "8", "event-channel": "3"},
        {"tx-ring-ref": "8", "rx-ring-ref": "4294967296", "event-channel": "3"},
        {"tx-ring-ref": "8", "rx-ring-ref": "9", "event-channel-tx": "3"},
        {"tx-ring-ref": "8", "rx-ring-ref": "9", "event-channel-rx": "3"},
        {**PLAIN, "event-channel-tx": "3"},
        {**PLAIN, "event-channel": "three"},
    ],
)
def test_bad_queue_keys(keys: dict[str, str]) -> None:
    with pytest.raises(PeerError):
        read_queues(keys, 1)


def test_a_queue_without_keys_is_refused() -> None:
    written = frontend_keys(
        FrontendHead(None, 2, Offloads(), True, False, 0, None),
        [QueueRings(0, 8, 9, 1, 2), QueueRings(1, 10, 11, 3, 4)],
    )
    del written["queue-1/rx-ring-ref"]
    with pytest.raises(PeerError, match="queue-1/rx-ring-ref is missing"):
        read_queues(written, 2)


@pytest.mark.parametrize("key", sorted(BACKEND_KEYS))
@pytest.mark.parametrize("value", ["", "yes", "-1", "4294967296"])
def test_bad_backend_keys(key: str, value: str) -> None:
    with pytest.raises(PeerError, match=key):
        read_backend({key: value})


def test_queues_beyond_ours_are_cut() -> None:
    assert read_backend({"multi-queue-max-queues": "4000000000"}).max_queues == 64
    assert read_backend({"multi-queue-max-queues": "0"}).max_queues == 1


def test_the_link_is_up_where_nobody_speaks_of_it() -> None:
    assert read_link({}) == (True, 0)
    assert read_link({"carrier": "0", "speed": "10000"}) == (False, 10000)
    for keys in ({"carrier": "down"}, {"speed": "fast"}):
        with pytest.raises(PeerError):
            read_link(keys)


def test_what_a_toolstack_tells_a_frontend() -> None:
    found = DeviceInfo.read({"mac": "00:16:3E:00:00:0a", "mtu": "9000", "disconnect": "1"})
    assert found == DeviceInfo(b"\x00\x16\x3e\x00\x00\x0a", 9000, True)
    assert DeviceInfo.read({"mac": "00:16:3e:00:00:0a"}).mtu == 1500


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"mac": ""},
        {"mac": "00:16:3e:00:00"},
        {"mac": "01:00:5e:00:00:01"},
        {"mac": "00:00:00:00:00:00"},
        {"mac": "00:16:3e:00:00:0g"},
        {"mac": "00:16:3e:00:00:0a", "mtu": "67"},
        {"mac": "00:16:3e:00:00:0a", "mtu": "65522"},
        {"mac": "00:16:3e:00:00:0a", "mtu": "jumbo"},
        {"mac": "00:16:3e:00:00:0a", "disconnect": "maybe"},
    ],
)
def test_what_no_toolstack_tells(keys: dict[str, str]) -> None:
    with pytest.raises(PeerError):
        DeviceInfo.read(keys)


garbage = st.text("0123456789 -+xe\0٣²é", max_size=6) | st.integers(-3, 2**33).map(str)


@given(st.dictionaries(st.sampled_from([*FRONTEND_HEAD_KEYS, *queue_key_names(2)]), garbage))
def test_any_frontend_keys_are_read_or_a_peer_error(keys: dict[str, str]) -> None:
    try:
        head = read_frontend_head({"request-rx-copy": "1"} | keys, OFFER)
        queues = read_queues(keys, head.queues)
    except PeerError:
        return
    assert len(queues) == head.queues <= OFFER.max_queues


@given(st.dictionaries(st.sampled_from([*BACKEND_KEYS, *TOOLSTACK_KEYS]), garbage))
def test_any_backend_keys_are_read_or_a_peer_error(keys: dict[str, str]) -> None:
    try:
        found = read_backend(keys)
    except PeerError:
        return
    assert 1 <= found.max_queues <= 64


def test_how_many_queues_a_frontend_may_want() -> None:
    for wrong in (0, 65):
        with pytest.raises(ValueError, match="max_queues"):
            FrontendFeatures(max_queues=wrong)
