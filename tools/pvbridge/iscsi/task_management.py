"""Task management functions (RFC 7143, sections 11.5 and 11.6)."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from pvdrivers.tools.pvbridge.iscsi.pdu import Opcode, Pdu

if TYPE_CHECKING:
    from pvdrivers.tools.pvbridge.iscsi.connection import Connection


class Function(IntEnum):
    ABORT_TASK = 1
    ABORT_TASK_SET = 2
    CLEAR_ACA = 3
    CLEAR_TASK_SET = 4
    LOGICAL_UNIT_RESET = 5
    TARGET_WARM_RESET = 6
    TARGET_COLD_RESET = 7


COMPLETE, NO_TASK, NO_LUN, NOT_SUPPORTED, REJECTED = 0, 1, 2, 5, 255


async def manage(connection: Connection, pdu: Pdu) -> None:
    """Carries the request out and answers it. Tasks that it ends are not answered."""
    answer = Pdu.of(Opcode.TASK_MANAGEMENT_RESPONSE, pdu.tag)
    answer.header[2] = await _carry_out(connection, pdu)
    connection.wire.send(answer, counts=True)


async def _carry_out(connection: Connection, pdu: Pdu) -> int:
    session, function = connection.session, pdu.flags & 0x7F
    initiator = session.initiator
    if initiator is None:
        return REJECTED
    if function == Function.ABORT_TASK:
        found = [task for task in session.under_way() if task.tag == pdu.referenced_tag]
        if not found:
            return NO_TASK
        await session.end_tasks(found)
        return COMPLETE
    if function in (Function.TARGET_WARM_RESET, Function.TARGET_COLD_RESET):
        done = [await initiator.reset(lun) for lun in initiator.luns]
        await session.end_tasks(session.under_way())
        return COMPLETE if all(done) else REJECTED
    lun = pdu.lun
    if lun is None or lun not in initiator.luns:
        return NO_LUN
    tasks = [task for task in session.under_way() if task.lun == lun]
    if function == Function.LOGICAL_UNIT_RESET:
        if not await initiator.reset(lun):
            return REJECTED
    elif function not in (Function.ABORT_TASK_SET, Function.CLEAR_TASK_SET):
        return NOT_SUPPORTED
    await session.end_tasks(tasks)
    return COMPLETE
