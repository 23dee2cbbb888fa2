# SPDX-License-Identifier: GPL-2.0-or-later
"""P9: what anyone may read of a lock, by sysfs and by GET_INFO, without sending the drive anything."""

from __future__ import annotations

import errno
import glob
import os
import select
import stat
import time

from clients import (BUS, client, holder, ioctl_bytes, quiet, wait_free, wait_line, wait_state,
                     wait_sent, watcher)
from machine import GuestError, eventually, never, test
from machine.guest import attempt, cdrom, drive, scsi, srlock

ATTRIBUTES = ["command_timeout_ms", "count", "last_refused", "owner", "pid", "refused_commands",
              "refused_ioctls", "refused_opens", "since", "state", "uid", "waiters"]
BUSES = ["ahci", "virtio", "usb"]


def attributes(bus: str) -> dict[str, str]:
    """All of them."""
    folder = drive.attributes(bus)
    return {name: drive.read(f"{folder}/{name}") for name in ATTRIBUTES}


def modes(bus: str) -> dict[str, int]:
    folder = drive.attributes(bus)
    found = {}
    for name in os.listdir(folder):
        status = os.stat(f"{folder}/{name}")
        if stat.S_ISREG(status.st_mode) and name not in ("dev", "uevent"):
            found[name] = stat.S_IMODE(status.st_mode)
    return found


def place(bus: str) -> tuple[bool, str]:
    """Whether the drive's folder leads to the lock, and what the lock's node is."""
    folder = drive.attributes(bus)
    name = os.path.basename(folder)
    through_block = f"/sys/block/{drive.name(bus)}/device/srlock/{name}"
    major_minor = drive.read(folder + "/dev")
    status = os.stat("/dev/" + name)
    node = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    return os.path.samefile(through_block, folder) and node == major_minor, name


@test("every drive has a lock, and /sys/block/srN/device/srlock leads to it")
def found_from_drive(m):
    found = [m.call(place, bus) for bus in BUSES]
    assert all(leads for leads, _ in found), found
    assert len({name for _, name in found}) == len(BUSES), found


@test("the attributes are there and no others, world-readable, and only the time-out may be written")
def readable(m):
    expected = dict.fromkeys(ATTRIBUTES, 0o444) | {"command_timeout_ms": 0o644}
    found = m.call(modes, BUS)
    assert {k: oct(v) for k, v in found.items()} == {k: oct(v) for k, v in expected.items()}


FREE = {"state": "free", "owner": "", "count": "0", "pid": "0", "uid": "", "since": "0", "waiters": "0",
        "refused_opens": "0", "refused_ioctls": "0", "refused_commands": "0", "last_refused": "",
        "command_timeout_ms": "5000"}


@test("P9 a stranger reads who holds, how often and since when ({})", each=BUSES)
def stranger_reads(m, bus):
    stranger = m.stranger()
    assert stranger.call(attributes, bus) == FREE
    one = client(m, bus, process=m.process())
    child = one.fork(uid=1000)
    child.acquire("Burner 2.1")
    child.acquire()
    found = stranger.call(attributes, bus)
    assert found == FREE | {
        "state": "held", "owner": "Burner 2.1", "count": "2", "pid": str(child.process.pid), "uid": "1000",
        "since": str(one.info()["since_ns"])}, found
    assert 0 <= m.call(time.clock_gettime_ns, time.CLOCK_MONOTONIC) - int(found["since"]) < 60e9
    waiting = client(m, bus)
    waiting.wait()
    wait_line(one, 1)
    assert stranger.call(attributes, bus) == found | {"waiters": "1"}
    waiting.kill()
    wait_line(one, 0)
    child.release()
    assert stranger.call(attributes, bus) == found | {"count": "1"}
    child.release()
    assert stranger.call(attributes, bus) == FREE


def without_time(info: dict) -> dict:
    return {name: value for name, value in info.items() if name != "since_ns"}


@test("P9 GET_INFO says all of it, be the drive free or held")
def info_fields(m):
    watch, one = watcher(m), client(m)
    free = watch.info()
    features = free.pop("features")
    assert features & 0x1F == 0x1F, features  # SRLOCK_FEATURE_FORCE to _EVENTS
    assert free == {"flags": 0, "state": srlock.FREE, "count": 0, "my_count": 0, "pid": 0, "uid": 0,
                    "waiters": 0, "prior_opens": 0, "since_ns": 0, "refused_opens": 0, "refused_ioctls": 0,
                    "refused_commands": 0, "status": 0, "pad": 0, "client": ""}
    before = m.call(time.clock_gettime_ns, time.CLOCK_MONOTONIC)
    one.acquire("info")
    after = m.call(time.clock_gettime_ns, time.CLOCK_MONOTONIC)
    held = watch.info()
    assert before <= held.pop("since_ns") <= after
    assert held == without_time(free) | {
        "features": features, "state": srlock.HELD, "count": 1, "pid": one.process.pid, "client": "info",
        "status": srlock.STATUS_PREVENTED}, held
    mine = one.info()
    assert mine["my_count"] == 1 and mine["status"] == srlock.STATUS_PREVENTED | srlock.STATUS_MINE
    one.release()
    assert watch.info() == free | {"features": features}


