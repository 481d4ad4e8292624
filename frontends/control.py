"""What a toolstack asks of a guest as a whole, and a guest's answer, as Linux has it.

    request = await shutdown_request(client)  # xl shutdown, xl reboot
    task = asyncio.create_task(follow_vcpus(client, 4, set_online))  # xl vcpu-set

`client` is the guest's own: paths are relative to its part of xenstore. What a request then means
is the guest's affair: it closes its devices and makes the hypercall (`SCHEDOP_shutdown`).
"""

import logging
from collections.abc import Callable, Collection
from enum import StrEnum

from pvdrivers.xenstore.client import Transaction, XenstoreClient

SHUTDOWN = "control/shutdown"
VCPUS = "cpu"

log = logging.getLogger(__name__)


class ShutdownRequest(StrEnum):
    """What `control/shutdown` may say."""

    POWEROFF = "poweroff"
    HALT = "halt"
    REBOOT = "reboot"
    SUSPEND = "suspend"


ENDS = (ShutdownRequest.POWEROFF, ShutdownRequest.HALT, ShutdownRequest.REBOOT)


async def shutdown_request(
    client: XenstoreClient, known: Collection[ShutdownRequest] = ENDS
) -> ShutdownRequest:
    """Says which requests the guest knows, waits for one of them and acknowledges it.

    Another one is logged and stays as it is, so that the toolstack sees that nobody answers.
    OSError: the xenstore is gone.
    """
    for request in known:
        if request is not ShutdownRequest.HALT:  # for which there is no such key
            await client.write(f"control/feature-{request}", "1")

    async def take(transaction: Transaction) -> ShutdownRequest | None:
        text = await transaction.read_optional(SHUTDOWN)
        if not text:
            return None
        if text not in known:
            log.warning("%s is %r, and this guest knows %s", SHUTDOWN, text, ", ".join(known))
            return None
        await transaction.write(SHUTDOWN, "")
        return ShutdownRequest(text)

    async with await client.watch(SHUTDOWN) as watch:
        async for _ in watch:
            taken: ShutdownRequest | None = await client.transact(take)
            if taken:
                return taken
    raise ConnectionResetError("the xenstore is gone")


async def follow_vcpus(
    client: XenstoreClient, vcpus: int, set_online: Callable[[int, bool], None]
) -> None:
    """Calls `set_online(vcpu, online)` when `cpu/N/availability` says that vcpu N, below `vcpus`,
    is to be online or offline, and when it says so already. OSError: the xenstore is gone."""
    before: dict[int, str | None] = {}
    async with await client.watch(VCPUS) as watch:
        async for _ in watch:
            for vcpu in range(vcpus):
                text = await client.read_optional(f"{VCPUS}/{vcpu}/availability")
                if text == before.get(vcpu):
                    continue
                before[vcpu] = text
                if text in ("online", "offline"):
                    set_online(vcpu, text == "online")
                elif text is not None:
                    path = f"{VCPUS}/{vcpu}/availability"
                    log.warning("%s is %r: neither online nor offline", path, text)
