# SPDX-License-Identifier: GPL-2.0-or-later
"""The ways to a drive: what a process in the machine does, and the word for what comes of it.

Words: "ok", "conflict" (RESERVATION CONFLICT), the name of an errno or of a signal, or what else came. All of this
runs in the machine. A process keeps its files under names, and its children inherit them.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import struct
import time
import zlib

import intrude
from machine.guest import cdrom, drive, scsi, srlock

from . import stacked

RW, RO = os.O_RDWR, os.O_RDONLY
PAGE = 4096
EMPTY = bytes(PAGE)
MODES = {
    "O_RDONLY": RO, "O_RDONLY, O_NONBLOCK": RO | os.O_NONBLOCK, "O_RDWR": RW,
    "O_RDWR, O_NONBLOCK": RW | os.O_NONBLOCK, "O_WRONLY, O_NONBLOCK": os.O_WRONLY | os.O_NONBLOCK,
    "O_EXCL": RO | os.O_EXCL, "O_EXCL, O_NONBLOCK": RO | os.O_EXCL | os.O_NONBLOCK, "O_DIRECT": RO | os.O_DIRECT,
}
# What a process opens, under these names
NODES = {
    "sr": (drive.sr, RW | os.O_NONBLOCK), "data": (drive.sr, RO), "direct": (drive.sr, RO | os.O_DIRECT),
    "sg": (drive.sg, RW), "sgmap": (drive.sg, RW), "bsg": (drive.bsg, RW), "own lock": (drive.srlock, RW),
}
SR_NODES = ("sr", "data", "direct")

files: dict[str, int] = {}
libc = intrude.libc


# Files

def open_files(bus: str, names: list[str]) -> dict[str, str]:
    """Open nodes; which could not be opened, and why."""
    failed = {}
    for name in names:
        find, mode = NODES[name]
        try:
            files[name] = os.open(find(bus), mode)
        except OSError as error:
            failed[name] = errno.errorcode[error.errno]
    return failed


def take_files(found: dict[str, int]) -> None:
    """Files that came from another process."""
    files.update(found)


def close_files(names: list[str]) -> None:
    for name in names:
        os.close(files.pop(name))


def known_files() -> dict[str, int]:
    return dict(files)


# The commands that one way sends are told from the next one's by an INQUIRY between them.

MARKER = 300     # its allocation length, plus the number of the way that follows
MENDED = 299     # what follows mends what a way has done


def mark(fd: int, number: int) -> None:
    scsi.sg_io(fd, scsi.inquiry(number), number)


def go_all(ways: list, marker: str | None, locked: bool = False) -> list:
    """Go ways one after the other: [function, arguments, whether the drive is to be mended after it].

    `marker` is the file that the markers are sent through. Returns word, answer and seconds of each.
    """
    results = []
    for number, (function, arguments, mend) in enumerate(ways):
        if marker:
            mark(files[marker], MARKER + number)
        start = time.monotonic()
        results.append([*go(function, arguments), time.monotonic() - start])
        if marker and mend:
            mark(files[marker], MENDED)
            mend_drive(files[marker], locked)
    if marker:
        mark(files[marker], MARKER + len(ways))
    return results


def go(function: str, arguments: list) -> tuple[str, str]:
    """Go one way: the word, and the answer if the way has one."""
    try:
        outcome = globals()[function](*arguments)
    except OSError as error:
        return errno.errorcode[error.errno], ""
    word, answer = outcome if isinstance(outcome, tuple) else (outcome, "")
    return {"refused": "conflict"}.get(word, word), answer


def settings() -> None:
    """What stays with the drive and not with a file, as the ways leave it."""
    for name, number in (("SG_SET_TIMEOUT", scsi.SG_SET_TIMEOUT), ("SG_SET_RESERVED_SIZE", 0x2275)):
        argument = Argument(name, files["sr"])
        raw_ioctl(files["sr"], number, argument.value)


def mend_drive(fd: int, locked: bool) -> None:
    """The tray closed, the disc ready, the door as it was."""
    with contextlib.suppress(OSError):      # from the cdrom layer's memory it is gone even then
        raw_ioctl(files["sr"], cdrom.CDROM_LOCKDOOR, 0)
    scsi.sg_io(fd, scsi.ALLOW)
    scsi.sg_io(fd, scsi.LOAD)
    end = time.monotonic() + 10
    while not (result := scsi.sg_io(fd, scsi.TEST_UNIT_READY)).good:
        if time.monotonic() > end:
            raise TimeoutError(f"the drive does not become ready: {result}")
        time.sleep(0.01)
    if locked:
        scsi.sg_io(fd, scsi.PREVENT)


# Opens

def open_mode(bus: str, mode: str) -> str:
    return intrude.open_close(drive.sr(bus), MODES[mode])


# Ioctls

CDSL_CURRENT = 0x7FFFFFFF
PLAIN = {    # those whose argument is a number; all others get a page
    "CDROM_MEDIA_CHANGED": CDSL_CURRENT, "CDROM_DRIVE_STATUS": CDSL_CURRENT, "CDROM_LOCKDOOR": 1,
    "CDROM_SELECT_SPEED": 8, "CDROM_SELECT_DISC": 0, "CDROM_SET_OPTIONS": 0, "CDROM_CLEAR_OPTIONS": 0,
    "CDROM_DEBUG": 0, "CDROMEJECT_SW": 0, "BLKRASET": 256, "BLKFRASET": 256, "BLKSECTSET": 0, "HDIO_SET_32BIT": 0,
}
NO_ARGUMENT = {
    "CDROMPAUSE", "CDROMRESUME", "CDROMSTOP", "CDROMSTART", "CDROMEJECT", "CDROMCLOSETRAY", "CDROMRESET",
    "CDROM_DISC_STATUS", "CDROM_CHANGER_NSLOTS", "CDROM_GET_CAPABILITY", "SCSI_IOCTL_TEST_UNIT_READY",
    "SCSI_IOCTL_START_UNIT", "SCSI_IOCTL_STOP_UNIT", "SCSI_IOCTL_DOORLOCK", "SCSI_IOCTL_DOORUNLOCK", "BLKFLSBUF",
    "BLKRRPART", "BLKTRACESTART", "BLKTRACESTOP", "BLKTRACETEARDOWN",
}
# struct cdrom_msf, cdrom_ti, cdrom_tocentry, cdrom_subchnl, cdrom_multisession, cdrom_volctrl, ...
MSF = bytes([0, 2, 16, 0, 2, 17])
PAGES = {
    "CDROMPLAYMSF": MSF, "CDROMSEEK": MSF, "CDROMREADMODE1": MSF, "CDROMREADMODE2": MSF, "CDROMREADRAW": MSF,
    "CDROMREADCOOKED": MSF, "CDROMREADALL": MSF, "CDROMPLAYTRKIND": bytes([1, 1, 1, 1]),
    "CDROMREADTOCENTRY": bytes([1, 0, 1]), "CDROMSUBCHNL": bytes([1]), "CDROMMULTISESSION": bytes([0] * 5 + [1]),
    "CDROMVOLCTRL": bytes([255] * 4), "CDROMPLAYBLK": struct.pack("IH", 16, 1),
    "SG_SET_TIMEOUT": struct.pack("i", 6000), "SG_SET_RESERVED_SIZE": struct.pack("i", 32768),
    "BLKBSZSET": struct.pack("i", 2048), "BLKZEROOUT": struct.pack("QQ", 4 << 20, 2048),
    "BLKDISCARD": struct.pack("QQ", 4 << 20, 2048), "BLKSECDISCARD": struct.pack("QQ", 4 << 20, 2048),
    "HDIO_DRIVE_CMD": bytes([0xA1, 0, 0, 1]), "HDIO_DRIVE_TASK": bytes([0xE5]),
    "SCSI_IOCTL_PROBE_HOST": struct.pack("I", 64),
}
# These return a command's status where others return what they found out.
GIVE_STATUS = {
    "SCSI_IOCTL_SEND_COMMAND", "SCSI_IOCTL_TEST_UNIT_READY", "SCSI_IOCTL_START_UNIT", "SCSI_IOCTL_STOP_UNIT",
    "SCSI_IOCTL_DOORLOCK", "SCSI_IOCTL_DOORUNLOCK", "CDROMEJECT", "CDROMCLOSETRAY",
}


class Space:
    """What an argument needs: a page for itself, and two that it may point to."""

    def __init__(self) -> None:
        self.pages = [mmap.mmap(-1, PAGE) for _ in range(3)]
        self.addresses = [ctypes.addressof(ctypes.c_char.from_buffer(page)) for page in self.pages]


usual = Space()     # for one call after the other


class Argument:
    """An ioctl's argument in a page."""

    def __init__(self, name: str, fd: int, space: Space = usual) -> None:
        self.page, self.buffer, self.sense = space.addresses
        self.pages = space.pages
        self.value = PLAIN.get(name, 0)
        self.in_page = name not in PLAIN and name not in NO_ARGUMENT
        self.pages[0][:] = EMPTY
        if self.in_page:
            self.value = self.page
            data = self.contents(name, fd)
            self.pages[0][:len(data)] = data

    def contents(self, name: str, fd: int) -> bytes:
        """What is in the page."""
        if name == "SG_IO":
            return bytes(self.v3())
        if name == "SG_IO, v4":
            return bytes(self.v4())
        if name == "SG_IO, mmap":
            return bytes(self.v3(flags=4))
        if name == "CDROM_SEND_PACKET":
            return bytes(self.packet())
        if name == "SCSI_IOCTL_SEND_COMMAND":
            return struct.pack("II", 0, intrude.LENGTH) + intrude.INQUIRY
        if name == "CDROMREADAUDIO":
            return struct.pack("IB3xi4xQ", 16, 1, 1, self.buffer)
        if name == "BLKROSET":
            now = bytearray(4)
            with contextlib.suppress(OSError):
                fcntl.ioctl(fd, 0x125E, now, True)     # BLKROGET: nothing is to change
            return bytes(now)
        return PAGES.get(name, b"")

    def command(self) -> int:
        self.pages[2][64:64 + len(intrude.INQUIRY)] = intrude.INQUIRY
        return self.sense + 64

    def v3(self, flags: int = 0) -> scsi.SgIoHdr:
        return scsi.SgIoHdr(
            interface_id=ord("S"), dxfer_direction=scsi.IN, cmd_len=6, mx_sb_len=32, dxfer_len=intrude.LENGTH,
            dxferp=self.buffer, cmdp=self.command(), sbp=self.sense, timeout=20000, flags=flags)

    def v4(self) -> scsi.SgIoV4:
        return scsi.SgIoV4(
            guard=ord("Q"), request_len=6, request=self.command(), max_response_len=32,
            response=self.sense, timeout=20000, din_xfer_len=intrude.LENGTH, din_xferp=self.buffer)

    def packet(self) -> cdrom.GenericCommand:
        return cdrom.GenericCommand(
            cmd=(ctypes.c_ubyte * 12).from_buffer_copy(intrude.INQUIRY.ljust(12, b"\0")),
            buffer=self.buffer, buflen=intrude.LENGTH, sense=self.sense,
            data_direction=cdrom.CGC_READ, quiet=1, timeout=2000)

    def result(self, name: str, value: int) -> tuple[str, str]:
        """Word and answer of a call that worked."""
        if name in ("SG_IO", "SG_IO, mmap"):
            header = scsi.SgIoHdr.from_buffer_copy(self.pages[0])
            return status_word(header.status, header.host_status, header.sb_len_wr), ""
        if name == "SG_IO, v4":
            header = scsi.SgIoV4.from_buffer_copy(self.pages[0])
            return status_word(header.device_status, header.transport_status, header.response_len), ""
        if name in GIVE_STATUS:
            return status_word(value & 0xFF, value >> 16 & 0xFF, 0), ""
        return "ok", f"{value} {zlib.crc32(self.pages[0]):08x}"


