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
from clients import Client, pass_file
from holding import DRIVES, Hold, attribute, is_free, no_udev, probes, set_timeout, text
from machine import GuestError, ProcessGone, eventually, test
from machine.guest import attempt, cdrom, drive, scsi, srlock

RO, NONBLOCK = os.O_RDONLY, os.O_RDONLY | os.O_NONBLOCK
MARK = scsi.inquiry(79)      # what the holder sends
SOON = 20.0                  # "at once", on a slow machine that others use too
LATE = 120000                # command_timeout_ms: what waits for that is not back SOON
FOREVER = 3600
TRACING = "/sys/kernel/tracing"
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


@test("P3 no foreign command from an ACQUIRE to its RELEASE with an I/O scheduler ({})", each=SHALLOW_AND_DEEP,
      timeout=300)
def cycles_scheduled(m, bus):
    m.sh(f"echo mq-deadline >/sys/block/{os.path.basename(m.call(drive.sr, bus))}/queue/scheduler")
    cycles_under_load(m, bus)


# Nobody is made to wait. Witnessed by cause, as on a busy machine any call takes long now and then: either by
# where tasks sleep, or by calls that end while what they must not wait for goes on.

def watch_freezes() -> None:
    """From here on count how often a queue is frozen."""
    drive.write(f"{TRACING}/kprobe_events", "p:fence/freeze blk_freeze_queue_start")
    drive.write(f"{TRACING}/events/fence/freeze/enable", "1")


def watch_sleep() -> None:
    """From here on count where tasks sleep (sched_switch, by stack)."""
    sleeping = "hist:keys=stacktrace:size=16384 if prev_state & 3"   # interruptible or not; not preempted
    drive.write(f"{TRACING}/events/sched/sched_switch/trigger", sleeping)


def sleeps() -> list[tuple[list[str], int]]:
    """Where tasks have slept so far: functions, innermost first, and how often."""
    with open(f"{TRACING}/events/sched/sched_switch/hist") as file:
        text_ = file.read()
    if "Dropped: 0" not in text_:
        raise AssertionError(f"not all stacks were counted: {text_[-200:]}")
    return [([line.split("+")[0].strip() for line in entry.split("} hitcount:")[0].splitlines() if "+0x" in line],
             int(entry.split("} hitcount:")[1].split()[0]))
            for entry in text_.split("{ stacktrace:")[1:]]


def freezes() -> int:
    """How often a queue was frozen."""
    with open(f"{TRACING}/kprobe_profile") as file:
        return sum(int(line.split()[1]) for line in file if line.split()[0] == "freeze")


def freeze(bus: str) -> None:
    """Have a drive's queue frozen, as whenever it gets another I/O scheduler."""
    path = f"/sys/block/{drive.name(bus)}/queue/scheduler"
    before = drive.read(path).split("[")[1].split("]")[0]
    for scheduler in ("none" if before != "none" else "mq-deadline", before):
        drive.write(path, scheduler)


AT_QUEUE = {"blk_queue_enter", "__bio_queue_enter", "blk_mq_freeze_queue_wait", "blk_mq_quiesce_queue"}
FOR_ANSWER = {"blk_execute_rq", "sg_common_write", "sg_read"}


@test("P3 nobody waits at a frozen queue, over 100 holds under load ({})",
      each=SHALLOW_AND_DEEP, timeout=300)
def no_stall(m, bus):
    probes(m)
    no_udev(m)
    m.call(watch_freezes)
    m.call(freeze, bus)
    assert (before := m.call(freezes)) > 0, "a queue was frozen, and the witness does not know"
    m.call(watch_sleep)
    load = [m.process().begin(intrude.hammer, bus, door, 250, "/tmp/enough") for door in ("open", "sr", "sg", "bsg")]
    count = m.process().call(cycle, m.call(drive.srlock, bus), 200, 100, timeout=250)
    m.put("/tmp/enough", b"")
    words = [pending.result(60)["words"] for pending in load]
    found = m.call(sleeps)
    assert count == 100, count
    assert any(w.get("ok") for w in words) and any(w.get("refused") for w in words), f"no load: {words}"
    assert any(FOR_ANSWER & set(stack) for stack, _ in found), "the witness did not see who waits for an answer"
    assert m.call(freezes) == before, "a queue was frozen"
    assert not (stalls := [entry for entry in found if AT_QUEUE & set(entry[0])]), stalls


CALLS = 200
REFUSAL = {"open": ["EBUSY"], "sr": ["EBUSY"], "sg": ["refused"], "bsg": ["refused"]}


