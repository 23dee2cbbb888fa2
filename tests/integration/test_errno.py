# SPDX-License-Identifier: GPL-2.0-or-later
"""P12 and the rules of the interface: each errno, and that a call that fails changes nothing."""

from __future__ import annotations

import ast
import ctypes
import errno
import mmap
import os
import time

from clients import (BUS, CDROM_GROUP, USER, acquire_bytes, admitted, calm, client, holder, ioctl,
                     ioctl_bytes, nothing_changes, pass_file, quiet, wait_free, wait_line, wait_sent, wait_state,
                     watcher)
from machine import eventually, test
from machine.guest import cdrom, drive, scsi, srlock

ACQUIRE, RELEASE, GET_INFO = 1, 2, 3
SIZES = {ACQUIRE: 96, RELEASE: 8, GET_INFO: 144}
WORDS = {ACQUIRE: "ACQUIRE", RELEASE: "RELEASE", GET_INFO: "GET_INFO"}
LARGEST = (1 << 14) - 1  # what the number of an ioctl can say


def argument(call: int) -> bytes:
    """A good argument."""
    return acquire_bytes() if call == ACQUIRE else bytes(SIZES[call])


def sized(fd: int, call: int, size: int, tail: bytes = b"") -> int:
    """A call whose structure has another size; what is beyond the known part is zero but for the tail."""
    data = argument(call)[:size]
    data = data.ljust(size - len(tail), b"\0") + tail
    return ioctl_bytes(fd, srlock.iowr(call, size), data)[0]


def poked(fd: int, call: int, offset: int, value: int) -> int:
    """A call with one byte of its structure changed."""
    data = bytearray(argument(call))
    data[offset] = value
    return ioctl_bytes(fd, srlock.iowr(call, len(data)), bytes(data))[0]


def named(fd: int, name: bytes) -> int:
    return ioctl_bytes(fd, srlock.IOC_ACQUIRE, acquire_bytes(name))[0]


def at(fd: int, call: int, place: str) -> int:
    """A call whose structure is at a bad place."""
    size = SIZES[call]
    readable = mmap.mmap(-1, 2 * mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(readable))
    if place == "null":
        address = 0
    elif place == "the kernel's half":
        address = 0xFFFF888000000000
    else:
        # the whole of it read-only, or its second half where nothing is
        address = start + mmap.PAGESIZE - size // 2 if place == "half unmapped" else start
        ctypes.memmove(address, argument(call), size)
        libc = ctypes.CDLL(None, use_errno=True)
        page = start + mmap.PAGESIZE if place == "half unmapped" else start
        protection = 0 if place == "half unmapped" else mmap.PROT_READ
        assert libc.mprotect(ctypes.c_void_p(page), mmap.PAGESIZE, protection) == 0
    return ioctl(fd, srlock.iowr(call, size), address)


PLACES = ["null", "the kernel's half", "half unmapped", "read-only"]

UNKNOWN = {
    "an unknown number": srlock.iowr(5, 8),
    "number 0": srlock.iowr(0, 8),
    "ACQUIRE with another magic": srlock.IOC_ACQUIRE ^ 0x100,
    "ACQUIRE as _IOR": srlock.IOC_ACQUIRE & ~(1 << 30),
    "ACQUIRE as _IOW": srlock.IOC_ACQUIRE & ~(2 << 30),
    "RELEASE without a direction": srlock.IOC_RELEASE & ~(3 << 30),
    "BREAK with a direction": srlock.IOC_BREAK | 3 << 30,
    "BREAK with a size": srlock.IOC_BREAK | 4 << 16,
    "SG_SCSI_RESET": scsi.SG_SCSI_RESET,
    "SG_SET_TIMEOUT": scsi.SG_SET_TIMEOUT,
    "SCSI_IOCTL_SEND_COMMAND": scsi.SCSI_IOCTL_SEND_COMMAND,
    "SCSI_IOCTL_DOORUNLOCK": scsi.SCSI_IOCTL_DOORUNLOCK,
    "SCSI_IOCTL_GET_IDLUN": scsi.SCSI_IOCTL_GET_IDLUN,
    "CDROM_LOCKDOOR": cdrom.CDROM_LOCKDOOR,
    "CDROM_DRIVE_STATUS": cdrom.CDROM_DRIVE_STATUS,
    "CDROMRESET": cdrom.CDROMRESET,
    "BLKRRPART": cdrom.BLKRRPART,
}

