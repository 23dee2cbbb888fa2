# SPDX-License-Identifier: GPL-2.0-or-later
"""P9: the record of what happened, by read and poll, tracepoints and uevents."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
import socket
import time

from clients import (BUS, CDROM_GROUP, USER, calm, client, holder, pass_file, wait_free, wait_line,
                     wait_state, watcher)
from machine import eventually, never, test
from machine.guest import attempt, cdrom, drive, scsi, srlock

SIZE = 104  # struct srlock_event
OPEN_READ, OPEN_WRITE, OPEN_EXCL, OPEN_NONBLOCK = 1, 2, 4, 8  # SRLOCK_OPEN_*


def records(watch, count: int, timeout: float = 10) -> list[dict]:
    """Read until so many records have come."""
    found = []
    deadline = time.monotonic() + timeout
    while len(found) < count and time.monotonic() < deadline:
        found += watch.call(srlock.events, 1)
    assert len(found) == count, found
    return found


def types(found: list[dict]) -> list[int]:
    return [record["type"] for record in found]


# What is recorded


def now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


@test("P9 a hold and its end are a record each, with time, name, pid and user")
def held_and_released(m):
    watch, one = watcher(m), client(m)
    start = m.call(now_ns)
    one.acquire("burner 1.0")
    since = one.info()["since_ns"]
    one.acquire("nested")
    one.release()
    one.release()
    end = m.call(now_ns)
    held, released = records(watch, 2)
    assert types([held, released]) == [srlock.EVENT_HELD, srlock.EVENT_RELEASED]
    for record in (held, released):
        assert (record["name"], record["pid"], record["uid"]) == ("burner 1.0", one.process.pid, 0), record
        assert (record["repeats"], record["lost"], record["flags"]) == (1, 0, 0), record
        assert (record["way"], record["code"]) == (srlock.WAY_NONE, 0), record
    assert start <= held["time_ns"] <= released["time_ns"] <= end
    assert abs(held["time_ns"] - since) < 1e8


@test("P9 a kill is a release, a BREAK is not one")
def broken_record(m):
    calm(m)
    watch, one = watcher(m), holder(m, "victim")
    breaker = client(m)
    breaker.call(srlock.break_)
    eventually(lambda: breaker.try_acquire("second")["errno"] == 0)
    breaker.kill()
    found = records(watch, 4)
    assert types(found) == [srlock.EVENT_HELD, srlock.EVENT_BROKEN, srlock.EVENT_HELD,
                            srlock.EVENT_RELEASED], found
    assert [r["name"] for r in found] == ["victim", "victim", "second", "second"]
    assert [r["pid"] for r in found] == [one.process.pid] * 2 + [breaker.process.pid] * 2


@test("P9 the end of a drive is the last record, then read says end of file")
def unplugged_record(m):
    watch, one = watcher(m), holder(m, "holder")
    m.unplug(BUS)
    wait_state(watch, srlock.GONE)
    found = records(watch, 2)
    assert types(found) == [srlock.EVENT_HELD, srlock.EVENT_UNPLUGGED], found
    assert watch.call(os.read, SIZE) == b""
    assert len(one.call(os.read, SIZE * 4)) == 2 * SIZE
    assert one.call(os.read, SIZE) == b""


@test("P9 an ACQUIRE that fails or waits leaves no record")
def no_record(m):
    one, watch, other = holder(m), watcher(m), client(m)
    other.try_acquire()
    other.wait()
    wait_line(watch, 1)
    other.kill()
    wait_line(watch, 0)
    assert watch.call(srlock.events, 0.3) == []
    assert one.info()["count"] == 1


# Refusals


def opens(path: str, mode: int, times: int) -> list[int]:
    return [attempt.open_(path, mode) for _ in range(times)]


@test("P9 a refused open is recorded with who and how it was opened")
def refused_open(m):
    holder(m)
    watch, user = watcher(m), m.user()
    path = user.call(drive.sr, BUS)
    for mode, code in ((os.O_RDONLY, OPEN_READ),
                       (os.O_RDWR | os.O_NONBLOCK, OPEN_READ | OPEN_WRITE | OPEN_NONBLOCK),
                       (os.O_RDONLY | os.O_EXCL, OPEN_READ | OPEN_EXCL)):
        assert user.call(attempt.open_, path, mode) == -errno.EBUSY
        (record,) = records(watch, 1)
        assert (record["type"], record["way"]) == (srlock.EVENT_REFUSED, srlock.WAY_OPEN), record
        assert (record["pid"], record["uid"], record["flags"]) == (user.pid, USER, 0), record
        assert record["code"] == code, (record, code)
        assert record["name"] == user.call(drive.read, f"/proc/{user.pid}/comm"), record


@test("P9 a refused ioctl is recorded with who and its number")
def refused_ioctl(m):
    other = m.process()
    fd = other.call(attempt.open_, other.call(drive.sr, BUS))
    holder(m)
    watch = watcher(m)
    try_ioctl(other, fd, cdrom.CDROM_DRIVE_STATUS)
    (record,) = records(watch, 1)
    assert (record["type"], record["way"]) == (srlock.EVENT_REFUSED, srlock.WAY_IOCTL), record
    assert (record["code"], record["pid"]) == (cdrom.CDROM_DRIVE_STATUS, other.pid), record
    assert record["flags"] == 0


def try_ioctl(process, fd: int, command: int) -> None:
    assert process.call(ioctls, fd, [command]) == [errno.EBUSY]


def ioctls(fd: int, commands: list[int]) -> list[int]:
    """The errnos of some ioctls."""
    found = []
    for command in commands:
        try:
            cdrom.ioctl(fd, command)
            found.append(0)
        except OSError as error:
            found.append(error.errno)
    return found


@test("P9 a refused command is recorded with its operation code, and who is marked as a guess")
def refused_command(m):
    holder(m)
    watch, other = watcher(m), m.process()
    assert other.call(scsi.send, other.call(drive.sg, BUS), scsi.inquiry(77), 77)["refused"]
    (record,) = records(watch, 1)
    assert (record["type"], record["way"]) == (srlock.EVENT_REFUSED, srlock.WAY_COMMAND), record
    assert record["code"] == 0x12, record
    if record["pid"]:
        assert record["flags"] == srlock.EVENT_GUESS, record
    else:
        assert (record["flags"], record["name"], record["uid"]) == (0, "", 2**32 - 1), record


@test("P9 equal refusals within a second are one record with a count")
def repeats(m):
    one = holder(m)
    watch, other = watcher(m), m.process()
    path = other.call(drive.sr, BUS)
    assert other.call(opens, path, os.O_RDONLY, 50) == [-errno.EBUSY] * 50
    assert watch.call(srlock.events) == [], "a record whose second is not over"
    found = []
    eventually(lambda: found.extend(watch.call(srlock.events, 0.2)) or
               sum(r["repeats"] for r in found) == 50, 10, "50 refusals")
    # a slow machine takes more than a second for 50 calls, but not much more
    assert len(found) <= 5, found
    assert one.info()["refused_opens"] == 50


@test("P9 unequal refusals are records of their own")
def unequal(m):
    holder(m)
    watch, first, second = watcher(m), m.process(), m.user()
    path = first.call(drive.sr, BUS)
    for process in (first, second, first, second):
        process.call(attempt.open_, path, os.O_RDONLY)
    first.call(attempt.open_, path, os.O_RDWR)
    found = []
    eventually(lambda: found.extend(watch.call(srlock.events, 0.2)) or
               sum(r["repeats"] for r in found) == 5, 10, "5 refusals")
    kinds = {(r["pid"], r["code"]) for r in found}
    assert len(kinds) == 3, found


@test("P9 a change of the lock makes the refusals before it readable at once, in order")
def settled_by_change(m):
    one = holder(m)
    watch, other = watcher(m), m.process()
    other.call(attempt.open_, other.call(drive.sr, BUS), os.O_RDONLY)
    one.release()
    found = watch.call(srlock.events, 5)
    assert types(found) == [srlock.EVENT_REFUSED, srlock.EVENT_RELEASED], found


@test("P9 the refusal counters are exact for opens and ioctls")
def counters(m):
    calm(m)
    other = m.process()
    path = other.call(drive.sr, BUS)
    fd = other.call(attempt.open_, path)
    one = holder(m)
    before = one.info()
    assert (before["refused_opens"], before["refused_ioctls"], before["refused_commands"]) == (0, 0, 0)
    other.call(opens, path, os.O_RDONLY | os.O_NONBLOCK, 37)
    other.call(ioctls, fd, [cdrom.CDROM_DRIVE_STATUS] * 23)
    # an ioctl that sends nothing is let through and not counted
    assert other.call(ioctls, fd, [cdrom.CDROM_GET_CAPABILITY]) == [0]
    after = one.info()
    assert (after["refused_opens"], after["refused_ioctls"]) == (37, 23), after
    assert after["refused_commands"] == 0
    other.call(scsi.send, other.call(drive.sg, BUS), scsi.TEST_UNIT_READY)
    assert one.info()["refused_commands"] == 1
    # the counters go on over the end of a hold, and are the drive's own
    one.release()
    assert one.info()["refused_opens"] == 37
    assert client(m, "usb").info()["refused_opens"] == 0


@test("P9 what the holder does is not counted as refused")
def holder_not_counted(m):
    one = holder(m)
    path = one.process.call(drive.sr, BUS)
    fd = one.process.call(attempt.open_, path)
    one.process.call(ioctls, fd, [cdrom.CDROM_DRIVE_STATUS] * 3)
    one.call(scsi.send_on, scsi.TEST_UNIT_READY)
    info = one.info()
    assert not any(info[f"refused_{what}"] for what in ("opens", "ioctls", "commands")), info


# Reading


def read_errno(fd: int, size: int) -> int:
    try:
        os.read(fd, size)
        return 0
    except OSError as error:
        return error.errno


@test("P9 a buffer that takes no record is EINVAL")
def short_buffer(m):
    watch = watcher(m)
    for size in (0, 1, SIZE - 1):
        assert watch.call(read_errno, size) == errno.EINVAL, size
    holder(m)
    for size in (0, 1, SIZE - 1):
        assert watch.call(read_errno, size) == errno.EINVAL, size
    assert len(records(watch, 1)) == 1


@test("P9 O_NONBLOCK without a record is EAGAIN")
def nonblock(m):
    reader = client(m, mode=os.O_RDONLY | os.O_NONBLOCK)
    assert reader.call(read_errno, SIZE) == errno.EAGAIN
    holder(m)
    assert reader.call(read_errno, SIZE) == 0
    assert reader.call(read_errno, SIZE) == errno.EAGAIN


def read_to_nowhere(fd: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    return ctypes.get_errno() if libc.read(fd, None, SIZE) < 0 else 0


@test("P9 read to a bad pointer is EFAULT, and the record stays")
def bad_pointer(m):
    watch = watcher(m)
    holder(m)
    assert watch.call(read_to_nowhere) == errno.EFAULT
    assert len(records(watch, 1)) == 1


@test("P9 read waits for a record")
def read_waits(m):
    watch = watcher(m)
    reading = watch.begin(os.read, SIZE * 8)
    never(reading.done, 0.3, "read found something")
    holder(m)
    assert len(reading.result()) == SIZE


def on_signal() -> None:
    signal.signal(signal.SIGUSR1, interrupt)


def interrupt(*_) -> None:
    raise InterruptedError(errno.EINTR, "the handler was called")


@test("P9 a signal ends a read that waits")
def read_interrupted(m):
    watch = watcher(m)
    watch.process.call(on_signal)
    reading = watch.begin(read_errno, SIZE)
    never(reading.done, 0.3, "read found something")
    watch.process.signal(signal.SIGUSR1)
    assert reading.result() == errno.EINTR


@test("P9 whole records only: a larger buffer gets as many as fit")
def whole_records(m):
    calm(m)
    watch, one = watcher(m), client(m)
    for _ in range(2):
        one.acquire()
        one.release()
    assert len(watch.call(os.read, 2 * SIZE + SIZE // 2)) == 2 * SIZE
    assert len(watch.call(os.read, 100 * SIZE)) == 2 * SIZE


@test("P9 two readers are independent, and each starts at its open")
def two_readers(m):
    calm(m)
    first, one = watcher(m), client(m)
    one.acquire("one")
    second = watcher(m)
    one.release()
    one.acquire("two")
    third = watcher(m)
    assert types(records(first, 3)) == [1, 2, 1]
    assert types(records(second, 2)) == [2, 1]
    assert third.call(srlock.events) == []
    one.release()
    assert types(records(third, 1)) == types(records(first, 1)) == [2]


@test("P9 duplicates of a file share its place in the record")
def shared_place(m):
    calm(m)
    watch = watcher(m)
    other = pass_file(watch, m.process())
    one = holder(m)
    one.release()
    assert types(watch.call(srlock.events, 1, 1)) == [1]
    assert types(other.call(srlock.events, 1, 1)) == [2]
    assert watch.call(srlock.events) == []


@test("P9 after an overrun of 256 the next record says how many were lost")
def overrun(m):
    other = m.process()
    fd = other.call(attempt.open_, other.call(drive.sr, BUS))
    one = client(m)
    slow = watcher(m)
    one.acquire()
    late = watcher(m)
    # ioctls that nobody knows, each with a number of its own, none of them harmless
    assert set(other.call(ioctls, fd, [0x7700 + n for n in range(250)])) == {errno.EBUSY}
    assert set(other.call(ioctls, fd, [0x7800 + n for n in range(50)])) == {errno.EBUSY}
    one.release()
    found = [record for _ in range(4) for record in slow.call(srlock.events, 0.2, 100)]
    assert len(found) == 256, len(found)
    assert found[0]["lost"] == 302 - 256, found[0]
    assert not any(record["lost"] for record in found[1:])
    assert found[0]["code"] == 0x7700 + 45 and found[-1]["type"] == srlock.EVENT_RELEASED
    assert len(late.call(srlock.events, 1, 1000)) == 256
    assert client(m).info()["refused_ioctls"] == 300


@test("P9 poll says IN only when read finds a record, also behind a full ring")
def poll_tells_the_truth(m):
    other = m.process()
    fd = other.call(attempt.open_, other.call(drive.sr, BUS))
    holder(m)
    watch = client(m, mode=os.O_RDONLY | os.O_NONBLOCK)
    other.call(ioctls, fd, [0x7700 + n for n in range(250)])
    other.call(ioctls, fd, [0x7800 + n for n in range(150)])
    assert watch.call(poll_and_read, 300) == []
    eventually(lambda: watch.call(srlock.poll) & select.POLLIN, 10, "the records' second is over")
    assert watch.call(read_errno, SIZE) == 0


def poll_and_read(fd: int, times: int) -> list[int]:
    """Read whenever poll says that there is something; the errnos that came."""
    found = []
    for _ in range(times):
        if srlock.poll(fd) & select.POLLIN and (number := read_errno(fd, SIZE)):
            found.append(number)
    return found


@test("P9 poll says IN when a record waits, and wakes")
def poll_in(m):
    watch = watcher(m)
    assert not watch.call(srlock.poll) & select.POLLIN
    polling = watch.begin(poll_for_record)
    never(polling.done, 0.3, "poll says IN of nothing")
    holder(m)
    assert polling.result() & select.POLLIN
    watch.call(os.read, SIZE)
    assert not watch.call(srlock.poll) & select.POLLIN


def poll_for_record(fd: int) -> int:
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return poller.poll(15000)[0][1]


@test("P9 the pid of a record is 0, and the user unknown, to a reader who cannot see them")
def reader_namespace(m):
    watch = watcher(m)
    holder(m)
    reader, writer = watch.process.call(os.pipe)
    watch.process.call(read_in_namespaces, watch.fd, writer)
    text = watch.process.call(os.read, reader, 100)
    assert text == b"0 65534", text


def read_in_namespaces(fd: int, writer: int) -> None:
    """Read a record in pid and user namespaces of one's own, write pid and uid."""
    child = os.fork()
    if child == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(0x10000000 | 0x20000000):
            os._exit(1)
        inner = os.fork()
        if inner == 0:
            (record,) = srlock.events(fd, 1, 1)
            os.write(writer, f"{record['pid']} {record['uid']}".encode())
        else:
            os.waitpid(inner, 0)
        os._exit(0)
    os.waitpid(child, 0)


