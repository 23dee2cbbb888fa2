# SPDX-License-Identifier: GPL-2.0-or-later
"""The ways of a foreigner to a drive. All of these functions run in the machine.

A way is a function that returns a word: "ok", "refused" (RESERVATION CONFLICT, and nothing in the answer
that is not srlock's), the name of an errno, or what else came. What it sends has an odd allocation length
(INQUIRY with `LENGTH`), so that it is told from a holder's commands in the drive's trace.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import signal
import struct
import time
import zlib

from machine.guest import cdrom, drive, scsi

LENGTH = 77
INQUIRY = scsi.inquiry(LENGTH)
NONBLOCK = os.O_RDWR | os.O_NONBLOCK
PLACE = 256 << 10      # reads are this far apart, so that none is read ahead by another

libc = ctypes.CDLL(None, use_errno=True)


def is_foreign(cdb: bytes) -> bool:
    """Whether a command in the trace is one of these intruders'."""
    return cdb[:6] == INQUIRY


def word(function, *args, **options) -> str:
    """Do something and put its outcome into a word."""
    try:
        value = function(*args, **options)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    return judge(value) if isinstance(value, scsi.Result) else "ok"


def judge(result: scsi.Result) -> str:
    if result.good:
        return "ok"
    if not result.refused:
        return f"status {result.status:#x} host {result.host} sense {result.key}"
    if result.sense or result.host or result.resid != len(result.data):
        return f"refused, but with sense {result.sense.hex()} host {result.host} resid {result.resid}"
    return "refused"


# On an open file

def sg_io(fd: int) -> str:
    return word(scsi.sg_io, fd, INQUIRY, LENGTH)


def word_of_command(fd: int, cdb: bytes, length: int, timeout: int = 600000) -> str:
    """Any command by SG_IO."""
    return word(scsi.sg_io, fd, cdb, length, timeout=timeout)


def write_read(fd: int) -> str:
    return word(scsi.sg_write_read, fd, INQUIRY, LENGTH)


def bsg_io(fd: int) -> str:
    return word(scsi.sg_io_v4, fd, INQUIRY, LENGTH)


def ioctl(fd: int, number: int, argument: int = 0) -> str:
    """An ioctl; one that returns a command's result instead of an errno is judged by that."""
    try:
        value = cdrom.ioctl(fd, number, argument)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "refused" if value == scsi.RESERVATION_CONFLICT else "ok"


def ioctl_buffer(fd: int, number: int, data: bytes) -> str:
    """An ioctl that takes a struct."""
    return word(fcntl.ioctl, fd, number, bytearray(data), True)


def answer(fd: int, number: int, size: int | None) -> str:
    """What an ioctl returns, and writes to a buffer of that size."""
    try:
        if size is None:
            return str(fcntl.ioctl(fd, number, 0))
        buffer = bytearray(size)
        return f"{fcntl.ioctl(fd, number, buffer, True)} {buffer.hex()}"
    except OSError as error:
        return errno.errorcode[error.errno]


def send_packet(fd: int) -> str:
    return word(cdrom.send_packet, fd, INQUIRY, LENGTH)


def send_command(fd: int) -> str:
    """SCSI_IOCTL_SEND_COMMAND (scsi/scsi_ioctl.h): lengths, then the command in, then the data out."""
    buffer = ctypes.create_string_buffer(struct.pack("II", 0, LENGTH) + INQUIRY, 8 + LENGTH + 64)
    try:
        status = fcntl.ioctl(fd, scsi.SCSI_IOCTL_SEND_COMMAND, buffer, True)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "refused" if status == scsi.RESERVATION_CONFLICT else "ok" if status == 0 else f"status {status}"


def read(fd: int, place: int) -> str:
    """A buffered read of a place that nobody has read, if each caller takes another one."""
    return word(os.pread, fd, 2048, place * PLACE)


def read_direct(fd: int, place: int) -> str:
    """A read of a file that was opened with O_DIRECT."""
    return word(os.preadv, fd, [mmap.mmap(-1, 2048)], place * PLACE)