@test("P9 GET_INFO says how many files were open before the hold")
def prior_opens(m):
    before = m.process()
    path = before.call(drive.sr, BUS)
    files = [before.call(attempt.open_, path) for _ in range(3)]
    one = holder(m)
    assert one.info()["prior_opens"] == 3
    # the holder's own opens do not count
    own = one.process.call(attempt.open_, path)
    assert own >= 0 and one.info()["prior_opens"] == 3
    one.process.call(os.close, own)
    for left in (2, 1, 0):
        before.call(os.close, files.pop())
        assert one.info()["prior_opens"] == left
    one.release()
    assert one.info()["prior_opens"] == 0


def ask_everything(bus: str) -> None:
    attributes(bus)
    fd = os.open(drive.srlock(bus), os.O_RDONLY)
    srlock.info(fd)
    srlock.poll(fd)
    srlock.events(fd)
    os.close(fd)
    for path in glob.glob(drive.attributes(bus) + "/*"):
        if os.path.isfile(path):
            attempt.close(attempt.open_(path))


@test("P9 asking sends the drive nothing, be it free or held ({})", each=BUSES)
def asking_is_silent(m, bus):
    one = client(m, bus)
    quiet(m, bus)
    for held in (False, True):
        if held:
            one.acquire()
        mark = m.trace.mark()
        for _ in range(5):
            m.call(ask_everything, bus)
        m.sh("udevadm info -a /sys/class/srlock/srlock0 >/dev/null")
        sent = m.trace.since(mark, bus)
        assert not sent, [str(c) for c in sent]


# The latest refusal


def last_refused(m) -> str:
    return m.call(drive.read, m.call(drive.attributes, BUS) + "/last_refused")


@test("P9 last_refused says the way, what, and who")
def latest(m):
    early = m.process()
    fd = early.call(attempt.open_, early.call(drive.sr, BUS))
    holder(m)
    assert last_refused(m) == ""
    other = m.user()
    comm = other.call(drive.read, "/proc/self/comm")
    other.call(attempt.open_, other.call(drive.sr, BUS), os.O_RDONLY)
    assert last_refused(m) == f"open 0x1 {other.pid} {comm}"
    try:
        early.call(cdrom.ioctl, fd, cdrom.CDROM_DRIVE_STATUS)
        raise AssertionError("a foreign ioctl worked")
    except GuestError as error:
        assert error.errno == errno.EBUSY
    assert last_refused(m) == f"ioctl {cdrom.CDROM_DRIVE_STATUS:#x} {early.pid} {comm}"
    early.call(scsi.send, early.call(drive.sg, BUS), scsi.inquiry(77), 77)
    words = last_refused(m).split()
    assert words[:2] == ["command", "0x12"], words
    # a guess, marked as one, or unknown
    assert words[2].endswith("?") or words[2:] == ["0"], words


@test("P9 last_refused cannot be made to say two lines")
def hostile_name(m):
    holder(m)
    other = m.process()
    other.call(drive.write, "/proc/self/comm", "two\nlines")
    other.call(attempt.open_, other.call(drive.sr, BUS), os.O_RDONLY)
    text = m.call(raw_attribute, BUS, "last_refused")
    assert text.count("\n") == 1 and text.endswith("\n"), text


def raw_attribute(bus: str, name: str) -> str:
    with open(f"{drive.attributes(bus)}/{name}") as file:
        return file.read()


# Watching


def open_attribute(bus: str, name: str) -> int:
    fd = os.open(f"{drive.attributes(bus)}/{name}", os.O_RDONLY)
    os.read(fd, 100)
    return fd


def wait_attribute(fd: int, timeout: float = 15) -> str | None:
    """Wait until an attribute says that it has changed, and read it again; None if it does not."""
    poller = select.poll()
    poller.register(fd, select.POLLPRI)
    if not poller.poll(timeout * 1000):
        return None
    return os.pread(fd, 100, 0).decode().rstrip("\n")


@test("P9 {} is pollable: it wakes at the first ACQUIRE and at the final RELEASE",
      each=["state", "owner", "pid"])