# What is wrong: the errno, and for each case the function and its arguments.
BAD = {
    "an unknown ioctl": (errno.ENOTTY, {word: (ioctl, number) for word, number in UNKNOWN.items()}),
    "an unknown flag": (errno.EINVAL, {
        "of ACQUIRE": (poked, ACQUIRE, 64, 4),
        "the highest of ACQUIRE": (poked, ACQUIRE, 67, 0x80),
        "of RELEASE": (poked, RELEASE, 0, 1),
        "of GET_INFO": (poked, GET_INFO, 8, 1),
    }),
    "padding that is not zero": (errno.EINVAL, {
        "of ACQUIRE": (poked, ACQUIRE, 68, 1),
        "the last of ACQUIRE": (poked, ACQUIRE, 95, 1),
        "of GET_INFO": (poked, GET_INFO, 79, 1),
    }),
    "a bad name": (errno.EINVAL, {
        "empty": (named, b""),
        "64 characters": (named, b"n" * 64),
        "a newline": (named, b"two\nlines"),
        "a slash": (named, b"a/b"),
        "UTF-8": (named, "B\u00fcchse".encode()),
    }),
    "a structure too small": (errno.EINVAL, {
        f"{WORDS[call]} of {size}": (sized, call, size)
        for call in SIZES for size in (0, 4, SIZES[call] - 1)
    }),
    "a larger structure with a tail not zero": (errno.E2BIG, {
        f"{WORDS[call]} of {size}": (sized, call, size, b"\x80")
        for call in SIZES for size in (SIZES[call] + 1, SIZES[call] + 8, 4096, LARGEST)
    }),
    "a bad pointer": (errno.EFAULT, {
        f"{WORDS[call]} at {place}": (at, call, place)
        for call in SIZES for place in PLACES
    }),
}


def bad(fd: int, wrong: str) -> dict[str, int]:
    """Make all calls of a kind; the cases in which another errno came than the one that should."""
    number, cases = BAD[wrong]
    results = {case: -function(fd, *arguments) for case, (function, *arguments) in cases.items()}
    return {case: result for case, result in results.items() if result != number}


@test("P12 {} is refused, and nothing changes", each=list(BAD))
def bad_input(m, wrong):
    one = client(m)
    with nothing_changes(m, one):
        assert not (found := one.call(bad, wrong)), f"on a free drive: {found}"
    one.acquire("first")
    one.acquire()
    other = client(m)
    with nothing_changes(m, one, other):
        assert not (found := one.call(bad, wrong)), f"by the holder: {found}"
        assert not (found := other.call(bad, wrong)), f"by another client: {found}"
    assert one.release() == 1


# Names


def name_all(fd: int) -> list[int]:
    """Which bytes may be in a name; each call that works is a nested one."""
    return [byte for byte in range(256) if named(fd, b"n" + bytes([byte])) == 0]


@test("P12 a name has A-Z a-z 0-9 space . , : ; _ - and nothing else in it")
def name_alphabet(m):
    one = holder(m)
    good = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .,:;_-"
    # of byte 0 the name ends
    assert one.call(name_all) == sorted([0, *good])
    assert one.info()["count"] == 2 + len(good)


