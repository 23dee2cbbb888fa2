# SPDX-License-Identifier: GPL-2.0-or-later
"""SCSI commands by every way that Linux has: SG_IO v3 and v4, sg's write and read, bsg.

Each way returns a Result. An error of the system call is an OSError.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from ctypes import c_int, c_int32, c_ubyte, c_uint, c_uint32, c_uint64, c_ushort, c_void_p
from dataclasses import dataclass

SG_IO = 0x2285
SG_GET_VERSION_NUM = 0x2282
SG_SET_TIMEOUT = 0x2201
SG_SCSI_RESET = 0x2284
SG_EMULATED_HOST = 0x2203
SCSI_IOCTL_SEND_COMMAND = 1
SCSI_IOCTL_TEST_UNIT_READY = 2
SCSI_IOCTL_DOORLOCK = 0x5380
SCSI_IOCTL_DOORUNLOCK = 0x5381
SCSI_IOCTL_GET_IDLUN = 0x5382
SCSI_IOCTL_GET_BUS_NUMBER = 0x5386

NONE, OUT, IN = -1, -2, -3  # SG_DXFER_*
RESERVATION_CONFLICT = 0x18
CHECK_CONDITION = 0x02

# Commands
TEST_UNIT_READY = bytes(6)
REQUEST_SENSE = bytes([0x03, 0, 0, 0, 252, 0])
PREVENT = bytes([0x1E, 0, 0, 0, 1, 0])
ALLOW = bytes([0x1E, 0, 0, 0, 0, 0])
EJECT = bytes([0x1B, 0, 0, 0, 2, 0])
LOAD = bytes([0x1B, 0, 0, 0, 3, 0])
READ_CAPACITY = bytes([0x25]) + bytes(9)


def inquiry(length: int = 96) -> bytes:
    """INQUIRY; an odd length tells who sent it, in the drive's trace."""
    return struct.pack(">BBBHB", 0x12, 0, 0, length, 0)


def read10(block: int, blocks: int) -> bytes:
    return struct.pack(">BBIBHB", 0x28, 0, block, 0, blocks, 0)


class SgIoHdr(ctypes.Structure):
    """struct sg_io_hdr (scsi/sg.h)"""

    _fields_ = [
        ("interface_id", c_int), ("dxfer_direction", c_int), ("cmd_len", c_ubyte),
        ("mx_sb_len", c_ubyte), ("iovec_count", c_ushort), ("dxfer_len", c_uint),
        ("dxferp", c_void_p), ("cmdp", c_void_p), ("sbp", c_void_p), ("timeout", c_uint),
        ("flags", c_uint), ("pack_id", c_int), ("usr_ptr", c_void_p), ("status", c_ubyte),
        ("masked_status", c_ubyte), ("msg_status", c_ubyte), ("sb_len_wr", c_ubyte),
        ("host_status", c_ushort), ("driver_status", c_ushort), ("resid", c_int),
        ("duration", c_uint), ("info", c_uint),
    ]


class SgIoV4(ctypes.Structure):
    """struct sg_io_v4 (linux/bsg.h)"""

    _fields_ = [
        ("guard", c_int32), ("protocol", c_uint32), ("subprotocol", c_uint32),
        ("request_len", c_uint32), ("request", c_uint64), ("request_tag", c_uint64),
        ("request_attr", c_uint32), ("request_priority", c_uint32), ("request_extra", c_uint32),
        ("max_response_len", c_uint32), ("response", c_uint64), ("dout_iovec_count", c_uint32),
        ("dout_xfer_len", c_uint32), ("din_iovec_count", c_uint32), ("din_xfer_len", c_uint32),
        ("dout_xferp", c_uint64), ("din_xferp", c_uint64), ("timeout", c_uint32), ("flags", c_uint32),
        ("usr_ptr", c_uint64), ("spare_in", c_uint32), ("driver_status", c_uint32),
        ("transport_status", c_uint32), ("device_status", c_uint32), ("retry_delay", c_uint32),
        ("info", c_uint32), ("duration", c_uint32), ("response_len", c_uint32), ("din_resid", c_int32),
        ("dout_resid", c_int32), ("generated_tag", c_uint64), ("spare_out", c_uint32),
        ("padding", c_uint32),
    ]


@dataclass
class Result:
    """The outcome of a command."""

    status: int
    host: int
    driver: int
    sense: bytes
    data: bytes
    resid: int

    @property
    def key(self) -> tuple[int, int, int] | None:
        """Sense key, code and qualifier."""
        if len(self.sense) < 14:
            return None
        if self.sense[0] & 0x7F in (0x72, 0x73):
            return self.sense[1] & 15, self.sense[2], self.sense[3]
        return self.sense[2] & 15, self.sense[12], self.sense[13]

    @property
    def good(self) -> bool:
        return self.status == 0 and self.host == 0 and self.driver & 7 == 0

    @property
    def refused(self) -> bool:
        """Whether srlock refused it: RESERVATION CONFLICT and nothing else."""
        return self.status == RESERVATION_CONFLICT

    def plain(self) -> dict:
        """As the host can receive it."""
        return {"status": self.status, "host": self.host, "driver": self.driver, "sense": self.sense,
                "data": self.data, "resid": self.resid, "key": self.key, "good": self.good,
                "refused": self.refused}


