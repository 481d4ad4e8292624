"""What the ends of a virtual SCSI host offer and agree on."""

import pytest

from pvdrivers.ring.abi import Abi
from pvdrivers.scsi.features import (
    MAX_SG_GRANT,
    BackendFeatures,
    FrontendFeatures,
    list_segments,
    negotiate,
)


@pytest.mark.parametrize(
    ("front", "back", "agreed"),
    [(128, 128, 128), (4096, 128, 128), (64, 1024, 64), (128, 0, 26), (0, 128, 26), (26, 0, 26)],
)
def test_the_shorter_list_counts_and_a_slot_at_least(front: int, back: int, agreed: int) -> None:
    agreement = negotiate(FrontendFeatures(sg_grant=front), BackendFeatures(sg_grant=back))
    assert agreement.max_segments == agreed


@pytest.mark.parametrize("number", [1, 25, MAX_SG_GRANT + 1, -1])
def test_a_list_is_of_no_use_below_a_slot(number: int) -> None:
    with pytest.raises(ValueError, match="sg_grant is 0 or 26 to 4096"):
        FrontendFeatures(sg_grant=number)


def test_a_protocol_is_one_that_is_known() -> None:
    with pytest.raises(ValueError, match="is none of x86_64-abi"):
        FrontendFeatures(protocol="sparc-abi")


def test_the_longest_list_fits_the_pages_that_a_slot_can_name() -> None:
    assert list_segments(Abi.X86_64) == 26 * 512
    assert all(list_segments(abi) >= MAX_SG_GRANT for abi in Abi)