@test("a name has 1 to 63 characters, and what follows its NUL does not matter")
def name_length(m):
    one = client(m)
    for name, shown in ((b"n", "n"), (b"n" * 63, "n" * 63), (b"burn\0/\xff\n", "burn")):
        assert one.call(named, name) == 0
        assert one.info()["client"] == shown
        assert one.process.call(raw_name, one.fd) == shown.encode().ljust(64, b"\0")
        one.release()
    assert one.info()["client"] == ""


def raw_name(fd: int) -> bytes:
    """The whole field of GET_INFO."""
    result, data = ioctl_bytes(fd, srlock.IOC_GET_INFO, bytes(144))
    assert result == 0
    return data[80:144]


# Sizes


@test("a larger structure whose tail is zero works ({})", each=["ACQUIRE", "RELEASE", "GET_INFO"])
def larger(m, word):
    call = {w: number for number, w in WORDS.items()}[word]
    one = client(m)
    for size in (SIZES[call] + 1, SIZES[call] + 8, LARGEST):
        if call == RELEASE:
            one.acquire()
        assert one.call(sized, call, size) == 0, size
        if call == ACQUIRE:
            assert one.release() == 0


def tail_of_info(fd: int) -> bytes:
    result, data = ioctl_bytes(fd, srlock.iowr(GET_INFO, 200), bytes(200))
    assert result == 0
    return data[144:]


@test("nothing is written beyond the known part of a larger structure")
def tail_untouched(m):
    assert client(m).call(tail_of_info) == bytes(56)


# EBADF

CALLS = {
    "ACQUIRE": (srlock.IOC_ACQUIRE, 96), "RELEASE": (srlock.IOC_RELEASE, 8), "BREAK": (srlock.IOC_BREAK, 1),
    "SG_IO": (scsi.SG_IO, 88), "CDROM_SEND_PACKET": (cdrom.CDROM_SEND_PACKET, 64),
    "CDROMEJECT": (cdrom.CDROMEJECT, 1), "CDROMCLOSETRAY": (cdrom.CDROMCLOSETRAY, 1),
    "SG_GET_VERSION_NUM": (scsi.SG_GET_VERSION_NUM, 4),
}


def plain_call(fd: int, word: str) -> int:
    command, size = CALLS[word]
    return -ioctl_bytes(fd, command, acquire_bytes() if word == "ACQUIRE" else bytes(size))[0]


def call_all(fd: int) -> dict[str, int]:
    return {word: plain_call(fd, word) for word in CALLS}


@test("P12 a call that needs a file open for writing is EBADF without, and nothing changes")
def not_writable(m):
    all_ebadf = dict.fromkeys(CALLS, errno.EBADF)
    one = holder(m)
    for process in (one.process, m.process()):
        reader = client(m, process=process, mode=os.O_RDONLY)
        with nothing_changes(m, one, reader):
            assert reader.call(call_all) == all_ebadf
    one.release()
    reader = client(m, mode=os.O_RDONLY)
    with nothing_changes(m, one):
        assert reader.call(call_all) == all_ebadf


@test("GET_INFO may be asked with any open mode")
def info_any_mode(m):
    one = holder(m)
    for mode in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
        assert client(m, mode=mode).info()["pid"] == one.process.pid


@test("ACQUIRE and RELEASE work on a file that is open for writing only")
def write_only(m):
    one = client(m, mode=os.O_WRONLY)
    one.acquire()
    assert one.release() == 0


# EPERM


@test("P12 RELEASE without a hold is EPERM, and nothing changes")
def release_nothing(m):
    one = client(m)
    with nothing_changes(m, one):
        assert one.errno(srlock.release) == errno.EPERM
    other = holder(m)
    with nothing_changes(m, one, other):
        assert one.errno(srlock.release) == errno.EPERM


@test("P12 BREAK when nobody holds is EPERM, and nothing changes")
def break_nothing(m):
    one = client(m)
    with nothing_changes(m, one):
        assert one.errno(srlock.break_) == errno.EPERM


