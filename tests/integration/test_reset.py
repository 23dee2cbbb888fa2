# SPDX-License-Identifier: GPL-2.0-or-later
"""P6 and P2 over a reset: the hold is kept, foreigners stay out, and the tray is prevented again.

A reset makes a drive forget PREVENT. It comes from error handling, or by hand: a root user who asks for one
(SG_SCSI_RESET, USBDEVFS_RESET) is not kept out, but what he undoes is done again.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

import intrude
from holding import Hold, is_free, no_udev
from machine import eventually, test
from machine.guest import attempt, drive, scsi, srlock
from recorder import Recorder

SOON = 30.0
NONBLOCK = os.O_RDWR | os.O_NONBLOCK
RESET_DEVICE, RESET_TARGET = 1, 4      # SG_SCSI_RESET_* (scsi/sg.h)
USBDEVFS_RESET = 0x5514


# In the machine

def reset(path: str, what: int) -> int:
    """SG_SCSI_RESET on a node; its errno, or 0."""
    fd = os.open(path, NONBLOCK)
    try:
        return reset_on(fd, what)
    finally:
        os.close(fd)


def reset_on(fd: int, what: int) -> int:
    try:
        fcntl.ioctl(fd, scsi.SG_SCSI_RESET, struct.pack("i", what))
    except OSError as error:
        return error.errno
    return 0


def usb_folder(bus: str) -> str:
    """The folder in sysfs of the USB device that a drive is."""
    folder = drive.device(bus)
    while not os.path.exists(f"{folder}/devnum"):
        folder = os.path.dirname(folder)
    return folder


def usb_reset(bus: str) -> None:
    folder = usb_folder(bus)
    number = "/".join(f"{int(drive.read(f'{folder}/{name}')):03}" for name in ("busnum", "devnum"))
    fd = os.open(f"/dev/bus/usb/{number}", os.O_RDWR)
    try:
        fcntl.ioctl(fd, USBDEVFS_RESET)
    finally:
        os.close(fd)


def authorize(folder: str, word: str) -> None:
    drive.write(f"{folder}/authorized", word)


def wait_nodes(bus: str) -> None:
    drive.wait_node(drive.srlock, bus, 60)
    drive.wait_node(drive.sr, bus, 60)


def use(fd: int) -> bool:
    """Whether a command of the holder is answered well, perhaps after the unit attention that a reset raises."""
    return any(scsi.sg_io(fd, scsi.TEST_UNIT_READY).good for _ in range(3))


# Here

class Way:
    """How a reset comes."""

    def __init__(self, name: str, by, node: str, what: int = RESET_DEVICE) -> None:
        self.name, self.by, self.node, self.what = name, by, node, what

    def __str__(self) -> str:
        return self.name


WAYS = [Way("the holder by sr", "holder", "sr"), Way("the holder by sg", "holder", "sg"),
        Way("foreign root by sg", "stranger", "sg"), Way("foreign root by sg, of the target", "stranger", "sg", RESET_TARGET)]


def kept(hold: Hold, nodes: dict, locked) -> None:
    """After a reset: it is held as before, a foreigner is refused, the tray is prevented, the holder goes on."""
    info = hold.info()
    assert (info["state"], info["my_count"]) == (srlock.HELD, 1), info
    assert hold.m.call(intrude.on_new_file, nodes["sg"], os.O_RDWR, "sg_io") == "refused"
    assert hold.m.call(intrude.open_close, nodes["sr"], os.O_RDONLY | os.O_NONBLOCK) == "EBUSY"
    eventually(locked, SOON, "the tray is locked again")
    assert hold.call(use, hold.fd)
    assert locked()


@test("P6 the tray is prevented again after a reset, asked for by {}", each=WAYS, timeout=180)
def asked_for(m, way):
    with Recorder(m, medium="dvd+r") as recorder:
        no_udev(m)
        m.call(intrude.poll_every, recorder.device, 0)
        hold = Hold(m, recorder.device)
        nodes = {"sr": recorder.sr, "sg": recorder.sg}
        process = hold.process if way.by == "holder" else m.process()
        for _ in range(3):
            outcome = process.begin(reset, nodes[way.node], way.what).result(SOON)
            assert outcome == 0, errno.errorcode[outcome]
            kept(hold, nodes, recorder.prevented)
        hold.release()
        assert not recorder.prevented()
        is_free(m, recorder.device)


@test("P6 the tray is prevented again after a reset, though the drive was not ready for it at first", timeout=120)
def not_ready(m):
    with Recorder(m, medium="dvd+r") as recorder:
        no_udev(m)
        m.call(intrude.poll_every, recorder.device, 0)
        hold = Hold(m, recorder.device)
        recorder.fault("1e......01 sense=2/04/01")      # LOGICAL UNIT IS IN PROCESS OF BECOMING READY
        assert m.call(reset, recorder.sg, RESET_DEVICE) == 0
        eventually(lambda: recorder.status()["faults"] == "0", SOON, "a PREVENT")
        kept(hold, {"sr": recorder.sr, "sg": recorder.sg}, recorder.prevented)
        hold.release()
        assert not recorder.prevented()


@test("P2 a reset by the sr node or the lock file is not for foreigners", timeout=120)
def refused(m):
    with Recorder(m, medium="dvd+r") as recorder:
        no_udev(m)
        m.call(intrude.poll_every, recorder.device, 0)
        stranger = m.process()
        fd = stranger.call(attempt.open_, recorder.sr, NONBLOCK)
        lock = stranger.call(srlock.open_lock, m.call(drive.srlock, recorder.device))
        hold = Hold(m, recorder.device)
        log = m.call(drive.read, recorder.log)
        assert stranger.call(reset_on, fd, RESET_DEVICE) == errno.EBUSY
        assert stranger.call(reset_on, lock, RESET_DEVICE) in (errno.ENOTTY, errno.EPERM)
        assert hold.call(reset_on, hold.fd, RESET_DEVICE) == errno.ENOTTY
        assert m.call(drive.read, recorder.log) == log, "the drive was reset"
        assert recorder.prevented()
        hold.release()


@test("P6 a time-out of the holder's command loses neither hold nor tray ({})", each=["usb"],
      timeout=240)
def timed_out(m, bus):
    no_udev(m)
    m.call(intrude.poll_every, bus, 0)
    m.sh("echo 300 >/proc/sys/kernel/hung_task_timeout_secs")
    stranger = m.process()
    fd = stranger.call(attempt.open_, m.call(drive.sg, bus), os.O_RDWR)
    hold = Hold(m, bus)
    child = hold.process.fork()
    child.call(os.close, hold.fd)
    sr = child.call(attempt.open_, m.call(drive.sr, bus), NONBLOCK)
    m.stall(bus, 12)     # SG_IO waits for no less than 7 s; and QEMU finishes the read before the reset
    mark = m.trace.mark()
    pending = child.begin(scsi.send_on, sr, scsi.read10(64, 1), 2048, timeout=1500)
    eventually(lambda: any(c.opcode == 0x28 for c in m.trace.since(mark, bus)), SOON, "the read is sent")
    foreign = stranger.begin(intrude.sg_io, fd)      # while error handling comes
    result = pending.result(120)
    m.stall(bus, 0)
    assert not result["good"], "the command did not time out"
    assert foreign.result(120) == "refused"
    kept(hold, {"sr": m.call(drive.sr, bus), "sg": m.call(drive.sg, bus)}, lambda: m.locked(bus))
    assert not [c for c in m.trace.since(mark, bus) if intrude.is_foreign(c.cdb)]
    hold.release()
    assert not m.locked(bus)
    is_free(m, bus)


@test("P6 the tray is locked after a reset of the USB device by foreign root", timeout=120)
def usb_device(m):
    no_udev(m)
    m.call(intrude.poll_every, "usb", 0)
    hold = Hold(m, "usb")
    for _ in range(3):
        m.call(usb_reset, "usb", timeout=60)
        kept(hold, {"sr": m.call(drive.sr, "usb"), "sg": m.call(drive.sg, "usb")}, lambda: m.locked("usb"))
    hold.release()
    assert not m.locked("usb")
    is_free(m, "usb")


@test("P11 a USB drive that is deauthorized is gone for its holder, and free when it is back", timeout=180)
def deauthorized(m):
    hold = Hold(m, "usb")
    folder = m.call(usb_folder, "usb")
    m.call(authorize, folder, "0", timeout=60)
    eventually(lambda: hold.info()["state"] == srlock.GONE, SOON)
    assert hold.call(attempt.errno_of, "srlock", "release", hold.fd) == "ENODEV"
    m.call(authorize, folder, "1", timeout=60)
    m.call(wait_nodes, "usb", timeout=140)
    is_free(m, "usb")
