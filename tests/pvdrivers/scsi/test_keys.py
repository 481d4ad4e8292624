"""The xenstore keys of virtual SCSI hosts."""

import pytest

from pvdrivers.ring.errors import PeerError
from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.scsi.features import BackendFeatures
from pvdrivers.scsi.keys import (
    FRONTEND_KEYS,
    FrontendRing,
    LunKeys,
    backend_keys,
    lun_key_names,
    lun_state_key,
    read_backend,
    read_feature_host,
    read_luns,
)
from pvdrivers.xenbus.keys import QueueKeys
from pvdrivers.xenbus.states import XenbusState


@pytest.mark.parametrize("sg_grant", [0, 26, 128, 4096])
def test_an_offer_is_read_as_it_was_written(sg_grant: int) -> None:
    offer = BackendFeatures(sg_grant=sg_grant)
    assert read_backend(backend_keys(offer)) == offer


def test_a_backend_older_than_lists_has_no_key() -> None:
    assert backend_keys(BackendFeatures()) == {}
    assert read_backend({"feature-host": "0"}) == BackendFeatures(sg_grant=0)


@pytest.mark.parametrize("text", ["-1", "x", "65536", ""])
def test_no_number_of_segments(text: str) -> None:
    with pytest.raises(PeerError, match="feature-sg-grant is"):
        read_backend({"feature-sg-grant": text})


def test_a_whole_host() -> None:
    assert read_feature_host({"feature-host": "1"})
    assert not read_feature_host({"feature-host": "0"})
    assert not read_feature_host({})


@pytest.mark.parametrize("protocol", [None, "x86_64-abi", "x86_32-abi", "ia64-abi"])
def test_a_ring_is_read_as_it_was_written(protocol: str | None) -> None:
    ring = FrontendRing(protocol, QueueKeys((8,), 17))
    assert set(ring.keys()) <= set(FRONTEND_KEYS)
    assert FrontendRing.read(ring.keys()) == ring


def test_linux_writes_two_keys() -> None:
    assert FrontendRing(None, QueueKeys((8,), 17)).keys() == {
        "ring-ref": "8", "event-channel": "17"
    }  # fmt: skip


@pytest.mark.parametrize("missing", ["ring-ref", "event-channel"])
def test_a_ring_that_is_not_published(missing: str) -> None:
    keys = FrontendRing(None, QueueKeys((8,), 17)).keys()
    del keys[missing]
    with pytest.raises(PeerError, match=f"{missing} is missing"):
        FrontendRing.read(keys)


def test_an_unknown_protocol() -> None:
    with pytest.raises(PeerError, match="protocol 'sparc-abi' is not known"):
        FrontendRing.read({"protocol": "sparc-abi", "ring-ref": "8", "event-channel": "17"})


def test_luns() -> None:
    keys = {
        "vscsi-devs/dev-0/state": "1",
        "vscsi-devs/dev-0/p-dev": "naa.5001405a:3",
        "vscsi-devs/dev-0/v-dev": "0:0:1:3",
        "vscsi-devs/dev-12/state": "5",
    }
    assert set(keys) <= set(lun_key_names(["dev-0", "dev-12"]))
    assert read_luns(keys, ["dev-0", "dev-12"]) == [
        LunKeys("dev-0", XenbusState.INITIALISING, "naa.5001405a:3", ScsiAddress(0, 0, 1, 3)),
        LunKeys("dev-12", XenbusState.CLOSING, "", None),
    ]
    assert lun_state_key("dev-12") == "vscsi-devs/dev-12/state"


@pytest.mark.parametrize("v_dev", ["", "0:0:1", "0:0:1:65536", "sda", "0:0:1:0:0"])
def test_a_v_dev_that_cannot_be_read_is_none(v_dev: str) -> None:
    [lun] = read_luns({"vscsi-devs/dev-0/v-dev": v_dev}, ["dev-0"])
    assert lun.v_dev is None
    assert lun.state is XenbusState.UNKNOWN