def become_root_of_a_namespace(uid: int) -> None:
    """All capabilities, but none outside a user namespace of one's own."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(4, 1)  # PR_SET_DUMPABLE, which a change of user has cleared: /proc/self is one's own
    if libc.unshare(0x10000000):
        raise OSError(ctypes.get_errno(), "unshare")
    drive.write("/proc/self/uid_map", f"0 {uid} 1")
    assert os.getuid() == 0


UNPRIVILEGED = ["a user", "the root of a user namespace"]


def without_privilege(one, who: str):
    """A child with the client's file, and without CAP_SYS_ADMIN where it counts."""
    child = one.fork(uid=USER, groups=(CDROM_GROUP,))
    if who != "a user":
        child.process.call(become_root_of_a_namespace, USER)
    return child


@test("P12 FORCE by {} is EPERM, first or nested, and nothing changes", each=UNPRIVILEGED)
def force_unprivileged(m, who):
    one = client(m)
    child = without_privilege(one, who)
    with nothing_changes(m, one):
        assert child.try_acquire(flags=srlock.FORCE)["errno"] == errno.EPERM
    child.acquire()
    with nothing_changes(m, one):
        assert child.try_acquire(flags=srlock.FORCE)["errno"] == errno.EPERM
    child.acquire()
    assert one.acquire(flags=srlock.FORCE)["count"] == 3


@test("P12 BREAK by {} is EPERM, also of one's own hold, and nothing changes", each=UNPRIVILEGED)
def break_unprivileged(m, who):
    one = client(m)
    child = without_privilege(one, who)
    with nothing_changes(m, one):
        assert child.errno(srlock.break_) == errno.EPERM
    other = holder(m)
    with nothing_changes(m, one, other):
        assert child.errno(srlock.break_) == errno.EPERM
    other.release()
    child.acquire()
    with nothing_changes(m, one):
        assert child.errno(srlock.break_) == errno.EPERM


@test("the lock node is root's alone (0600)")
def node_mode(m):
    path = m.call(drive.srlock, BUS)
    status = m.call(mode_and_owner, path)
    assert status == [0o600, 0, 0], status
    for process in (m.user(), m.stranger()):
        for mode in (os.O_RDONLY, os.O_RDWR):
            assert process.call(open_errno, path, mode) == errno.EACCES


def mode_and_owner(path: str) -> tuple[int, int, int]:
    status = os.stat(path)
    return status.st_mode & 0o7777, status.st_uid, status.st_gid


def open_errno(path: str, mode: int) -> int:
    try:
        os.close(os.open(path, mode))
        return 0
    except OSError as error:
        return error.errno


# EBUSY


def busy(one, reason: int, **options) -> dict:
    answer = one.try_acquire(**options)
    assert answer["errno"] == errno.EBUSY, answer
    assert answer["busy_reason"] == reason, answer
    return answer


@test("P12 ACQUIRE of a held drive is EBUSY with reason, count and pid, and nothing changes")
def busy_held(m):
    one, other = holder(m), client(m)
    one.acquire()
    with nothing_changes(m, one, other):
        answer = busy(other, srlock.BUSY_HELD)
        assert (answer["count"], answer["holder_pid"]) == (2, one.process.pid), answer
        busy(other, srlock.BUSY_HELD, wait=0.3)
        assert busy(other, srlock.BUSY_HELD, flags=srlock.FORCE)["count"] == 2


def mount(bus: str, where: str = "/mnt") -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(drive.sr(bus).encode(), where.encode(), b"iso9660", 1, b""):  # MS_RDONLY
        raise OSError(ctypes.get_errno(), "mount")


def open_exclusive(bus: str) -> int:
    return os.open(drive.sr(bus), os.O_RDONLY | os.O_NONBLOCK | os.O_EXCL)