@test("P9 the lock file can be neither written nor sought")
def stream_only(m):
    one = client(m)
    for call, *arguments in ((os.write, b"x"), (os.lseek, 0, 0), (os.pread, SIZE, 0)):
        assert one.errno(call, *arguments) in (errno.EINVAL, errno.ESPIPE), call
    assert one.errno(os.lseek, 0, 0) == errno.ESPIPE


@test("P9 reading records sends the drive nothing")
def reading_is_silent(m):
    one, watch = holder(m), watcher(m)
    m.process().call(attempt.open_, watch.process.call(drive.sr, BUS))
    mark = m.trace.mark()
    records(watch, 1)
    watch.call(srlock.poll)
    assert not m.trace.since(mark, BUS, settle=0.2)
    assert one.info()["count"] == 1


# Tracepoints


@test("P9 tracepoints tell the same")
def tracepoints(m):
    m.sh("echo 1 >/sys/kernel/tracing/events/srlock/enable")
    name = os.path.basename(m.call(drive.srlock, BUS))
    one = holder(m, "traced")
    user = m.user()
    user.call(attempt.open_, user.call(drive.sr, BUS))
    m.process().call(scsi.send, one.process.call(drive.sg, BUS), scsi.inquiry(77), 77)
    one.release()
    holder(m, "victim").fork()
    client(m).call(srlock.break_)
    trace = m.sh("grep srlock_ /sys/kernel/tracing/trace")["stdout"]
    lines = [line.split(": ", 1)[1] for line in trace.splitlines()]
    for expected in (f'srlock_state: {name} held client="traced"',
                     f'srlock_state: {name} released client="traced"',
                     f'srlock_state: {name} broken client="victim"'):
        assert expected in lines, lines
    assert [line for line in lines if line.startswith(f"srlock_refused: {name} open")
            and line.endswith(f"pid={user.pid}")], lines
    assert [line for line in lines if line.startswith(f"srlock_refused: {name} command code=0x12")], lines