class _Request:
    """A header and the buffers that it points to, which must live as long as it does."""

    def __init__(self, cdb: bytes, length: int, data: bytes | None, timeout: int) -> None:
        self.cdb = ctypes.create_string_buffer(cdb, len(cdb))
        self.sense = ctypes.create_string_buffer(b"\xa5" * 96, 96)
        size = len(data) if data is not None else length
        self.data = ctypes.create_string_buffer(data or b"", max(size, 1))
        self.header = SgIoHdr(
            interface_id=ord("S"), cmd_len=len(cdb), mx_sb_len=96, dxfer_len=size,
            dxfer_direction=OUT if data is not None else IN if length else NONE,
            dxferp=ctypes.addressof(self.data), cmdp=ctypes.addressof(self.cdb),
            sbp=ctypes.addressof(self.sense), timeout=timeout)

    def result(self) -> Result:
        header = self.header
        length = header.dxfer_len if header.dxfer_direction == IN else 0
        return Result(header.status, header.host_status, header.driver_status,
                      self.sense.raw[:header.sb_len_wr], self.data.raw[:length], header.resid)


def sg_io(fd: int, cdb: bytes, length: int = 0, data: bytes | None = None, timeout: int = 20000,
          flags: int = 0) -> Result:
    """SG_IO with the v3 header: on sr, sg and srlock nodes."""
    request = _Request(cdb, length, data, timeout)
    request.header.flags = flags
    fcntl.ioctl(fd, SG_IO, request.header, True)
    return request.result()


def sg_io_v4(fd: int, cdb: bytes, length: int = 0, data: bytes | None = None, timeout: int = 20000
             ) -> Result:
    """SG_IO with the v4 header: on bsg nodes."""
    command = ctypes.create_string_buffer(cdb, len(cdb))
    sense = ctypes.create_string_buffer(b"\xa5" * 96, 96)
    buffer = ctypes.create_string_buffer(data or b"", max(length, len(data or b""), 1))
    header = SgIoV4(guard=ord("Q"), request_len=len(cdb), request=ctypes.addressof(command),
                    max_response_len=96, response=ctypes.addressof(sense), timeout=timeout)
    if data is not None:
        header.dout_xfer_len, header.dout_xferp = len(data), ctypes.addressof(buffer)
    elif length:
        header.din_xfer_len, header.din_xferp = length, ctypes.addressof(buffer)
    fcntl.ioctl(fd, SG_IO, header, True)
    return Result(header.device_status, header.transport_status, header.driver_status,
                  sense.raw[:header.response_len], buffer.raw[:length], header.din_resid)


class Async:
    """A command under way by sg's write and read."""

    def __init__(self, fd: int, cdb: bytes, length: int = 0, data: bytes | None = None,
                 timeout: int = 20000) -> None:
        self.fd = fd
        self.request = _Request(cdb, length, data, timeout)
        os.write(fd, bytes(self.request.header))

    def finish(self) -> Result:
        """Wait for the command's end (read)."""
        raw = bytearray(ctypes.sizeof(SgIoHdr))
        raw[:] = bytes(self.request.header)
        back = os.readv(self.fd, [raw])
        if back != len(raw):
            raise OSError(errno.EIO, f"sg read gave {back} bytes")
        self.request.header = SgIoHdr.from_buffer_copy(raw)
        return self.request.result()


def sg_write_read(fd: int, cdb: bytes, length: int = 0, data: bytes | None = None) -> Result:
    """One command by sg's write and read."""
    return Async(fd, cdb, length, data).finish()


# Functions for a process to be told: they open, send, close, and give plain values

def send(path: str, cdb: bytes, length: int = 0, mode: int = os.O_RDWR | os.O_NONBLOCK, **options) -> dict:
    """Open a node, send a command by the node's own way, close."""
    fd = os.open(path, mode)
    try:
        return send_on(fd, cdb, length, path.startswith("/dev/bsg/"), **options)
    finally:
        os.close(fd)


def send_on(fd: int, cdb: bytes, length: int = 0, bsg: bool = False, **options) -> dict:
    """Send a command on an open file."""
    return (sg_io_v4 if bsg else sg_io)(fd, cdb, length, **options).plain()


assert ctypes.sizeof(SgIoHdr) == 88 and ctypes.sizeof(SgIoV4) == 160
