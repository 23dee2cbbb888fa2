# SPDX-License-Identifier: GPL-2.0-or-later
"""P3 and P5: the fence. When ACQUIRE returns no foreign command is in flight, and nobody hangs for it.

A drive is made to answer late (`m.stall`), so that a foreign command is in flight for as long as a test
wants. Commands that the drive gets later wait behind it on ahci and usb, whose queues have a depth of one.
"""

from __future__ import annotations

import errno
import os
import signal
import time

import intrude
from holding import DRIVES, Hold, attribute, is_free, no_udev, set_timeout, text
from machine import GuestError, ProcessGone, eventually, test
from machine.guest import attempt, drive, scsi, srlock

RO, NONBLOCK = os.O_RDONLY, os.O_RDONLY | os.O_NONBLOCK
MARK = scsi.inquiry(79)      # what the holder sends
SOON = 5.0                   # "at once", on a machine that others use too
FOREVER = 3600
SHALLOW_AND_DEEP = ["ahci", "virtio"]     # queues


def timed(function, *args) -> dict:
    """Call a function: its value or errno, and the seconds that it took."""
    start = time.monotonic()
    try:
        value, number = function(*args), 0
    except OSError as error:
        value, number = None, error.errno
    return {"value": value, "errno": number, "seconds": time.monotonic() - start}


def timed_acquire(fd: int, wait: float = 0) -> dict:
    return timed(srlock.acquire, fd, "acquirer", 0, wait)


def timed_break(fd: int) -> dict:
    return timed(srlock.break_, fd)


def timed_release(fd: int) -> dict:
    return timed(srlock.release, fd)


def timed_close(fd: int) -> dict:
    return timed(os.close, fd)


def timed_sg(fd: int) -> dict:
    return timed(intrude.sg_io, fd)


def timed_open(path: str) -> dict:
    return timed(intrude.open_close, path, NONBLOCK)


def read_on(fd: int, block: int = 64) -> dict:
    """One block by SG_IO, with a timeout beyond all stalls."""
    return scsi.send_on(fd, scsi.read10(block, 1), 2048, timeout=600000)


def interruptible() -> None:
    """Let SIGUSR1 interrupt this process's system calls."""
    signal.signal(signal.SIGUSR1, lambda *_: None)


class Stall:
    """A foreign command that stays in flight until end()."""

    def __init__(self, m, bus: str, find) -> None:
        self.m, self.bus = m, bus
        process = m.process()
        fd = process.call(attempt.open_, m.call(find, bus), os.O_RDWR | os.O_NONBLOCK)
        m.stall(bus, FOREVER)
        mark = m.trace.mark()
        self.pending = process.begin(read_on, fd)
        eventually(lambda: any(c.opcode == 0x28 for c in m.trace.since(mark, bus)), 10, "the read is sent")
        assert not self.pending.done()

    def end(self) -> dict:
        self.m.stall(self.bus, 0)
        return self.pending.result(20)


class Acquirer:
    """A process about to acquire."""

    def __init__(self, m, bus: str) -> None:
        self.process = m.process()
        self.fd = self.process.call(srlock.open_lock, m.call(drive.srlock, bus))
        self.process.call(interruptible)

    def begin(self, wait: float = 0):
        return self.process.begin(timed_acquire, self.fd, wait)


# Many cycles under load

def cycle(path: str, seconds: float, most: int = 1 << 30) -> int:
    """Acquire, send a mark, release, again and again; how often."""
    fd = srlock.open_lock(path)
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end and count < most:
        srlock.acquire(fd)
        if not scsi.sg_io(fd, MARK, 79).good:
            raise AssertionError("the holder's own command failed")
        srlock.release(fd)
        count += 1
    os.close(fd)
    return count


