# SPDX-License-Identifier: GPL-2.0-or-later
"""P2: no foreign command reaches a held drive, whichever way it takes.

Most tests go their ways three times: before the hold, where they must reach the drive or they would prove
nothing; during the hold, where they must fail as documented and the drive must see nothing at all; and
after the release, where they must work again.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass

import intrude
from holding import DRIVES, Hold, attribute, text
from machine import eventually, test
from machine.guest import attempt, cdrom, drive, scsi, shell

RO, NONBLOCK, RW = os.O_RDONLY, os.O_RDONLY | os.O_NONBLOCK, os.O_RDWR | os.O_NONBLOCK


@dataclass(frozen=True)
class Way:
    """A way to the drive: what a foreign process calls, and the word that it gets during a hold."""

    name: str
    function: Callable
    args: tuple = ()
    held: str = "refused"
    reads: bool = False     # takes a place on the disc, each time another one
    silent: bool = False    # sends nothing even to a free drive

    def go(self, process, places) -> str:
        return process.call(self.function, *self.args, *([next(places)] if self.reads else []), timeout=60)


def three_times(m, bus: str, process, ways: list[Way]) -> None:
    """Before, during and after a hold."""
    places = itertools.count(1)
    m.call(intrude.poll_every, bus, 0)
    m.sh("udevadm settle")
    for way in ways:
        mark = m.trace.mark()
        assert (outcome := way.go(process, places)) == "ok", f"{way.name}, free: {outcome}"
        assert way.silent or m.trace.since(mark, bus), f"{way.name}, free: nothing reached the drive"
    hold = Hold(m, bus)
    for way in ways:
        assert (outcome := way.go(process, places)) == way.held, f"{way.name}, held: {outcome}"
        assert not (seen := hold.reached()), f"{way.name}, held: {text(seen)}"
    hold.quiet(settle=0.3)
    hold.release()
    m.sh("udevadm settle")
    m.call(intrude.open_close, m.call(drive.sr, bus), NONBLOCK)   # the medium is looked at anew at an open
    for way in ways:
        eventually(lambda: way.go(process, places) == "ok", 10, f"{way.name} works again")


# Opens

@test("P2 an open is refused with EBUSY, whatever its mode ({})", each=DRIVES, timeout=120)
def opens(m, bus):
    path = m.call(drive.sr, bus)
    modes = {"plain": RO, "O_NONBLOCK": NONBLOCK, "O_RDWR": RW, "O_EXCL": RO | os.O_EXCL,
             "O_EXCL and O_NONBLOCK": NONBLOCK | os.O_EXCL, "O_DIRECT": RO | os.O_DIRECT}
    three_times(m, bus, m.process(), [
        Way(f"open, {name}", intrude.open_close, (path, mode), "EBUSY", silent=bool(mode & os.O_NONBLOCK))
        for name, mode in modes.items()])


@test("P2 an open by an ordinary user is refused, too", each=["virtio"], timeout=120)
def opens_by_user(m, bus):
    path = m.call(drive.sr, bus)
    three_times(m, bus, m.user(), [Way("open", intrude.open_close, (path, RO), "EBUSY")])


@test("P2 a mount is refused with EBUSY ({})", each=DRIVES, timeout=120)
def mounts(m, bus):
    path = m.call(drive.sr, bus)
    three_times(m, bus, m.process(), [Way("mount", intrude.mount_umount, (path,), "EBUSY")])


@test("P2 refused opens are counted, and make no other trouble", each=["virtio"], timeout=120)
def opens_counted(m, bus):
    path = m.call(drive.sr, bus)
    before = int(attribute(m, bus, "refused_opens"))
    hold = Hold(m, bus)
    for _ in range(7):
        assert m.call(intrude.open_close, path, NONBLOCK) == "EBUSY"
    assert int(attribute(m, bus, "refused_opens")) - before >= 7
    hold.quiet()


# Ioctls on files of sr that were opened before the hold

@test("P2 an ioctl on an sr file from before the hold is refused ({})", each=DRIVES, timeout=120)
def old_sr_ioctls(m, bus):
    process = m.process()
    fd = process.call(attempt.open_, m.call(drive.sr, bus), RW)
    plain = {
        "CDROM_DRIVE_STATUS": (cdrom.CDROM_DRIVE_STATUS, 0x7FFFFFFF),
        "CDROM_DISC_STATUS": (cdrom.CDROM_DISC_STATUS, 0),
        "CDROM_LOCKDOOR": (cdrom.CDROM_LOCKDOOR, 0),
        "CDROM_MEDIA_CHANGED": (cdrom.CDROM_MEDIA_CHANGED, 0x7FFFFFFF),
        "SCSI_IOCTL_DOORUNLOCK": (scsi.SCSI_IOCTL_DOORUNLOCK, 0),
        "CDROMCLOSETRAY": (cdrom.CDROMCLOSETRAY, 0),
    }
    buffers = {"CDROMREADTOCHDR": cdrom.CDROMREADTOCHDR, "CDROM_LAST_WRITTEN": cdrom.CDROM_LAST_WRITTEN}
    three_times(m, bus, process, [
        Way("SG_IO", intrude.sg_io, (fd,), "EBUSY"),
        Way("CDROM_SEND_PACKET", intrude.send_packet, (fd,), "EBUSY"),
        Way("SCSI_IOCTL_SEND_COMMAND", intrude.send_command, (fd,), "EBUSY"),
        *(Way(name, intrude.ioctl, (fd, *call), "EBUSY", silent=name == "CDROM_MEDIA_CHANGED")
          for name, call in plain.items()),
        *(Way(name, intrude.ioctl_buffer, (fd, number, bytes(64)), "EBUSY", silent=True)
          for name, number in buffers.items())])


@test("P2 nobody ejects a held drive: not by ioctl, tool, button, sg or bsg ({})", each=DRIVES, timeout=120)
def no_foreign_eject(m, bus):
    process = m.process()
    sr, sg, bsg = (m.call(find, bus) for find in (drive.sr, drive.sg, drive.bsg))
    fd = process.call(attempt.open_, sr, NONBLOCK)
    hold = Hold(m, bus)
    assert process.call(intrude.ioctl, fd, cdrom.CDROMEJECT) == "EBUSY"
    assert process.call(intrude.ioctl, fd, cdrom.CDROM_LOCKDOOR, 0) == "EBUSY"
    assert m.sh(f"eject {sr}", check=False)["rc"]
    for node in (sg, bsg):
        for command in (scsi.ALLOW, scsi.EJECT):
            assert process.call(scsi.send, node, command)["refused"]
    m.press_eject(bus)
    assert not m.tray_open(bus) and m.locked(bus)
    hold.quiet()


# What sends nothing stays allowed

HARMLESS = {
    "CDROM_GET_CAPABILITY": (cdrom.CDROM_GET_CAPABILITY, None),
    "CDROM_CHANGER_NSLOTS": (cdrom.CDROM_CHANGER_NSLOTS, None),
    "SG_GET_VERSION_NUM": (scsi.SG_GET_VERSION_NUM, 4),
    "SG_EMULATED_HOST": (scsi.SG_EMULATED_HOST, 4),
    "SCSI_IOCTL_GET_IDLUN": (scsi.SCSI_IOCTL_GET_IDLUN, 8),
    "SCSI_IOCTL_GET_BUS_NUMBER": (scsi.SCSI_IOCTL_GET_BUS_NUMBER, 4),
    "BLKGETSIZE64": (cdrom.BLKGETSIZE64, 8),
    "BLKSSZGET": (0x1268, 4),
    "BLKFLSBUF": (cdrom.BLKFLSBUF, None),
}


@test("P2 harmless ioctls stay allowed, answer the same and send nothing ({})", each=DRIVES, timeout=120)
def harmless(m, bus):
    process = m.process()
    fd = process.call(attempt.open_, m.call(drive.sr, bus), NONBLOCK)
    before = {name: process.call(intrude.answer, fd, *call) for name, call in HARMLESS.items()}
    hold = Hold(m, bus)
    during = {name: process.call(intrude.answer, fd, *call) for name, call in HARMLESS.items()}
    assert during == before, (before, during)
    hold.quiet()


# Reads on files of sr that were opened before the hold

# The page cache makes EIO of every error; a direct read has the drive's.

@test("P2 a read on an sr file from before the hold fails: EIO, or EBADE with O_DIRECT ({})", each=DRIVES,
      timeout=120)
def old_sr_reads(m, bus):
    process = m.process()
    path = m.call(drive.sr, bus)
    fd, direct = (process.call(attempt.open_, path, mode) for mode in (RO, RO | os.O_DIRECT))
    three_times(m, bus, process, [
        Way("pread", intrude.read, (fd,), "EIO", reads=True),
        Way("O_DIRECT", intrude.read_direct, (direct,), "EBADE", reads=True),
        Way("mmap", intrude.read_mapped, (fd,), "SIGBUS", reads=True),
        Way("splice", intrude.sendfile, (fd,), "EIO", reads=True),
        Way("io_uring", intrude.read_io_uring, (fd,), "EIO", reads=True),
        Way("io_uring, O_DIRECT", intrude.read_io_uring, (direct,), "EBADE", reads=True)])


# sg and bsg

@test("P2 a command by SG_IO on sg is refused, on new and old files ({})", each=DRIVES, timeout=120)
def sg_sync(m, bus):
    process = m.process()
    path = m.call(drive.sg, bus)
    fd = process.call(attempt.open_, path, os.O_RDWR)
    three_times(m, bus, process, [
        Way("old file", intrude.sg_io, (fd,)),
        Way("new file", intrude.on_new_file, (path, os.O_RDWR, "sg_io")),
        Way("new file, read only", intrude.on_new_file, (path, os.O_RDONLY, "sg_io"))])
    process.call(os.close, fd)      # sg's O_EXCL is of all its files
    three_times(m, bus, process, [
        Way("new file, O_EXCL", intrude.on_new_file, (path, os.O_RDWR | os.O_EXCL | os.O_NONBLOCK, "sg_io"))])


@test("P2 a command by write and read on sg is refused, on new and old files ({})", each=DRIVES, timeout=120)
def sg_async(m, bus):
    process = m.process()
    path = m.call(drive.sg, bus)
    fd = process.call(attempt.open_, path, os.O_RDWR)
    three_times(m, bus, process, [
        Way("old file", intrude.write_read, (fd,)),
        Way("new file", intrude.on_new_file, (path, os.O_RDWR, "write_read"))])


@test("P2 scsi's own ioctls on sg are refused ({})", each=DRIVES, timeout=120)
def sg_ioctls(m, bus):
    process = m.process()
    fd = process.call(attempt.open_, m.call(drive.sg, bus), os.O_RDWR | os.O_NONBLOCK)
    three_times(m, bus, process, [
        Way("SCSI_IOCTL_SEND_COMMAND", intrude.send_command, (fd,)),
        Way("SCSI_IOCTL_DOORUNLOCK", intrude.ioctl, (fd, scsi.SCSI_IOCTL_DOORUNLOCK))])


@test("P2 a command by SG_IO on bsg is refused, on new and old files ({})", each=DRIVES, timeout=120)
def bsg(m, bus):
    process = m.process()
    path = m.call(drive.bsg, bus)
    fd = process.call(attempt.open_, path, os.O_RDWR)
    three_times(m, bus, process, [
        Way("old file", intrude.bsg_io, (fd,)),
        Way("new file", intrude.on_new_file, (path, os.O_RDWR, "bsg_io"))])


@test("P2 the gate works on a UAS drive as on the others", usb="uas", timeout=300)
def uas(m):
    sr, sg, bsg_path = (m.call(find, "usb") for find in (drive.sr, drive.sg, drive.bsg))
    process = m.process()
    fd = process.call(attempt.open_, sr, RW)
    three_times(m, "usb", process, [
        Way("open", intrude.open_close, (sr, RO), "EBUSY"),
        Way("old sr file, SG_IO", intrude.sg_io, (fd,), "EBUSY"),
        Way("old sr file, read", intrude.read, (fd,), "EIO", reads=True),
        Way("sg", intrude.on_new_file, (sg, os.O_RDWR, "sg_io")),
        Way("sg, write and read", intrude.on_new_file, (sg, os.O_RDWR, "write_read")),
        Way("bsg", intrude.on_new_file, (bsg_path, os.O_RDWR, "bsg_io"))])


# What the kernel and udev do of their own accord

@test("P2 the kernel does not poll a held drive for media changes ({})", each=DRIVES, timeout=120)
def polling(m, bus):
    m.call(intrude.poll_every, bus, 200)
    mark = m.trace.mark()
    eventually(lambda: len(m.trace.since(mark, bus)) > 3, 10, "the drive is polled")
    hold = Hold(m, bus)
    hold.quiet(settle=2)
    hold.release()
    mark = m.trace.mark()
    eventually(lambda: len(m.trace.since(mark, bus)) > 8, 10, "the drive is polled again")


@test("P2 the poll that all drives share leaves a held one alone", each=["virtio"], timeout=120)
def shared_polling(m, bus):
    hold = Hold(m, bus)
    hold.quiet(settle=5)
    others = {c.drive for c in m.trace.since(hold.mark)}
    assert others == {"ahci", "usb"}, others


# QEMU's SCSI drives are on the kernel's list of those that are not asked for their pages.
@test("P2 a rescan of the device sends a held drive nothing ({})", each=["ahci"])
def device_rescan(m, bus):
    three_times(m, bus, m.process(), [Way("rescan", intrude.rescan, (bus,), "ok")])


# A scan of an ATA host is a reset by libata; on USB the kernel knows that there are no more LUNs.
@test("P2 a scan for LUNs sends a held drive nothing, and does not lose it ({})", each=["virtio"], timeout=120)
def lun_scan(m, bus):
    nodes = [m.call(find, bus) for find in (drive.sr, drive.sg, drive.bsg, drive.srlock)]
    three_times(m, bus, m.process(), [Way("scan", intrude.scan, (bus,), "ok")])
    assert nodes == [m.call(find, bus) for find in (drive.sr, drive.sg, drive.bsg, drive.srlock)]


def properties(bus: str) -> dict[str, str]:
    """What udev knows of a drive: its properties but those of the latest event, and its links."""
    out = shell.run(f"udevadm info --query=property --name={drive.sr(bus)}")["stdout"]
    known = dict(line.split("=", 1) for line in out.splitlines())
    passing = ("SEQNUM", "USEC_INITIALIZED", "DISK_MEDIA_CHANGE", "DISK_EJECT_REQUEST", "ACTION", "SYNTH_UUID")
    return {name: value for name, value in known.items() if name not in passing}


@test("P2 udev's probes are refused, and udev keeps what it knows of the drive ({})", each=DRIVES, timeout=120)
def udev_trigger(m, bus):
    m.sh("udevadm settle")
    before = m.call(properties, bus)
    assert "ID_CDROM" in before and "DEVLINKS" in before, before
    mark = m.trace.mark()
    m.sh("udevadm trigger --settle --subsystem-match=block")
    assert m.trace.since(mark, bus), "udev did not probe"
    hold = Hold(m, bus)
    for action in ("change", "add"):
        m.sh(f"udevadm trigger --settle --action={action} --subsystem-match=block --subsystem-match=scsi "
             "--subsystem-match=scsi_generic --subsystem-match=bsg --subsystem-match=srlock")
    hold.quiet()
    during = m.call(properties, bus)
    links = before["DEVLINKS"].split()
    assert all(m.call(os.path.exists, link) for link in links), links
    assert sorted(during["DEVLINKS"].split()) == sorted(links), (before, during)
    hold.release()


# Several at once

@test("P2 only the held drive is held ({})", each=DRIVES, timeout=120)
def other_drives(m, bus):
    Hold(m, bus)
    for other in DRIVES:
        word = "EBUSY" if other == bus else "ok"
        assert m.call(intrude.open_close, m.call(drive.sr, other), RO) == word
        word = "refused" if other == bus else "ok"
        assert m.call(intrude.on_new_file, m.call(drive.sg, other), os.O_RDWR, "sg_io") == word


@test("P2 all intruders together send a held drive nothing ({})", each=DRIVES, timeout=120)
def everybody(m, bus):
    m.call(intrude.poll_every, bus, 100)
    hold = Hold(m, bus)
    wanted = {"sr": "EBUSY", "open": "EBUSY", "exclusive": "EBUSY", "sg": "refused", "bsg": "refused"}
    pending = {door: m.process().begin(intrude.hammer, bus, door, 5) for door in wanted}
    m.sh("udevadm trigger --settle --subsystem-match=block", timeout=60)
    m.call(intrude.scan, "virtio", timeout=60)
    results = {door: each.result(60) for door, each in pending.items()}
    hold.quiet()
    assert {door: list(result["words"]) for door, result in results.items()} == \
        {door: [word] for door, word in wanted.items()}, results
    assert min(result["calls"] for result in results.values()) > 50, results
