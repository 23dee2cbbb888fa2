# SPDX-License-Identifier: GPL-2.0-or-later
"""A hold as the tests of the gate use it: who holds, since where in the trace, and what reached the drive."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from machine import Skip, eventually
from machine.guest import drive, shell, srlock

DRIVES = ["ahci", "virtio", "usb"]
NO_PREVENT, FORCE = srlock.NO_PREVENT, srlock.FORCE


class Hold:
    """A process that holds a drive. The mark is set when ACQUIRE has returned."""

    def __init__(self, m, bus: str, name: str = "burner", flags: int = 0, process=None) -> None:
        self.m, self.bus = m, bus
        self.path = m.call(drive.srlock, bus)
        self.process = process or m.process()
        self.fd = self.process.call(srlock.hold, self.path, name, flags)
        self.mark = m.trace.mark()

    def call(self, function: Callable, *args, **options):
        """Have the holder do something."""
        return self.process.call(function, *args, **options)

    def info(self) -> dict:
        return self.call(srlock.info, self.fd)

    def release(self) -> None:
        assert self.call(srlock.release, self.fd) == 0

    def reached(self, settle: float = 0) -> list:
        """What reached the drive since the mark."""
        return self.m.trace.since(self.mark, self.bus, settle)

    def quiet(self, settle: float = 0) -> None:
        """Fail if anything reached the drive since the mark. For a holder that sends nothing itself."""
        assert not (seen := self.reached(settle)), text(seen)


def text(commands: Iterable) -> str:
    """Commands for an error message."""
    return "reached the drive:\n" + "\n".join(map(str, commands))


def door(commands: Iterable) -> list[bool]:
    """The PREVENTs (True) and ALLOWs (False) among commands."""
    return [c.prevent for c in commands if c.prevent is not None]


def attribute(m, bus: str, name: str) -> str:
    """One of the lock's attributes in sysfs."""
    return m.call(shell.read, f"{m.call(drive.attributes, bus)}/{name}")


def set_timeout(m, bus: str, milliseconds: int) -> None:
    """command_timeout_ms of a drive."""
    m.call(drive.write, f"{m.call(drive.attributes, bus)}/command_timeout_ms", str(milliseconds))


def probes(m) -> None:
    """The test is of kernel probes: skip it where the kernel has none, as the project's own."""
    if not m.call(os.path.exists, "/sys/kernel/tracing/kprobe_events"):
        raise Skip("the kernel has no kprobe_events")


def no_udev(m) -> None:
    """From here on udev looks at no drive, and locks no tray, as its cdrom_id does at every event."""
    m.sh("udevadm settle; udevadm control --stop-exec-queue", timeout=60)


def is_free(m, bus: str, timeout: float = 20) -> None:
    """Wait until the drive is free, and see that it can be held and released."""
    eventually(lambda: attribute(m, bus, "state") == "free", timeout, f"the {bus} drive is free")
    Hold(m, bus, "next").release()
    assert attribute(m, bus, "state") == "free"
