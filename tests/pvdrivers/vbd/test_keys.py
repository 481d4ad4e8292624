"""Negotiation over all feature combinations, and what is made of keys no correct peer writes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvdrivers.ring.errors import PeerError
from pvdrivers.vbd.features import (
    BackendFeatures,
    DeviceInfo,
    FrontendFeatures,
    check_device_info,
    choose_layout,
    negotiate,
)
from pvdrivers.vbd.keys import (
    FRONTEND_HEAD_KEYS,
    early_keys,
    frontend_keys,
    late_keys,
    queue_key_names,
    read_backend,
    read_frontend_head,
    read_limits,
    read_queues,
)
from pvdrivers.xenbus.keys import PROTOCOLS, QueueKeys

BITS = ("flush", "barrier", "discard", "discard_secure", "persistent")
INFO = DeviceInfo(sectors=2048)


@st.composite
def backends(draw: st.DrawFn) -> BackendFeatures:
    bits = {name: draw(st.booleans()) for name in BITS}
    return BackendFeatures(
        **bits,
        discard_granularity=draw(st.sampled_from([512, 4096])),
        max_indirect_segments=draw(st.sampled_from([0, 1, 32, 256, 4096])),
        max_ring_page_order=draw(st.integers(0, 4)),
        ring_page_keys=draw(st.sampled_from(["order", "pages", "both"])),
        max_queues=draw(st.integers(1, 8)),
    )


@st.composite
def frontends(draw: st.DrawFn) -> FrontendFeatures:
    bits = {name: draw(st.booleans()) for name in BITS}
    return FrontendFeatures(
        **bits,
        protocol=draw(st.sampled_from(PROTOCOLS)),
        max_indirect_segments=draw(st.sampled_from([0, 32, 256, 4096])),
        max_ring_page_order=draw(st.integers(0, 4)),
        max_queues=draw(st.integers(1, 8)),
    )


@given(frontends(), backends())
def test_both_ends_agree_over_xenstore(front: FrontendFeatures, back: BackendFeatures) -> None:
    """Each end sees the other only through keys, and both come to the same connection."""
    layout = choose_layout(front, read_limits(early_keys(back)))
    queues = [
        QueueKeys(tuple(range(q * 100, q * 100 + (1 << layout.ring_page_order))), 7 + q)
        for q in range(layout.queues)
    ]
    written = frontend_keys(layout, front.persistent, queues)
    head = read_frontend_head({k: written[k] for k in FRONTEND_HEAD_KEYS if k in written}, back)
    names = queue_key_names(head.layout)
    assert read_queues({key: written[key] for key in names}, head.layout) == queues
    assert set(written) == {k for k in FRONTEND_HEAD_KEYS if k in written} | set(names)
    seen, info = read_backend(early_keys(back) | late_keys(back, INFO))
    agreement = negotiate(front, seen)
    assert info == INFO
    assert agreement.layout == layout
    assert head.layout.queues == layout.queues == min(front.max_queues, back.max_queues)
    assert head.layout.ring_page_order == min(front.max_ring_page_order, back.max_ring_page_order)
    assert head.layout.protocol == front.protocol
    assert agreement.persistent == (head.persistent and back.persistent)


@pytest.mark.parametrize("name", BITS)
def test_a_feature_needs_both_ends(name: str) -> None:
    needs = {"discard": True} if name == "discard_secure" else {}
    for front_has, back_has in itertools.product((False, True), repeat=2):
        front = FrontendFeatures(**{**needs, name: front_has})  # type: ignore[arg-type]
        back = BackendFeatures(**{**needs, name: back_has})  # type: ignore[arg-type]
        assert getattr(negotiate(front, back), name) == (front_has and back_has)


def test_all_combinations_of_bits() -> None:
    """The complete matrix, 32 by 32, against the plain rule."""
    for ours in itertools.product((False, True), repeat=5):
        for theirs in itertools.product((False, True), repeat=5):
            front = FrontendFeatures(**dict(zip(BITS, ours, strict=True)))  # type: ignore[arg-type]
            back = BackendFeatures(**dict(zip(BITS, theirs, strict=True)))  # type: ignore[arg-type]
            agreed = negotiate(front, read_backend(late_keys(back, INFO))[0])
            expected = [a and b for a, b in zip(ours, theirs, strict=True)]
            expected[3] = expected[3] and expected[2]
            assert [getattr(agreed, name) for name in BITS] == expected


def test_legacy_backend_has_nothing() -> None:
    features, info = read_backend({"sectors": "100"})
    agreement = negotiate(FrontendFeatures(), features)
    assert agreement.layout.ring_page_keys == "single"
    assert agreement.layout.queues == 1
    assert agreement.layout.max_indirect_segments == 0
    assert not any(getattr(agreement, name) for name in BITS)
    assert (info.sectors, info.sector_size, info.physical_sector_size) == (100, 512, 512)


def test_legacy_frontend_is_32_bit_with_one_ring() -> None:
    offer = BackendFeatures(max_ring_page_order=4, max_queues=4, persistent=True)
    head = read_frontend_head({}, offer)
    assert (head.layout.protocol, head.layout.queues, head.persistent) == ("x86_32-abi", 1, False)
    assert queue_key_names(head.layout) == ["ring-ref", "event-channel"]
    assert read_frontend_head({}, offer, "ia64-abi").layout.protocol == "ia64-abi"


def test_key_forms() -> None:
    offer = BackendFeatures(max_ring_page_order=4, max_queues=4)
    numbered = [f"ring-ref{i}" for i in range(4)]
    names = {
        (("ring-page-order", "0"),): ["ring-ref0", "event-channel"],
        (("ring-page-order", "2"),): [*numbered, "event-channel"],
        (("num-ring-pages", "4"),): [*numbered, "event-channel"],
        (("num-ring-pages", "1"),): ["ring-ref", "event-channel"],
        (("ring-page-order", "2"), ("num-ring-pages", "1")): [*numbered, "event-channel"],
        (("multi-queue-num-queues", "1"),): ["ring-ref", "event-channel"],
        (("multi-queue-num-queues", "2"),): [
            "queue-0/ring-ref", "queue-0/event-channel", "queue-1/ring-ref", "queue-1/event-channel"
        ],
    }  # fmt: skip
    for keys, expected in names.items():
        assert queue_key_names(read_frontend_head(dict(keys), offer).layout) == expected


@pytest.mark.parametrize(
    "keys",
    [
        {"protocol": "vax-abi"},
        {"protocol": ""},
        {"ring-page-order": "99"},
        {"ring-page-order": "3"},
        {"ring-page-order": "-1"},
        {"ring-page-order": "zwei"},
        {"ring-page-order": "٣"},
        {"ring-page-order": "9" * 4000},
        {"num-ring-pages": "3"},
        {"num-ring-pages": "0"},
        {"num-ring-pages": "8"},
        {"num-ring-pages": "4294967295"},
        {"multi-queue-num-queues": "0"},
        {"multi-queue-num-queues": "5"},
        {"multi-queue-num-queues": "4294967296"},
        {"multi-queue-num-queues": ""},
        {"feature-persistent": "yes"},
    ],
)
def test_bad_frontend_keys(keys: dict[str, str]) -> None:
    with pytest.raises(PeerError):
        read_frontend_head(keys, BackendFeatures(max_ring_page_order=2, max_queues=4))


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"sectors": "1e6"},
        {"sectors": "18446744073709551616"},
        {"sectors": "100", "sector-size": "0"},
        {"sectors": "100", "sector-size": "513"},
        {"sectors": "100", "sector-size": "8192"},
        {"sectors": "100", "sector-size": "4096"},
        {"sectors": "4096", "sector-size": "4096", "physical-sector-size": "512"},
        {"sectors": "4096", "info": "cdrom"},
        {"sectors": "4096", "multi-queue-max-queues": "x"},
    ],
)
def test_bad_backend_keys(keys: dict[str, str]) -> None:
    with pytest.raises(PeerError):
        read_backend(keys)


def test_limits_beyond_ours_are_cut() -> None:
    limits = read_limits(
        {
            "max-ring-page-order": "9",
            "multi-queue-max-queues": "4000000000",
            "feature-max-indirect-segments": "100000",
        }
    )
    assert (limits.max_ring_page_order, limits.max_queues) == (4, 64)
    assert limits.max_indirect_segments == 4096
    assert read_limits({"max-ring-pages": "0"}).max_ring_page_order == 0
    assert read_limits({"multi-queue-max-queues": "0"}).max_queues == 1


@given(
    st.dictionaries(
        st.sampled_from([*FRONTEND_HEAD_KEYS, "ring-ref", "ring-ref0", "event-channel"]),
        st.text("0123456789 -+xe\0٣²é", max_size=6) | st.integers(-3, 2**33).map(str),
    )
)
def test_any_frontend_keys_are_read_or_a_peer_error(keys: dict[str, str]) -> None:
    offer = BackendFeatures(max_ring_page_order=4, max_queues=64)
    try:
        head = read_frontend_head(keys, offer)
        read_queues(keys, head.layout)
    except PeerError:
        return
    assert 1 <= head.layout.queues <= 64


@pytest.mark.parametrize("bits", range(8))
def test_info_bits(bits: int) -> None:
    info = DeviceInfo(64, cdrom=bool(bits & 1), removable=bool(bits & 2), read_only=bool(bits & 4))
    assert info.info == bits
    assert read_backend(late_keys(BackendFeatures(), info))[1] == info


@pytest.mark.parametrize("size", [512, 1024, 2048, 4096])
def test_sector_sizes(size: int) -> None:
    info = DeviceInfo(sectors=4096, sector_size=size, physical_sector_size=4096)
    assert check_device_info(info) == info
    assert read_backend(late_keys(BackendFeatures(discard=True), info))[1] == info


def test_what_a_frontend_may_not_want() -> None:
    for wrong in ({"protocol": "vax"}, {"max_ring_page_order": 5}, {"max_queues": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            FrontendFeatures(**wrong)  # type: ignore[arg-type]
