# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine itself: what the other tests rely on. None of these needs the module."""

from __future__ import annotations

import errno
import os
import signal
import time

import clients
import intrude
from machine import GuestError, ProcessGone, test
from machine.guest import attempt, cdrom, drive, scsi

STRANGER = 1001

DRIVES = ["ahci", "virtio", "usb"]


def ready(bus: str, node: str) -> dict:
    """TEST UNIT READY by one of a drive's nodes."""
    return scsi.send({"sr": drive.sr, "sg": drive.sg, "bsg": drive.bsg}[node](bus), scsi.TEST_UNIT_READY)


@test("machine: a command shows in the trace of its drive and of no other ({})", each=DRIVES, module=False)
def trace_tells_drives_apart(m, bus):
    m.call(ready, bus, "sr")
    mark = m.trace.mark()
    for node in ("sr", "sg", "bsg"):
        assert m.call(ready, bus, node)["good"]
    seen = [c for c in m.trace.since(mark) if c.opcode == 0]
    assert len([c for c in seen if c.drive == bus]) >= 3, seen
    assert not [c for c in seen if c.drive != bus], seen


def odd_inquiry(bus: str, length: int) -> dict:
    return scsi.send(drive.sg(bus), scsi.inquiry(length), length)


@test("machine: the trace has the bytes of a command ({})", each=DRIVES, module=False)
def trace_has_bytes(m, bus):
    mark = m.trace.mark()
    assert m.call(odd_inquiry, bus, 77)["good"]
    assert scsi.inquiry(77) in [c.cdb[:6] for c in m.trace.since(mark, bus)]


def lock_tray(bus: str, on: int) -> None:
    cdrom.on_node(drive.sr(bus), cdrom.CDROM_LOCKDOOR, on)


@test("machine: QEMU tells whether a tray is locked ({})", each=DRIVES, module=False)
def tray_lock(m, bus):
    for on in (1, 0, 1):
        m.call(lock_tray, bus, on)
        assert m.locked(bus) == bool(on)


@test("machine: an unplugged drive's nodes go away ({})", each=DRIVES, module=False)
def unplug(m, bus):
    path = m.call(drive.sr, bus)
    assert m.call(drive.present, bus)
    m.unplug(bus)
    m.call(gone, bus, path)


def read_disc(bus: str, block: int = 0, blocks: int = 1) -> dict:
    return scsi.send(drive.sg(bus), scsi.read10(block, blocks), blocks * 2048, timeout=60000)


@test("machine: a read can be made to take long ({})", each=DRIVES, module=False)
def stall(m, bus):
    process = m.process()
    m.stall(bus, 2)
    start = time.monotonic()
    pending = process.begin(read_disc, bus, 16)
    time.sleep(1)
    assert not pending.done()
    assert pending.result(20)["good"]
    assert 1.5 < time.monotonic() - start < 20
    m.stall(bus, 3600)
    pending = process.begin(read_disc, bus, 32)
    time.sleep(0.5)
    assert not pending.done()
    m.stall(bus, 0)
    assert pending.result(20)["good"]


@test("machine: the eject button opens a tray, or asks when it is locked ({})", each=DRIVES, module=False)
def button(m, bus):
    m.call(lock_tray, bus, 1)
    m.press_eject(bus)
    assert not m.tray_open(bus)
    m.call(lock_tray, bus, 0)
    m.press_eject(bus)
    assert m.tray_open(bus)


def put_number(path: str, text: str) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    os.write(fd, text.encode())
    return fd


def number_at(fd: int) -> str:
    return os.pread(fd, 100, 0).decode()


@test("machine: processes keep their files, and children have them too", module=False)
def processes(m):
    first = m.process()
    fd = first.call(put_number, "/tmp/number", "42")
    child = first.fork(uid=STRANGER)
    assert first.call(number_at, fd) == child.call(number_at, fd) == "42"
    assert child.call(os.getuid) == STRANGER and child.call(os.getppid) == first.pid
    try:
        m.process().call(number_at, fd)
    except GuestError as error:
        assert error.errno == errno.EBADF
    else:
        raise AssertionError("a file in a process that never opened it")


@test("machine: a killed process's call ends with its status", module=False)
def killed(m):
    process = m.process()
    pending = process.begin(time.sleep, 30)
    time.sleep(0.2)
    assert not pending.done()
    process.kill(signal.SIGTERM)
    try:
        pending.result()
    except ProcessGone as gone_:
        assert gone_.status == signal.SIGTERM, gone_.status
    else:
        raise AssertionError("the call returned")
    assert not process.alive()


@test("machine: the users are who they say", module=False)
def users(m):
    assert m.user().call(os.getgroups) == [24]
    assert m.stranger().call(os.getgroups) == []
    path = m.call(drive.sr, "virtio")
    assert m.user().call(attempt.open_, path, os.O_RDWR | os.O_NONBLOCK) > 0
    assert m.stranger().call(attempt.open_, path) == -errno.EACCES


@test("machine: the kernel polls for media", module=False)
def polls(m):
    mark = m.trace.mark()
    polled = {c.drive for c in m.trace.since(mark, settle=3) if c.opcode == 0x4A}
    assert polled == set(DRIVES), polled


@test("machine: a drive that was made quiet is sent nothing", module=False)
def silence(m, bus="usb"):
    for _ in range(5):
        m.call(intrude.poll_every, bus, 2000)
        clients.quiet(m, bus)
        mark = m.trace.mark()
        assert not (sent := m.trace.since(mark, bus, settle=0.3)), [str(c) for c in sent]


@test("machine: the kernel's log is watched", module=False)
def log_is_watched(m):
    m.sh("echo '<4>WARNING: made up' >/dev/kmsg")
    assert len(m.reports()) == 1, m.log()
    m.expected_reports.append("made up")
    assert not m.reports()


def usb_driver() -> str:
    return os.path.basename(os.path.realpath(drive.device("usb") + "/../../../driver"))


@test("machine: a USB drive can be a UAS one", module=False, usb="uas")
def uas(m):
    assert m.call(usb_driver) == "uas", m.call(usb_driver)
    assert m.call(ready, "usb", "sr")["good"]


def gone(bus: str, path: str) -> None:
    """Wait until a drive is gone."""
    deadline = time.monotonic() + 15
    while drive.present(bus) or os.path.exists(path):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} is still there")
        time.sleep(0.02)
