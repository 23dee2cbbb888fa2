# SPDX-License-Identifier: GPL-2.0-or-later
"""P5, P6, P11: a drive that does not answer, by the recorder (tests/recorder).

A matrix: a command hangs (where), something happens meanwhile (event), and then the drive answers late, or SCSI's
error handler aborts the command, or even its abort gets no answer for a while (end). In each case every call
comes back in bounded time with its documented errno, whoever held the drive holds it as long as it should, nobody
else gets in, and in the end drive and tray are free and work. Times are bounded by SOON, which is far from what
a call would take that waits for the drive.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time

import intrude
from holding import no_udev
from machine import eventually, test
from machine.guest import attempt, drive, scsi, srlock
from recorder import Recorder

SMALL = 500             # command_timeout_ms
SOON = 30.0             # "in bounded time", on a slow machine that others use too
RO, NONBLOCK = os.O_RDONLY | os.O_NONBLOCK, os.O_RDWR | os.O_NONBLOCK
PREVENT, ALLOW, SHORT = "1e......01", "1e......00", "12......60"
TIMEOUT = {"answered late": 600000, "aborted": 1500, "deaf to the abort": 1500}   # of a command by SG_IO
EH_TIME = 60            # of the module's own commands, which have ten seconds, and then are aborted


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

    def __init__(self, m, recorder: Recorder, end: str) -> None:
        self.m, self.recorder, self.end_ = m, recorder, end
        self.bus = recorder.device
        self.watch = m.process()
        self.path = self.watch.call(drive.srlock, self.bus)
        self.attributes = self.watch.call(drive.attributes, self.bus)
        self.processes: list = []
        self.aborts_before = 0
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

    def hang(self, pattern: str) -> None:
        """The next command like this gets no answer."""
        action = "deaf" if self.end_ == "deaf to the abort" else "hang"
        self.recorder.fault(f"{pattern} {action}")

    def await_hang(self) -> None:
        self.recorder.await_held(SOON)

    def refused(self) -> None:
        """A foreigner is refused at once, also while the drive does not answer."""
        word = self.watch.begin(intrude.open_close, self.recorder.sr, RO).result(SOON)
        assert word == "EBUSY", word

    def end(self) -> None:
        """The end of the hanging: an answer, or what the error handler makes of it."""
        if self.end_ == "answered late":
            self.recorder.release()
        elif self.end_ == "deaf to the abort":
            eventually(lambda: self.aborts() > self.aborts_before, EH_TIME, "an abort")
            self.recorder.release()
        self.recorder.await_idle(EH_TIME)

    def aborts(self) -> int:
        """How many commands the kernel has tried to abort so far."""
        text = self.watch.call(drive.read, self.recorder.log)
        return sum("abort of" in line for line in text.splitlines())

    def begin(self) -> None:
        self.aborts_before = self.aborts()

    def free(self) -> None:
        """All processes of the scene are dead; drive and tray are free, can be held, and be used."""
        for process in self.processes:
            if process.alive():
                process.kill(wait=False)
        for process in self.processes:
            process.wait(SOON)
        self.processes.clear()
        eventually(lambda: self.info()["state"] == srlock.FREE, SOON, "the drive is free")
        eventually(lambda: not self.recorder.prevented(), SOON, "the tray is unlocked")
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
def scene(m, end: str):
    """A recorder that nobody but the test uses."""
    with Recorder(m, medium="dvd+r") as recorder:
        no_udev(m)
        m.call(intrude.poll_every, recorder.device, 0)
        m.sh("echo 300 >/proc/sys/kernel/hung_task_timeout_secs")   # who waits for a drive that hangs, hangs
        yield Scene(m, recorder, end)


def dies(process) -> None:
    """A process that is killed dies, whatever it waits for."""
    process.kill(timeout=SOON)


# Events: what happens while a command hangs. Each gets the scene and what is under way (an acquirer, or a holder).

class Under:
    """What is under way: a process with a lock file, perhaps its call, and perhaps another process's command."""

    def __init__(self, process, fd: int, call=None, command=None) -> None:
        self.process, self.fd, self.call, self.command = process, fd, call, command
        self.child, self.sr = None, -1      # who sends the command, and its open sr file