def pollable(m, name):
    one, ear = client(m), m.process()
    shown = {"state": ("held", "free"), "owner": ("poll test", ""), "pid": (str(one.process.pid), "0")}[name]
    fd = ear.call(open_attribute, BUS, name)
    waiting = ear.begin(wait_attribute, fd)
    never(waiting.done, 0.3, "it woke without a change")
    one.acquire("poll test")
    assert waiting.result() == shown[0]
    one.acquire()
    one.release()
    assert ear.call(wait_attribute, fd, 0.3) is None, "a nested call is no change"
    one.release()
    # the end of the hold and the freedom that follows may be told one by one
    eventually(lambda: ear.call(wait_attribute, fd, 0.5) == shown[1], 10, "the release")


# The time-out


@test("command_timeout_ms can be written by root alone, and takes no nonsense")
def timeout_attribute(m):
    path = m.call(drive.attributes, BUS) + "/command_timeout_ms"
    m.call(drive.write, path, "1234")
    assert m.call(drive.read, path) == "1234"
    for text, number in (("0", errno.ERANGE), ("-1", errno.EINVAL), ("x", errno.EINVAL), ("", 0),
                         ("99999999999", errno.ERANGE), ("600001", errno.ERANGE)):
        assert write_errno(m.process(), path, text) == number, text
        assert m.call(drive.read, path) == "1234"
    for process in (m.user(), m.stranger()):
        assert write_errno(process, path, "5000") == errno.EACCES
    assert m.call(drive.read, path) == "1234"
    other = m.call(drive.attributes, "usb") + "/command_timeout_ms"
    assert m.call(drive.read, other) == "5000"


def write_errno(process, path: str, text: str) -> int:
    try:
        process.call(drive.write, path, text)
    except GuestError as error:
        return error.errno
    return 0


@test("nothing else in sysfs can be written, even by root")
def read_only(m):
    folder = m.call(drive.attributes, BUS)
    for name in ATTRIBUTES:
        if name != "command_timeout_ms":
            assert write_errno(m.process(), f"{folder}/{name}", "1") in (errno.EACCES, errno.EIO, errno.EPERM), name


def command_timed(fd: int) -> float:
    start = time.monotonic()
    srlock.try_acquire(fd)
    return time.monotonic() - start


def read_disc(fd: int, block: int) -> dict:
    return scsi.sg_io(fd, scsi.read10(block, 1), 2048, timeout=60000).plain()


@test("command_timeout_ms bounds how long an ACQUIRE waits for foreign commands")
def timeout_works(m):
    foreign = m.process()
    fd = foreign.call(attempt.open_, foreign.call(drive.sr, BUS))
    one = client(m)
    m.stall(BUS, 3600)
    mark = m.trace.mark()
    reading = foreign.begin(read_disc, fd, 16)
    wait_sent(m, mark)
    path = m.call(drive.attributes, BUS) + "/command_timeout_ms"
    took = []
    for milliseconds in (200, 3000):
        m.call(drive.write, path, str(milliseconds))
        took.append(one.call(command_timed))
        wait_state(one, srlock.FREE)
    assert not reading.done()
    m.stall(BUS, 0)
    reading.result()
    assert took[0] >= 0.2 and took[1] >= 3 and took[1] - took[0] > 1, took


# The state while things happen


@test("P9 sysfs says acquiring and releasing while they last")
def passing_states(m):
    watch, foreign, one = watcher(m, "ahci"), m.process(), client(m, "ahci")
    fd = foreign.call(attempt.open_, foreign.call(drive.sr, "ahci"))
    state = m.call(drive.attributes, "ahci") + "/state"
    m.stall("ahci", 3600)
    mark = m.trace.mark()
    reading = foreign.begin(read_disc, fd, 16)
    wait_sent(m, mark, "ahci")
    acquiring = one.begin(srlock.acquire)
    eventually(lambda: m.call(drive.read, state) == "acquiring", what="acquiring")
    info = watch.info()
    assert (info["state"], info["count"], info["pid"], info["client"]) == (srlock.ACQUIRING, 0, 0, ""), info
    assert info["waiters"] == 0
    m.stall("ahci", 0)
    reading.result()
    acquiring.result()
    foreign.call(os.close, fd)
    child = one.fork()
    m.stall("ahci", 3600)
    mark = m.trace.mark()
    reading = child.begin(read_disc, 48)
    wait_sent(m, mark, "ahci")
    releasing = one.begin(srlock.release)
    eventually(lambda: m.call(drive.read, state) == "releasing", what="releasing")
    info = watch.info()
    assert (info["state"], info["count"], info["pid"], info["client"]) == (srlock.RELEASING, 0, 0, ""), info
    m.stall("ahci", 0)
    reading.result()
    releasing.result()
    wait_free(watch)


@test("P9 nothing of a hold can be seen after it")
def nothing_stays(m):
    one = holder(m, "secret name")
    one.acquire()
    one.release()
    one.release()
    result, data = one.call(ioctl_bytes, srlock.IOC_GET_INFO, bytes(144))
    assert result == 0 and b"secret" not in data and not any(data[80:])
    assert m.call(attributes, BUS) == FREE