@test("ACQUIRE of a mounted drive is EBUSY ({})", each=["ahci", "virtio", "usb"])
def busy_mounted(m, bus):
    m.call(mount, bus)
    one = client(m, bus)
    mark = m.trace.mark()
    answer = busy(one, srlock.BUSY_CLAIMED)
    assert (answer["count"], answer["holder_pid"]) == (0, 0), answer
    assert one.info()["state"] == srlock.FREE and one.info()["my_count"] == 0
    assert not [c for c in m.trace.since(mark, bus) if c.prevent is not None]
    m.sh("umount /mnt")
    assert one.acquire(wait=5)["count"] == 1


@test("ACQUIRE of a drive that is open with O_EXCL is EBUSY, also to the one who has it open")
def busy_exclusive(m):
    process = m.process()
    fd = process.call(open_exclusive, BUS)
    for one in (client(m), client(m, process=process)):
        busy(one, srlock.BUSY_CLAIMED)
        assert one.info()["state"] == srlock.FREE
    process.call(os.close, fd)
    assert one.acquire(wait=5)["count"] == 1


@test("FORCE takes a drive that is mounted read-only or open with O_EXCL")
def forced(m):
    fd = (opener := m.process()).call(open_exclusive, BUS)
    one = holder(m, flags=srlock.FORCE)
    assert one.info()["status"] & srlock.STATUS_FORCED
    one.release()
    opener.call(os.close, fd)
    m.call(mount, BUS)
    assert one.acquire(flags=srlock.FORCE)["count"] == 1
    one.release()
    m.sh("umount /mnt")
    one.acquire(wait=5)
    assert not one.info()["status"] & srlock.STATUS_FORCED


def read_disc(fd: int, block: int) -> dict:
    return scsi.sg_io(fd, scsi.read10(block, 1), 2048, timeout=60000).plain()


def open_sr(bus: str) -> int:
    return os.open(drive.sr(bus), os.O_RDWR | os.O_NONBLOCK)


def set_timeout(bus: str, milliseconds: int) -> None:
    drive.write(drive.attributes(bus) + "/command_timeout_ms", str(milliseconds))


@test("ACQUIRE while a release is under way is EBUSY with that reason, or waits for its end")
def busy_releasing(m):
    # an ATAPI drive does one command at a time, so the read keeps our ALLOW waiting
    watch, one, other = watcher(m, "ahci"), holder(m, bus="ahci"), client(m, "ahci")
    child = one.fork()
    m.stall("ahci", 3600)
    mark = m.trace.mark()
    reading = child.begin(read_disc, 16)
    wait_sent(m, mark, "ahci")
    releasing = one.begin(srlock.release)
    wait_state(watch, srlock.RELEASING)
    answer = busy(other, srlock.BUSY_RELEASING)
    assert (answer["count"], answer["holder_pid"]) == (0, 0), answer
    waiting = other.wait("next")
    wait_line(watch, 1)
    assert not waiting.done() and not releasing.done()
    m.stall("ahci", 0)
    assert releasing.result() == 0
    assert waiting.result()["errno"] == 0
    assert reading.result()["good"]
    assert m.locked("ahci")


# ETIMEDOUT


@test("P12 a foreign command that does not end makes ACQUIRE fail with ETIMEDOUT, and nothing changes")
def fence_timeout(m):
    stranger = m.process()
    fd = stranger.call(open_sr, BUS)
    m.call(set_timeout, BUS, 300)
    one = client(m)
    quiet(m, BUS)
    m.stall(BUS, 3600)
    mark = m.trace.mark()
    reading = stranger.begin(read_disc, fd, 16)
    wait_sent(m, mark)
    with nothing_changes(m, one):
        # whatever the deadline is
        for wait in (0, 0.1, 3600, None):
            assert one.try_acquire(wait=wait)["errno"] == errno.ETIMEDOUT
            eventually(lambda: one.info()["state"] == srlock.FREE)
        assert not reading.done()
    m.stall(BUS, 0)
    assert reading.result()["good"]
    assert one.acquire()["count"] == 1