def unload_fails(s: Scene) -> None:
    done = s.m.sh("rmmod srlock", timeout=SOON, check=False)
    assert done["rc"] and not done["timeout"], done


@contextlib.contextmanager
def unbound(s: Scene, u: Under):
    """sr is unbound while a command hangs, which takes until the end of it; and bound again after."""
    address = s.recorder.address
    pending = s.m.process().begin(unbind, address)
    yield
    pending.result(EH_TIME)
    if u.child:
        u.child.call(os.close, u.sr)
    s.m.call(bind, address, timeout=SOON)
    eventually(lambda: s.m.call(os.path.exists, s.recorder.sr), SOON)
    s.m.call(intrude.poll_every, s.bus, 0)


# While ACQUIRE is under way: nobody holds yet

def acquiring_nothing(s, u):
    assert u.call.result(SOON) == errno.ETIMEDOUT
    s.end()


def acquiring_signal(s, u):
    s.set_timeout(SMALL)
    u.process.signal(signal.SIGUSR1)
    assert u.call.result(SOON) in (errno.EINTR, errno.ETIMEDOUT)
    s.end()


def acquiring_kill(s, u):
    dies(u.process)
    s.end()


def acquiring_break(s, u):
    other, fd = s.client()
    assert other.begin(break_errno, fd).result(SOON) == errno.EPERM
    assert u.call.result(SOON) == errno.ETIMEDOUT
    s.end()


def acquiring_waiter(s, u):
    other, fd = s.client()
    waiting = other.begin(acquire_errno, fd, 0, None)
    assert u.call.result(SOON) == errno.ETIMEDOUT
    # what hangs is in flight still, and is nobody's by now
    assert waiting.result(SOON) == errno.ETIMEDOUT
    s.end()


def acquiring_late_waiter(s, u):
    """Who comes after the first has given up gets the drive when the drive answers at last."""
    assert u.call.result(SOON) == errno.ETIMEDOUT
    eventually(lambda: s.info()["state"] == srlock.FREE, SOON)
    s.set_timeout(60000)
    other, fd = s.client()
    waiting = other.begin(acquire_errno, fd, 0, None)
    eventually(lambda: s.info()["state"] == srlock.ACQUIRING, SOON)
    s.end()
    assert waiting.result(EH_TIME) == 0
    for _ in range(5):      # what the late answer sets going must not unlock the tray
        assert s.recorder.prevented() and s.info()["state"] == srlock.HELD
        time.sleep(0.1)
    s.set_timeout(SMALL)


def acquiring_unload(s, u):
    unload_fails(s)
    assert u.call.result(SOON) == errno.ETIMEDOUT
    s.end()


def acquiring_unbind(s, u):
    with unbound(s, u):
        assert u.call.result(SOON) in (errno.ETIMEDOUT, errno.ENODEV)
        s.end()


def acquiring_delete(s, u):
    deleting = s.m.process().begin(delete, s.bus)
    assert u.call.result(SOON) in (errno.ENODEV, errno.ETIMEDOUT)
    s.end()
    deleting.result(EH_TIME)


# While a hold is ended: it is over whatever the drive does

def releasing_by_release(s, u):
    call = u.process.begin(release_errno, u.fd)
    s.await_hang()
    assert call.result(SOON) == errno.ETIMEDOUT
    assert u.process.call(srlock.info, u.fd)["my_count"] == 0
    eventually(lambda: s.info()["state"] == srlock.FREE, SOON)
    s.end()


def releasing_by_close(s, u):
    call = u.process.begin(attempt.close, u.fd)
    s.await_hang()
    assert call.result(SOON) == 0
    s.end()


def releasing_by_kill(s, u):
    u.process.kill(wait=False)
    s.await_hang()
    u.process.wait(SOON)
    s.end()


def releasing_by_break(s, u):
    other, fd = s.client()
    call = other.begin(break_errno, fd)
    s.await_hang()
    assert call.result(SOON) in (0, errno.ETIMEDOUT)
    assert u.process.call(release_errno, u.fd) == errno.EOWNERDEAD
    s.end()


