# SPDX-License-Identifier: GPL-2.0-or-later
"""Those who get into a burner's way. These functions run in the machine, each until it is killed.

None of them means harm, except for two_commands(): they are what runs on a desktop, only more of it.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import time

from machine.guest import cdrom, scsi

PR_SET_NAME = 15


def become(name: str) -> None:
    """Give the calling process a name, by which the witness knows it."""
    ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode(), 0, 0, 0)


def send_forever(name: str, node: str, pause: float) -> None:
    """INQUIRY after INQUIRY through one open file of an sg or bsg node."""
    become(name)
    fd = os.open(node, os.O_RDWR | os.O_NONBLOCK)
    while True:
        scsi.send_on(fd, scsi.inquiry(77), 77, node.startswith("/dev/bsg/"))
        time.sleep(pause)


def exclusive(name: str, node: str, pause: float) -> None:
    """Another burner: opens the drive with O_EXCL and asks whether it is ready."""
    become(name)
    while True:
        try:
            fd = os.open(node, os.O_RDWR | os.O_NONBLOCK | os.O_EXCL)
        except OSError:
            time.sleep(pause)
            continue
        try:
            scsi.sg_io(fd, scsi.TEST_UNIT_READY)
        except OSError:     # opened just before the hold began
            pass
        os.close(fd)
        time.sleep(pause)


def poller(name: str, node: str, pause: float) -> None:
    """A desktop's monitor: opens the drive and asks what is in it."""
    become(name)
    while True:
        try:
            fd = os.open(node, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            time.sleep(pause)
            continue
        for ioctl in (cdrom.CDROM_DRIVE_STATUS, cdrom.CDROM_MEDIA_CHANGED, cdrom.CDROM_DISC_STATUS):
            try:
                cdrom.ioctl(fd, ioctl)
            except OSError:
                pass
        os.close(fd)
        time.sleep(pause)


def trigger(node: str, pause: float) -> None:
    """Change events, whereupon udev probes the drive."""
    while True:
        subprocess.run(["udevadm", "trigger", "--action=change", f"--name-match={node}"], check=False)
        time.sleep(pause)


def poll_by_kernel(name: str, milliseconds: int) -> None:
    """Have the kernel poll the drive for media."""
    with open(f"/sys/block/{name}/events_poll_msecs", "w") as file:
        file.write(str(milliseconds))


def two_commands(sg: str) -> list[bool]:
    """An ordinary user's two commands: unlock the tray and open it. Whether each was taken."""
    return [scsi.send(sg, cdb)["good"] for cdb in (scsi.ALLOW, scsi.EJECT)]
