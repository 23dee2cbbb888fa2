# SPDX-License-Identifier: GPL-2.0-or-later
"""P5, P6, P11: a drive that never answers, until SCSI's error handler takes the command away from it.

A matrix: a command gets no answer (where), and then what the error handler does is enough (end): it aborts the
command, or it finds out that the drive has done it after all, or it resets the drive, or it takes it offline; or
somebody resets it by hand. The call either gives up before (the drive's command timeout is short) or is
told by the error handler (it is long). Each time: the documented errno, in bounded time; the hold is kept or over as the
errno says; the next in line gets the drive and its tray; in the end the drive is free, can be used, and its tray is
unlocked by what the drive itself says.

recovery.ko (recovery/) lets commands time out at once, and the low-level driver's error handlers fail.
"""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import intrude
from hanging import (ALLOW, NONBLOCK, PREVENT, SHORT, SMALL, SOON, Scene, acquire_errno, bind, break_errno, call_errno,
                     delete, release_errno, scene, send_inquiry, unbind)
from machine import eventually, test
from machine.guest import attempt, cdrom, drive, scsi, srlock
from test_reset import RESET_DEVICE, reset

HERE = Path(__file__).resolve().parent
PARAMETERS = "/sys/module/recovery/parameters"
LONG = 60000            # command_timeout_ms that the error handler does not need
FOREVER = 600000        # ms; time-out of a command by SG_IO
GIVES_UP = 8.0          # a call with a short time is back before the drive's own ten seconds are over
TEST = "00"


@dataclass(frozen=True)
class End:
    """What ends a command that got no answer, and what the module's own command is then."""

    name: str
    action: str = "hang"
    refuse: int = 0             # how many of abort, device reset and target reset fail
    errno: int = errno.ETIMEDOUT
    by_hand: bool = False       # by SG_SCSI_RESET; the loopback driver then says that it went well
    offline: bool = False


ENDS = [
    End("aborted"),
    End("carried out, but the error handler did not wait for it", action="deaf"),
    End("reset", refuse=1, errno=0),     # after which the kernel sends it again
    End("offline", refuse=3, errno=errno.ENODEV, offline=True),
    End("reset by hand", errno=0, by_hand=True),
]
ABORTED, DONE, RESET = ENDS[:3]


def build(release: str) -> Path:
    """The module in recovery/, for the machine's kernel."""
    from machine import kmod  # not there in the machine
    return kmod.build(HERE / "recovery", release)


# In the machine

def eject(fd: int) -> int:
    return call_errno(cdrom.ioctl, fd, cdrom.CDROMEJECT)


def load(fd: int) -> int:
    return call_errno(cdrom.ioctl, fd, cdrom.CDROMCLOSETRAY)


def state(path: str) -> str:
    """The SCSI device's state, which is offline, or on the way to be deleted."""
    try:
        return drive.read(path)
    except FileNotFoundError:
        return "gone"


def becomes_usable(fd: int) -> bool:
    """Whether the disc gets in and is ready, after the unit attentions that a reset raises."""
    return any(load(fd) == 0 and scsi.sg_io(fd, scsi.TEST_UNIT_READY).good for _ in range(5))


# Here

class Under:
    """What is under way: a client, its call that waits for the drive, and another process's command."""

    def __init__(self, process, fd: int, call=None, command=None) -> None:
        self.process, self.fd, self.call, self.command = process, fd, call, command


@dataclass(frozen=True)
class Where:
    """Where a command gets no answer."""

    name: str
    begin: Callable             # gets scene and end, lets it happen
    errno: Callable             # gets the end: the call's errno when the error handler was faster
    early: tuple = ()           # its errno when its own time was shorter; empty: no call has such a time
    held: bool = False          # the hold is not touched by it
    acquires: bool = False      # the call is an ACQUIRE
    prevents: bool = True       # the hold is one with a locked tray

    def __str__(self) -> str:
        return self.name