def address(page: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(page))


def status_word(status: int, host: int, sense: int) -> str:
    """A command's outcome; a refusal has nothing in it but the status."""
    if status == scsi.RESERVATION_CONFLICT:
        return f"conflict, but host {host} and sense" if host or sense else "conflict"
    return "ok" if not status and not host else f"status {status:#x} host {host}"


def raw_ioctl(fd: int, number: int, value: int) -> int:
    """The plain system call; an OSError if it fails."""
    result = libc.ioctl(fd, ctypes.c_ulong(number), ctypes.c_ulong(value))
    if result < 0:
        raise OSError(ctypes.get_errno(), "ioctl")
    return result


def ioctl(file: str, name: str, number: int) -> tuple[str, str]:
    """An ioctl on an open file."""
    fd = files[file]
    if name == "SG_IO, mmap":
        mmap.mmap(fd, PAGE)     # sg's reserved buffer, where the data would come
    argument = Argument(name, fd)
    return argument.result(name, raw_ioctl(fd, number, argument.value))


# sg's write and read

def write_read(file: str) -> str:
    return intrude.write_read(files[file])


def write_read_old(file: str) -> str:
    """With struct sg_header, which is older than sg_io_hdr."""
    size = 36
    header = struct.pack("iiii", 0, size + intrude.LENGTH, 0, 0).ljust(size, b"\0")
    os.write(files[file], header + intrude.INQUIRY)
    answer = os.read(files[file], size + intrude.LENGTH)
    masked = struct.unpack_from("I", answer, 16)[0] >> 1 & 0x1F
    return {0: "ok", scsi.RESERVATION_CONFLICT >> 1: "conflict"}.get(masked, f"masked status {masked:#x}")


