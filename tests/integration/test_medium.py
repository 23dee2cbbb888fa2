# SPDX-License-Identifier: GPL-2.0-or-later
"""P7: after a hold the system sees the disc that is in the drive now; what was mounted through it survives."""

from __future__ import annotations

import contextlib
import errno
import os

import discs
import intrude
from holding import DRIVES, FORCE, Hold, no_udev
from machine import eventually, test
from machine.guest import attempt, cdrom, drive, scsi, shell, srlock
from recorder import Recorder

RO, NONBLOCK, RW = os.O_RDONLY, os.O_RDONLY | os.O_NONBLOCK, os.O_RDWR | os.O_NONBLOCK


def seen(path: str) -> list:
    """What a plain open finds: size and volume name."""
    fd = os.open(path, RO)
    try:
        return [os.lseek(fd, 0, os.SEEK_END), os.pread(fd, 32, 16 * 2048 + 40).decode().strip()]
    finally:
        os.close(fd)


def until_ready(fd: int) -> int:
    """Test the drive until it is ready, so that nobody else sees its unit attention; how often."""
    for count in range(1, 10):
        if scsi.sg_io(fd, scsi.TEST_UNIT_READY).good:
            return count
    raise AssertionError("the drive does not become ready")


def change(m, hold: Hold) -> list:
    """Change the disc in a way that only the holder can notice; what is to be seen of the new one."""
    m.change_disc(hold.bus, discs.other())
    assert hold.call(until_ready, hold.fd) > 1
    return [discs.other().stat().st_size, discs.OTHER]


@test("P7 size and contents of a new disc are right at the next open ({})", each=DRIVES, timeout=120)
def next_open(m, bus):
    no_udev(m)
    m.call(intrude.poll_every, bus, 0)
    path = m.call(drive.sr, bus)
    before = m.call(seen, path)
    hold = Hold(m, bus)
    new = change(m, hold)
    assert new[0] != before[0] and new[1] != before[1]
    hold.release()
    assert m.call(seen, path) == new
    assert int(m.call(drive.read, f"/sys/block/{os.path.basename(path)}/size")) * 512 == new[0]


@test("P7 a file that was open all the time sees the new disc after the next open ({})", each=DRIVES, timeout=120)
def old_file(m, bus):
    no_udev(m)
    path = m.call(drive.sr, bus)
    other = m.process()
    fd = other.call(attempt.open_, path, RO)
    assert other.call(cdrom.read_at, fd, 16 * 2048)[40:].startswith(b"DISC_")
    hold = Hold(m, bus)
    new = change(m, hold)
    hold.release()
    assert m.call(seen, path)[1] == discs.OTHER
    assert other.call(cdrom.read_at, fd, 16 * 2048)[40:].startswith(discs.OTHER.encode())
    assert other.call(intrude.ioctl, fd, cdrom.CDROM_DRIVE_STATUS, 0x7FFFFFFF) == "ok" and new


@test("P7 a new disc can be mounted at once, also after a killed holder ({})", each=DRIVES, timeout=120)
def mount_at_once(m, bus):
    no_udev(m)
    path = m.call(drive.sr, bus)
    assert m.call(intrude.mount_umount, path) == "ok"
    hold = Hold(m, bus)
    change(m, hold)
    hold.process.kill()
    eventually(lambda: m.call(intrude.mount, path) == "ok", 10, "the disc is mounted")
    assert m.call(shell.read, "/mnt/label.txt") == discs.OTHER


def disc_label(path: str) -> str:
    """The volume's name in udev's database."""
    out = shell.run(f"udevadm info --query=property --name={path}")["stdout"]
    return next((line.split("=")[1] for line in out.splitlines() if line.startswith("ID_FS_LABEL=")), "")


@test("P7 udev looks at the disc after a release ({})", each=DRIVES, timeout=120)
def udev_sees(m, bus):
    path = m.call(drive.sr, bus)
    m.sh("udevadm settle")
    for other in DRIVES:
        m.call(intrude.poll_every, other, 0)
    assert m.call(disc_label, path) == f"DISC_{bus.upper()}"
    hold = Hold(m, bus)
    change(m, hold)
    m.sh("udevadm settle")
    hold.release()
    eventually(lambda: m.call(disc_label, path) == discs.OTHER, 15, "udev knows the new disc")


