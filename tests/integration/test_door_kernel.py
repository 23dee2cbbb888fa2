# SPDX-License-Identifier: GPL-2.0-or-later
"""P6 where the kernel takes a drive for one that cannot lock its door, for a single answer of it."""

from __future__ import annotations

import os

import intrude
from holding import no_udev
from machine import test
from machine.guest import attempt, cdrom, drive, srlock
from recorder import Recorder

RW = os.O_RDWR | os.O_NONBLOCK
ALLOW = "1e......00"


def lock_door(fd: int, locked: int) -> str:
    """What CDROM_LOCKDOOR says."""
    return intrude.ioctl(fd, cdrom.CDROM_LOCKDOOR, locked)


@test("P6 the final release unlocks the tray although an ALLOW of the kernel was an illegal request once", timeout=120)
def illegal_once(m):
    with Recorder(m, medium="dvd+r") as recorder:
        no_udev(m)
        m.call(intrude.poll_every, recorder.device, 0)
        process = m.process()
        fd = process.call(srlock.hold, process.call(drive.srlock, recorder.device))
        assert recorder.prevented()
        sr = process.call(attempt.open_, recorder.sr, RW)
        recorder.fault(f"{ALLOW} sense=5/2c/00")
        process.call(lock_door, sr, 0)
        assert recorder.prevented() and recorder.status()["faults"] == "0"
        process.call(os.close, sr)
        assert process.call(srlock.release, fd) == 0
        assert not recorder.prevented()