def go_often(way: str, what: str | int, count: int) -> list[str]:
    """Go one way so often; the outcomes."""
    steps = {"open": lambda: intrude.open_close(what, NONBLOCK), "bsg": lambda: intrude.bsg_io(what)}
    step = steps.get(way, lambda: intrude.sg_io(what))
    return sorted({step() for _ in range(count)})


class Foreigners:
    """One for each way into the drive, with a file that is open from before everything else."""

    def __init__(self, m, bus: str, ways: tuple) -> None:
        self.callers = {}
        for way in ways:
            process, path = m.process(), m.call({"sg": drive.sg, "bsg": drive.bsg}.get(way, drive.sr), bus)
            self.callers[way] = (process, path if way == "open" else
                                 process.call(os.open, path, os.O_RDWR | os.O_NONBLOCK))

    def refused(self, count: int = CALLS) -> bool:
        """Let each call that often: whether all were refused. A call that waits for anything fails the test."""
        outcomes = {way: process.begin(go_often, way, what, count).result(60)
                    for way, (process, what) in self.callers.items()}
        return all(words == REFUSAL[way] for way, words in outcomes.items())


# With a queue of depth one a command waits behind the one in flight before it is refused, as without a lock.
REFUSED_DURING = [("ahci", ("open", "sr")), ("virtio", ("open", "sr", "sg", "bsg"))]


@test("P3 while the fence waits for a command, foreign calls are refused and do not wait ({0[0]})",
      each=REFUSED_DURING, timeout=300)
def refused_at_fence(m, case):
    bus, ways = case
    m.call(intrude.poll_every, bus, 0)      # an open waits for a poll, and that behind the command in flight
    foreigners = Foreigners(m, bus, ways)
    set_timeout(m, bus, LATE)
    stall = Stall(m, bus, drive.sg)
    acquirer = Acquirer(m, bus)
    pending = acquirer.begin()
    eventually(lambda: attribute(m, bus, "state") == "acquiring", SOON)
    eventually(lambda: foreigners.refused(1), SOON, "the gate is closed")
    assert foreigners.refused()
    assert not pending.done() and attribute(m, bus, "state") == "acquiring"
    assert not stall.pending.done(), "the command that all of this is about has ended"
    assert stall.end()["good"]
    assert pending.result(SOON)["errno"] == 0


@test("P3 while a release waits for the drive, foreign calls are refused and do not wait", timeout=300)
def refused_at_release(m):
    bus = "ahci"
    foreigners = Foreigners(m, bus, ("open", "sr"))
    hold, command = stuck_child(m, bus)
    set_timeout(m, bus, LATE)
    pending = hold.process.begin(timed_release, hold.fd)
    eventually(lambda: attribute(m, bus, "state") == "releasing", SOON)
    assert foreigners.refused()
    assert attribute(m, bus, "state") == "releasing" and not pending.done() and not command.done()
    m.stall(bus, 0)
    assert pending.result(SOON)["errno"] == 0
    command.result(SOON)
    is_free(m, bus)


# A foreign command in flight

@test("P3 ACQUIRE waits for a foreign command in flight, and lets it end well ({})", each=DRIVES, timeout=120)
def waits_for_command(m, bus):
    set_timeout(m, bus, LATE)
    stall = Stall(m, bus, drive.sg)
    acquirer = Acquirer(m, bus)
    pending = acquirer.begin()
    eventually(lambda: attribute(m, bus, "state") == "acquiring", SOON)
    time.sleep(1)
    assert not pending.done() and attribute(m, bus, "state") == "acquiring"
    assert stall.end()["good"]
    outcome = pending.result(SOON)
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
    eventually(lambda: attribute(m, bus, "state") == "free", SOON)
    assert not m.locked(bus)
    info = acquirer.process.call(srlock.info, acquirer.fd)
    assert info["count"] == info["my_count"] == info["pid"] == 0, info
    assert stall.end()["good"]
    assert m.call(intrude.on_new_file, m.call(drive.sg, bus), os.O_RDWR, "sg_io") == "ok"
    set_timeout(m, bus, 5000)
    assert acquirer.begin().result(20)["errno"] == 0


@test("P3 a signal ends an ACQUIRE that waits for a foreign command ({})", each=DRIVES, timeout=120)
def signal_at_fence(m, bus):
    set_timeout(m, bus, LATE)
    stall = Stall(m, bus, drive.sg)
    acquirer = Acquirer(m, bus)
    pending = acquirer.begin()
    eventually(lambda: attribute(m, bus, "state") == "acquiring", SOON)
    acquirer.process.signal(signal.SIGUSR1)
    assert pending.result(SOON)["errno"] == errno.EINTR
    eventually(lambda: attribute(m, bus, "state") == "free", SOON)
    assert stall.end()["good"]
    is_free(m, bus)