def holds(commands: list) -> list[list]:
    """What reached the drive during each hold: from its PREVENT to its ALLOW, found by the holder's mark."""
    found = []
    for at, command in enumerate(commands):
        if command.cdb[:6] == MARK:
            begin = next(i for i in range(at, -1, -1) if commands[i].prevent is True)
            end = next(i for i in range(at, len(commands)) if commands[i].prevent is False)
            found.append(commands[begin + 1:end])
    return found


def cycles_under_load(m, bus: str) -> None:
    """Acquire and release while foreigners try all doors: no command of theirs reaches the drive during a hold."""
    no_udev(m)
    m.call(intrude.poll_every, bus, 100)
    path = m.call(drive.srlock, bus)
    mark = m.trace.mark()
    load = [m.process().begin(intrude.hammer, bus, door, 150, "/tmp/enough")
            for door in ("sr", "open", "sg", "bsg")]
    count = m.process().call(cycle, path, 120, 300, timeout=150)
    m.put("/tmp/enough", b"")
    words = [set(pending.result(60)["words"]) for pending in load]
    commands = m.trace.since(mark, bus)
    inside = holds(commands)
    assert len(inside) == count == 300, (len(inside), count)
    assert not (foreign := [c for hold in inside for c in hold if c.cdb[:6] != MARK]), text(foreign)
    between = [c for c in commands if intrude.is_foreign(c.cdb)]
    assert len(between) > 50, f"the load was refused only, or there was none: {words}"
    assert words[2] == {"ok", "refused"} and words[0] <= {"ok", "EBUSY", "refused"}, words


@test("P3 no foreign command from an ACQUIRE to its RELEASE, over 300 cycles under load ({})", each=DRIVES,
      timeout=300)
def cycles(m, bus):
    cycles_under_load(m, bus)


@test("P3 no foreign command from an ACQUIRE to its RELEASE with an I/O scheduler ({})", each=["ahci", "virtio"],
      timeout=300)
def cycles_scheduled(m, bus):
    m.sh(f"echo mq-deadline >/sys/block/{os.path.basename(m.call(drive.sr, bus))}/queue/scheduler")
    cycles_under_load(m, bus)


@test("P3 nobody's calls take longer for others' acquires and releases ({})", each=["ahci", "virtio"],
      timeout=240)
def no_stall(m, bus):
    no_udev(m)
    path = m.call(drive.srlock, bus)
    tries = []
    for _ in range(4):      # a machine that is short of time stalls anybody now and then
        longest = {}
        for acquires in (False, True):
            load = [m.process().begin(intrude.hammer, bus, door, 4) for door in ("open", "sg", "bsg")]
            other = m.process().begin(cycle if acquires else time.sleep, *((path, 3) if acquires else (3,)))
            longest[acquires] = max(pending.result(60)["longest"] for pending in load)
            other.result(60)
        tries.append(longest)
        if longest[True] <= 1.5 * longest[False] + 0.02:
            break
    else:
        raise AssertionError(f"the longest calls, without and with acquires: {tries}")


# A foreign command in flight

@test("P3 ACQUIRE waits for a foreign command in flight, and lets it end well ({})", each=DRIVES, timeout=120)
def waits_for_command(m, bus):
    stall = Stall(m, bus, drive.sg)
    acquirer = Acquirer(m, bus)
    pending = acquirer.begin()
    time.sleep(1)
    assert not pending.done() and attribute(m, bus, "state") == "acquiring"
    assert stall.end()["good"]
    outcome = pending.result(20)
    assert outcome["errno"] == 0 and outcome["seconds"] > 0.9, outcome
    mark = m.trace.mark()
    assert m.call(intrude.on_new_file, m.call(drive.sg, bus), os.O_RDWR, "sg_io") == "refused"
    assert not m.trace.since(mark, bus)


@test("P3 ACQUIRE fails with ETIMEDOUT after command_timeout_ms, and the drive is free ({})", each=DRIVES,
      timeout=120)
