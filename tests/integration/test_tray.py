# SPDX-License-Identifier: GPL-2.0-or-later
"""P6: the tray is locked while the drive is held, and never stays locked; as the drive itself says.

udev is ended in these tests: its cdrom_id locks trays at change events of its own accord. To stop its queue is not
enough, what it has begun by then goes on.
"""

from __future__ import annotations

import os

import clients
import discs
import intrude
from holding import DRIVES, NO_PREVENT, Hold, attribute, door, text
from machine import eventually, test
from machine.guest import attempt, cdrom, drive, scsi, srlock

RO, NONBLOCK, RW = os.O_RDONLY, os.O_RDONLY | os.O_NONBLOCK, os.O_RDWR | os.O_NONBLOCK


def quiet(m, bus: str) -> int:
    """Neither udev nor the kernel's poll from here on; a mark in the trace."""
    clients.calm(m)
    clients.quiet(m, bus)
    assert not m.locked(bus)
    return m.trace.mark()


def unlocked(m, bus: str) -> None:
    eventually(lambda: not m.locked(bus), 10, "the tray is unlocked")
    eventually(lambda: attribute(m, bus, "state") == "free", 10, "the drive is free")


# One PREVENT and one ALLOW

@test("P6 a hold is one PREVENT and one ALLOW and no other command ({})", each=DRIVES, timeout=120)
def one_each(m, bus):
    mark = quiet(m, bus)
    hold = Hold(m, bus)
    assert m.locked(bus)
    hold.release()
    assert not m.locked(bus)
    commands = m.trace.since(mark, bus, settle=0.3)
    assert [c.prevent for c in commands] == [True, False], text(commands)


@test("P6 nested acquires and releases send nothing ({})", each=["virtio"], timeout=120)
def nested(m, bus):
    mark = quiet(m, bus)
    hold = Hold(m, bus)
    for count in (2, 3):
        assert hold.call(srlock.acquire, hold.fd)["count"] == count
    for count in (2, 1):
        assert hold.call(srlock.release, hold.fd) == count
        assert m.locked(bus)
    hold.release()
    assert door(m.trace.since(mark, bus)) == [True, False]


# However a hold ends

@test("P6 the tray is unlocked when the holder is killed ({})", each=DRIVES, timeout=120)
def killed(m, bus):
    mark = quiet(m, bus)
    hold = Hold(m, bus)
    hold.call(srlock.acquire, hold.fd)
    assert m.locked(bus)
    hold.process.kill()
    unlocked(m, bus)
    assert door(m.trace.since(mark, bus)) == [True, False]


@test("P6 the tray is unlocked when the holder is killed with the drive open and locked ({})", each=DRIVES,
      timeout=120)
def killed_with_data_open(m, bus):
    quiet(m, bus)
    hold = Hold(m, bus)
    fd = hold.call(attempt.open_, m.call(drive.sr, bus), RO)
    assert hold.call(intrude.ioctl, fd, cdrom.CDROM_LOCKDOOR, 1) == "ok"
    hold.process.kill()
    unlocked(m, bus)


@test("P6 the tray is unlocked when the last lock file is closed, and not before ({})", each=["virtio"],
      timeout=120)
def closed(m, bus):
    quiet(m, bus)
    hold = Hold(m, bus)
    child = hold.process.fork()
    hold.call(os.close, hold.fd)
    assert m.locked(bus)
    child.call(os.close, hold.fd)
    assert not m.locked(bus) and attribute(m, bus, "state") == "free"


@test("P6 the tray is unlocked when the hold is broken ({})", each=DRIVES, timeout=120)
def broken(m, bus):
    mark = quiet(m, bus)
    hold = Hold(m, bus)
    other = m.process()
    other.call(srlock.break_, other.call(srlock.open_lock, hold.path))
    unlocked(m, bus)
    assert door(m.trace.since(mark, bus)) == [True, False]


# What undoes a PREVENT

@test("P6 PREVENT is sent again when the holder closes a data open ({})", each=DRIVES, timeout=120)
def data_open(m, bus):
    quiet(m, bus)
    hold = Hold(m, bus)
    path = m.call(drive.sr, bus)
    for lock in (0, 1, 0):       # the kernel locks at an open only if told to, and unlocks at the close anyway
        m.sh(f"echo {lock} >/proc/sys/dev/cdrom/lock")
        assert hold.call(cdrom.read_at, path)
        assert m.locked(bus)
    child = hold.process.fork()
    child.call(cdrom.read_at, path)
    assert m.locked(bus)
    assert door(hold.reached())[-1] is True
    assert hold.info()["status"] & srlock.STATUS_PREVENTED
    hold.release()
    assert not m.locked(bus)


@test("P6 PREVENT is sent again when the holder is killed no sooner than its child's data open ({})",
      each=["virtio"], timeout=120)
def child_killed(m, bus):
    quiet(m, bus)
    hold = Hold(m, bus)
    child = hold.process.fork()
    child.call(attempt.open_, m.call(drive.sr, bus), RO)
    child.kill()
    eventually(lambda: m.locked(bus), 20, "the tray is locked")
    hold.release()
    assert not m.locked(bus)


