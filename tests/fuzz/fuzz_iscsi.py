"""Any bytes from an initiator to the iSCSI target: what it answers is iSCSI, each command has one
answer at most, and nothing is left of the session when its connection has ended.

Input: an option (1: logged in already, 2: by CHAP), then what the initiator sends.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections import Counter
from contextlib import suppress
from typing import Any

import atheris

with atheris.instrument_imports(include=["pvdrivers"]):
    from pvdrivers.backends.stores.store import RamStore
    from pvdrivers.backends.targets.disk.unit import Disk
    from pvdrivers.backends.targets.spc.identity import Identity
    from pvdrivers.testing.scsi.direct_guests import BLOCK, DirectGuests
    from pvdrivers.tools.pvbridge.iscsi.chap import Account
    from pvdrivers.tools.pvbridge.iscsi.connection import Connection
    from pvdrivers.tools.pvbridge.iscsi.login import TargetInfo
    from pvdrivers.tools.pvbridge.iscsi.pdu import HEADER, NO_TAG, Opcode, Pdu
    from pvdrivers.tools.pvbridge.iscsi.session import Sessions
    from pvdrivers.tools.pvbridge.iscsi.text import encode

TARGET, INITIATOR = "iqn.2012-04.org.example:t", "iqn.2012-04.org.example:i"
ACCOUNTS = {INITIATOR: Account("user", b"a secret of 20 bytes")}
BLOCKS = 64
LOGGED_IN, CHAP = 1, 2
STRAIGHT = 0x87  # from the operational stage to the full feature phase
ANSWERS = (
    Opcode.NOP_IN,
    Opcode.SCSI_RESPONSE,
    Opcode.TASK_MANAGEMENT_RESPONSE,
    Opcode.LOGIN_RESPONSE,
    Opcode.TEXT_RESPONSE,
    Opcode.DATA_IN,
    Opcode.LOGOUT_RESPONSE,
    Opcode.R2T,
    Opcode.REJECT,
)


class Named(socket.socket):
    """An end of a pair, which has an address as one of the network would."""

    def getpeername(self) -> tuple[str, int]:
        return "127.0.0.1", 3260

    getsockname = getpeername


async def receive(sock: socket.socket) -> bytes:
    """What the target sends until it closes, also if it has not read everything."""
    sent = bytearray()
    with suppress(ConnectionError):
        while piece := await asyncio.get_running_loop().sock_recv(sock, 65536):
            sent += piece
    return bytes(sent)


def login() -> bytes:
    pdu = Pdu.of(Opcode.LOGIN, 1, STRAIGHT)
    pdu.header[8:14] = b"\x40\0\0\1\2\3"
    pdu.cmd_sn = 1
    keys = {"InitiatorName": INITIATOR, "TargetName": TARGET, "SessionType": "Normal"}
    data = encode(keys | {"InitialR2T": "No", "FirstBurstLength": "1024"})
    pdu.header[5:8] = len(data).to_bytes(3, "big")
    return bytes(pdu.header) + data + bytes(-len(data) % 4)


async def converse(option: int, sent: bytes) -> bytes:
    tasks: list[asyncio.Task[Any]] = []

    def make(loop: asyncio.AbstractEventLoop, work: Any, **named: Any) -> asyncio.Task[Any]:
        tasks.append(asyncio.Task(work, loop=loop, **named))
        return tasks[-1]

    asyncio.get_running_loop().set_task_factory(make)
    disk = Disk(RamStore(BLOCKS * BLOCK), Identity.of("disk"))
    guests = DirectGuests({0: disk})
    sessions = Sessions(guests)
    target = TargetInfo(TARGET, ACCOUNTS if option & CHAP and not option & LOGGED_IN else {})
    ours, theirs = socket.socketpair()
    with ours:
        ours.setblocking(False)
        connection = Connection(Named(fileno=theirs.detach()), target, sessions)
        ours.sendall((login() if option & LOGGED_IN else b"") + sent)
        receiving = asyncio.create_task(receive(ours))
        running = asyncio.create_task(connection.run())
        for _ in range(20):  # what has come in full is answered before the connection ends
            await asyncio.sleep(0)
        with suppress(OSError):  # it has closed already
            ours.shutdown(socket.SHUT_WR)
        await running
        answered = await receiving
    await sessions.close()
    assert not guests.joined, "a guest whose initiator is gone"
    if tasks:
        await asyncio.wait(tasks)  # what is not done has been cancelled
    for task in tasks:
        if not task.cancelled():
            task.result()
    disk.close()
    return answered


def check(sent: bytes) -> None:
    """What a target has sent is iSCSI, from the first byte to the last."""
    place = 0
    responses: Counter[int] = Counter()
    while place < len(sent):
        pdu = Pdu(bytearray(sent[place:][:HEADER]))
        assert len(pdu.header) == HEADER
        assert pdu.opcode in ANSWERS, pdu
        length = int.from_bytes(pdu.header[5:8], "big")
        place += HEADER + length + -length % 4
        if pdu.opcode == Opcode.R2T:
            assert pdu.transfer_tag != NO_TAG
        responses[pdu.tag] += pdu.opcode == Opcode.SCSI_RESPONSE
    assert place == len(sent)


def test_one_input(data: bytes) -> None:
    option, sent = (data[0], data[1:]) if data else (0, b"")
    check(LOOP.run_until_complete(converse(option, sent)))


LOOP = asyncio.new_event_loop()

if __name__ == "__main__":
    logging.disable()
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