def times_out(m, bus):
    set_timeout(m, bus, 1000)
    stall = Stall(m, bus, drive.sg)
    acquirer = Acquirer(m, bus)
    outcome = acquirer.begin().result(20)
    assert outcome["errno"] == errno.ETIMEDOUT and 0.9 < outcome["seconds"] < SOON, outcome
    eventually(lambda: attribute(m, bus, "state") == "free", 5)
    assert not m.locked(bus)
    info = acquirer.process.call(srlock.info, acquirer.fd)
    assert info["count"] == info["my_count"] == info["pid"] == 0, info
    assert stall.end()["good"]
    assert m.call(intrude.on_new_file, m.call(drive.sg, bus), os.O_RDWR, "sg_io") == "ok"
    set_timeout(m, bus, 5000)
    assert acquirer.begin().result(20)["errno"] == 0


@test("P3 while the fence waits, others are refused at once", each=["virtio"], timeout=120)
def others_refused(m, bus):
    sg, sr = m.call(drive.sg, bus), m.call(drive.sr, bus)
    others = m.process()
    fd = others.call(attempt.open_, sg, os.O_RDWR)
    stall = Stall(m, bus, drive.sg)
    pending = Acquirer(m, bus).begin()
    eventually(lambda: attribute(m, bus, "state") == "acquiring")
    eventually(lambda: others.call(timed_sg, fd)["value"] == "refused", 2, "the gate is closed")
    for outcome, word in ((others.call(timed_sg, fd), "refused"), (others.call(timed_open, sr), "EBUSY")):
        assert outcome["value"] == word and outcome["seconds"] < 1, outcome
    assert not pending.done()
    assert stall.end()["good"]
    assert pending.result(20)["errno"] == 0


@test("P3 a signal ends an ACQUIRE that waits for a foreign command ({})", each=DRIVES, timeout=120)
def signal_at_fence(m, bus):
    stall = Stall(m, bus, drive.sg)
    acquirer = Acquirer(m, bus)
    pending = acquirer.begin()
    time.sleep(0.5)
    acquirer.process.signal(signal.SIGUSR1)
    outcome = pending.result(20)
    assert outcome["errno"] == errno.EINTR and outcome["seconds"] < 3, outcome
    eventually(lambda: attribute(m, bus, "state") == "free", 5)
    assert stall.end()["good"]
    is_free(m, bus)


# An open stuck behind a foreign command, and an O_EXCL open racing

class Jam:
    """An SG_IO on sr that takes long, an open behind it, and an O_EXCL open that has begun to claim."""

    def __init__(self, m, bus: str) -> None:
        set_timeout(m, bus, 1000)
        path = m.call(drive.sr, bus)
        self.stall = Stall(m, bus, drive.sr)
        self.openers = [m.process().begin(intrude.open_close, path, mode)
                        for mode in (NONBLOCK, NONBLOCK | os.O_EXCL, RO)]
        time.sleep(0.5)
        assert not any(pending.done() for pending in self.openers)

    def end(self) -> None:
        assert self.stall.end()["good"]
        words = [pending.result(20) for pending in self.openers]
        assert set(words) <= {"ok", "EBUSY"}, words


@test("P5 ACQUIRE ends with ETIMEDOUT behind stuck openers, too ({})", each=SHALLOW_AND_DEEP,
      timeout=120)
def jam_times_out(m, bus):
    jam = Jam(m, bus)
    acquirer = Acquirer(m, bus)
    outcome = acquirer.begin().result(20)
    assert outcome["errno"] == errno.ETIMEDOUT and outcome["seconds"] < SOON, outcome
    jam.end()
    is_free(m, bus)


@test("P5 a signal ends an ACQUIRE behind stuck openers at once ({})", each=SHALLOW_AND_DEEP,
      timeout=120)
def jam_signal(m, bus):
    jam = Jam(m, bus)
    set_timeout(m, bus, 60000)
    acquirer = Acquirer(m, bus)
    pending = acquirer.begin()
    time.sleep(0.5)
    acquirer.process.signal(signal.SIGUSR1)
    outcome = pending.result(20)
    assert outcome["errno"] == errno.EINTR and outcome["seconds"] < 3, outcome
    jam.end()
    is_free(m, bus)


