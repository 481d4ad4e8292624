"""Calls about the host's interfaces: off the loop, and given up when they do not return."""

import asyncio
import threading
from typing import Any

import pytest

from pvdrivers.backends.uplinks import netlink
from pvdrivers.ring.errors import UsageError


class Opened:
    def __init__(self) -> None:
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()


def test_what_comes_too_late_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netlink, "LIMIT", 0.01)
    kernel_answers = threading.Event()
    opened = Opened()

    def open_() -> Opened:
        kernel_answers.wait()
        return opened

    with pytest.raises(UsageError, match=r"the kernel has not answered within 0\.01 s"):
        asyncio.run(netlink.open_in_namespace(open_, None))
    assert not opened.closed.is_set()
    kernel_answers.set()
    assert opened.closed.wait(20)


def test_the_namespace_is_the_calls_alone(namespace: Any) -> None:
    name = namespace.name
    loopback = asyncio.run(netlink.find_link("lo", namespace=name))
    assert loopback is not None
    assert loopback.state == "up"
    asyncio.run(netlink.create_bridge("pvdriverstest0", namespace=name))
    assert asyncio.run(netlink.find_link("pvdriverstest0")) is None  # here there is none


def test_what_is_not_there(namespace: Any) -> None:
    name = namespace.name
    assert asyncio.run(netlink.find_link("eth7", namespace=name)) is None
    with pytest.raises(UsageError, match="eth7: there is no such interface"):
        asyncio.run(netlink.delete("eth7", namespace=name))
