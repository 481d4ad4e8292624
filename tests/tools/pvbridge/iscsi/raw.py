"""An initiator that sends and takes PDUs, whatever they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from pvdrivers.tools.pvbridge.iscsi.pdu import HEADER, IMMEDIATE, Opcode, Pdu
from pvdrivers.tools.pvbridge.iscsi.text import encode

TARGET = "iqn.2012-04.org.example:target"
INITIATOR = "iqn.2012-04.org.example:raw"
BLOCK = 512
READ, WRITE = 0xC0, 0xA0  # with FINAL


def on_the_wire(pdu: Pdu) -> bytes:
    length = len(pdu.data)
    pdu.header[5:8] = length.to_bytes(3, "big")
    return bytes(pdu.header) + pdu.data + bytes(-length % 4)


class Raw:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.number = 1
        self.tag = 100

    async def log_in(self, tsih: int = 0, cid: int = 0, **keys: str) -> Pdu:
        pdu = Pdu.of(Opcode.LOGIN, 1, 0x87)
        pdu.header[0] |= IMMEDIATE
        pdu.header[8:14] = b"\x80\0\0\0\0\1"
        pdu.header[14:16] = tsih.to_bytes(2, "big")
        pdu.header[20:22] = cid.to_bytes(2, "big")
        pdu.cmd_sn = self.number
        names = {"InitiatorName": INITIATOR, "TargetName": TARGET}
        pdu.data = encode(names | keys)
        return await self.ask(pdu)

    def command(self, cdb: bytes, length: int, flags: int = READ, lun: int = 0) -> Pdu:
        self.tag += 1
        pdu = Pdu.of(Opcode.SCSI_COMMAND, self.tag, flags)
        pdu.lun = lun
        pdu.transfer_tag = length
        pdu.cmd_sn, self.number = self.number, self.number + 1
        pdu.header[32:48] = cdb.ljust(16, b"\0")
        return pdu

    def management(self, function: int, lun: int = 0, tag: int = 0) -> Pdu:
        """An immediate request; `tag`: of the task that it is about."""
        pdu = Pdu.of(Opcode.TASK_MANAGEMENT, 7, 0x80 | function)
        pdu.header[0] |= IMMEDIATE
        pdu.lun, pdu.referenced_tag, pdu.cmd_sn = lun, tag, self.number
        return pdu

    def send(self, *pdus: Pdu) -> None:
        """In one piece."""
        self.writer.write(b"".join(map(on_the_wire, pdus)))

    async def ask(self, pdu: Pdu) -> Pdu:
        self.send(pdu)
        return await self.receive()

    async def receive(self) -> Pdu:
        header = bytearray(await self.reader.readexactly(HEADER))
        length = int.from_bytes(header[5:8], "big")
        data = await self.reader.readexactly(length + -length % 4)
        return Pdu(header, data[:length])

    async def until_closed(self) -> None:
        """A target that closes before it has read everything resets the connection."""
        with suppress(ConnectionError):
            while await self.reader.read(65536):
                pass


@asynccontextmanager
async def raw(portal: str) -> AsyncIterator[Raw]:
    host, _, port = portal.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()


def read10(block: int, count: int) -> bytes:
    return b"\x28\0" + block.to_bytes(4, "big") + b"\0" + count.to_bytes(2, "big") + b"\0"


def write10(block: int, count: int) -> bytes:
    return b"\x2a" + read10(block, count)[1:]
