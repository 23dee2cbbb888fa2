# SPDX-License-Identifier: GPL-2.0-or-later
"""P11: sleep, to RAM (S3) and to idle (s2idle), while drives are held. The machine really sleeps and is woken.

In S3 the drives and their hosts have no power: QEMU resets them when it wakes the machine. In s2idle it is the
drivers of their hosts that reset them. Either way a tray that was locked is not, until PREVENT is sent again.
"""

from __future__ import annotations

import errno
import os
import time

import intrude
from clients import client, holder, wait_line
from holding import DRIVES, NO_PREVENT, Hold, attribute, door, no_udev, text
from machine import eventually, never, test
from machine.guest import cdrom, drive, scsi, srlock

NONBLOCK = os.O_RDWR | os.O_NONBLOCK
STATES = ["mem", "freeze"]
OWN = scsi.inquiry(79)


def identity(info: dict) -> dict:
    """What of GET_INFO must not change."""
    return {name: info[name] for name in ("state", "count", "my_count", "pid", "uid", "client", "since_ns")}


def foreigners(m, bus: str, others: dict) -> dict:
    """What strangers get by each door, on new files and on those that they had open before the sleep."""
    sr, sg, bsg = (m.call(find, bus) for find in (drive.sr, drive.sg, drive.bsg))
    return {
        "sr": m.call(intrude.open_close, sr, NONBLOCK),
        "sg": m.call(intrude.on_new_file, sg, os.O_RDWR, "sg_io"),
        "bsg": m.call(intrude.on_new_file, bsg, os.O_RDWR, "bsg_io"),
        "old sg": others["process"].call(intrude.sg_io, others["sg"]),
        "lock": client(m, bus).try_acquire()["errno"],
    }


REFUSED = {"sr": "EBUSY", "sg": "refused", "bsg": "refused", "old sg": "refused", "lock": errno.EBUSY}


@test("P11 drives are held through a real sleep, and foreigners kept out ({})", each=STATES, timeout=240)
def held(m, state):
    no_udev(m)
    held, others = [], []
    for bus in DRIVES:
        other = m.process()
        others.append({"process": other, "sg": other.call(os.open, m.call(drive.sg, bus), os.O_RDWR)})
        held.append(Hold(m, bus))
        held[-1].call(srlock.acquire, held[-1].fd)
    before = [identity(hold.info()) for hold in held]
    with m.asleep(state):
        time.sleep(1)
    for hold, other, was in zip(held, others, before):
        bus = hold.bus
        assert identity(hold.info()) == was, hold.info()
        assert foreigners(m, bus, other) == REFUSED, (bus, foreigners(m, bus, other))
        assert hold.call(scsi.send_on, hold.fd, OWN, 79)["good"], bus
        assert hold.call(cdrom.read_at, m.call(drive.sr, bus)), bus
        assert not [c for c in hold.reached() if intrude.is_foreign(c.cdb)], text(hold.reached())
        assert hold.call(srlock.release, hold.fd) == 1
        hold.release()
        assert attribute(m, bus, "state") == "free" and not m.locked(bus), bus
        assert other["process"].call(intrude.sg_io, other["sg"]) == "ok"


@test("P6 the tray is locked again after a real sleep ({})", each=STATES, timeout=240)
def tray(m, state):
    no_udev(m)
    held = [Hold(m, bus) for bus in DRIVES]
    with m.asleep(state):
        time.sleep(1)
    for hold in held:
        bus = hold.bus
        eventually(lambda: m.locked(bus), 20, f"the {bus} tray is locked")
        assert set(door(hold.reached())) == {True}, (bus, text(hold.reached()))
        assert hold.info()["status"] & srlock.STATUS_PREVENTED, bus
        m.press_eject(bus)
        assert not m.tray_open(bus), bus
        hold.release()
        assert not m.locked(bus), bus


@test("P6 a sleep locks no tray that the holder has unlocked, or wanted to be left alone ({})", each=STATES,
      timeout=240)
def own_allow(m, state):
    no_udev(m)
    allowed, alone, locked = Hold(m, "ahci"), Hold(m, "virtio", flags=NO_PREVENT), Hold(m, "usb")
    assert allowed.call(scsi.send_on, allowed.fd, scsi.ALLOW)["good"]
    with m.asleep(state):
        time.sleep(1)
    eventually(lambda: m.locked("usb"), 20, "the usb tray is locked")     # so this has been done
    never(lambda: m.locked("ahci") or m.locked("virtio"), 2, "a tray is locked that must not be")
    for hold in (allowed, alone, locked):
        hold.release()
        assert not m.locked(hold.bus)


@test("P10 those who wait keep their places through a real sleep ({})", each=STATES, timeout=240)
def in_line(m, state):
    no_udev(m)
    first = holder(m)
    # The kernel thaws processes in the order of their age, so the youngest stands first here.
    line = [client(m) for _ in range(6)][::-1]
    waiting = []
    for place, waiter in enumerate(line, 1):
        waiting.append(waiter.wait(name=f"waiter {place}", wait=600 if place % 2 else None))
        wait_line(first, place)
    with m.asleep(state):
        time.sleep(1)
    wait_line(first, len(line))
    served = []
    before = first
    for _ in line:
        before.release()
        eventually(lambda: any(w.done() for n, w in enumerate(waiting) if n not in served), 20, "the next one")
        served += [n for n, w in enumerate(waiting) if n not in served and w.done()]
        assert waiting[served[-1]].result()["errno"] == 0
        before = line[served[-1]]
    assert served == list(range(len(line))), served
    before.release()