def releasing_twice(s, u):
    """While a release is under way foreigners are refused, and there is nothing to break or to release."""
    s.set_timeout(8000)
    call = u.process.begin(release_errno, u.fd)
    s.await_hang()
    s.refused()
    other, fd = s.client()
    assert other.begin(break_errno, fd).result(SOON) == errno.EPERM
    assert other.begin(release_errno, fd).result(SOON) == errno.EPERM
    assert call.result(SOON) == errno.ETIMEDOUT
    s.end()


def releasing_waiter(s, u):
    """Who waits gets the drive when the drive answers, and the tray is its own."""
    other, fd = s.client()
    waiting = other.begin(acquire_errno, fd, 0, None)
    eventually(lambda: s.info()["waiters"] == 1, SOON)
    call = u.process.begin(release_errno, u.fd)
    s.await_hang()
    s.set_timeout(60000)      # for the next one; the release has begun
    assert call.result(SOON) == errno.ETIMEDOUT
    s.end()
    assert waiting.result(EH_TIME) == 0
    for _ in range(5):
        assert s.recorder.prevented() and s.info()["state"] == srlock.HELD
        time.sleep(0.1)
    s.set_timeout(SMALL)


def releasing_unload(s, u):
    call = u.process.begin(release_errno, u.fd)
    s.await_hang()
    unload_fails(s)
    assert call.result(SOON) == errno.ETIMEDOUT
    s.end()


def releasing_unbind(s, u):
    call = u.process.begin(release_errno, u.fd)
    s.await_hang()
    with unbound(s, u):
        assert call.result(SOON) in (errno.ETIMEDOUT, errno.ENODEV)
        s.end()


def releasing_delete(s, u):
    call = u.process.begin(release_errno, u.fd)
    s.await_hang()
    deleting = s.m.process().begin(delete, s.bus)
    assert call.result(SOON) in (errno.ENODEV, errno.ETIMEDOUT)
    s.end()
    deleting.result(EH_TIME)


# While a command of the holder hangs

def answer(s: Scene, u: Under) -> None:
    """What its sender gets in the end."""
    result = u.command.result(EH_TIME)
    assert (result["host"] == 0) == (s.end_ == "answered late"), result


def held_nothing(s, u):
    """The hold is kept, by whatever way the command ends; foreigners stay out, the tray stays locked."""
    foreign = s.process()
    fd = foreign.call(attempt.open_, s.recorder.sg, os.O_RDWR)
    stranger = foreign.begin(intrude.sg_io, fd)
    s.refused()
    mark = s.recorder.mark()
    assert s.info()["state"] == srlock.HELD and s.info()["count"] == 1
    s.end()
    answer(s, u)
    assert stranger.result(EH_TIME) == "refused"
    assert s.info()["state"] == srlock.HELD and s.info()["count"] == 1
    eventually(s.recorder.prevented, SOON, "the tray is locked")
    assert not [c for c in s.recorder.since(mark) if intrude.is_foreign(c.cdb)]
    assert u.process.call(send_inquiry, u.fd, 96, 20000)["good"], "the holder can go on"
    assert u.process.begin(release_errno, u.fd).result(SOON) == 0


def held_nest(s, u):
    """Nested calls do not go to the drive."""
    assert u.process.begin(acquire_errno, u.fd).result(SOON) == 0
    assert u.process.begin(release_errno, u.fd).result(SOON) == 0
    assert s.info()["count"] == 1
    s.end()
    answer(s, u)


def held_release(s, u):
    assert u.process.begin(release_errno, u.fd).result(SOON) == errno.ETIMEDOUT
    assert u.process.call(srlock.info, u.fd)["my_count"] == 0
    s.end()
    answer(s, u)


def held_close(s, u):
    assert u.process.begin(attempt.close, u.fd).result(SOON) == 0
    s.end()
    answer(s, u)


def held_kill(s, u):
    dies(u.process)
    s.end()
    answer(s, u)


def held_break(s, u):
    other, fd = s.client()
    assert other.begin(break_errno, fd).result(SOON) in (0, errno.ETIMEDOUT)
    assert u.process.call(release_errno, u.fd) == errno.EOWNERDEAD
    s.end()
    answer(s, u)


