# SPDX-License-Identifier: GPL-2.0-or-later
"""P4: the holder and its descendants use the drive as always, whatever foreigners do meanwhile."""

from __future__ import annotations

import errno
import os
import threading

import intrude
from holding import DRIVES, Hold, no_udev, text
from machine import GuestError, eventually, test
from machine.guest import attempt, cdrom, drive, scsi, shell, srlock

RO, NONBLOCK, RW = os.O_RDONLY, os.O_RDONLY | os.O_NONBLOCK, os.O_RDWR | os.O_NONBLOCK
OWN = scsi.inquiry(79)


def label_on_disc(path: str) -> str:
    """The volume's name (ECMA-119 8.4.7), by a buffered read."""
    return cdrom.read_at(path, 16 * 2048 + 40, 32).decode().strip()


def mounted_file(path: str) -> str:
    """Mount, read label.txt, unmount."""
    if (outcome := intrude.mount(path)) != "ok":
        return outcome
    try:
        return shell.read("/mnt/label.txt")
    finally:
        intrude.umount()


def work(bus: str) -> dict[str, str]:
    """What a holder may do with its drive: each thing and its outcome."""
    path, label = drive.sr(bus), f"DISC_{bus.upper()}"
    fd = os.open(path, RW)
    try:
        outcomes = {
            "buffered read": "ok" if label_on_disc(path) == label else "wrong data",
            "O_EXCL open": intrude.open_close(path, RO | os.O_EXCL),
            "direct read": intrude.on_new_file(path, RO | os.O_DIRECT, "read_direct", 3),
            "SG_IO": intrude.judge(scsi.sg_io(fd, OWN, 79)),
            "packet": intrude.word(cdrom.send_packet, fd, OWN, 79),
            "status": "ok" if cdrom.ioctl(fd, cdrom.CDROM_DRIVE_STATUS, 0x7FFFFFFF) == cdrom.CDS_DISC_OK
            else "no disc",
            "lock": intrude.ioctl(fd, cdrom.CDROM_LOCKDOOR, 1),
        }
    finally:
        os.close(fd)
    outcomes["mount"] = "ok" if (found := mounted_file(path)) == label else found
    return outcomes


def wrong(outcomes: dict) -> dict:
    return {name: outcome for name, outcome in outcomes.items() if outcome != "ok"}


@test("P4 holder, child and grandchild work under heavy foreign load ({})", each=DRIVES, timeout=180)
def family(m, bus):
    hold = Hold(m, bus)
    child = hold.process.fork()
    grandchild = child.fork()
    user = grandchild.fork(uid=1000, groups=(24,))     # setuid children are the holder's, too
    load = [m.process().begin(intrude.hammer, bus, door, 12) for door in ("open", "exclusive", "sg", "bsg")]
    for process in (hold.process, child, grandchild):
        for _ in range(2):
            assert not (bad := wrong(process.call(work, bus, timeout=60))), bad
    assert user.call(intrude.open_close, m.call(drive.sr, bus), RO) == "ok"
    results = [pending.result(60) for pending in load]
    assert not {"ok"} & {word for result in results for word in result["words"]}, results
    seen = hold.reached()
    assert not (foreign := [c for c in seen if intrude.is_foreign(c.cdb)]), text(foreign)
    assert len([c for c in seen if c.cdb[:6] == OWN]) == 12
    hold.release()


@test("P4 the holder's own sg and bsg commands are refused like anyone's ({})", each=DRIVES, timeout=120)
def own_sg(m, bus):
    sg, bsg = m.call(drive.sg, bus), m.call(drive.bsg, bus)
    hold = Hold(m, bus)
    assert hold.call(intrude.on_new_file, sg, os.O_RDWR, "sg_io") == "refused"
    assert hold.call(intrude.on_new_file, sg, os.O_RDWR, "write_read") == "refused"
    assert hold.call(intrude.on_new_file, bsg, os.O_RDWR, "bsg_io") == "refused"
    hold.quiet()


@test("P4 the holder ejects by ioctl and loads again ({})", each=DRIVES, timeout=120)
def eject_ioctl(m, bus):
    no_udev(m)
    path = m.call(drive.sr, bus)
    hold = Hold(m, bus)
    fd = hold.call(attempt.open_, path, NONBLOCK)
    for _ in range(2):
        assert m.locked(bus)
        assert hold.call(intrude.ioctl, fd, cdrom.CDROMEJECT) == "ok"
        assert m.tray_open(bus)
        assert hold.call(intrude.ioctl, fd, cdrom.CDROMCLOSETRAY) == "ok"
        assert not m.tray_open(bus)
        eventually(lambda: m.locked(bus), 20, "the tray is locked again")
    assert hold.call(label_on_disc, path) == f"DISC_{bus.upper()}"


@test("P4 the holder ejects with eject(1) and loads again ({})", each=DRIVES, timeout=120)
def eject_tool(m, bus):
    no_udev(m)
    path = m.call(drive.sr, bus)
    hold = Hold(m, bus)
    for _ in range(2):
        assert m.locked(bus)
        m.sh(f"eject {path}", process=hold.process)
        assert m.tray_open(bus)
        m.sh(f"eject -t {path}", process=hold.process)
        assert not m.tray_open(bus)
        eventually(lambda: m.locked(bus), 20, "the tray is locked again")
    assert hold.call(label_on_disc, path) == f"DISC_{bus.upper()}"


