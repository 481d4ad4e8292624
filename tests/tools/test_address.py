"""HOST:PORT, as options and configurations have it."""

import pytest

from pvdrivers.ring.errors import UsageError
from pvdrivers.tools.address import format_address, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("localhost:65535", ("localhost", 65535)),
        ("[::1]:3260", ("::1", 3260)),
        ("::1:3260", ("::1", 3260)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address("--listen", text) == address
    assert parse_address("--listen", format_address(*address)) == address


@pytest.mark.parametrize("text", ["", "9090", ":9090", "host:", "host:65536", "host:-1", "host:٣"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(UsageError, match=f"^--listen {text}: write HOST:PORT"):
        parse_address("--listen", text)