def read_mapped(fd: int, place: int) -> str:
    """A read through a mapping, in a child: "SIGBUS" when the page cannot be had."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGBUS, signal.SIG_DFL)
        mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ, offset=place * PLACE)[0]
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "ok"


def sendfile(fd: int, place: int) -> str:
    """A read by splice, into a pipe."""
    reader, writer = os.pipe()
    try:
        return word(os.splice, fd, writer, 2048, offset_src=place * PLACE)
    finally:
        os.close(reader)
        os.close(writer)


IO_URING_SETUP, IO_URING_ENTER = 425, 426
IORING_OFF_SQES, IORING_OP_READ, IORING_ENTER_GETEVENTS = 0x10000000, 22, 1


def read_io_uring(fd: int, place: int) -> str:
    """A read by io_uring (io_uring_setup(2)): a ring of one entry."""
    params = (ctypes.c_uint32 * 30)()
    ring = libc.syscall(IO_URING_SETUP, 1, params)
    if ring < 0:
        return errno.errorcode[ctypes.get_errno()]
    try:
        return _ring_read(ring, params, fd, place * PLACE)
    finally:
        os.close(ring)


def _ring_read(ring: int, params, fd: int, offset: int) -> str:
    tail, array = params[11], params[16]          # of struct io_sqring_offsets
    completions = params[25]                      # io_cqring_offsets.cqes
    rings = mmap.mmap(ring, 4096, mmap.MAP_SHARED)   # one mapping: IORING_FEAT_SINGLE_MMAP
    entries = mmap.mmap(ring, 4096, mmap.MAP_SHARED, offset=IORING_OFF_SQES)
    buffer = mmap.mmap(-1, 4096)   # aligned, for O_DIRECT
    address = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    entries[:64] = struct.pack("<BBHiQQIIQ", IORING_OP_READ, 0, 0, fd, offset, address,
                               2048, 0, 42).ljust(64, b"\0")
    struct.pack_into("<I", rings, array, 0)
    struct.pack_into("<I", rings, tail, 1)
    if libc.syscall(IO_URING_ENTER, ring, 1, 1, IORING_ENTER_GETEVENTS, None, 0) != 1:
        return errno.errorcode[ctypes.get_errno()]
    user, result = struct.unpack_from("<Qi", rings, completions)
    assert user == 42
    return "ok" if result == 2048 else errno.errorcode.get(-result, str(result))


def mount(source: str, target: str = "/mnt", kind: str = "iso9660", flags: int = 1) -> str:
    """mount(2), by default read-only."""
    if libc.mount(source.encode(), target.encode(), kind.encode(), flags, None):
        return errno.errorcode[ctypes.get_errno()]
    return "ok"


def umount(target: str = "/mnt", flags: int = 0) -> str:
    return "ok" if libc.umount2(target.encode(), flags) == 0 else errno.errorcode[ctypes.get_errno()]


# By sysfs

def rescan(bus: str) -> str:
    """Have the device looked at again."""
    return word(drive.write, f"{drive.device(bus)}/rescan", "1")


def scan(bus: str) -> str:
    """Have the host scanned for LUNs."""
    host = drive.address(bus).split(":")[0]
    return word(drive.write, f"/sys/class/scsi_host/host{host}/scan", "- - -")


def poll_every(bus: str, milliseconds: int) -> None:
    """Have the kernel poll the drive for media changes."""
    drive.write(f"/sys/block/{drive.name(bus)}/events_poll_msecs", str(milliseconds))


# With a file of its own

def open_close(path: str, mode: int) -> str:
    try:
        os.close(os.open(path, mode))
    except OSError as error:
        return errno.errorcode[error.errno]
    return "ok"


def mount_umount(path: str) -> str:
    outcome = mount(path)
    if outcome == "ok":
        umount()
    return outcome


def on_new_file(path: str, mode: int, way: str, *args) -> str:
    """Open a node, go a way by its name, close."""
    try:
        fd = os.open(path, mode)
    except OSError as error:
        return errno.errorcode[error.errno]
    try:
        return globals()[way](fd, *args)
    finally:
        os.close(fd)


def checksum(path: str) -> int:
    """Read a file, all of it."""
    with open(path, "rb") as file:
        return sum(zlib.crc32(part) for part in iter(lambda: file.read(1 << 20), b""))


def read_file(path: str) -> str:
    """Read a file, all of it; the outcome only."""
    return word(checksum, path)


# Load: the same all over again

def hammer(bus: str, door: str, seconds: float, until: str = "", started: str = "") -> dict:
    """Go one way again and again: how often, and with what outcomes.

    For so many seconds, or until a file is there. The file `started` is made after the first time.
    """
    path = {"sr": drive.sr, "sg": drive.sg, "bsg": drive.bsg, "open": drive.sr, "exclusive": drive.sr}[door](bus)
    steps = {
        "sr": lambda: on_new_file(path, NONBLOCK, "sg_io"),
        "open": lambda: open_close(path, os.O_RDONLY | os.O_NONBLOCK),
        "exclusive": lambda: open_close(path, os.O_RDONLY | os.O_NONBLOCK | os.O_EXCL),
        "sg": lambda: sg_io(fd), "bsg": lambda: bsg_io(fd),
    }
    fd = os.open(path, os.O_RDWR) if door in ("sg", "bsg") else -1
    words: dict[str, int] = {}
    end = time.monotonic() + seconds
    while time.monotonic() < end and not (until and os.path.exists(until)):
        outcome = steps[door]()
        if started and not words:
            open(started, "w").close()
        words[outcome] = words.get(outcome, 0) + 1
    return {"words": words, "calls": sum(words.values())}