# bsg by io_uring

IORING_SETUP_SQE128, IORING_SETUP_CQE32, IORING_OP_URING_CMD = 1 << 10, 1 << 11, 46


def bsg_io_uring(file: str) -> str:
    """A command by IORING_OP_URING_CMD, which bsg of newer kernels knows (struct bsg_uring_cmd)."""
    params = (ctypes.c_uint32 * 30)()
    params[2] = IORING_SETUP_SQE128 | IORING_SETUP_CQE32
    ring = libc.syscall(intrude.IO_URING_SETUP, 1, params)
    if ring < 0:
        raise OSError(ctypes.get_errno(), "io_uring_setup")
    try:
        return _bsg_io_uring(ring, params, files[file])
    finally:
        os.close(ring)


def _bsg_io_uring(ring: int, params, fd: int) -> str:
    tail, array, completions = params[11], params[16], params[25]
    rings = mmap.mmap(ring, PAGE, mmap.MAP_SHARED)
    entries = mmap.mmap(ring, PAGE, mmap.MAP_SHARED, offset=intrude.IORING_OFF_SQES)
    argument = Argument("", fd)
    command = struct.pack("<QIIIIQQIIQIII12x", argument.command(), 6, 0, 0, 32, argument.sense,
                          0, 0, 0, argument.buffer, intrude.LENGTH, 0, 20000)
    entries[:48] = struct.pack("<BBHi40x", IORING_OP_URING_CMD, 0, 0, fd)
    entries[48:128] = command
    struct.pack_into("<I", rings, array, 0)
    struct.pack_into("<I", rings, tail, 1)
    if libc.syscall(intrude.IO_URING_ENTER, ring, 1, 1, intrude.IORING_ENTER_GETEVENTS, None, 0) != 1:
        raise OSError(ctypes.get_errno(), "io_uring_enter")
    result, _, device = struct.unpack_from("<iIQ", rings, completions + 8)
    if result < 0:
        raise OSError(-result, "bsg")
    return status_word(device & 0xFF, device >> 16 & 0xFF, 0)


