# SPDX-License-Identifier: GPL-2.0-or-later
"""The CD-ROM ioctls (linux/cdrom.h) that tests use."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from ctypes import c_int, c_ubyte, c_uint, c_void_p

CDROMPAUSE = 0x5301
CDROMREADTOCHDR = 0x5305
CDROMREADTOCENTRY = 0x5306
CDROMSTOP = 0x5307
CDROMSTART = 0x5308
CDROMEJECT = 0x5309
CDROMEJECT_SW = 0x530F
CDROMMULTISESSION = 0x5310
CDROM_GET_MCN = 0x5311
CDROMRESET = 0x5312
CDROMCLOSETRAY = 0x5319
CDROM_SET_OPTIONS = 0x5320
CDROM_CLEAR_OPTIONS = 0x5321
CDROM_SELECT_SPEED = 0x5322
CDROM_SELECT_DISC = 0x5323
CDROM_MEDIA_CHANGED = 0x5325
CDROM_DRIVE_STATUS = 0x5326
CDROM_DISC_STATUS = 0x5327
CDROM_CHANGER_NSLOTS = 0x5328
CDROM_LOCKDOOR = 0x5329
CDROM_DEBUG = 0x5330
CDROM_GET_CAPABILITY = 0x5331
CDROM_TIMED_MEDIA_CHANGE = 0x5396
DVD_READ_STRUCT = 0x5390
CDROM_SEND_PACKET = 0x5393
CDROM_NEXT_WRITABLE = 0x5394
CDROM_LAST_WRITTEN = 0x5395

CDS_NO_DISC, CDS_TRAY_OPEN, CDS_DRIVE_NOT_READY, CDS_DISC_OK = 1, 2, 3, 4

BLKGETSIZE64 = 0x80081272
BLKFLSBUF = 0x1261
BLKRRPART = 0x125F


class GenericCommand(ctypes.Structure):
    """struct cdrom_generic_command"""

    _fields_ = [
        ("cmd", c_ubyte * 12), ("buffer", c_void_p), ("buflen", c_uint), ("stat", c_int),
        ("sense", c_void_p), ("data_direction", c_ubyte), ("quiet", c_int), ("timeout", c_int),
        ("unused", c_void_p),
    ]


CGC_WRITE, CGC_READ, CGC_NONE = 1, 2, 3


def ioctl(fd: int, command: int, argument: int = 0) -> int:
    """An ioctl with a plain number as argument."""
    return fcntl.ioctl(fd, command, argument)


def toc_entry(fd: int, track: int = 1) -> tuple[int, int]:
    """CDROMREADTOCENTRY: the control bits of a track, and the block in which it begins."""
    entry = bytearray(struct.pack("=BBBxiB3x", track, 0, 1, 0, 0))      # in blocks
    fcntl.ioctl(fd, CDROMREADTOCENTRY, entry, True)
    return entry[1] >> 4, struct.unpack_from("=i", entry, 4)[0]


def send_packet(fd: int, cdb: bytes, length: int = 0) -> bytes:
    """CDROM_SEND_PACKET; the data that came."""
    data = ctypes.create_string_buffer(max(length, 1))
    sense = ctypes.create_string_buffer(64)
    packet = GenericCommand(
        cmd=(c_ubyte * 12).from_buffer_copy(cdb.ljust(12, b"\0")), buffer=ctypes.addressof(data),
        buflen=length, sense=ctypes.addressof(sense), data_direction=CGC_READ if length else CGC_NONE,
        quiet=1, timeout=2000)
    fcntl.ioctl(fd, CDROM_SEND_PACKET, packet, True)
    return data.raw[:length]


def on_node(path: str, command: int, argument: int = 0, mode: int = os.O_RDONLY | os.O_NONBLOCK) -> int:
    """Open, one ioctl, close."""
    fd = os.open(path, mode)
    try:
        return ioctl(fd, command, argument)
    finally:
        os.close(fd)


def read_at(path_or_fd: str | int, offset: int = 0, length: int = 2048) -> bytes:
    """Read from the disc through the page cache."""
    if isinstance(path_or_fd, int):
        return os.pread(path_or_fd, length, offset)
    fd = os.open(path_or_fd, os.O_RDONLY)
    try:
        return os.pread(fd, length, offset)
    finally:
        os.close(fd)


assert ctypes.sizeof(GenericCommand) == 64