@test("P6 an ALLOW of the holder is respected, by SG_IO and by CDROM_LOCKDOOR ({})", each=DRIVES, timeout=120)
def own_allow(m, bus):
    quiet(m, bus)
    hold = Hold(m, bus)
    path = m.call(drive.sr, bus)
    fd = hold.call(attempt.open_, path, RW)
    lock = (intrude.ioctl, fd, cdrom.CDROM_LOCKDOOR)
    for allow, prevent in (((scsi.send_on, fd, scsi.ALLOW), (scsi.send_on, fd, scsi.PREVENT)),
                           ((*lock, 0), (*lock, 1)),
                           ((scsi.send_on, hold.fd, scsi.ALLOW), (scsi.send_on, hold.fd, scsi.PREVENT))):
        hold.call(*allow)
        assert not m.locked(bus)
        assert hold.call(intrude.open_close, path, NONBLOCK) == "ok"
        assert hold.call(intrude.sg_io, fd) == "ok"
        assert not m.locked(bus) and not hold.info()["status"] & srlock.STATUS_PREVENTED
        hold.call(*prevent)
        assert m.locked(bus) and hold.info()["status"] & srlock.STATUS_PREVENTED
    hold.release()
    assert not m.locked(bus)


@test("P6 an ALLOW of the holder outlives a data open of its own, which the kernel locks ({})", each=DRIVES,
      timeout=120)
def own_allow_and_data_open(m, bus):
    quiet(m, bus)
    m.sh("echo 1 >/proc/sys/dev/cdrom/lock")       # udev's rules turn that off
    hold = Hold(m, bus)
    path = m.call(drive.sr, bus)
    assert hold.call(scsi.send, path, scsi.ALLOW)["good"]
    assert hold.call(cdrom.read_at, path)
    assert not m.locked(bus), text(hold.reached())


@test("P6 after the holder's ALLOW a load locks the tray again ({})", each=DRIVES, timeout=120)
def own_allow_and_load(m, bus):
    quiet(m, bus)
    hold = Hold(m, bus)
    path = m.call(drive.sr, bus)
    assert hold.call(scsi.send, path, scsi.ALLOW)["good"]
    assert hold.call(scsi.send, path, scsi.EJECT)["good"]
    assert m.tray_open(bus)
    assert hold.call(scsi.send, path, scsi.LOAD)["good"]
    assert not m.tray_open(bus)
    eventually(lambda: m.locked(bus), 20, "the tray is locked again")


# NO_PREVENT

@test("P6 with NO_PREVENT the tray is left alone ({})", each=DRIVES, timeout=120)
def no_prevent(m, bus):
    mark = quiet(m, bus)
    hold = Hold(m, bus, flags=NO_PREVENT)
    assert not m.locked(bus) and True not in door(m.trace.since(mark, bus))
    assert not hold.info()["status"] & srlock.STATUS_PREVENTED
    assert hold.call(cdrom.read_at, m.call(drive.sr, bus))     # the kernel locks, and unlocks
    assert not m.locked(bus)
    m.press_eject(bus)
    assert m.tray_open(bus)
    hold.release()


@test("P6 a tray that a NO_PREVENT holder locked itself does not stay locked ({})", each=DRIVES, timeout=120)
def no_prevent_killed(m, bus):
    quiet(m, bus)
    hold = Hold(m, bus, flags=NO_PREVENT)
    fd = hold.call(attempt.open_, m.call(drive.sr, bus), RW)    # an sr file's close would be an ALLOW
    assert hold.call(scsi.send_on, fd, scsi.PREVENT)["good"]
    assert m.locked(bus)
    hold.process.kill()
    unlocked(m, bus)


# Drives in all sorts of states

@test("P6 the tray is locked after the kernel has reset the drive ({})", each=["ahci", "usb"], timeout=240)
def reset(m, bus):
    quiet(m, bus)
    hold = Hold(m, bus)
    m.stall(bus, 12)      # SG_IO waits for no less than 7 s; and QEMU finishes the read before the reset
    outcome = hold.call(intrude.word_of_command, hold.fd, scsi.read10(64, 1), 2048, 1000, timeout=120)
    assert outcome != "ok" and "reset" in m.log(), outcome
    m.stall(bus, 0)
    assert hold.info()["state"] == srlock.HELD
    eventually(lambda: m.locked(bus), 10, "the tray is locked")
    assert m.call(intrude.on_new_file, m.call(drive.sg, bus), os.O_RDWR, "sg_io") == "refused"
    hold.release()
    assert not m.locked(bus)


@test("P6 a drive with a unit attention is held, and its tray locked ({})", each=DRIVES, timeout=120)
def unit_attention(m, bus):
    quiet(m, bus)
    m.change_disc(bus, discs.other())
    hold = Hold(m, bus)
    assert m.locked(bus)
    assert door(hold.reached()) == []
    hold.release()
    assert not m.locked(bus)


@test("P6 a drive with its tray open, or empty, can be held ({})", each=DRIVES, timeout=120)
def tray_open(m, bus):
    quiet(m, bus)
    m.press_eject(bus)
    assert m.tray_open(bus)
    for _ in range(2):
        hold = Hold(m, bus)
        assert m.call(intrude.open_close, m.call(drive.sr, bus), NONBLOCK) == "EBUSY"
        hold.release()
        assert not m.locked(bus)
        m.qmp.execute("blockdev-remove-medium", id=bus) if m.tray_open(bus) else None
        m.close_tray(bus)