def eject_among_others(fd: int, times: int) -> list[int]:
    """Eject and load again while two other threads ask for the drive's status all the time; what the ejects returned.

    An eject that the drive has refused returns what the SCSI layer has of that, which is not negative.
    """
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            cdrom.ioctl(fd, cdrom.CDROM_DRIVE_STATUS, 0x7FFFFFFF)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        results = []
        for _ in range(times):
            results.append(cdrom.ioctl(fd, cdrom.CDROMEJECT))
            cdrom.ioctl(fd, cdrom.CDROMCLOSETRAY)
        return results
    finally:
        over.set()
        for thread in threads:
            thread.join()


@test("P4 the holder ejects while other threads of it use the drive ({})", each=DRIVES, timeout=120)
def eject_in_one_thread(m, bus):
    no_udev(m)
    hold = Hold(m, bus)
    fd = hold.call(attempt.open_, m.call(drive.sr, bus), NONBLOCK)
    assert hold.call(eject_among_others, fd, 25, timeout=90) == [0] * 25
    eventually(lambda: m.locked(bus), 20, "the tray is locked again")


# The lock file itself

def by_lock_file(fd: int) -> dict[str, str]:
    """Commands on a lock file."""
    return {
        "SG_IO": intrude.judge(scsi.sg_io(fd, OWN, 79)),
        "SG_GET_VERSION_NUM": intrude.answer(fd, scsi.SG_GET_VERSION_NUM, 4)[:2].replace("0 ", "ok"),
        "CDROM_SEND_PACKET": intrude.word(cdrom.send_packet, fd, OWN, 79),
        "CDROMEJECT": intrude.ioctl(fd, cdrom.CDROMEJECT),
        "CDROMCLOSETRAY": intrude.ioctl(fd, cdrom.CDROMCLOSETRAY),
    }


@test("P4 the lock file takes commands ({})", each=DRIVES, timeout=120)
def lock_file(m, bus):
    no_udev(m)
    hold = Hold(m, bus)
    assert not (bad := wrong(hold.call(by_lock_file, hold.fd))), bad
    eventually(lambda: m.locked(bus), 20, "the tray is locked again")
    seen = [c.cdb[:6] for c in hold.reached()]
    assert seen.count(OWN) == 2, seen


@test("P5 a command on the lock file of a drive that the kernel has taken offline is ENODEV", timeout=120)
def offline(m):
    no_udev(m)
    hold = Hold(m, "virtio")
    state = m.call(drive.device, "virtio") + "/state"
    m.call(drive.write, state, "offline\n")
    assert hold.call(intrude.word_of_command, hold.fd, OWN, 79) == "ENODEV"
    assert hold.call(intrude.ioctl, hold.fd, cdrom.CDROMEJECT) == "ENODEV"
    m.call(drive.write, state, "running\n")
    assert hold.call(intrude.word_of_command, hold.fd, OWN, 79) == "ok"
    hold.release()
    assert not m.locked("virtio")


@test("P4 whoever has the file sends commands through it, but is no holder by that", each=["virtio"], timeout=120)
def orphan(m, bus):
    path = m.call(drive.sr, bus)
    hold = Hold(m, bus)
    child = hold.process.fork(session=True)
    assert child.call(intrude.open_close, path, NONBLOCK) == "ok"
    hold.process.kill()
    assert child.call(intrude.open_close, path, NONBLOCK) == "EBUSY"
    result = child.call(scsi.send_on, hold.fd, OWN, 79)
    assert result["good"], result
    assert child.call(srlock.acquire, hold.fd)["count"] == 2     # and joins by an ACQUIRE of its own
    assert child.call(intrude.open_close, path, NONBLOCK) == "ok"


# Files from before the hold

@test("P4 while a file from before the hold is open, page-cache I/O fails for all, SG_IO does not ({})",
      each=DRIVES, timeout=120)
def prior_opens(m, bus):
    no_udev(m)
    path = m.call(drive.sr, bus)
    other = m.process()
    fds = [other.call(attempt.open_, path, NONBLOCK) for _ in range(2)]
    hold = Hold(m, bus)
    assert hold.info()["prior_opens"] == 2
    for left, fd in ((1, fds[0]), (0, fds[1])):
        mark = m.trace.mark()
        assert hold.call(intrude.on_new_file, path, RO, "read", 4 + left) == "EIO"
        assert hold.call(intrude.on_new_file, path, RO | os.O_DIRECT, "read_direct", 8 + left) == "EBADE"
        assert hold.call(intrude.mount_umount, path) != "ok"
        assert not [c for c in m.trace.since(mark, bus) if c.opcode == 0x28]
        assert hold.call(intrude.on_new_file, path, RW, "sg_io") == "ok"
        assert hold.info()["prior_opens"] == left + 1
        other.call(os.close, fd)
        assert hold.info()["prior_opens"] == left
    assert not (bad := wrong(hold.call(work, bus, timeout=60))), bad