def acquiring(pattern: str, flags: int = 0) -> Callable:
    def begin(s: Scene, end: End) -> Under:
        process, fd = s.client()
        s.hang(pattern, end.action)
        return Under(process, fd, process.begin(acquire_errno, fd, flags))
    return begin


def hold(s: Scene) -> Under:
    process, fd = s.client()
    assert process.begin(acquire_errno, fd).result(SOON) == 0
    return Under(process, fd)


def releasing(function: Callable) -> Callable:
    def begin(s: Scene, end: End) -> Under:
        u = hold(s)
        s.hang(ALLOW, end.action)
        u.call = u.process.begin(function, u.fd)
        return u
    return begin


def broken(s: Scene, end: End) -> Under:
    u = hold(s)
    other, fd = s.client()
    s.hang(ALLOW, end.action)
    return Under(u.process, u.fd, other.begin(break_errno, fd))


def killed(s: Scene, end: End) -> Under:
    u = hold(s)
    s.hang(ALLOW, end.action)
    u.process.kill(timeout=GIVES_UP)
    return u


def holding(pattern: str, act: Callable, prepare: Callable | None = None) -> Callable:
    """A hold in which something the holder does has such a command sent."""
    def begin(s: Scene, end: End) -> Under:
        u = hold(s)
        fd = prepare(s, u) if prepare else u.fd
        s.hang(pattern, end.action)
        u.call = u.process.begin(act, fd)
        return u
    return begin


def open_data(s: Scene, u: Under) -> int:
    return u.process.call(attempt.open_, s.recorder.sr, 0)


def open_tray(s: Scene, u: Under) -> int:
    assert u.process.call(eject, u.fd) == 0
    return u.fd


def own_command(s: Scene, end: End) -> Under:
    u = hold(s)
    child = u.process.fork()
    s.processes.append(child)
    sr = child.call(attempt.open_, s.recorder.sr, NONBLOCK)
    s.hang(SHORT, end.action)
    u.command = child.begin(send_inquiry, sr, 96, FOREVER)
    return u


def after_reset(s: Scene, end: End) -> Under:
    u = hold(s)
    s.hang(PREVENT, end.action)
    assert s.m.call(reset, s.recorder.sg, RESET_DEVICE) == 0
    return u


def in_flight(node: str, own: bool = False) -> Callable:
    """ACQUIRE while somebody's command is in flight; perhaps a child's of who calls."""
    def begin(s: Scene, end: End) -> Under:
        process, fd = s.client()
        sender = process.fork() if own else s.process()
        if own:
            s.processes.append(sender)
            sender.call(os_close, fd)
        path = getattr(s.recorder, node)
        file = sender.call(attempt.open_, path, NONBLOCK)
        s.hang(SHORT, end.action)
        command = sender.begin(scsi.send_on, file, scsi.inquiry(96), 96, node == "bsg", timeout=FOREVER)
        s.await_hang()
        return Under(process, fd, process.begin(acquire_errno, fd), command)
    return begin


def os_close(fd: int) -> None:
    attempt.close(fd)


def of_end(end: End) -> int:
    return end.errno


def of_release(end: End) -> int:
    """ALLOW is sent again, unless there is nobody to send it to."""
    return errno.ENODEV if end.offline else 0


def nothing(end: End) -> int:
    return 0


