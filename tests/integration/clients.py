# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of the lock file have in common: clients, and a witness that nothing changed.

Loaded in the machine too: the functions of the second part run there.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import struct
import time
import weakref
from collections.abc import Callable

from machine import GuestError, eventually
from machine.guest import attempt, drive, scsi, srlock

BUS = "virtio"  # the drive of tests that need only one
USER, CDROM_GROUP = 1000, 24  # an ordinary user and what he is in (boot.sh)

_calm: weakref.WeakSet = weakref.WeakSet()  # machines without udev by now


# Here

class Client:
    """A process of the machine with an open lock file."""

    def __init__(self, process, fd: int) -> None:
        self.process = process
        self.fd = fd

    def call(self, function, *args, **options):
        """Call a function that takes the file as its first argument."""
        return self.process.call(function, self.fd, *args, **options)

    def begin(self, function, *args, **options):
        return self.process.begin(function, self.fd, *args, **options)

    def acquire(self, *args, **options) -> dict:
        return self.call(srlock.acquire, *args, **options)

    def try_acquire(self, *args, **options) -> dict:
        return self.call(srlock.try_acquire, *args, **options)

    def wait(self, *args, **options):
        """Begin an ACQUIRE without limit, which leaves its outcome as try_acquire() does."""
        return self.begin(srlock.try_acquire, *args, **{"wait": None} | options)

    def release(self) -> int:
        return self.call(srlock.release)

    def info(self) -> dict:
        return self.call(srlock.info)

    def close(self) -> None:
        self.process.call(os.close, self.fd)

    def errno(self, function, *args, **options) -> int:
        """The errno that a call ends with, 0 when it works."""
        try:
            self.call(function, *args, **options)
        except GuestError as error:
            if error.errno is None:
                raise
            return error.errno
        return 0

    def fork(self, **options) -> Client:
        """A child that has inherited the file."""
        return Client(self.process.fork(**options), self.fd)

    def kill(self) -> None:
        self.process.kill()


def client(m, bus: str = BUS, process=None, mode: int = os.O_RDWR) -> Client:
    """A new lock file, in a new process of root's or in the one given."""
    process = process or m.process()
    return Client(process, process.call(srlock.open_lock, process.call(drive.srlock, bus), mode))


def holder(m, name: str = "holder", bus: str = BUS, flags: int = 0) -> Client:
    """A client that holds the drive."""
    found = client(m, bus)
    found.acquire(name, flags)
    return found


def watcher(m, bus: str = BUS) -> Client:
    """A client that only looks: it may read, and is there before the rest."""
    return client(m, bus, mode=os.O_RDONLY)


def wait_state(watch: Client, state: int, timeout: float = 20) -> None:
    eventually(lambda: watch.info()["state"] == state, timeout, f"state {state}")


def wait_free(watch: Client) -> None:
    wait_state(watch, srlock.FREE)


def wait_sent(m, mark: int, bus: str = BUS, opcode: int = 0x28) -> None:
    """Wait until a command has reached the drive, by default a read."""
    eventually(lambda: any(c.opcode == opcode for c in m.trace.since(mark, bus)), 20, "the command is sent")


def wait_line(watch: Client, waiters: int) -> None:
    """Wait until so many stand in line."""
    eventually(lambda: watch.info()["waiters"] == waiters, 10, f"{waiters} in line")


def pass_file(source: Client, process) -> Client:
    """Hand a lock file to a process by a socket (SCM_RIGHTS)."""
    taking = process.begin(take_file, f"pass-{source.process.pid}-{process.pid}")
    source.call(give_file, f"pass-{source.process.pid}-{process.pid}")
    return Client(process, taking.result())


def end_udev(m) -> None:
    """End udev when it has done what it was told to."""
    # Not by `udevadm control --exit`: systemd 252 accepts the connection first and asks for the sender's
    # credentials then, and ignores, without a word, a message that comes in between (2 of 122 were).
    m.sh("udevadm settle && kill $(pidof systemd-udevd) && while pidof -q systemd-udevd; do sleep 0.1; done", timeout=40)


