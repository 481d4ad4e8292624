"""What both ends can agree on, one by one."""

from __future__ import annotations

from guest import CommandFailed
from serve import Lab
from step import MEBIBYTE, frontend_keys, reload_frontend, step, write_and_verify

from pvdrivers.backends.vbd.device import VbdBackendOptions
from pvdrivers.backends.vbd.store import RamStore

# Frontend parameters, our options, and what must come of them: pages, queues, persistent.
DIALECTS: dict[str, tuple[str, VbdBackendOptions, tuple[int, int, bool]]] = {
    "plain": (
        "max_indirect_segments=0 max_ring_page_order=0 max_queues=1",
        VbdBackendOptions(False, 0, 0, max_queues=1, barrier=False),
        (1, 1, False),
    ),
    "persistent": ("", VbdBackendOptions(True, 0, 0, max_queues=1), (1, 1, True)),
    "indirect": ("max_indirect_segments=128", VbdBackendOptions(False, 256, 0), (1, 2, False)),
    "four pages": ("max_ring_page_order=2", VbdBackendOptions(max_queues=1), (4, 1, True)),
    "sixteen pages": ("max_ring_page_order=4", VbdBackendOptions(), (16, 2, True)),
    "two queues": ("max_queues=2", VbdBackendOptions(False), (1, 2, False)),
}


@step
async def dialects(lab: Lab) -> None:
    """Every feature alone, all of them, and none."""
    failed = []
    for name, (parameters, options, expected) in DIALECTS.items():
        print(f"    {name}: blkfront {parameters or 'as it is'}, backend {options}", flush=True)
        await reload_frontend(lab, parameters)
        async with lab.disk("xvdb", RamStore(16 * MEBIBYTE), options) as disk:
            head = disk.backend.head
            assert head is not None
            offered = options.persistent and head.persistent
            got = (1 << head.layout.ring_page_order, head.layout.queues, offered)
            print(f"    {await frontend_keys(lab, disk.config.frontend_path)}", flush=True)
            assert got == expected, f"{name}: {got}"
            try:
                await write_and_verify(lab, "xvdb")
                assert disk.backend.broken_rings == 0
            except (CommandFailed, AssertionError) as error:
                failed.append(name)
                print(f"    {name} FAILED: {error}", flush=True)
    await reload_frontend(lab)
    assert not failed, failed
