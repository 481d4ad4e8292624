"""The other direction: our network frontend in a guest's userspace, Linux's xen-netback in dom0."""

from __future__ import annotations

import json
from typing import Any

from addresses import FAMILIES
from netback import netback
from network import BRIDGE, bridge
from serve import Lab
from step import GUEST, XL, command, step
from userspace_guest import PYTHON, userspace_guest

MAC = "00:16:3e:00:00:01"
PATIENCE = 300


async def exchange(lab: Lab, queues: int) -> None:
    """A vif of so many queues, from attaching to detaching."""
    shell = lab.shell
    await command(XL, "network-attach", str(GUEST), f"bridge={BRIDGE}", f"mac={MAC}")
    # in_guest_vif.py does not answer who has this one. A bridge that gets another address with its
    # port forgets even what is permanent.
    neighbour = f"ip -6 neigh replace {FAMILIES[1].guest} lladdr {MAC} dev {BRIDGE} nud permanent"
    await command(*neighbour.split())
    job = await shell.start(f"{PYTHON} /in_guest_vif.py 0 {queues}")
    await shell.wait_for(f"test -e {job.path} || grep -q statistics {job.path}.log", PATIENCE)
    output = await shell.run(f"cat {job.path}.log")
    print(f"    {output}", flush=True)
    said: dict[str, Any] = {}
    for line in output.splitlines():
        said |= json.loads(line) if line.startswith("{") else {}
    assert "statistics" in said, output
    assert f"{queues} queue" in said["agreement"]
    await command(*f"ping -A -q -c 5 -w 120 -s 1400 {FAMILIES[0].guest}".split())
    await command(XL, "network-detach", str(GUEST), "0")
    await job.finished(PATIENCE)


@step
async def kernel_netback(lab: Lab) -> None:
    """Our frontend in the guest's userspace against Linux's xen-netback: ARP, pings, UDP without
    checksums, TCP in one piece, hashes; with one queue and with two."""
    async with userspace_guest(lab), netback("max_queues=2"), bridge():
        for queues in (1, 2):
            await exchange(lab, queues)
