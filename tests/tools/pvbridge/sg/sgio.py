"""SG_IO for Python programs, by the C library's functions."""

from __future__ import annotations

import ctypes
import fcntl
import os

SG_IO = 0x2285
NONE, TO_DEVICE, FROM_DEVICE = -1, -2, -3
LIBC = ctypes.CDLL(None, use_errno=True)


class SgIoHdr(ctypes.Structure):
    _fields_ = [
        ("interface_id", ctypes.c_int),
        ("dxfer_direction", ctypes.c_int),
        ("cmd_len", ctypes.c_ubyte),
        ("mx_sb_len", ctypes.c_ubyte),
        ("iovec_count", ctypes.c_ushort),
        ("dxfer_len", ctypes.c_uint),
        ("dxferp", ctypes.c_void_p),
        ("cmdp", ctypes.c_void_p),
        ("sbp", ctypes.c_void_p),
        ("timeout", ctypes.c_uint),
        ("flags", ctypes.c_uint),
        ("pack_id", ctypes.c_int),
        ("usr_ptr", ctypes.c_void_p),
        ("status", ctypes.c_ubyte),
        ("masked_status", ctypes.c_ubyte),
        ("msg_status", ctypes.c_ubyte),
        ("sb_len_wr", ctypes.c_ubyte),
        ("host_status", ctypes.c_ushort),
        ("driver_status", ctypes.c_ushort),
        ("resid", ctypes.c_int),
        ("duration", ctypes.c_uint),
        ("info", ctypes.c_uint),
    ]


class Command(SgIoHdr):
    """With what it points to. `data`: bytes for the device, or a size for the device's."""

    def __init__(self, cdb: str, data: bytes | int = 0, timeout: int = 60000) -> None:
        self.cdb = ctypes.create_string_buffer(bytes.fromhex(cdb))
        self.data = ctypes.create_string_buffer(data, data if isinstance(data, int) else len(data))
        self.sense = ctypes.create_string_buffer(96)
        direction = TO_DEVICE if isinstance(data, bytes) else FROM_DEVICE if data else NONE
        super().__init__(
            interface_id=ord("S"),
            dxfer_direction=direction,
            cmd_len=len(self.cdb) - 1,
            mx_sb_len=96,
            dxfer_len=len(self.data),
            dxferp=ctypes.addressof(self.data),
            cmdp=ctypes.addressof(self.cdb),
            sbp=ctypes.addressof(self.sense),
            timeout=timeout,
        )

    def execute(self, fd: int) -> Command:
        if LIBC.ioctl(fd, ctypes.c_ulong(SG_IO), ctypes.byref(self)):
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        return self

    def write(self, fd: int) -> None:
        assert os.write(fd, bytes(self)) == ctypes.sizeof(self)


def read_header(fd: int, pack_id: int = -1) -> SgIoHdr:
    header = SgIoHdr(interface_id=ord("S"), pack_id=pack_id, dxfer_direction=NONE)
    size = ctypes.sizeof(header)
    if LIBC.read(fd, ctypes.byref(header), ctypes.c_size_t(size)) != size:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return header


def get_int(fd: int, request: int) -> int:
    return int.from_bytes(fcntl.ioctl(fd, request, bytes(4)), "little", signed=True)