@test("P2 an ioctl that got to sr before the ACQUIRE fails, and does not give zeros for an answer ({})",
      each=SHALLOW_AND_DEEP, timeout=120)
def ioctl_of_before(m, bus):
    no_udev(m)
    m.call(intrude.poll_every, bus, 0)
    set_timeout(m, bus, LATE)
    process = m.process()
    fd = process.call(os.open, m.call(drive.sr, bus), NONBLOCK)
    assert (entry := process.call(cdrom.toc_entry, fd)) == [4, 0], entry      # a data track
    stall = Stall(m, bus, drive.sr)
    waiting = process.begin(attempt.errno_of, "cdrom", "toc_entry", fd)     # for sr's mutex
    acquirer = Acquirer(m, bus)
    pending = acquirer.begin()
    eventually(lambda: attribute(m, bus, "state") == "acquiring", SOON)
    time.sleep(1)
    assert not waiting.done() and not pending.done()
    assert stall.end()["good"]
    assert pending.result(SOON)["errno"] == 0
    assert waiting.result(SOON) == "EIO"


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
    set_timeout(m, bus, LATE)
    acquirer = Acquirer(m, bus)
    pending = acquirer.begin()
    eventually(lambda: attribute(m, bus, "state") == "acquiring", SOON)
    acquirer.process.signal(signal.SIGUSR1)
    assert pending.result(SOON)["errno"] == errno.EINTR
    jam.end()
    is_free(m, bus)


@test("P5 a process that acquires behind stuck openers can be killed at once ({})", each=SHALLOW_AND_DEEP,
      timeout=120)
def jam_kill(m, bus):
    jam = Jam(m, bus)
    set_timeout(m, bus, LATE)
    acquirer = Acquirer(m, bus)
    pending = acquirer.begin()
    eventually(lambda: attribute(m, bus, "state") == "acquiring", SOON)
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
    set_timeout(m, bus, LATE)
    pending = Acquirer(m, bus).begin(wait=100)   # the O_EXCL opener may win the race
    other = Acquirer(m, bus)
    eventually(lambda: attribute(m, bus, "state") == "acquiring", SOON)
    assert other.process.begin(timed_break, other.fd).result(SOON)["errno"] == errno.EPERM
    assert other.process.call(srlock.info, other.fd)["state"] == srlock.ACQUIRING
    jam.end()
    assert pending.result(100)["errno"] == 0
    assert other.process.call(timed_break, other.fd)["errno"] == 0
    is_free(m, bus)


@test("P11 a drive that is deleted behind stuck openers holds up no other drive ({})", each=SHALLOW_AND_DEEP,
      timeout=120)
def jam_delete(m, bus):
    no_udev(m)
    Jam(m, bus)
    assert Acquirer(m, bus).begin().result(20)["errno"] == errno.ETIMEDOUT
    folder = m.call(drive.device, bus)
    node = m.call(drive.srlock, bus)
    deleting = m.process().begin(drive.write, f"{folder}/delete", "1")
    eventually(lambda: not m.call(os.path.exists, node), SOON, "the lock is gone")
    assert not deleting.done()
    # Whoever comes needs what the removal of the lock has held.
    m.sh("modprobe scsi_debug ptype=5 && ls /sys/bus/pseudo/devices/adapter0/host*/target*/*/srlock")
    m.stall(bus, 0)
    deleting.result(30)


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


@test("P5 who is sent the lock file and closes it last does not wait for the drive", timeout=120)
def close_unasked(m):
    bus = "ahci"    # where ALLOW waits for the command in flight
    hold, pending = stuck_child(m, bus)
    set_timeout(m, bus, LATE)
    given = pass_file(Client(hold.process, hold.fd), m.process())
    hold.call(os.close, hold.fd)
    outcome = given.call(timed_close)
    assert outcome["seconds"] < 1 and outcome["errno"] == 0, outcome
    assert attribute(m, bus, "state") == "releasing" and not pending.done()
    end_stall(m, bus, pending)


@test("P5 BREAK takes the drive within a second, whatever the holder waits for ({})", each=SHALLOW_AND_DEEP,
      timeout=120)
def break_bounded(m, bus):
    hold, pending = stuck_child(m, bus)
    set_timeout(m, bus, LATE)
    other = Acquirer(m, bus)
    outcome = other.process.begin(timed_break, other.fd).result(SOON)
    assert outcome["errno"] in (0, errno.ETIMEDOUT), outcome
    try:
        hold.release()
        raise AssertionError("RELEASE of a broken file")
    except GuestError as error:
        assert error.errno == errno.EOWNERDEAD
    assert not pending.done()
    end_stall(m, bus, pending)
