# SPDX-License-Identifier: GPL-2.0-or-later
"""Many processes against the lock: they cannot keep it, hide it, or make others wait for it longer than their turn.

docs/security.md says what is promised of this.
"""

from __future__ import annotations

import errno
import os
import socket
import time

import attack
from clients import BUS, admitted, calm, client, holder, pass_file, quiet, wait_free, wait_line, watcher
from machine import eventually, test
from machine.guest import attempt, drive, scsi, shell, srlock
from test_security_hostile import SOON, break_timed, breaks, breaks_and_takes

NONBLOCK = os.O_RDWR | os.O_NONBLOCK


def prepare(m, bus: str = BUS) -> str:
    """The lock as it is with the udev rule, and the program; the node."""
    calm(m)
    quiet(m, bus)
    attack.put_hostile(m)
    return attack.may_open(m, bus)


def break_until(fd: int, pid: int, seconds: float) -> list:
    """BREAK again and again until a process has the drive: how often, the longest in seconds, and whether it has."""
    count, longest, end = 0, 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        now = srlock.info(fd)
        if now["pid"] == pid:
            return [count, longest, True]
        # only who has it, not who just gets it
        if now["state"] == srlock.HELD:
            longest = max(longest, break_timed(fd))
            count += 1
    return [count, longest, False]


@test("an administrator gets a drive that 200 processes want for ever, by waiting in line and breaking", timeout=240)
def crowd_in_line(m):
    path = prepare(m)
    watch, root, breaker = watcher(m), client(m), client(m)
    hostile = m.user()
    hostile.call(attack.start, "grab", path, 200, timeout=90)
    eventually(lambda: watch.info()["waiters"] == 199, 60, "199 in line")
    waiting = root.wait("administrator")
    wait_line(watch, 200)
    count, longest, has = breaker.call(break_until, root.process.pid, 120, timeout=150)
    assert has and waiting.result()["errno"] == 0, (count, longest)
    # who was broken stands at the end of the line again, so each had its turn once
    assert count <= 200, count
    assert longest < SOON, longest
    assert root.process.call(admitted, BUS)
    kill_user(m)


def kill_user(m) -> None:
    """End all processes of the user."""
    m.sh("pkill -KILL -u user; true", check=False)
    all_dead(m, "-u user")


def all_dead(m, which: str) -> None:
    """Wait until those processes have closed their files. That of one who is dead for ps is done."""
    eventually(lambda: m.sh(f"ps {which} -o stat= | grep -v ^Z", check=False)["rc"] == 1, 60, "all are dead")


@test("BREAK works on a holder whose descendants multiply and all join", timeout=120)
def bomb(m):
    path = prepare(m)
    hostile, breaker = m.user(), client(m)
    m.sh(f"mkdir -p /tmp/cg && mount -t cgroup2 none /tmp/cg && mkdir /tmp/cg/bomb && echo {hostile.pid} "
         ">/tmp/cg/bomb/cgroup.procs")
    hostile.call(attack.start, "bomb", path, 60)
    eventually(lambda: breaker.info()["count"] > 100, 60, "they have joined")
    breaks(m, breaker=breaker)
    assert breaker.acquire("breaker", wait=10)["count"] == 1
    time.sleep(0.5)
    info = breaker.info()
    assert (info["count"], info["client"]) == (1, "breaker"), info
    m.sh("echo 1 >/tmp/cg/bomb/cgroup.kill")
    eventually(lambda: not m.call(shell.read, "/tmp/cg/bomb/cgroup.procs"), 30, "all are dead")


@test("1,000 processes can join a hold, one more is EOVERFLOW and changes nothing", timeout=240)
def members(m):
    path = prepare(m)
    one, watch = m.process(), watcher(m)
    joined, error = one.call(attack.start, "crowd", path, 1200, timeout=150)
    # the holder itself is one
    assert (int(joined), error) == (999, "EOVERFLOW"), (joined, error)
    assert watch.info()["count"] == 1000
    breaks_and_takes(m)
    m.sh("pkill -KILL hostile; true", check=False)
    all_dead(m, "-C hostile")


@test("a refused open looks at every ancestor and every member, and that takes no time to speak of", timeout=240)
def deep(m):
    path = prepare(m)
    sr = m.call(drive.sr, BUS)
    m.process().call(attack.start, "crowd", path, 1200, timeout=150)
    (took,) = m.process().call(attack.go, "chain", sr, 400, timeout=90)
    # 400 times 1,000 comparisons; in an emulated machine
    assert int(took) < 1e9, took
    m.sh("pkill -KILL hostile; true", check=False)


@test("BREAK works, and a hand-over is quick, when thousands wait on one file and poll the node", timeout=240)
def pollers(m):
    path = prepare(m)
    first, watch = holder(m), watcher(m)
    hostile = m.user()
    m.sh(f"prlimit --pid {hostile.pid} --nofile=40000:40000")
    hostile.call(attack.start, "threads", path, 800, timeout=90)
    eventually(lambda: watch.info()["waiters"] == 800, 120, "800 in line")
    hostile.call(attack.start, "files", path, 15000, timeout=90)
    first.release()
    # the first one in line takes it, the others of its file nest
    looking = m.process().begin(longest_look, BUS, 10)
    eventually(lambda: watch.info()["count"] == 800, 60, "all have it")
    assert looking.result(60) < SOON, looking.result()
    breaks_and_takes(m)
    kill_user(m)