TIMED_OUT = (errno.ETIMEDOUT,)
WHERE = [
    Where("PREVENT at ACQUIRE", acquiring(PREVENT), of_end, TIMED_OUT, acquires=True),
    Where("TEST UNIT READY at ACQUIRE", acquiring(TEST, srlock.NO_PREVENT), of_end, TIMED_OUT, acquires=True,
          prevents=False),
    Where("ALLOW at RELEASE", releasing(release_errno), of_release, TIMED_OUT),
    Where("ALLOW at a close", releasing(attempt.close), nothing, (0,)),
    Where("ALLOW at a death", killed, nothing, (0,)),
    Where("ALLOW at BREAK", broken, of_release, (0, errno.ETIMEDOUT)),
    Where("PREVENT after a data open", holding(PREVENT, attempt.close, open_data), nothing, held=True),
    Where("PREVENT after an eject", holding(PREVENT, eject), nothing, held=True),
    Where("PREVENT after a load", holding(PREVENT, load, open_tray), nothing, held=True),
    Where("PREVENT after a reset", after_reset, nothing, held=True),
    Where("ALLOW before an eject", holding(ALLOW, eject), nothing, held=True),
    Where("the holder's command", own_command, nothing, held=True),
    Where("the caller's command at ACQUIRE", in_flight("sr", own=True), of_release, TIMED_OUT, acquires=True),
    Where("a foreign command by sg at ACQUIRE", in_flight("sg"), of_release, TIMED_OUT, acquires=True),
    Where("a foreign command by bsg at ACQUIRE", in_flight("bsg"), of_release, TIMED_OUT, acquires=True),
]


def load_recovery(m, recorder) -> None:
    m.put("/tmp/recovery.ko", build(m.sh("uname -r")["stdout"].strip()))
    m.sh(f"insmod /tmp/recovery.ko host={recorder.address.split(':')[0]}")


def seen(s: Scene, what: str) -> int:
    """How often the drive was told of an abort, or of a reset, so far."""
    return s.watch.call(drive.read, s.recorder.log).count(f"event {what} of")


def device_state(s: Scene) -> str:
    return s.watch.call(state, f"{s.recorder.device}/state")


def recover(s: Scene, end: End) -> None:
    """The command times out, and the error handler does what it does."""
    if end.by_hand:
        assert s.m.process().begin(reset, s.recorder.sg, RESET_DEVICE).result(SOON) == 0
        return
    what = "reset" if end.refuse else "abort"
    before = seen(s, what)
    s.watch.call(drive.write, f"{PARAMETERS}/refuse", str(end.refuse))
    s.watch.call(drive.write, f"{PARAMETERS}/expire", "1")
    if end.offline:
        eventually(lambda: device_state(s) != "running", SOON, "the drive is offline")
    else:
        eventually(lambda: seen(s, what) > before, SOON, f"the {what}")
    if end.action == "deaf":
        s.recorder.release()


def revive(s: Scene) -> None:
    s.watch.call(drive.write, f"{PARAMETERS}/refuse", "0")
    if device_state(s) == "offline":
        s.watch.call(drive.write, f"{s.recorder.device}/state", "running\n")


def kept(s: Scene, where: Where, u: Under, end: End) -> None:
    """The hold is as it was: nobody else gets in, the tray is locked, the holder goes on. It ends it."""
    info = s.info()
    assert (info["state"], info["count"]) == (srlock.HELD, 1), info
    assert s.m.call(intrude.on_new_file, s.recorder.sg, 2, "sg_io") == "refused"
    if where.prevents and not end.offline:     # what it missed then nobody tells
        eventually(s.recorder.prevented, SOON, "the tray is locked again")
    assert u.process.call(becomes_usable, u.fd)
    assert u.process.begin(release_errno, u.fd).result(SOON) == 0


def next_holds(s: Scene, other, fd: int, waiting) -> None:
    """Who waited gets the drive, and the tray with it. What comes late does not unlock it."""
    result = waiting.result(SOON)
    assert result == 0, f"the next in line: {errno.errorcode[result]}"
    for _ in range(5):
        assert s.info()["state"] == srlock.HELD
        assert s.recorder.prevented(), "the next holder's tray is unlocked"
        time.sleep(0.1)
    assert other.begin(release_errno, fd).result(SOON) == 0


def gives_up(s: Scene, where: Where, u: Under) -> None:
    """The call ends by its own time, while the drive still says nothing."""
    if u.call:
        start = time.monotonic()
        result = u.call.result(GIVES_UP)
        assert result in where.early, f"early: {errno.errorcode.get(result, result)}"
        assert time.monotonic() - start < GIVES_UP
        u.call = None
    s.set_timeout(LONG)


