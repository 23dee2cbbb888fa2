# SPDX-License-Identifier: GPL-2.0-or-later
"""The witness (witness/witness.c) in the integration machine. Functions of the host."""

from __future__ import annotations

from pathlib import Path

from machine.guest import drive

HERE = Path(__file__).resolve().parent
FILE = "/sys/kernel/debug/witness"


def build(release: str) -> Path:
    """The module in witness/, for the machine's kernel."""
    from machine import kmod  # not there in the machine
    return kmod.build(HERE / "witness", release)


def load(m) -> None:
    """Put it into a machine."""
    m.put("/tmp/witness.ko", build(m.sh("uname -r")["stdout"].strip()))
    m.sh("insmod /tmp/witness.ko")


def look(m, address: str) -> dict[str, str]:
    """What it says of a drive (H:C:T:L), empty if it does not know it."""
    for line in m.call(drive.read, FILE).splitlines():
        name, *words = line.split()
        if name == address:
            return dict(word.split("=", 1) for word in words)
    return {}


def in_place(m, address: str) -> bool:
    """Whether queue and disk have their own operations."""
    found = look(m, address)
    return found.get("queue") == "scsi" and found.get("disk") in ("sr", "none")
