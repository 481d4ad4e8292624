"""How a TAP interface is made, taken up and lost; what cannot be is told in one sentence."""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from typing import Any

import pytest

from pvdrivers.backends.uplinks import netlink
from pvdrivers.backends.uplinks.tap import PORT_MAC, TapUplink
from pvdrivers.daemon_threads import in_daemon_thread
from pvdrivers.ring.errors import UsageError
from pvdrivers.testing.vnif.uplink_guest import UplinkGuest


def find(namespace: Any, name: str) -> netlink.Link | None:
    return asyncio.run(netlink.find_link(name, namespace=namespace.name))


def test_ends_with_the_uplink(namespace: Any, open_tap: Any) -> None:
    uplink = open_tap(namespace, "vif1.0", queues=3)
    assert repr(uplink) == "<TapUplink tap vif1.0, 3 queues>"
    link = find(namespace, "vif1.0")
    assert link is not None
    assert (link.kind, link.tun_queues, link.state) == ("tun", 3, "down")
    uplink.close()
    assert find(namespace, "vif1.0") is None


def test_on_a_bridge(namespace: Any, open_tap: Any) -> None:
    asyncio.run(netlink.create_bridge("xenbr0", mtu=9000, namespace=namespace.name))
    uplink = open_tap(namespace, "vif1.0", bridge="xenbr0")
    assert repr(uplink) == "<TapUplink tap vif1.0 on xenbr0, 1 queue>"
    bridge, link = find(namespace, "xenbr0"), find(namespace, "vif1.0")
    assert bridge is not None
    assert link is not None
    assert (bridge.kind, bridge.state) == ("bridge", "up")
    assert (link.bridge, link.mtu, link.mac, link.state) == (bridge.index, 9000, PORT_MAC, "up")


def test_mtu(namespace: Any, open_tap: Any) -> None:
    asyncio.run(netlink.create_bridge("xenbr0", namespace=namespace.name))
    open_tap(namespace, "vif1.0", bridge="xenbr0", mtu=1400)
    link = find(namespace, "vif1.0")
    assert link is not None
    assert link.mtu == 1400


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("tap0", {"bridge": "none0"}, "there is no bridge none0: .ip link add none0 type bridge"),
        ("tap0", {"bridge": "lo"}, "lo is no bridge"),
        ("lo", {}, "TAP lo: the name is another interface's, or"),
        ("a" * 16, {}, "interface name 'aaaaaaaaaaaaaaaa': it has 16 bytes, not 1 to 15"),
        ("", {}, "interface name '': it has 0 bytes"),
        ("a/b", {}, "interface name 'a/b': a /, :, % or blank"),
        ("tap%d", {}, "interface name 'tap%d': a /, :, % or blank"),
        ("tap0", {"queues": 65}, "tap0: 65 queues are not 1 to 64"),
        ("tap0", {"mtu": 70000}, "TAP tap0: invalid argument"),
    ],
)
def test_cannot_be(
    namespace: Any, open_tap: Any, name: str, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        open_tap(namespace, name, **options)
    assert find(namespace, "tap0") is None
    assert open_descriptors("/dev/net/tun") == 0


def open_descriptors(path: str) -> int:
    number = 0
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            number += os.readlink(f"/proc/self/fd/{fd}") == path
    return number


def test_no_such_namespace() -> None:
    with pytest.raises(UsageError, match="network namespace nowhere: no such file or directory"):
        asyncio.run(TapUplink.open("tap0", namespace="nowhere"))


@pytest.mark.parametrize("queues", [1, 2])
def test_used_by_another(namespace: Any, open_tap: Any, queues: int) -> None:
    open_tap(namespace, queues=queues)
    with pytest.raises(UsageError, match="TAP tap0: another process has it"):
        open_tap(namespace, queues=queues)
    assert find(namespace, "tap0") is not None
    assert open_descriptors("/dev/net/tun") == queues


def test_one_made_for_another_number_of_queues(namespace: Any, open_tap: Any) -> None:
    namespace.run("ip tuntap add tap0 mode tap")
    with pytest.raises(UsageError, match="or that of a TAP made without multi_queue"):
        open_tap(namespace, queues=2)
    open_tap(namespace).close()
    assert find(namespace, "tap0") is not None


UNPRIVILEGED = """
    import asyncio, os
    import pyroute2  # now, for what is root's own may not be read later
    from pvdrivers.backends.uplinks.tap import TapUplink
    from pvdrivers.ring.errors import UsageError

    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    with asyncio.run(TapUplink.open("prepared")) as uplink:
        print(uplink)
    for name, options in (("tap0", {}), ("prepared", {"bridge": "xenbr0"})):
        try:
            asyncio.run(TapUplink.open(name, **options))
        except UsageError as error:
            print(error)
"""


def test_without_privileges(namespace: Any) -> None:
    asyncio.run(netlink.create_bridge("xenbr0", namespace=namespace.name))
    namespace.run("ip tuntap add prepared mode tap user 65534")
    command = namespace.command(sys.executable, "-c", textwrap.dedent(UNPRIVILEGED))
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    opened, *refused = done.stdout.splitlines()
    assert opened == "<TapUplink tap prepared, 1 queue>"
    assert [line.split(":")[0] for line in refused] == ["TAP tap0", "TAP prepared"]
    for line in refused:
        assert "only a process with CAP_NET_ADMIN" in line
        assert "passt" in line


KILLED = """
    import asyncio, sys
    from pvdrivers.backends.uplinks.tap import TapUplink

    async def main():
        uplink = await TapUplink.open(
            "vif1.0", queues=2, bridge="xenbr0", persistent=True, namespace=sys.argv[1]
        )
        print(uplink, flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())
"""


def test_persistent_one_is_taken_up_after_a_kill(namespace: Any, open_tap: Any) -> None:
    asyncio.run(netlink.create_bridge("xenbr0", namespace=namespace.name))
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), namespace.name], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    before = find(namespace, "vif1.0")
    process.send_signal(signal.SIGKILL)
    process.wait()
    with open_tap(namespace, "vif1.0", queues=2, bridge="xenbr0", persistent=True), process.stdout:
        assert find(namespace, "vif1.0") == before
    assert find(namespace, "vif1.0") is not None
    asyncio.run(netlink.delete("vif1.0", namespace=namespace.name))
    assert find(namespace, "vif1.0") is None