@test("P5 a process that acquires behind stuck openers can be killed at once ({})", each=SHALLOW_AND_DEEP,
      timeout=120)
def jam_kill(m, bus):
    jam = Jam(m, bus)
    set_timeout(m, bus, 60000)
    acquirer = Acquirer(m, bus)
    pending = acquirer.begin()
    time.sleep(0.5)
    acquirer.process.kill(timeout=SOON)
    try:
        pending.result(5)
        raise AssertionError("the call returned")
    except ProcessGone:
        pass
    jam.end()
    is_free(m, bus)


@test("P5 BREAK and GET_INFO do not hang behind stuck openers ({})", each=SHALLOW_AND_DEEP,
      timeout=120)
def jam_break(m, bus):
    jam = Jam(m, bus)
    set_timeout(m, bus, 60000)
    pending = Acquirer(m, bus).begin(wait=30)   # the O_EXCL opener may win the race
    other = Acquirer(m, bus)
    outcome = other.process.call(timed_break, other.fd)
    assert outcome["errno"] == errno.EPERM and outcome["seconds"] < 1, outcome
    assert other.process.call(srlock.info, other.fd)["state"] == srlock.ACQUIRING
    jam.end()
    assert pending.result(20)["errno"] == 0
    assert other.process.call(timed_break, other.fd)["errno"] == 0
    is_free(m, bus)


# RELEASE, close and BREAK with a command of the holder in flight

def stuck_child(m, bus: str):
    """A hold whose child has a command in flight on sr that does not end."""
    set_timeout(m, bus, 1000)
    no_udev(m)
    hold = Hold(m, bus)
    child = hold.process.fork()
    child.call(os.close, hold.fd)
    fd = child.call(attempt.open_, m.call(drive.sr, bus), os.O_RDWR | os.O_NONBLOCK)
    m.stall(bus, FOREVER)
    mark = m.trace.mark()
    pending = child.begin(read_on, fd)
    eventually(lambda: any(c.opcode == 0x28 for c in m.trace.since(mark, bus)), 10, "the read is sent")
    return hold, pending


def end_stall(m, bus: str, pending) -> None:
    m.stall(bus, 0)
    pending.result(20)
    is_free(m, bus)
    eventually(lambda: not m.locked(bus), 5, "the tray is unlocked")


@test("P5 RELEASE does not hang behind a command in flight ({})", each=SHALLOW_AND_DEEP,
      timeout=120)
def release_bounded(m, bus):
    hold, pending = stuck_child(m, bus)
    outcome = hold.call(timed_release, hold.fd)
    assert outcome["seconds"] < SOON and outcome["errno"] in (0, errno.ETIMEDOUT), outcome
    assert hold.info()["my_count"] == 0
    assert not pending.done()
    end_stall(m, bus, pending)


@test("P5 a close does not hang behind a command in flight ({})", each=SHALLOW_AND_DEEP,
      timeout=120)
def close_bounded(m, bus):
    hold, pending = stuck_child(m, bus)
    outcome = hold.call(timed_close, hold.fd)
    assert outcome["seconds"] < SOON and outcome["errno"] == 0, outcome
    assert not pending.done()
    end_stall(m, bus, pending)


@test("P5 BREAK takes the drive within a second, whatever the holder waits for ({})", each=SHALLOW_AND_DEEP,
      timeout=120)
def break_bounded(m, bus):
    hold, pending = stuck_child(m, bus)
    other = Acquirer(m, bus)
    outcome = other.process.call(timed_break, other.fd)
    assert outcome["seconds"] < 2 and outcome["errno"] in (0, errno.ETIMEDOUT), outcome
    try:
        hold.release()
        raise AssertionError("RELEASE of a broken file")
    except GuestError as error:
        assert error.errno == errno.EOWNERDEAD
    assert not pending.done()
    end_stall(m, bus, pending)
