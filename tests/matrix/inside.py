# SPDX-License-Identifier: GPL-2.0-or-later
"""An ex-holder that is still inside calls: threads that are stopped in the kernel until they are let go.

One thread is in an SG_IO on the sr node whose argument is in a page that is not there (userfaultfd), so it
waits inside the driver, with the drive's mutex. All others then wait for that mutex, inside calls which were
admitted. On sg and bsg, where there is no such mutex, and for reads, every argument is in such a page.
All of this runs in the machine.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import struct
import threading
import time

import intrude

from . import ways

USERFAULTFD = 323
UFFDIO_API, UFFDIO_REGISTER, UFFDIO_COPY = 0xC018AA3F, 0xC020AA00, 0xC028AA03
STACK_SIZE = 128 << 10


def possible() -> bool:
    """Whether the kernel lets pages be filled by us."""
    try:
        Pages(1)
    except OSError as error:
        if error.errno == errno.ENOSYS:
            return False
        raise
    return True


class Pages:
    """Pages that are not there until they are filled."""

    def __init__(self, count: int) -> None:
        self.memory = mmap.mmap(-1, count * ways.PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.base = ways.address(self.memory)
        self.contents: list[bytes] = []
        self.fd = intrude.libc.syscall(USERFAULTFD, os.O_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "userfaultfd")
        fcntl.ioctl(self.fd, UFFDIO_API, bytearray(struct.pack("QQQ", 0xAA, 0, 0)), True)
        fcntl.ioctl(self.fd, UFFDIO_REGISTER,
                    bytearray(struct.pack("QQQQ", self.base, count * ways.PAGE, 1, 0)), True)

    def add(self, contents: bytes) -> int:
        """One more, and what will be in it; its address."""
        self.contents.append(contents.ljust(ways.PAGE, b"\0"))
        return self.base + (len(self.contents) - 1) * ways.PAGE

    def fill(self, number: int) -> None:
        source = ctypes.create_string_buffer(self.contents[number], ways.PAGE)
        fcntl.ioctl(self.fd, UFFDIO_COPY, bytearray(struct.pack(
            "QQQQq", self.base + number * ways.PAGE, ctypes.addressof(source), ways.PAGE, 0, 0)), True)

    def fill_all(self) -> None:
        for number in range(len(self.contents)):
            self.fill(number)


class Caller:
    """A thread that makes one call."""

    def __init__(self, function, *args) -> None:
        self.function, self.args = function, args
        self.word = ""
        self.id = 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        self.id = threading.get_native_id()
        try:
            self.function(*self.args)
            self.word = "ok"
        except OSError as error:
            self.word = errno.errorcode.get(error.errno, str(error.errno))

    def stack(self) -> str:
        try:
            with open(f"/proc/self/task/{self.id}/stack") as file:
                return file.read()
        except OSError:
            return ""


pages: Pages
callers: list[Caller] = []
arguments: list = []


def begin(calls: list) -> list[bool]:
    """Begin calls, [file, ioctl's name, number] or [file, "write"], and say of each whether it is inside now."""
    global pages
    threading.stack_size(STACK_SIZE)
    pages = Pages(len(calls) + 1)
    start(ways.files["sr"], "SG_IO", 0x2285)
    wait_inside(callers, "sr_block_ioctl")
    for file, name, number in calls:
        fd = ways.files[file]
        if name == "write":
            start_write(fd)
        elif name == "read":
            start_read(fd)
        else:
            start(fd, name, number, fault=file != "sr")
    time.sleep(0.5)
    return [caller.thread.is_alive() and any(word in caller.stack() for word in
            ("sr_block_ioctl", "sg_ioctl", "sg_write", "bsg_ioctl", "blkdev_direct_IO", "blkdev_read_iter"))
            for caller in callers[1:]]


def start(fd: int, name: str, number: int, fault: bool = True) -> None:
    argument = ways.Argument(name, fd, ways.Space())
    arguments.append(argument)
    value = argument.value
    if fault and argument.in_page:
        value = pages.add(argument.pages[0][:])
    callers.append(Caller(ways.raw_ioctl, fd, number, value))


def start_write(fd: int) -> None:
    """sg's write; the header is in the missing page."""
    argument = ways.Argument("SG_IO", fd, ways.Space())
    arguments.append(argument)
    where = pages.add(argument.pages[0][:])
    callers.append(Caller(_checked, intrude.libc.write, fd, where, 88))


def start_read(fd: int) -> None:
    """A direct read; the buffer is the missing page."""
    callers.append(Caller(_checked, intrude.libc.pread, fd, pages.add(b""), 2048, 3 << 20))


def _checked(function, fd: int, where: int, *args: int) -> None:
    if function(fd, ctypes.c_void_p(where), *map(ctypes.c_long, args)) < 0:
        raise OSError(ctypes.get_errno(), "call")


def wait_inside(wanted: list[Caller], function: str) -> None:
    end = time.monotonic() + 10
    while not all(function in caller.stack() for caller in wanted):
        if time.monotonic() > end:
            raise TimeoutError(f"nobody inside {function}")
        time.sleep(0.01)


def let_go() -> list[str]:
    """Let all of them go on; the errno or "ok" of each."""
    pages.fill_all()
    for caller in callers:
        caller.thread.join(30)
    return ["stuck" if caller.thread.is_alive() else caller.word for caller in callers[1:]]