@test("the final RELEASE is ETIMEDOUT when ALLOW does not come through, and ends the hold all the same")
def allow_timeout(m):
    calm(m)
    watch, one = watcher(m, "ahci"), holder(m, bus="ahci")
    child = one.fork()
    m.call(set_timeout, "ahci", 300)
    m.stall("ahci", 3600)
    mark = m.trace.mark()
    reading = child.begin(read_disc, 16)
    wait_sent(m, mark, "ahci")
    assert one.errno(srlock.release) == errno.ETIMEDOUT
    assert one.info()["my_count"] == 0
    assert one.errno(srlock.release) == errno.EPERM
    m.stall("ahci", 0)
    reading.result()
    wait_free(watch)
    eventually(lambda: not m.locked("ahci"), 10, "the tray is unlocked")


# EIO: a drive that answers ABORTED COMMAND to everything


def debug_drive() -> str:
    """A drive of scsi_debug; its folder in sysfs."""
    os.system("modprobe scsi_debug ptype=5 removable=1 delay=1")
    host = "/sys/bus/pseudo/drivers/scsi_debug/adapter0"
    for _ in range(500):
        for folder, names, _ in os.walk(host):
            if "srlock" in names and "block" in names:
                return os.path.realpath(folder)
        time.sleep(0.02)
    raise TimeoutError("scsi_debug has no drive")


def abort_commands(on: bool) -> None:
    for name, value in (("opts", "16" if on else "0"), ("every_nth", "1" if on else "0")):
        drive.write(f"/sys/bus/pseudo/drivers/scsi_debug/{name}", value)


@test("P12 a drive that fails PREVENT makes ACQUIRE fail with EIO, and nothing changes")
def prevent_fails(m):
    calm(m)
    place = m.call(debug_drive)
    one = client(m, place)
    before = one.info()
    m.call(abort_commands, True)
    assert one.try_acquire()["errno"] == errno.EIO
    after = one.info()
    assert after == before, f"{before}\nbecame\n{after}"
    m.call(abort_commands, False)
    assert one.acquire()["count"] == 1


@test("a drive that fails ALLOW makes the final RELEASE say EIO, and is free all the same")
def allow_fails(m):
    calm(m)
    place = m.call(debug_drive)
    one = holder(m, bus=place)
    one.acquire()
    m.call(abort_commands, True)
    assert one.release() == 1
    assert one.errno(srlock.release) == errno.EIO
    m.call(abort_commands, False)
    assert one.info()["state"] == srlock.FREE and one.info()["my_count"] == 0
    assert one.errno(srlock.release) == errno.EPERM
    assert client(m, place).acquire()["count"] == 1


@test("RELEASE that says EIO has written the count all the same")
def count_written(m):
    calm(m)
    place = m.call(debug_drive)
    one = holder(m, bus=place)
    m.call(abort_commands, True)
    result, data = one.call(ioctl_bytes, srlock.IOC_RELEASE, bytes(4) + b"\0\0\0\0")
    assert -result == errno.EIO and data == bytes(8), (result, data)
    m.call(abort_commands, False)


# ENODEV


@test("the calls of a holder whose drive is unplugged are ENODEV ({})", each=["virtio", "usb"])
def unplugged(m, bus):
    watch, one, other = watcher(m, bus), holder(m, bus=bus), client(m, bus)
    m.unplug(bus)
    wait_state(watch, srlock.GONE)
    for file in (one, other):
        assert file.try_acquire()["errno"] == errno.ENODEV
        assert file.try_acquire(wait=None)["errno"] == errno.ENODEV
        assert file.errno(srlock.release) == errno.ENODEV
        assert file.errno(srlock.break_) == errno.ENODEV
        assert file.errno(scsi.send_on, scsi.TEST_UNIT_READY) == errno.ENODEV
        info = file.info()
        assert (info["state"], info["count"], info["my_count"], info["client"]) == (srlock.GONE, 0, 0, "")