@test("P7 a disc that the holder took out is gone after the release ({})", each=DRIVES, timeout=120)
def taken_out(m, bus):
    no_udev(m)
    path = m.call(drive.sr, bus)
    assert m.call(seen, path)
    hold = Hold(m, bus)
    m.sh(f"eject {path}", process=hold.process)
    hold.release()
    m.sh("echo 0 >/proc/sys/dev/cdrom/autoclose")
    assert m.call(intrude.open_close, path, RO) == "ENOMEDIUM"
    m.close_tray(bus)
    eventually(lambda: m.call(try_seen, path)[-1] == f"DISC_{bus.upper()}", 10, "the disc is back")


@test("P7 the holder sees its own change of disc ({})", each=DRIVES, timeout=120)
def holder_sees(m, bus):
    path = m.call(drive.sr, bus)
    hold = Hold(m, bus)
    assert hold.call(seen, path)[1] == f"DISC_{bus.upper()}"
    m.change_disc(bus, discs.other())
    new = [discs.other().stat().st_size, discs.OTHER]
    eventually(lambda: hold.call(try_seen, path) == new, 10, "the holder sees the new disc")


def try_seen(path: str) -> list:
    try:
        return seen(path)
    except OSError as error:
        return [errno.errorcode[error.errno]]


# Forced holds

def busy_reason(m, bus: str) -> tuple[int, int]:
    """errno and reason of an ACQUIRE without FORCE."""
    process = m.process()
    fd = process.call(srlock.open_lock, m.call(drive.srlock, bus))
    answer = process.call(srlock.try_acquire, fd)
    return answer["errno"], answer["busy_reason"]


@test("P7 a read-only file system survives a forced hold ({})", each=DRIVES, timeout=120)
def forced_over_mount(m, bus):
    no_udev(m)
    path = m.call(drive.sr, bus)
    owner = m.process()
    assert owner.call(intrude.mount, path) == "ok"
    assert owner.call(shell.read, "/mnt/label.txt") == f"DISC_{bus.upper()}"
    assert busy_reason(m, bus) == (errno.EBUSY, srlock.BUSY_CLAIMED)
    hold = Hold(m, bus, flags=FORCE)
    assert hold.info()["status"] & srlock.STATUS_FORCED and hold.info()["prior_opens"] == 1
    assert owner.call(shell.read, "/mnt/label.txt") == f"DISC_{bus.upper()}"     # cached
    assert owner.call(intrude.read_file, "/mnt/data.bin") == "EIO"
    hold.quiet()
    assert hold.call(intrude.on_new_file, path, RW, "sg_io") == "ok"
    hold.release()
    during = owner.call(intrude.checksum, "/mnt/data.bin", timeout=60)
    assert owner.call(intrude.umount) == "ok" and owner.call(intrude.mount, path) == "ok"
    assert owner.call(intrude.checksum, "/mnt/data.bin", timeout=60) == during
    assert owner.call(intrude.umount) == "ok"
    assert Hold(m, bus).info()["status"] & srlock.STATUS_FORCED == 0


@test("P7 a file system that is unmounted in a forced hold makes no trouble", each=["virtio"], timeout=120)
def unmounted_in_hold(m, bus):
    path = m.call(drive.sr, bus)
    owner = m.process()
    assert owner.call(intrude.mount, path) == "ok"
    hold = Hold(m, bus, flags=FORCE)
    assert owner.call(intrude.umount) == "ok"
    assert hold.info()["prior_opens"] == 0
    assert hold.call(seen, path)[1] == f"DISC_{bus.upper()}"
    hold.release()
    assert m.call(seen, path)[1] == f"DISC_{bus.upper()}"


@test("P7 an O_EXCL opener survives a forced hold ({})", each=DRIVES, timeout=120)
def forced_over_exclusive(m, bus):
    no_udev(m)
    path = m.call(drive.sr, bus)
    owner = m.process()
    fd = owner.call(attempt.open_, path, RW | os.O_EXCL)
    assert busy_reason(m, bus) == (errno.EBUSY, srlock.BUSY_CLAIMED)
    hold = Hold(m, bus, flags=FORCE)
    assert owner.call(intrude.sg_io, fd) == "EBUSY"
    hold.quiet()
    hold.release()
    assert owner.call(intrude.sg_io, fd) == "ok"
    assert m.call(intrude.open_close, path, NONBLOCK | os.O_EXCL) == "EBUSY"


