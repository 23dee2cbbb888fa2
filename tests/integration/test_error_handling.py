# SPDX-License-Identifier: GPL-2.0-or-later
"""P5, P6, P11: a drive that does not answer, by the recorder (tests/recorder).

A matrix: a command hangs (where), something happens meanwhile (event), and then the drive answers late. What SCSI's
error handler makes of a command that is never answered is in test_recovery.py. In each case every call
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

import attack
import intrude
from clients import BUS, wait_state, watcher
from hanging import (ALLOW, NONBLOCK, PREVENT, SHORT, SMALL, SOON, Scene, acquire_errno, bind, break_errno, delete, dies,
                     release_errno, scene, send_inquiry, unbind)
from machine import eventually, test
from machine.guest import attempt, cdrom, drive, srlock

FOREVER = 600000        # ms; time-out of a command by SG_IO


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
    pending.result(SOON)
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
    assert waiting.result(SOON) == 0
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
    deleting.result(SOON)


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
    assert waiting.result(SOON) == 0
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
    deleting.result(SOON)


# While a command of the holder hangs

def answer(s: Scene, u: Under) -> None:
    """What its sender gets in the end."""
    result = u.command.result(SOON)
    assert result["host"] == 0, result


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
    assert stranger.result(SOON) == "refused"
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
    assert waiting.result(SOON) == 0
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
    deleting.result(SOON)


def events(kind: str) -> list:
    """All of a kind, the one after which the drive is gone last."""
    found = [value for name, value in globals().items() if name.startswith(f"{kind}_")]
    return sorted(found, key=lambda event: event.__name__.endswith("delete"))


def finish(s: Scene, event) -> None:
    """After an event: drive and tray are free."""
    if event.__name__.endswith("delete"):
        s.await_unlocked()
    else:
        s.free()


def play(s: Scene, kind: str, begin) -> None:
    """Let each event happen."""
    for event in events(kind):
        try:
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
        u.command = child.begin(function, u.sr, *args, FOREVER)
        s.await_hang()
        return u
    return begin


@test("P5 ACQUIRE while its PREVENT hangs and is answered late", timeout=900)
def own_command(m):
    with scene(m) as s:
        play(s, "acquiring", begin_own(PREVENT, 0))


def answer_late(s: Scene, fault: str) -> None:
    """A PREVENT that is answered after its ACQUIRE has given up, and what the drive then has for the ALLOW."""
    u = begin_own(PREVENT, 0)(s)
    s.recorder.fault(fault)
    assert u.call.result(SOON) == errno.ETIMEDOUT
    s.end()


@test("P5 a PREVENT that is answered late is taken back, also from a drive that has an error for that at first",
      timeout=300)
def error_after_late_answer(m):
    with scene(m) as s:
        answer_late(s, f"{ALLOW} sense=4/44/00")
        s.free()


@test("P5 a tray that the drive does not unlock after a late PREVENT is told of, and the next hold unlocks it",
      timeout=300)
def error_for_good(m):
    with scene(m) as s:
        answer_late(s, f"{ALLOW} times=5 sense=4/44/00")
        eventually(lambda: "the tray may be left locked" in m.sh("dmesg")["stdout"], SOON, "the log says so")
        assert s.recorder.prevented() and s.recorder.status()["faults"] == "0"
        s.set_timeout(60000)
        next_ = hold(s)
        assert next_.process.begin(release_errno, next_.fd).result(SOON) == 0
        s.free()


@test("P5 the end of a hold while its ALLOW hangs and is answered late", timeout=900)
def end_of_hold(m):
    with scene(m) as s:
        play(s, "releasing", begin_hold_with_hanging_end)


def acquire_with_alarm(fd: int) -> int:
    """ACQUIRE that a signal reaches when it is under way, whose handler wants calls restarted."""
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.siginterrupt(signal.SIGALRM, False)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    return acquire_errno(fd)


@test("P10 an ACQUIRE that is not to wait is not restarted, to find the drive busy with its own undoing", timeout=120)
def not_restarted(m):
    with scene(m) as s:
        s.set_timeout(60000)
        s.recorder.fault(f"{PREVENT} delay=1000")
        process, fd = s.client()
        assert process.begin(acquire_with_alarm, fd).result(SOON) == errno.EINTR
        s.free()


@test("P11 a hold that ends while sr asks the drive what it can do does not make sr believe that it can do nothing",
      timeout=300)
def probed_at_the_end(m):
    with scene(m) as s:
        path, address = s.recorder.sr, s.recorder.address
        before = m.call(cdrom.on_node, path, cdrom.CDROM_GET_CAPABILITY)
        s.set_timeout(60000)
        process, fd = s.client()
        assert process.begin(acquire_errno, fd).result(SOON) == 0
        m.call(unbind, address, timeout=SOON)
        s.hang("00")      # TEST UNIT READY
        s.hang(ALLOW)
        binding = m.process().begin(bind, address)
        s.await_hang()
        releasing = process.begin(release_errno, fd)
        eventually(lambda: s.info()["state"] == srlock.RELEASING, SOON)
        s.recorder.release()        # sr goes on to MODE SENSE, behind our ALLOW
        s.await_hang()
        time.sleep(1)
        s.end()
        assert releasing.result(SOON) == 0
        binding.result(SOON)
        assert m.call(cdrom.on_node, path, cdrom.CDROM_GET_CAPABILITY) == before
        s.m.call(intrude.poll_every, s.bus, 0)
        s.free()


@test("P5 a hold that ends when a kernel thread closes its file keeps no other file from being closed", timeout=300)
def closed_by_kernel(m):
    attack.put_hostile(m)
    with scene(m) as s:
        s.set_timeout(60000)
        other = watcher(m)
        for path in (s.path, m.call(drive.srlock, BUS)):
            s.process().call(attack.start, "keep", path)
        first, second = m.sh("pgrep hostile")["stdout"].split()
        s.hang(ALLOW)
        m.sh(f"kill -9 {first}")
        s.await_hang()
        m.sh(f"kill -9 {second}")
        wait_state(other, srlock.FREE, 8)
        assert s.info()["state"] != srlock.FREE
        s.end()
        s.free()


@test("P5 a hold while a short command of the holder hangs and is answered late", timeout=900)
def short_command(m):
    with scene(m) as s:
        play(s, "held", begin_command(send_inquiry, SHORT, 96))