@test("a waiting ACQUIRE is ENODEV when the drive is unplugged")
def unplugged_waiting(m):
    watch, _, waiting = watcher(m), holder(m), client(m)
    pending = waiting.wait()
    wait_line(watch, 1)
    m.unplug(BUS)
    assert pending.result()["errno"] == errno.ENODEV


def unbind(bus: str) -> None:
    drive.write("/sys/bus/scsi/drivers/sr/unbind", drive.address(bus))


def bind(bus: str) -> None:
    drive.write("/sys/bus/scsi/drivers/sr/bind", drive.address(bus))


@test("P12 ACQUIRE of a drive without a driver is ENODEV, and nothing changes")
def no_driver(m):
    one = client(m)
    m.call(unbind, BUS)
    before = one.info()
    mark = m.trace.mark()
    assert one.try_acquire()["errno"] == errno.ENODEV
    after = one.info()
    assert after == before, f"{before}\nbecame\n{after}"
    assert not m.trace.since(mark, BUS)
    m.call(bind, BUS)
    m.sh("udevadm settle")
    assert one.acquire()["count"] == 1


# Flags of a nested ACQUIRE


@test("NO_PREVENT leaves the tray alone")
def no_prevent(m):
    one = client(m)
    mark = m.trace.mark()
    one.acquire(flags=srlock.NO_PREVENT)
    assert not m.locked(BUS) and not one.info()["status"] & srlock.STATUS_PREVENTED
    one.release()
    assert not [c for c in m.trace.since(mark, BUS) if c.prevent]


@test("NO_PREVENT is ignored in a nested ACQUIRE")
def no_prevent_nested(m):
    one = holder(m)
    mark = m.trace.mark()
    one.acquire(flags=srlock.NO_PREVENT)
    one.release()
    assert m.locked(BUS) and not m.trace.since(mark, BUS)
    one.release()
    one.acquire(flags=srlock.NO_PREVENT)
    one.acquire()
    assert not m.locked(BUS)


@test("the outputs of a failed ACQUIRE are written with EBUSY only")
def outputs(m):
    one, other = holder(m), client(m)
    good = acquire_bytes()
    result, data = other.call(ioctl_bytes, srlock.IOC_ACQUIRE, good)
    assert -result == errno.EBUSY and data[:80] == good[:80] and data[80:] != good[80:]
    refused = acquire_bytes(b"/")
    result, data = other.call(ioctl_bytes, srlock.IOC_ACQUIRE, refused)
    assert -result == errno.EINVAL and data == refused
    assert one.info()["count"] == 1


@test("the holder's pid is 0 where it cannot be seen, in ACQUIRE, GET_INFO and sysfs")
def pid_namespace(m):
    one = holder(m)
    other = pass_file(client(m), m.process())
    assert other.process.call(look_from_a_namespace, other.fd, BUS) == [0, 0, "0", 65534, "65534"]
    assert other.try_acquire()["holder_pid"] == other.info()["pid"] == one.process.pid


def look_from_a_namespace(fd: int, bus: str) -> list:
    """What a child in pid and user namespaces of its own sees of the holder."""
    reader, writer = os.pipe()
    folder = drive.attributes(bus)
    child = os.fork()
    if child == 0:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(0x10000000 | 0x20000000):
                os._exit(1)
            inner = os.fork()
            if inner:
                os._exit(os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1]))
            seen = [srlock.try_acquire(fd)["holder_pid"], srlock.info(fd)["pid"], drive.read(folder + "/pid"),
                    srlock.info(fd)["uid"], drive.read(folder + "/uid")]
            os.write(writer, repr(seen).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        text = pipe.read().decode()
    os.waitpid(child, 0)
    return ast.literal_eval(text)


@test("a refused call does not keep others from the drive")
def admitted_after_refusal(m):
    one = client(m)
    for wrong in BAD:
        one.call(bad, wrong)
        assert m.call(admitted, BUS)
