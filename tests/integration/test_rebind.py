# SPDX-License-Identifier: GPL-2.0-or-later
"""P11: sr is bound again in the moment in which the hold ends. The new disk must not be gated for nobody."""

from __future__ import annotations

import os
from pathlib import Path

import intrude
from holding import Hold, is_free, no_udev
from machine import eventually, test
from machine.guest import drive, shell, srlock

HERE = Path(__file__).resolve().parent
DRIVER = "/sys/bus/scsi/drivers/sr"
PARAMETERS = "/sys/module/latebind/parameters"
NONBLOCK = os.O_RDONLY | os.O_NONBLOCK


def build(release: str) -> Path:
    """The module in latebind/, for the machine's kernel."""
    from machine import kmod  # not there in the machine
    return kmod.build(HERE / "latebind", release)


def driver(word: str, address: str) -> None:
    drive.write(f"{DRIVER}/{word}", address)


def sr_of(address: str) -> str:
    return drive.sr(f"/sys/bus/scsi/devices/{address}")


@test("P11 a hold that ends while sr is bound again leaves the new disk open", timeout=120)
def released_binding(m):
    bus = "virtio"
    no_udev(m)
    m.put("/tmp/latebind.ko", build(m.sh("uname -r")["stdout"].strip()))
    address = m.call(drive.address, bus)
    hold = Hold(m, bus)
    m.call(driver, "unbind", address)
    m.sh("insmod /tmp/latebind.ko")
    binding = m.process().begin(driver, "bind", address)
    eventually(lambda: m.call(shell.read, f"{PARAMETERS}/here").strip() == "Y", 10, "the new disk is about to be gated")
    hold.release()
    assert hold.info()["state"] == srlock.FREE
    m.call(drive.write, f"{PARAMETERS}/go", "1")
    binding.result(30)
    m.sh("rmmod latebind")
    path = m.call(sr_of, address)
    assert m.call(intrude.open_close, path, NONBLOCK) == "ok"
    is_free(m, bus)
