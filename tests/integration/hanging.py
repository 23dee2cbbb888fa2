# SPDX-License-Identifier: GPL-2.0-or-later
"""A drive that does not answer, as the tests of it use it: a recorder, its clients, and what must be in the end.

Loaded in the machine too: the functions of the first part run there.
"""

from __future__ import annotations

import contextlib
import os
import signal

import intrude
from holding import no_udev
from machine import eventually
from machine.guest import drive, scsi, srlock
from recorder import Recorder

SMALL = 500             # command_timeout_ms
SOON = 30.0             # "in bounded time", on a slow machine that others use too
RO, NONBLOCK = os.O_RDONLY | os.O_NONBLOCK, os.O_RDWR | os.O_NONBLOCK
PREVENT, ALLOW, SHORT = "1e......01", "1e......00", "12......60"


# In the machine

def call_errno(function, *args) -> int:
    """The errno of a call, 0 if it worked."""
    try:
        function(*args)
    except OSError as error:
        return error.errno
    return 0


def acquire_errno(fd: int, flags: int = 0, wait: float | None = 0) -> int:
    return call_errno(srlock.acquire, fd, "actor", flags, wait)


def release_errno(fd: int) -> int:
    return call_errno(srlock.release, fd)


def break_errno(fd: int) -> int:
    return call_errno(srlock.break_, fd)


def acquire_and_try(fd: int, sg: str) -> list:
    """ACQUIRE, and what becomes of a command by sg, which the holder may not use either."""
    return [acquire_errno(fd), srlock.info(fd)["count"], intrude.on_new_file(sg, os.O_RDWR, "sg_io")]


def release_and_try(fd: int, sg: str) -> list:
    return [release_errno(fd), srlock.info(fd)["count"], intrude.on_new_file(sg, os.O_RDWR, "sg_io")]


def send_inquiry(fd: int, length: int, timeout: int) -> dict:
    return scsi.send_on(fd, scsi.inquiry(length), length, timeout=timeout)


def interruptible() -> None:
    """Let SIGUSR1 interrupt this process's system calls."""
    signal.signal(signal.SIGUSR1, lambda *_: None)


def delete(bus: str) -> None:
    drive.write(f"{drive.device(bus)}/delete", "1")


def unbind(address: str) -> None:
    drive.write("/sys/bus/scsi/drivers/sr/unbind", address)


def bind(address: str) -> None:
    drive.write("/sys/bus/scsi/drivers/sr/bind", address)


# Here

class Scene:
    """A recorder, with what is to be done to it and seen of it."""

    def __init__(self, m, recorder: Recorder) -> None:
        self.m, self.recorder = m, recorder
        self.bus = recorder.device
        self.watch = m.process()
        self.path = self.watch.call(drive.srlock, self.bus)
        self.attributes = self.watch.call(drive.attributes, self.bus)
        self.processes: list = []
        self.set_timeout(SMALL)

    def process(self):
        self.processes.append(self.m.process())
        return self.processes[-1]

    def client(self):
        """A process with the lock file open."""
        process = self.process()
        process.call(interruptible)
        return process, process.call(srlock.open_lock, self.path)

    def info(self) -> dict:
        return self.watch.call(srlock.info, self.path)

    def set_timeout(self, milliseconds: int) -> None:
        self.watch.call(drive.write, f"{self.attributes}/command_timeout_ms", str(milliseconds))

    def hang(self, pattern: str, action: str = "hang") -> None:
        """The next command like this gets no answer."""
        self.recorder.fault(f"{pattern} {action}")

    def await_hang(self) -> None:
        self.recorder.await_held(SOON)

    def refused(self) -> None:
        """A foreigner is refused at once, also while the drive does not answer."""
        word = self.watch.begin(intrude.open_close, self.recorder.sr, RO).result(SOON)
        assert word == "EBUSY", word

    def await_unlocked(self) -> None:
        try:
            eventually(lambda: not self.recorder.prevented(), SOON, "the tray is unlocked")
        except AssertionError as error:
            last = self.m.sh(f"tail -n 12 {self.recorder.log}; cat {self.attributes}/state; dmesg | tail -n 12")
            raise AssertionError(f"{error}; the recorder, the drive's state and the kernel say:\n{last['stdout']}") \
                from error

    def end(self) -> None:
        """The drive answers at last."""
        self.recorder.release()
        self.recorder.await_idle(SOON)

    def free(self) -> None:
        """All processes of the scene are dead; drive and tray are free, can be held, and be used."""
        for process in self.processes:
            if process.alive():
                process.kill(wait=False)
        for process in self.processes:
            process.wait(SOON)
        self.processes.clear()
        eventually(lambda: self.info()["state"] == srlock.FREE, SOON, "the drive is free")
        self.await_unlocked()
        assert self.recorder.status()["faults"] == "0", "the command did not come"
        self.set_timeout(60000)
        process, fd = self.client()
        mark = self.recorder.mark()
        assert process.begin(acquire_and_try, fd, self.recorder.sg).result(SOON) == [0, 1, "refused"]
        assert self.recorder.prevented()
        assert not [c for c in self.recorder.since(mark) if intrude.is_foreign(c.cdb)]
        assert process.begin(release_and_try, fd, self.recorder.sg).result(SOON) == [0, 0, "ok"]
        assert not self.recorder.prevented()
        process.kill()
        self.processes.clear()
        self.set_timeout(SMALL)


@contextlib.contextmanager
def scene(m):
    """A recorder that nobody but the test uses."""
    with Recorder(m, medium="dvd+r") as recorder:
        no_udev(m)
        m.call(intrude.poll_every, recorder.device, 0)
        m.sh("echo 300 >/proc/sys/kernel/hung_task_timeout_secs")   # who waits for a drive that hangs, hangs
        yield Scene(m, recorder)


def dies(process) -> None:
    """A process that is killed dies, whatever it waits for."""
    process.kill(timeout=SOON)