@test("P4 a file of the holder from before the hold counts as one, too", each=["virtio"], timeout=120)
def own_prior_open(m, bus):
    no_udev(m)
    path = m.call(drive.sr, bus)
    process = m.process()
    fd = process.call(attempt.open_, path, RW)
    hold = Hold(m, bus, process=process)
    assert hold.info()["prior_opens"] == 1
    assert hold.call(intrude.read, fd, 4) == "EIO"
    assert hold.call(intrude.sg_io, fd) == "ok"
    hold.call(os.close, fd)
    assert hold.info()["prior_opens"] == 0
    assert hold.call(label_on_disc, path) == f"DISC_{bus.upper()}"


# What the holder has set up on top

def head(path: str) -> str:
    """The label of the disc below a block device, read around the page cache of that device."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        return os.pread(fd, 32, 16 * 2048 + 40).decode().strip()
    finally:
        os.close(fd)


@test("P4 a mount of the holder is the holder's, whoever reads it ({})", each=DRIVES, timeout=120)
def holders_mount(m, bus):
    hold = Hold(m, bus)
    assert hold.call(intrude.mount, m.call(drive.sr, bus)) == "ok"
    mark = m.trace.mark()
    m.call(intrude.checksum, "/mnt/data.bin", timeout=60)
    assert [c for c in m.trace.since(mark, bus) if c.opcode == 0x28]
    assert m.call(intrude.open_close, m.call(drive.sr, bus), NONBLOCK) == "EBUSY"
    assert hold.call(intrude.umount) == "ok"


@test("P4 a mount of the holder finds the session that it asks for ({})", each=DRIVES, timeout=120)
def session(m, bus):
    no_udev(m)
    hold = Hold(m, bus)
    refused = hold.info()["refused_commands"]
    m.sh(f"mount -o ro,session=0 {m.call(drive.sr, bus)} /mnt", process=hold.process)
    log = m.sh("dmesg | grep ISOFS")["stdout"]
    assert "Invalid" not in log, log
    assert hold.info()["refused_commands"] == refused
    assert m.call(intrude.on_new_file, m.call(drive.sg, bus), os.O_RDWR, "sg_io") == "refused"
    assert hold.info()["refused_commands"] == refused + 1, "it would not be counted"
    assert hold.call(intrude.umount) == "ok"


@test("P4 a loop device of the holder is the holder's, whoever reads it ({})", each=DRIVES, timeout=120)
def loop(m, bus):
    hold = Hold(m, bus)
    path = m.call(drive.sr, bus)
    m.sh(f"losetup -r /dev/loop0 {path}", process=hold.process)
    mark = m.trace.mark()
    assert m.call(head, "/dev/loop0") == f"DISC_{bus.upper()}"
    assert [c for c in m.trace.since(mark, bus) if c.opcode == 0x28]
    m.sh("losetup -d /dev/loop0", process=hold.process)


@test("P4 a device-mapper device of the holder is the holder's, whoever reads it ({})", each=DRIVES, timeout=120)
def device_mapper(m, bus):
    hold = Hold(m, bus)
    path = m.call(drive.sr, bus)
    m.sh(f"modprobe dm_mod; echo '0 8192 linear {path} 0' | dmsetup create -r held", process=hold.process)
    mark = m.trace.mark()
    assert m.call(head, "/dev/mapper/held") == f"DISC_{bus.upper()}"
    assert [c for c in m.trace.since(mark, bus) if c.opcode == 0x28]
    m.sh("dmsetup remove --retry held", process=hold.process)


# Who is no holder

@test("P4 an orphan of a holder that exited is a foreigner, and the hold stays while the file is open",
      each=["virtio"], timeout=120)
def orphan_without_file(m, bus):
    path = m.call(drive.sr, bus)
    hold = Hold(m, bus)
    child = hold.process.fork()
    grandchild = child.fork()
    grandchild.call(os.close, hold.fd)
    fd = grandchild.call(attempt.open_, path, RW)
    assert grandchild.call(intrude.sg_io, fd) == "ok"
    child.kill()
    assert grandchild.call(intrude.sg_io, fd) == "EBUSY"
    assert hold.call(intrude.on_new_file, path, RW, "sg_io") == "ok"


@test("P4 a file that holds nothing takes no commands", each=["virtio"], timeout=120)
def no_hold_no_command(m, bus):
    process = m.process()
    fd = process.call(srlock.open_lock, m.call(drive.srlock, bus))
    mark = m.trace.mark()
    refused(process, fd)
    hold = Hold(m, bus)
    refused(process, fd)
    hold.release()
    refused(hold.process, hold.fd)
    assert OWN not in [c.cdb[:6] for c in m.trace.since(mark, bus)]


def refused(process, fd: int) -> None:
    """A command through this lock file fails with EPERM."""
    try:
        process.call(scsi.send_on, fd, OWN, 79)
    except GuestError as error:
        assert error.errno == errno.EPERM
    else:
        raise AssertionError("a command through a file without a count")