# The lock file

def lock_file(file: str) -> str:
    return intrude.sg_io(files[file])


# Reads

def drop(fd: int) -> None:
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def read(file: str, how: str, place: int) -> str:
    """Read a place that is not in memory."""
    fd = files[file]
    drop(fd)
    return READS[how](fd, place)


def read_ahead(fd: int, place: int) -> str:
    """Have the kernel read ahead, which it does without saying how it went."""
    os.posix_fadvise(fd, place * intrude.PLACE, 2048, os.POSIX_FADV_WILLNEED)
    time.sleep(0.05)
    return "ok"


IO_SETUP, IO_DESTROY, IO_GETEVENTS, IO_SUBMIT = 206, 207, 208, 209


def read_aio(fd: int, place: int) -> str:
    """By io_submit(2)."""
    context = ctypes.c_ulong(0)
    if libc.syscall(IO_SETUP, 1, ctypes.byref(context)):
        raise OSError(ctypes.get_errno(), "io_setup")
    try:
        buffer = mmap.mmap(-1, PAGE)
        block = ctypes.create_string_buffer(struct.pack("<QIIHhIQQqQII", 0, 0, 0, 0, 0, fd, address(buffer), 2048,
                                                        place * intrude.PLACE, 0, 0, 0), 64)
        blocks = (ctypes.c_void_p * 1)(ctypes.addressof(block))
        if libc.syscall(IO_SUBMIT, context, 1, blocks) != 1:
            raise OSError(ctypes.get_errno(), "io_submit")
        event = (ctypes.c_int64 * 4)()
        if libc.syscall(IO_GETEVENTS, context, 1, 1, event, None) != 1:
            raise OSError(ctypes.get_errno(), "io_getevents")
        if event[2] < 0:
            raise OSError(-event[2], "aio")
        return "ok"
    finally:
        libc.syscall(IO_DESTROY, context)