@test("P7 a tray that was locked before a forced hold stays locked ({})", each=DRIVES, timeout=120)
def forced_keeps_prevent(m, bus):
    no_udev(m)
    path = m.call(drive.sr, bus)
    owner = m.process()
    fd = owner.call(attempt.open_, path, RW | os.O_EXCL)
    assert owner.call(intrude.ioctl, fd, cdrom.CDROM_LOCKDOOR, 1) == "ok" and m.locked(bus)
    hold = Hold(m, bus, flags=FORCE)
    hold.release()
    assert m.locked(bus)


def make_udf(sr: str) -> dict:
    """Burn zeros to a rewritable disc, have the kernel look at it anew, and make a file system to write on."""
    return shell.run(f"head -c 8M /dev/zero >/tmp/zeros; xorriso -as cdrecord dev={sr} /tmp/zeros; eject {sr}; "
                     f"eject -t {sr}; sleep 1; modprobe udf; mkudffs --media-type=dvdrw --blocksize=2048 {sr}", 90)


@contextlib.contextmanager
def writable(m):
    """A recorder with a disc that can be written block by block; the kernel does it when it is asked to."""
    with Recorder(m, medium="dvd+rw") as recorder:
        no_udev(m)
        done = m.call(make_udf, recorder.sr, timeout=120)
        assert done["rc"] == 0, done
        m.sh("echo 100000 >/proc/sys/vm/dirty_writeback_centisecs")
        yield recorder


def write_blocks(path: str, data: bytes) -> int:
    """Write through the page cache, and leave the file open."""
    fd = os.open(path, os.O_RDWR)
    os.pwrite(fd, data, 0)
    return fd


@test("P7 what a holder has written block by block is not lost when it releases before it closes", timeout=240)
def written_back(m):
    with writable(m) as recorder:
        data = bytes(range(256)) * 256
        hold = Hold(m, recorder.device)
        fd = hold.call(write_blocks, recorder.sr, data)
        hold.release()
        hold.call(os.close, fd)
        m.sh("echo 3 >/proc/sys/vm/drop_caches")
        assert hold.call(cdrom.read_at, recorder.sr, 0, len(data)) == data


def sync_fails(fd: int) -> bool:
    try:
        os.fsync(fd)
    except OSError as error:
        return error.errno == errno.EIO
    return False


@test("P7 what a foreigner has written to the page cache during a hold is not written to the disc after it", timeout=240)
def foreign_pages(m):
    with writable(m) as recorder:
        m.call(intrude.poll_every, recorder.device, 0)      # which looks at the disc anew
        foreign = m.process()
        fd = foreign.call(os.open, recorder.sr, os.O_RDWR | os.O_NONBLOCK)
        hold = Hold(m, recorder.device)
        foreign.call(os.pwrite, fd, bytes(range(256)) * 256, 0)
        hold.release()
        assert foreign.call(sync_fails, fd)


@test("P7 a writable mount is EBUSY even with FORCE", timeout=240)
def forced_over_writable(m):
    with writable(m) as recorder:
        owner = m.process()
        assert (outcome := owner.call(intrude.mount, recorder.sr, "/mnt", "udf", 0)) == "ok", outcome
        process = m.process()
        fd = process.call(srlock.open_lock, m.call(drive.srlock, recorder.device))
        for flags in (0, FORCE):
            answer = process.call(srlock.try_acquire, fd, "test", flags)
            assert (answer["errno"], answer["busy_reason"]) == (errno.EBUSY, srlock.BUSY_CLAIMED), answer
        assert owner.call(intrude.umount) == "ok"
        assert owner.call(intrude.mount, recorder.sr, "/mnt", "udf", 1) == "ok"
        assert process.call(srlock.try_acquire, fd, "test", FORCE)["errno"] == 0
        process.call(srlock.release, fd)
        assert owner.call(intrude.umount) == "ok"
