# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands through the lock file itself: P4, for whoever has no sr node open."""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from clients import (BUS, CDROM_GROUP, USER, client, holder, nothing_changes, pass_file, wait_line, watcher)
from machine import eventually, test
from machine.guest import cdrom, drive, scsi

BUSES = ["ahci", "virtio", "usb"]


def version(fd: int) -> int:
    buffer = bytearray(4)
    fcntl.ioctl(fd, scsi.SG_GET_VERSION_NUM, buffer, True)
    return struct.unpack("i", buffer)[0]


COMMANDS = {
    "SG_IO": (scsi.send_on, scsi.TEST_UNIT_READY),
    "CDROM_SEND_PACKET": (cdrom.send_packet, scsi.TEST_UNIT_READY),
    "CDROMEJECT": (cdrom.ioctl, cdrom.CDROMEJECT), "CDROMCLOSETRAY": (cdrom.ioctl, cdrom.CDROMCLOSETRAY),
    "SG_GET_VERSION_NUM": (version,),
}


@test("P4 SG_IO works on a file with a count, data and sense included ({})", each=BUSES)
def sg_io(m, bus):
    one = holder(m, bus=bus)
    mark = m.trace.mark()
    answer = one.call(scsi.send_on, scsi.inquiry(77), 77)
    assert answer["good"] and answer["data"][0] & 0x1F == 5 and b"QEMU" in answer["data"], answer
    block = one.call(scsi.send_on, scsi.read10(16, 1), 2048)
    assert block["good"] and block["data"][1:6] == b"CD001", block["data"][:16]
    assert one.process.call(cdrom.read_at, one.process.call(drive.sr, bus), 16 * 2048) == block["data"]
    # READ of a block that is not there
    beyond = one.call(scsi.send_on, scsi.read10(0x7FFFFFFF, 1), 2048)
    assert beyond["status"] == scsi.CHECK_CONDITION and beyond["key"][:2] == [5, 0x21], beyond
    sent = [c.cdb[:6] for c in m.trace.since(mark, bus)]
    assert sent.count(scsi.inquiry(77)) == 1


@test("P4 CDROM_SEND_PACKET works on a file with a count ({})", each=BUSES)
def send_packet(m, bus):
    one = holder(m, bus=bus)
    assert b"QEMU" in one.call(cdrom.send_packet, scsi.inquiry(96), 96)


@test("P4 CDROMEJECT and CDROMCLOSETRAY work on a file with a count, and the tray is locked again ({})",
      each=BUSES)
def eject(m, bus):
    one = holder(m, bus=bus)
    assert m.locked(bus)
    one.call(cdrom.ioctl, cdrom.CDROMEJECT)
    assert m.tray_open(bus)
    one.call(cdrom.ioctl, cdrom.CDROMCLOSETRAY)
    assert not m.tray_open(bus)
    eventually(lambda: m.locked(bus), 10, "the tray is locked again")
    assert one.info()["count"] == 1


@test("P4 SG_GET_VERSION_NUM says what sr says")
def sg_version(m):
    one = holder(m)
    sr = one.process.call(os.open, one.process.call(drive.sr, BUS), os.O_RDONLY | os.O_NONBLOCK)
    assert one.call(version) == one.process.call(version, sr) >= 30000


def outcomes(one) -> dict[str, int]:
    return {word: one.errno(function, *arguments) for word, (function, *arguments) in COMMANDS.items()}


@test("P12 a command on a file without a count is EPERM, and nothing changes")
def without_count(m):
    all_eperm = dict.fromkeys(COMMANDS, errno.EPERM)
    one, other = client(m), client(m)
    with nothing_changes(m, one):
        assert outcomes(one) == all_eperm
    one.acquire()
    # another file of the very holder has no count either
    second = client(m, process=one.process)
    with nothing_changes(m, one, other, second):
        assert outcomes(other) == outcomes(second) == all_eperm
    one.release()
    with nothing_changes(m, one):
        assert outcomes(one) == all_eperm
    assert not m.tray_open(BUS)


@test("P12 a command on a file that waits is EPERM, and sends nothing")
def while_waiting(m):
    watch, one, other = watcher(m), holder(m), client(m)
    child = other.fork()
    other.wait()
    wait_line(watch, 1)
    with nothing_changes(m, one):
        assert outcomes(child) == dict.fromkeys(COMMANDS, errno.EPERM)


@test("P12 SG_IO with a bad pointer is EFAULT, with a bad header EINVAL, and the hold stays")
def bad_sg_io(m):
    one = holder(m)
    with nothing_changes(m, one):
        assert one.errno(cdrom.ioctl, scsi.SG_IO, 0) == errno.EFAULT
        assert one.errno(cdrom.ioctl, cdrom.CDROM_SEND_PACKET, 0) == errno.EFAULT
        assert one.call(bad_header) == errno.EINVAL


def bad_header(fd: int) -> int:
    header = scsi.SgIoHdr(interface_id=ord("Q"))
    try:
        fcntl.ioctl(fd, scsi.SG_IO, header, True)
    except OSError as error:
        return error.errno
    return 0


def vendor_command() -> bytes:
    """One that the kernel lets nobody send who lacks CAP_SYS_RAWIO."""
    return bytes([0xC5, 0, 0, 0, 0, 0])


@test("the kernel's own filter of commands applies to who is not privileged")
def filtered(m):
    one = holder(m)
    user = one.fork(uid=USER, groups=(CDROM_GROUP,))
    mark = m.trace.mark()
    assert user.errno(scsi.send_on, vendor_command()) == errno.EPERM
    assert not m.trace.since(mark, BUS)
    assert user.call(scsi.send_on, scsi.TEST_UNIT_READY)["good"]
    # WRITE(10) is for files that are open for writing, which this one is: the drive answers
    assert user.errno(scsi.send_on, bytes([0x2A]) + bytes(9), data=bytes(0)) == 0
    # root's goes to the drive, which does not know it
    assert one.call(scsi.send_on, vendor_command())["key"] == [5, 0x20, 0]


@test("commands by several processes on one file go through side by side")
def side_by_side(m):
    one = holder(m)
    others = [one.fork(), pass_file(one, m.process()), pass_file(one, m.stranger())]
    pending = [c.begin(send_often, 30) for c in (one, *others)]
    assert [call.result() for call in pending] == [30] * 4


def send_often(fd: int, times: int) -> int:
    return sum(scsi.sg_io(fd, scsi.TEST_UNIT_READY).good for _ in range(times))