def calm(m) -> None:
    """End udev, which after a release opens the drive and locks its tray (cdrom_id)."""
    if m not in _calm:
        end_udev(m)
        _calm.add(m)


def quiet(m, bus: str = BUS) -> None:
    """No more polling of a drive by the kernel, and none under way."""
    if m.call(drive.read, attribute := m.call(poll_attribute, bus)) == "0":
        return
    m.call(drive.write, attribute, "0")
    let_checks_end(m, bus, m.trace.mark, lambda mark: [c.cdb for c in m.trace.since(mark, bus)])


def let_checks_end(m, bus: str, mark: Callable, since: Callable) -> None:
    """Wait until the kernel no longer looks whether there is another disc; mark() and since(): what the drive is sent."""
    # An open waits for a check that has begun. Its close asks for another, which ends with TEST UNIT READY.
    opener = m.process()
    fd = opener.call(attempt.open_, opener.call(drive.sr, bus))
    if fd < 0:
        return   # held: there are no checks
    place = mark()
    opener.call(os.close, fd)
    eventually(lambda: any(cdb[0] == scsi.TEST_UNIT_READY[0] for cdb in since(place)), 20, "the check of a close")
    opener.kill()


@contextlib.contextmanager
def nothing_changes(m, *clients: Client, bus: str = BUS):
    """Fail if what is done inside changes what GET_INFO says, leaves a record, or reaches the drive."""
    calm(m)
    quiet(m, bus)
    watch = watcher(m, bus)
    before = [c.info() for c in (watch, *clients)]
    mark = m.trace.mark()
    yield
    after = [c.info() for c in (watch, *clients)]
    assert after == before, f"{before}\nbecame\n{after}"
    records = watch.call(srlock.events)
    assert not records, records
    sent = m.trace.since(mark, bus)
    assert not sent, [str(c) for c in sent]
    watch.kill()


# In the machine

def poll_attribute(bus: str) -> str:
    return f"/sys/block/{drive.name(bus)}/events_poll_msecs"


_libc = ctypes.CDLL(None, use_errno=True)


def ioctl(fd: int, command: int, address: int = 0) -> int:
    """The plain system call, with any command and any address; its result, or minus the errno."""
    result = _libc.ioctl(fd, ctypes.c_ulong(command), ctypes.c_void_p(address))
    return result if result >= 0 else -ctypes.get_errno()


def ioctl_bytes(fd: int, command: int, data: bytes) -> tuple[int, bytes]:
    """The same with these bytes as argument; the result, and what the bytes are afterwards."""
    buffer = ctypes.create_string_buffer(data, max(len(data), 1))
    return ioctl(fd, command, ctypes.addressof(buffer)), buffer.raw[:len(data)]


def acquire_bytes(client_name: bytes = b"test", flags: int = 0, pad: int = 0, deadline: int = 0,
                  pad2: int = 0) -> bytes:
    """struct srlock_acquire with anything in it."""
    return struct.pack("64sIIQIIiI", client_name, flags, pad, deadline, 0, 0, 0, pad2)


def admitted(bus: str = BUS) -> bool:
    """Whether the drive lets this process in: an open tells."""
    fd = attempt.open_(drive.sr(bus))
    if fd == -errno.EBUSY:
        return False
    if fd < 0:
        raise OSError(-fd, os.strerror(-fd))
    os.close(fd)
    return True


def give_file(fd: int, address: str) -> None:
    """Pass a file to whoever takes it at that address."""
    with socket.socket(socket.AF_UNIX) as line:
        while line.connect_ex("\0" + address):
            time.sleep(0.01)
        socket.send_fds(line, [b"!"], [fd])


def take_file(address: str) -> int:
    """Receive a file."""
    with socket.socket(socket.AF_UNIX) as door:
        door.bind("\0" + address)
        door.listen()
        line, _ = door.accept()
        with line:
            return socket.recv_fds(line, 1, 1)[1][0]