def longest_look(bus: str, seconds: float) -> float:
    """How long the longest read of an attribute takes, which needs the lock's spinlock."""
    fd = os.open(drive.attributes(bus) + "/count", os.O_RDONLY)
    longest, now = 0.0, time.monotonic()
    end = now + seconds
    while now < end:
        start = now
        os.pread(fd, 100, 0)
        now = time.monotonic()
        longest = max(longest, now - start)
    os.close(fd)
    return longest


# A file that is passed around


def send_to_itself(fd: int, cycle: bool) -> list[int]:
    """Have a file in a socket's queue only; with `cycle` the socket is in there, too. The sockets' numbers."""
    left, right = socket.socketpair()
    socket.send_fds(left, [b"!"], [fd, left.fileno(), right.fileno()] if cycle else [fd])
    os.close(fd)
    return [left.detach(), right.detach()]


@test("BREAK works on a hold whose file is in no process, but on its way through a socket")
def in_flight(m):
    one, watch = holder(m), watcher(m)
    one.process.call(send_to_itself, one.fd, False)
    assert watch.info()["count"] == 1
    breaks_and_takes(m)


@test("P5 a hold ends with the last process when its file is in a socket that only itself keeps alive")
def cycle(m):
    one, watch = holder(m), watcher(m)
    for number in one.process.call(send_to_itself, one.fd, True):
        one.process.call(os.close, number)
    one.kill()
    # the kernel looks for such files when the next socket is closed
    m.call(close_socket)
    wait_free(watch)


def close_socket() -> None:
    for end in socket.socketpair():
        end.close()


@test("P5 a hold ends with the last process when its file is registered with io_uring, and nowhere else")
def in_ring(m):
    path = prepare(m)
    hostile, watch = m.process(), watcher(m)
    hostile.call(attack.start, "keep", path)
    assert watch.info()["count"] == 1
    m.sh("pkill -KILL hostile")
    wait_free(watch)


@test("BREAK works on a file that goes from process to process, and it stays broken wherever it gets to")
def passed_around(m):
    one = holder(m)
    others = []
    for _ in range(8):
        others.append(pass_file(others[-1] if others else one, m.process()))
        others[-1].acquire()
        (others[-2] if len(others) > 1 else one).close()
    breaks_and_takes(m)
    late = pass_file(others[-1], m.process())
    for each in (others[-1], late):
        assert each.errno(srlock.acquire) == errno.EOWNERDEAD
        assert each.errno(scsi.send_on, scsi.TEST_UNIT_READY) == errno.EOWNERDEAD
    for process in [one.process, *(other.process for other in others)]:
        assert not process.call(admitted, BUS)


# A holder that keeps the drive's node


@test("a broken holder that keeps sr open with O_EXCL keeps others from ACQUIRE, but not from FORCE")
def keeps_exclusive(m):
    calm(m)
    one, breaker = holder(m), client(m)
    fd = one.process.call(os.open, one.process.call(drive.sr, BUS), NONBLOCK | os.O_EXCL)
    breaks(m, breaker=breaker)
    wait_free(breaker)
    answer = breaker.try_acquire()
    assert (answer["errno"], answer["busy_reason"]) == (errno.EBUSY, srlock.BUSY_CLAIMED), answer
    assert breaker.acquire(flags=srlock.FORCE)["count"] == 1
    mark = m.trace.mark()
    assert one.process.call(attempt.errno_of, "scsi", "send_on", fd, scsi.inquiry(77), 77) == "EBUSY"
    assert not [c for c in m.trace.since(mark, BUS) if c.cdb[:6] == scsi.inquiry(77)]
    assert breaker.call(scsi.send_on, scsi.TEST_UNIT_READY)["good"]


@test("a broken holder that keeps sr open keeps others from buffered reads, but not from commands")
def keeps_open(m):
    calm(m)
    one, breaker = holder(m), client(m)
    path = one.process.call(drive.sr, BUS)
    fd = one.process.call(os.open, path, NONBLOCK)
    breaks(m, breaker=breaker)
    breaker.acquire()
    openers = m.sh(f"ls -l /proc/[0-9]*/fd/* 2>/dev/null | grep {path}", check=False)["stdout"]
    assert breaker.info()["prior_opens"] == 1, openers
    sr = breaker.process.call(os.open, path, NONBLOCK)
    assert breaker.process.call(attempt.errno_of, "cdrom", "read_at", sr, 1 << 20) == "EIO"
    assert breaker.process.call(scsi.send_on, sr, scsi.read10(16, 1), 2048)["good"]
    # its close is seen when fewer files are open than there were before the hold
    one.process.call(os.close, fd)
    breaker.process.call(os.close, sr)
    assert breaker.info()["prior_opens"] == 0
    sr = breaker.process.call(os.open, path, NONBLOCK)
    assert len(breaker.process.call(read_block, sr, 1 << 20)) == 2048


def read_block(fd: int, offset: int) -> bytes:
    return os.pread(fd, 2048, offset)