def one(s: Scene, where: Where, end: End, early: bool, waits: bool) -> None:
    """One command that gets no answer."""
    s.set_timeout(SMALL if early else LONG)
    u = where.begin(s, end)
    s.await_hang()
    if early:
        gives_up(s, where, u)
    if waits:
        other, fd = s.client()
        waiting = other.begin(acquire_errno, fd, 0, None)
        eventually(lambda: s.info()["waiters"] or s.info()["state"] == srlock.ACQUIRING, SOON, "somebody waits")
    recover(s, end)
    if u.call:
        result = u.call.result(SOON)
        assert result == where.errno(end), errno.errorcode.get(result, result)
    if waits and end.offline and not where.held:
        assert waiting.result(SOON) == errno.ENODEV
        waits = False
    revive(s)
    if where.held or where.acquires and not early and not where.errno(end):
        kept(s, where, u, end)
    if waits:
        next_holds(s, other, fd, waiting)
    if u.command:
        u.command.result(SOON)
    s.free()


def runs(where: Where) -> list:
    """Each end for a call that gives up before and one that does not; the next in line would hide some mistakes."""
    found = [(end, False, end is not ABORTED) for end in ENDS] + [(DONE, False, False)]
    if where.early:
        found += [(end, True, False) for end in ENDS] + [(ABORTED, True, True)]
    return [run for run in found if not (run[0].by_hand and where.begin is after_reset)]


def every_end(s: Scene, where: Where) -> None:
    for end, early, waits in runs(where):
        try:
            one(s, where, end, early, waits)
        except Exception as error:
            error.args = (f"{end.name}, the call {'gave up' if early else 'waited'}, "
                          f"{'somebody' if waits else 'nobody'} in line: {error}",)
            raise


@contextlib.contextmanager
def recovering(m):
    """A scene with recovery.ko."""
    with scene(m) as s:
        load_recovery(m, s.recorder)
        yield s
        m.sh("rmmod recovery")


@test("P5 {} is never answered, and the error handler ends it", each=WHERE, timeout=300)
def never_answered(m, where):
    with recovering(m) as s:
        every_end(s, where)
        m.sh("rmmod srlock", timeout=SOON)
        assert not s.recorder.prevented()


# What the drive is asked, and what not

@test("P6 what the holder has unlocked is not locked when the error handler resets the drive", timeout=120)
def unlocked_by_the_holder(m):
    with recovering(m) as s:
        u = hold(s)
        assert u.process.call(scsi.send_on, u.fd, scsi.ALLOW, 0)["good"] and not s.recorder.prevented()
        s.hang(SHORT)
        u.command = u.process.fork().begin(send_inquiry, u.fd, 96, FOREVER)
        s.await_hang()
        recover(s, RESET)
        u.command.result(SOON)
        revive(s)
        for _ in range(10):
            assert not s.recorder.prevented(), "the tray is locked"
            time.sleep(0.1)
        assert u.process.call(eject, u.fd) == 0 and u.process.call(becomes_usable, u.fd)


@test("P6 what a NO_PREVENT holder has locked is locked again when the error handler resets the drive", timeout=120)
def locked_by_the_holder(m):
    with recovering(m) as s:
        process, fd = s.client()
        assert process.begin(acquire_errno, fd, srlock.NO_PREVENT).result(SOON) == 0
        sr = process.call(os.open, s.recorder.sr, NONBLOCK)
        assert process.call(cdrom.ioctl, sr, cdrom.CDROM_LOCKDOOR, 1) == 0 and s.recorder.prevented()
        s.recorder.fault(f"{TEST} delay=3000")      # the error handler's, after the reset
        s.hang(SHORT)
        command = process.fork().begin(send_inquiry, fd, 96, FOREVER)
        s.await_hang()
        recover(s, RESET)
        command.result(SOON)
        revive(s)
        assert s.recorder.status()["faults"] == "0"
        eventually(s.recorder.prevented, SOON, "the tray is locked again")
        assert process.begin(release_errno, fd).result(SOON) == 0