def test_deleted_under_us(namespace: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        with (
            await TapUplink.open("tap0", namespace=namespace.name, queues=2) as uplink,
            await TapUplink.open("tap1", namespace=namespace.name) as other,
        ):
            guest, unharmed = UplinkGuest(uplink, 2), UplinkGuest(other)
            namespace.run("ip link set tap1 up")
            guest.arm()
            await netlink.delete("tap0", namespace=namespace.name)
            guest.send([bytes(60), bytes(60)])
            for queue in (0, 1):
                assert guest.receive(queue=queue) == []
                assert not guest.arm(queue)
                assert guest.receive(queue=queue) == []
            assert uplink.statistics().tx_dropped == 2
            assert uplink.statistics().errors == 2  # one for each queue
            until = time.monotonic() + 20
            while not caplog.records:
                assert time.monotonic() < until
                await asyncio.sleep(0.01)
            unharmed.send([bytes(60)])
            assert other.statistics().tx_packets == 1
            unharmed.close()

    with caplog.at_level(logging.WARNING):
        asyncio.run(scenario())
    (record,) = caplog.records
    assert "interface tap0 has been deleted by another program" in record.message


def test_closed_in_another_thread(namespace: Any) -> None:
    async def scenario() -> None:
        before = os.listdir("/proc/self/fd")
        uplink = await TapUplink.open("tap0", namespace=namespace.name)
        await in_daemon_thread(uplink.close)
        until = time.monotonic() + 20
        while os.listdir("/proc/self/fd") != before:
            assert time.monotonic() < until, "descriptors are left"
            await asyncio.sleep(0.01)

    asyncio.run(scenario())


def test_queues_of_a_guest(namespace: Any, open_tap: Any) -> None:
    uplink = open_tap(namespace, queues=4)

    namespace.run("ip link set tap0 up")
    for guest_queues in (4, 2, 1, 0, 3, 4):
        uplink.set_carrier(guest_queues)
        link = find(namespace, "tap0")
        assert link is not None
        assert link.tun_queues == 4
        attached = int(namespace.run("ip -d link show tap0").split("numqueues ")[1].split()[0])
        assert attached == max(guest_queues, 1)
