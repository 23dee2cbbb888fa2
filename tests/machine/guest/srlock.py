# SPDX-License-Identifier: GPL-2.0-or-later
"""The lock's ioctls (include/uapi/linux/srlock.h)."""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import time
from ctypes import c_char, c_int32, c_uint32, c_uint64

MAGIC = 0xBD
DEADLINE_NONE = 2**64 - 1
FORCE, NO_PREVENT = 1, 2
BUSY_NOT, BUSY_HELD, BUSY_CLAIMED, BUSY_QUEUED, BUSY_RELEASING = range(5)
FREE, ACQUIRING, HELD, RELEASING, GONE = range(5)
STATUS_PREVENTED, STATUS_FORCED, STATUS_MINE, STATUS_BROKEN = 1, 2, 4, 8
EVENT_HELD, EVENT_RELEASED, EVENT_BROKEN, EVENT_REFUSED, EVENT_UNPLUGGED = range(1, 6)
WAY_NONE, WAY_OPEN, WAY_IOCTL, WAY_COMMAND = range(4)
EVENT_GUESS = 1


class Acquire(ctypes.Structure):
    """struct srlock_acquire"""

    _fields_ = [
        ("client", c_char * 64), ("flags", c_uint32), ("pad", c_uint32), ("deadline_ns", c_uint64),
        ("count", c_uint32), ("busy_reason", c_uint32), ("holder_pid", c_int32), ("pad2", c_uint32),
    ]


class Release(ctypes.Structure):
    """struct srlock_release"""

    _fields_ = [("flags", c_uint32), ("count", c_uint32)]


class Info(ctypes.Structure):
    """struct srlock_info"""

    _fields_ = [
        ("features", c_uint64), ("flags", c_uint32), ("state", c_uint32), ("count", c_uint32),
        ("my_count", c_uint32), ("pid", c_int32), ("uid", c_uint32), ("waiters", c_uint32),
        ("prior_opens", c_uint32), ("since_ns", c_uint64), ("refused_opens", c_uint64),
        ("refused_ioctls", c_uint64), ("refused_commands", c_uint64), ("status", c_uint32),
        ("pad", c_uint32), ("client", c_char * 64),
    ]


class Event(ctypes.Structure):
    """struct srlock_event"""

    _fields_ = [
        ("time_ns", c_uint64), ("type", c_uint32), ("repeats", c_uint32), ("lost", c_uint32),
        ("flags", c_uint32), ("pid", c_int32), ("uid", c_uint32), ("way", c_uint32), ("code", c_uint32),
        ("name", c_char * 64),
    ]


def iowr(number: int, size: int) -> int:
    """_IOWR(SRLOCK_IOC_MAGIC, number, a struct of this size)"""
    return 3 << 30 | size << 16 | MAGIC << 8 | number


IOC_ACQUIRE = iowr(1, ctypes.sizeof(Acquire))
IOC_RELEASE = iowr(2, ctypes.sizeof(Release))
IOC_GET_INFO = iowr(3, ctypes.sizeof(Info))
IOC_BREAK = MAGIC << 8 | 4

assert [ctypes.sizeof(kind) for kind in (Acquire, Release, Info, Event)] == [96, 8, 144, 104]


def plain(struct: ctypes.Structure) -> dict:
    """A struct as the host can receive it; names are text."""
    values = {name: getattr(struct, name) for name, _ in struct._fields_}
    return {k: v.decode(errors="replace") if isinstance(v, bytes) else v for k, v in values.items()}


def deadline(seconds: float) -> int:
    """The deadline so many seconds from now."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) + int(seconds * 1e9)


def open_lock(path: str, mode: int = os.O_RDWR) -> int:
    """Open a lock node; the number of the file, which stays open in the process."""
    return os.open(path, mode)


class Busy(OSError):
    """ACQUIRE said EBUSY; `answer` has its outputs."""

    answer: dict


def acquire(fd: int, name: str = "test", flags: int = 0, wait: float | None = 0) -> dict:
    """ACQUIRE; its outputs. `wait`: seconds, 0 for not at all, None for no limit."""
    argument = Acquire(client=name.encode(), flags=flags)
    argument.deadline_ns = DEADLINE_NONE if wait is None else deadline(wait) if wait else 0
    try:
        fcntl.ioctl(fd, IOC_ACQUIRE, argument, True)
    except OSError as error:
        busy = Busy(error.errno, f"{error.strerror}: {plain(argument)}")
        busy.answer = plain(argument)
        raise busy from None
    return plain(argument)


def try_acquire(fd: int, name: str = "test", flags: int = 0, wait: float | None = 0) -> dict:
    """ACQUIRE; its outputs, and its errno under "errno" (0 when it worked)."""
    try:
        return acquire(fd, name, flags, wait) | {"errno": 0}
    except Busy as error:
        return error.answer | {"errno": error.errno}


def release(fd: int) -> int:
    """RELEASE; the count that is left."""
    argument = Release()
    fcntl.ioctl(fd, IOC_RELEASE, argument, True)
    return argument.count


def break_(fd: int) -> int:
    """BREAK"""
    return fcntl.ioctl(fd, IOC_BREAK)


def info(fd_or_path: int | str) -> dict:
    """GET_INFO, on an open file or on a node that is opened for it."""
    argument = Info()
    fd = fd_or_path if isinstance(fd_or_path, int) else os.open(fd_or_path, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, IOC_GET_INFO, argument, True)
    finally:
        if fd is not fd_or_path:
            os.close(fd)
    return plain(argument)


def events(fd: int, timeout: float = 0, most: int = 256) -> list[dict]:
    """The records that are there; waits up to `timeout` seconds for the first."""
    size = ctypes.sizeof(Event)
    if not select.select([fd], [], [], timeout)[0]:
        return []
    data = os.read(fd, size * most)
    return [plain(Event.from_buffer_copy(data, at)) for at in range(0, len(data), size)]


def poll(fd: int, timeout: float = 0) -> int:
    """What poll says about a lock file."""
    poller = select.poll()
    poller.register(fd, select.POLLIN | select.POLLOUT)
    found = poller.poll(timeout * 1000)
    return found[0][1] if found else 0


def hold(path: str, name: str = "test", flags: int = 0, wait: float | None = 0) -> int:
    """Open a lock node and acquire; the number of the file."""
    fd = open_lock(path)
    try:
        acquire(fd, name, flags, wait)
    except OSError:
        os.close(fd)
        raise
    return fd