# Uevents


def listen() -> int:
    """A socket that gets the kernel's uevents."""
    line = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 15)
    line.bind((0, 1))
    return line.detach()


def uevents(fd: int, seconds: float) -> list[dict]:
    """Those of srlock devices that come within some time."""
    found = []
    deadline = time.monotonic() + seconds
    while select.select([fd], [], [], max(0, deadline - time.monotonic()))[0]:
        words = os.read(fd, 8192).decode(errors="replace").split("\0")
        event = dict(word.split("=", 1) for word in words[1:] if "=" in word)
        if event.get("SUBSYSTEM") == "srlock":
            found.append({k: v for k, v in event.items()
                          if k in ("ACTION", "DEVNAME") or k.startswith("SRLOCK_")})
    return found


@test("P9 a uevent says state and owner at the first ACQUIRE and the final RELEASE, and only then")
def uevents_of_hold(m):
    ear = m.process()
    fd = ear.call(listen)
    one, other = client(m), client(m)
    node = os.path.basename(one.process.call(drive.srlock, BUS))
    one.acquire("uevent test")
    held = {"ACTION": "change", "DEVNAME": node, "SRLOCK_STATE": "held", "SRLOCK_OWNER": "uevent test"}
    assert ear.call(uevents, fd, 0.5) == [held]
    one.acquire("nested")
    one.release()
    other.try_acquire()
    other.fork().kill()
    m.process().call(attempt.open_, one.process.call(drive.sr, BUS))
    assert ear.call(uevents, fd, 0.5) == []
    one.release()
    assert ear.call(uevents, fd, 0.5) == [held | {"SRLOCK_STATE": "free", "SRLOCK_OWNER": ""}]


