# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a drive's nodes are. A drive is named by its bus: "ahci", "virtio", "usb", or by its sysfs folder."""

from __future__ import annotations

import glob
import os
import time

from .limits import patient

# What a drive's place in sysfs has in it and no other's has.
_PLACES = {"ahci": "/ata", "usb": "/usb", "virtio": "/virtio"}


def _is_optical(folder: str) -> bool:
    try:
        return read(folder + "/type") in ("4", "5")
    except OSError:    # it is going away just now: ENOENT, or ENODEV from the read
        return False


def device(drive: str) -> str:
    """The SCSI device's folder in sysfs."""
    if drive.startswith("/"):
        return os.path.realpath(drive)
    for path in sorted(glob.glob("/sys/bus/scsi/devices/*:*:*:*")):
        real = os.path.realpath(path)
        if _PLACES[drive] in real and _is_optical(real):
            return real
    raise FileNotFoundError(f"no {drive} drive")


def present(drive: str) -> bool:
    try:
        device(drive)
    except FileNotFoundError:
        return False
    return True


def address(drive: str) -> str:
    """host:channel:target:lun"""
    return os.path.basename(device(drive))


def _child(drive: str, kind: str) -> str:
    names = glob.glob(f"{device(drive)}/{kind}/*")
    if not names:
        raise FileNotFoundError(f"the {drive} drive has no {kind} node")
    return os.path.basename(names[0])


def name(drive: str) -> str:
    """sr0 or the like."""
    return next(n for n in (os.path.basename(p) for p in glob.glob(device(drive) + "/block/*")))


def sr(drive: str) -> str:
    return "/dev/" + _child(drive, "block")


def sg(drive: str) -> str:
    return "/dev/" + _child(drive, "scsi_generic")


def bsg(drive: str) -> str:
    return "/dev/bsg/" + _child(drive, "bsg")


def srlock(drive: str) -> str:
    return "/dev/" + _child(drive, "srlock")


def attributes(drive: str) -> str:
    """The folder of the lock's attributes in sysfs."""
    return f"/sys/class/srlock/{_child(drive, 'srlock')}"


def read(path: str) -> str:
    with open(path) as file:
        return file.read().rstrip("\n")


def write(path: str, text: str) -> None:
    """Write a sysfs attribute in one call."""
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def wait_node(find, drive: str, timeout: float = 10) -> str:
    """Wait until a node is there, for instance wait_node(sr, "usb")."""
    timeout = patient(timeout)
    deadline = time.monotonic() + timeout
    while True:
        try:
            path = find(drive)
            if os.path.exists(path):
                return path
        except FileNotFoundError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {find.__name__} node of the {drive} drive in {timeout} s")
        time.sleep(0.02)