@test("P5 a drive that does not answer the ALLOW after a late PREVENT either is not asked again, and it is told",
      timeout=120)
def deaf(m):
    with recovering(m) as s:
        u = acquiring(PREVENT)(s, ABORTED)
        s.await_hang()
        s.recorder.fault(f"{ALLOW} times=2 hang")
        assert u.call.result(SOON) == errno.ETIMEDOUT
        mark = s.recorder.mark()
        s.recorder.release()
        for _ in range(2):      # the error handler may have locked it again, so that a second one is due
            s.await_hang()
            recover(s, ABORTED)
        eventually(lambda: "the tray may be left locked: error -110" in m.sh("dmesg")["stdout"], SOON, "the log says so")
        assert [c.prevent for c in s.recorder.since(mark) if c.prevent is not None].count(False) == 2
        s.recorder.await_idle(SOON)


# Who goes while the ALLOW of the end of a hold is not answered: drive, driver or module

def deleted_while_held(s: Scene, end: End) -> None:
    u = hold(s)
    s.hang(ALLOW, end.action)
    going = s.m.process().begin(delete, s.bus)
    s.await_hang()
    assert u.process.begin(release_errno, u.fd).result(GIVES_UP) == errno.ENODEV
    assert u.process.call(srlock.info, u.fd)["state"] == srlock.GONE
    recover(s, end)
    going.result(SOON)


def deleted_while_released(s: Scene, end: End) -> None:
    s.set_timeout(LONG)
    u = releasing(release_errno)(s, end)
    s.await_hang()
    going = s.m.process().begin(delete, s.bus)
    assert u.call.result(GIVES_UP) == errno.ENODEV
    recover(s, end)
    going.result(SOON)


def unbound(s: Scene, end: End) -> None:
    u = releasing(release_errno)(s, end)
    s.await_hang()
    going = s.m.process().begin(unbind, s.recorder.address)
    assert u.call.result(GIVES_UP) in (errno.ETIMEDOUT, errno.ENODEV)
    recover(s, end)
    going.result(SOON)
    revive(s)
    s.m.call(bind, s.recorder.address, timeout=SOON)
    eventually(lambda: s.m.call(drive.present, s.bus) and s.m.call(os.path.exists, s.recorder.sr), SOON, "a disk")
    s.m.call(intrude.poll_every, s.bus, 0)
    s.free()


def unloaded(s: Scene, end: End) -> None:
    killed(s, end)
    s.await_hang()
    going = s.m.process().begin(unload)
    eventually(lambda: s.m.call(drive.read, "/sys/module/srlock/initstate").strip() == "going", SOON,
               "the module's exit has begun")
    recover(s, end)
    going.result(SOON)
    s.m.sh("insmod /opt/srlock.ko")


def unload() -> None:
    subprocess.run(["rmmod", "srlock"], check=True)


# A drive that is deleted has no node any more by which it could be reset.
NOT_BY_HAND = [end for end in ENDS if not end.by_hand]
GOING = {"the drive is deleted while it is held": (deleted_while_held, NOT_BY_HAND),
         "the drive is deleted while it is released": (deleted_while_released, NOT_BY_HAND),
         "sr is unbound": (unbound, ENDS), "the module is unloaded": (unloaded, ENDS)}


@test("P11 {}, and ALLOW is never answered", each=list(GOING), timeout=300)
def goes(m, what):
    going, ends = GOING[what]
    for end in ends:
        m.sh("udevadm control --start-exec-queue")      # a new recorder is looked at by udev
        with recovering(m) as s:
            try:
                going(s, end)
                eventually(lambda: not s.recorder.prevented(), SOON, "the tray is unlocked")
            except Exception as error:
                error.args = (f"{end.name}: {error}",)
                raise