READS = {
    "pread": intrude.read, "O_DIRECT": intrude.read_direct, "mmap": intrude.read_mapped, "splice": intrude.sendfile,
    "io_uring": intrude.read_io_uring, "aio": read_aio, "readahead": read_ahead,
}


# What is set up on top

def set_up(bus: str, kind: str) -> str:
    """Set something up on the drive, and take it down again."""
    upper = stacked.KINDS[kind]()
    upper.set_up(drive.sr(bus))
    upper.take_down()
    return "ok"


def read_upper(path: str, place: int) -> str:
    """Read from a file or a device on top, from the disc."""
    fd = os.open(path, os.O_RDONLY)
    try:
        drop(fd)
        os.pread(fd, 2048, place * intrude.PLACE)
        return "ok"
    finally:
        os.close(fd)


def sg_io_upper(path: str) -> str:
    """A command through a device on top."""
    return intrude.on_new_file(path, RO | os.O_NONBLOCK, "sg_io")


# Sysfs and the like

def write_sysfs(path: str, text: str) -> str:
    drive.write(path, text)
    return "ok"


def sysfs_places(bus: str) -> tuple[str, str]:
    """The device's folder and its host's."""
    return drive.device(bus), f"/sys/class/scsi_host/host{drive.address(bus).split(':')[0]}"


def poll_for_a_second(bus: str) -> None:
    """Have the kernel poll the drive."""
    intrude.poll_every(bus, 100)
    time.sleep(1)
    quiet(bus)


def info(file: str) -> str:
    srlock.info(files[file])
    return "ok"


def look(bus: str) -> tuple[str, str]:
    """All that can be asked without a command: the lock, sysfs, procfs, and the node itself."""
    lock = drive.attributes(bus)
    wanted = [f"{lock}/{name}" for name in ("state", "owner", "count", "refused_opens")]
    wanted += [f"/sys/block/{drive.name(bus)}/{name}" for name in ("size", "ro", "removable", "events", "capability")]
    wanted += [f"{drive.device(bus)}/{name}" for name in ("vendor", "model", "rev", "type", "state", "inquiry")]
    for path in [*wanted, "/proc/sys/dev/cdrom/info", "/proc/partitions", "/proc/self/mounts"]:
        with open(path, "rb") as file:
            file.read()
    os.stat(drive.sr(bus))
    return "ok", ""


# For the witness

def size_of(path: str) -> int:
    return os.path.getsize(path)


def read_from(path: str, position: int) -> str:
    with open(path) as file:
        file.seek(position)
        return file.read()


def quiet(bus: str) -> None:
    """No more polling of the drive by the kernel."""
    drive.write(f"/sys/block/{drive.name(bus)}/events_poll_msecs", "0")