@test("P9 a uevent says the end of a hold that is killed or broken")
def uevents_of_end(m):
    ear = m.process()
    fd = ear.call(listen)
    holder(m).kill()
    wait_free(watcher(m))
    assert [e["SRLOCK_STATE"] for e in ear.call(uevents, fd, 0.7)] == ["held", "free"]
    holder(m)
    client(m).call(srlock.break_)
    assert [e["SRLOCK_STATE"] for e in ear.call(uevents, fd, 0.7)] == ["held", "free"]


@test("P9 the states of uevents alternate when holds follow quickly")
def uevents_alternate(m):
    calm(m)
    ear = m.process()
    fd = ear.call(listen)
    one = client(m)
    for _ in range(10):
        one.call(take_and_give)
    states = [e["SRLOCK_STATE"] for e in ear.call(uevents, fd, 1)]
    assert states == ["held", "free"] * 10, states


def take_and_give(fd: int) -> None:
    srlock.acquire(fd)
    srlock.release(fd)


@test("P9 an ACQUIRE that fails is no uevent")
def uevents_of_failure(m):
    opener = m.process()
    opener.call(attempt.open_, opener.call(drive.sr, BUS), os.O_RDONLY | os.O_NONBLOCK | os.O_EXCL)
    ear = m.process()
    fd = ear.call(listen)
    assert client(m).try_acquire(wait=0.6)["errno"] == errno.EBUSY
    assert ear.call(uevents, fd, 0.3) == []


@test("P9 an unprivileged process that was given a file may ask and read with it")
def unprivileged_file(m):
    one = holder(m, "visible")
    stranger = m.process(uid=USER, groups=(CDROM_GROUP,))
    given = pass_file(watcher(m), stranger)
    assert given.info()["client"] == "visible" and given.info()["pid"] == one.process.pid
    one.release()
    assert types(records(given, 1)) == [srlock.EVENT_RELEASED]
