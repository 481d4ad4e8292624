"""A pool and a cache of packets that must all be released when a test ends."""

from collections.abc import Iterator
from typing import Any

import pytest

from pvdrivers._core import lib


@pytest.fixture(scope="module")
def packet_cache() -> Iterator[Any]:
    pool = lib.pv_packet_pool_create()
    packet_cache = lib.pv_packet_cache_create(pool)
    yield packet_cache
    used = lib.pv_packet_pool_used(pool)
    lib.pv_packet_cache_destroy(packet_cache)
    lib.pv_packet_pool_destroy(pool)
    assert used == 0, "packets were not released"