def held_waiter(s, u):
    """Who waits gets the drive when the command of the last holder is through, not before."""
    other, fd = s.client()
    waiting = other.begin(acquire_errno, fd, 0, None)
    eventually(lambda: s.info()["waiters"] == 1, SOON)
    assert u.process.begin(release_errno, u.fd).result(SOON) == errno.ETIMEDOUT
    assert waiting.result(SOON) == errno.ETIMEDOUT
    s.set_timeout(60000)
    waiting = other.begin(acquire_errno, fd, 0, None)
    eventually(lambda: s.info()["state"] == srlock.ACQUIRING, SOON)
    assert not waiting.done()
    s.end()
    assert waiting.result(EH_TIME) == 0
    answer(s, u)
    for _ in range(5):
        assert s.recorder.prevented() and s.info()["state"] == srlock.HELD
        time.sleep(0.1)
    s.set_timeout(SMALL)


def held_unload(s, u):
    unload_fails(s)
    s.end()
    answer(s, u)


def held_unbind(s, u):
    with unbound(s, u):
        assert s.info()["state"] == srlock.HELD
        s.end()
        answer(s, u)
    assert s.info()["state"] == srlock.HELD and u.process.call(srlock.info, u.fd)["my_count"] == 1
    s.refused()


def held_unbind_release(s, u):
    with unbound(s, u):
        assert u.process.begin(release_errno, u.fd).result(SOON) == errno.ETIMEDOUT
        s.end()
        answer(s, u)


def held_delete(s, u):
    deleting = s.m.process().begin(delete, s.bus)
    eventually(lambda: u.process.call(srlock.info, u.fd)["state"] == srlock.GONE, SOON, "the state is `gone`")
    assert u.process.begin(release_errno, u.fd).result(SOON) == errno.ENODEV
    s.end()
    answer(s, u)
    deleting.result(EH_TIME)


def events(kind: str) -> list:
    """All of a kind, the one after which the drive is gone last."""
    found = [value for name, value in globals().items() if name.startswith(f"{kind}_")]
    return sorted(found, key=lambda event: event.__name__.endswith("delete"))


def finish(s: Scene, event) -> None:
    """After an event: drive and tray are free."""
    if event.__name__.endswith("delete"):
        eventually(lambda: not s.recorder.prevented(), SOON, "the tray is unlocked")
    else:
        s.free()


def play(s: Scene, kind: str, begin) -> None:
    """Let each event happen."""
    for event in events(kind):
        try:
            s.begin()
            event(s, begin(s))
            finish(s, event)
        except Exception as error:
            error.args = (f"{event.__name__}: {error}",)
            raise


def begin_own(pattern: str, flags: int):
    """ACQUIRE, with the command of its own that hangs."""
    def begin(s: Scene) -> Under:
        process, fd = s.client()
        s.hang(pattern)
        call = process.begin(acquire_errno, fd, flags)
        s.await_hang()
        return Under(process, fd, call)
    return begin


def hold(s: Scene) -> Under:
    process, fd = s.client()
    assert process.begin(acquire_errno, fd).result(SOON) == 0
    return Under(process, fd)


def begin_hold_with_hanging_end(s: Scene) -> Under:
    u = hold(s)
    s.hang(ALLOW)
    return u


def begin_command(function, pattern: str, *args):
    """A hold, with a child that has a command on its way."""
    def begin(s: Scene) -> Under:
        u = hold(s)
        child = u.process.fork()
        s.processes.append(child)
        child.call(os.close, u.fd)
        u.child, u.sr = child, child.call(attempt.open_, s.recorder.sr, NONBLOCK)
        s.hang(pattern)
        u.command = child.begin(function, u.sr, *args, TIMEOUT[s.end_])
        s.await_hang()
        return u
    return begin


@test("P5 ACQUIRE while its PREVENT hangs and is answered late", timeout=900)
def own_command(m):
    with scene(m, "answered late") as s:
        play(s, "acquiring", begin_own(PREVENT, 0))


@test("P5 the end of a hold while its ALLOW hangs and is answered late", timeout=900)
def end_of_hold(m):
    with scene(m, "answered late") as s:
        play(s, "releasing", begin_hold_with_hanging_end)


@test("P5 a hold while a short command of the holder hangs and is answered late", timeout=900)
def short_command(m):
    with scene(m, "answered late") as s:
        play(s, "held", begin_command(send_inquiry, SHORT, 96))
