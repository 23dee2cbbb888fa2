# SPDX-License-Identifier: GPL-2.0-or-later
"""BREAK: taking a drive from its holder."""

from __future__ import annotations

import errno
import os
import select

from clients import (BUS, CDROM_GROUP, USER, admitted, calm, client, holder, ioctl_bytes,
                     nothing_changes, pass_file, wait_free, wait_line, wait_sent, watcher)
from machine import GuestError, eventually, test
from machine.guest import attempt, cdrom, drive, scsi, srlock


def broken(m, bus: str = BUS):
    """A client whose hold was broken, and the one who did it."""
    one, breaker = holder(m, bus=bus), client(m, bus)
    breaker.call(srlock.break_)
    wait_free(breaker)
    return one, breaker


@test("BREAK frees the drive and unlocks the tray, whatever the count is ({})", each=["ahci", "virtio", "usb"])
def frees(m, bus):
    calm(m)
    watch, one, breaker = watcher(m, bus), holder(m, bus=bus), client(m, bus)
    one.acquire()
    one.acquire()
    assert m.locked(bus)
    assert breaker.call(srlock.break_) == 0
    assert watch.info()["count"] == 0
    wait_free(watch)
    info = watch.info()
    assert (info["state"], info["count"], info["pid"], info["client"]) == (srlock.FREE, 0, 0, ""), info
    assert not m.locked(bus)
    assert breaker.acquire("next")["count"] == 1


COMMANDS = {
    "ACQUIRE": (srlock.acquire,), "RELEASE": (srlock.release,),
    "SG_IO": (scsi.send_on, scsi.TEST_UNIT_READY),
    "CDROM_SEND_PACKET": (cdrom.send_packet, scsi.TEST_UNIT_READY),
    "CDROMEJECT": (cdrom.ioctl, cdrom.CDROMEJECT), "CDROMCLOSETRAY": (cdrom.ioctl, cdrom.CDROMCLOSETRAY),
}


def outcomes(one) -> dict[str, int]:
    return {word: one.errno(function, *arguments) for word, (function, *arguments) in COMMANDS.items()}


@test("P12 calls and commands on a broken file are EOWNERDEAD until it is closed, and change nothing")
def owner_dead(m):
    all_dead = dict.fromkeys(COMMANDS, errno.EOWNERDEAD)
    one, breaker = broken(m)
    with nothing_changes(m, one):
        assert outcomes(one) == all_dead
    child = one.fork()
    breaker.acquire()
    with nothing_changes(m, one, breaker):
        assert outcomes(one) == outcomes(child) == all_dead
    breaker.release()
    assert outcomes(one) == all_dead
    assert not m.tray_open(BUS)


@test("an ACQUIRE with a deadline on a broken file is EOWNERDEAD at once")
def dead_waiting(m):
    one, breaker = broken(m)
    breaker.acquire()
    assert one.try_acquire(wait=None)["errno"] == errno.EOWNERDEAD
    assert breaker.info()["waiters"] == 0


@test("GET_INFO, read and poll work on a broken file")
def broken_looks(m):
    one, breaker = broken(m)
    breaker.acquire("next")
    info = one.info()
    assert info["status"] & srlock.STATUS_BROKEN and not info["status"] & srlock.STATUS_MINE
    assert (info["my_count"], info["count"], info["client"]) == (0, 1, "next"), info
    types = [event["type"] for event in one.call(srlock.events, 5) if event["type"] != srlock.EVENT_REFUSED]
    assert types == [srlock.EVENT_HELD, srlock.EVENT_BROKEN, srlock.EVENT_HELD], types
    assert one.call(srlock.poll) & select.POLLERR
    assert not breaker.info()["status"] & srlock.STATUS_BROKEN


@test("a new file of the broken holder is a client as any other")
def new_file(m):
    one, breaker = broken(m)
    again = client(m, process=one.process)
    assert again.acquire()["count"] == 1
    assert one.errno(srlock.release) == errno.EOWNERDEAD
    one.close()
    assert again.info()["count"] == 1 and again.release() == 0
    assert breaker.info()["state"] == srlock.FREE


@test("closing a broken file releases nobody else's hold")
def closing_broken(m):
    one, breaker = broken(m)
    breaker.acquire()
    one.kill()
    assert breaker.info()["my_count"] == 1
    assert m.locked(BUS)


@test("the broken holder, its children and those that joined are foreign at once")
def foreign_at_once(m):
    calm(m)
    one = holder(m)
    child, joined = one.process.fork(), pass_file(one, m.process())
    joined.acquire()
    breaker = client(m)
    breaker.call(srlock.break_)
    breaker.acquire()
    for process in (one.process, child, joined.process):
        assert not process.call(admitted, BUS)
    assert breaker.process.call(admitted, BUS)


@test("an sr file of the broken holder becomes a prior open")
def becomes_prior(m):
    calm(m)
    one = holder(m)
    path = one.process.call(drive.sr, BUS)
    fd = one.process.call(attempt.open_, path, os.O_RDONLY)
    assert len(one.process.call(cdrom.read_at, fd)) == 2048
    breaker = client(m)
    breaker.call(srlock.break_)
    breaker.acquire()
    assert breaker.info()["prior_opens"] == 1
    mark = m.trace.mark()
    for function, arguments in ((cdrom.ioctl, (fd, cdrom.CDROM_DRIVE_STATUS)),
                                (scsi.send_on, (fd, scsi.TEST_UNIT_READY))):
        try:
            one.process.call(function, *arguments)
            raise AssertionError(f"{function} worked")
        except GuestError as error:
            assert error.errno == errno.EBUSY
    assert not m.trace.since(mark, BUS)
    one.process.call(os.close, fd)
    assert breaker.info()["prior_opens"] == 0


@test("a process with CAP_SYS_ADMIN may break its own hold")
def own_hold(m):
    one = holder(m)
    assert one.call(srlock.break_) == 0
    assert one.errno(srlock.release) == errno.EOWNERDEAD


@test("BREAK gives the drive to the first in line, not to the breaker")
def to_the_line(m):
    watch, one, first, second = watcher(m), holder(m), client(m), client(m)
    waiting = first.wait("first")
    wait_line(watch, 1)
    second.wait("second")
    wait_line(watch, 2)
    breaker = client(m)
    breaker.call(srlock.break_)
    assert waiting.result()["errno"] == 0
    assert watch.info()["pid"] == first.process.pid
    assert breaker.try_acquire()["errno"] == errno.EBUSY
    assert one.errno(srlock.release) == errno.EOWNERDEAD


@test("an unprivileged holder's hold can be broken by root")
def breaks_user(m):
    child = client(m).fork(uid=USER, groups=(CDROM_GROUP,))
    child.acquire("user")
    assert client(m).call(srlock.break_) == 0
    assert child.errno(srlock.release) == errno.EOWNERDEAD


def read_disc(fd: int, block: int) -> dict:
    return scsi.sg_io(fd, scsi.read10(block, 1), 2048, timeout=60000).plain()


@test("BREAK is quick, and ownership ends, while a command of the holder hangs ({})",
      each=["ahci", "virtio", "usb"])
def while_command_hangs(m, bus):
    calm(m)
    watch, one, breaker = watcher(m, bus), holder(m, bus=bus), client(m, bus)
    m.call(drive.write, f"{m.call(drive.attributes, bus)}/command_timeout_ms", "120000")
    m.stall(bus, 3600)
    mark = m.trace.mark()
    reading = one.begin(read_disc, 16)
    wait_sent(m, mark, bus)
    # half a second for the tray, the rest is for a slow machine; nowhere near the drive's time
    assert breaker.begin(srlock.break_).result(20) == 0
    info = watch.info()
    assert info["count"] == 0 and info["state"] in (srlock.FREE, srlock.RELEASING), info
    assert not reading.done()
    m.stall(bus, 0)
    reading.result()
    assert one.errno(srlock.release) == errno.EOWNERDEAD
    wait_free(watch)
    eventually(lambda: not m.locked(bus), 10, "the tray is unlocked")
    assert breaker.acquire(wait=10)["count"] == 1


@test("BREAK is quick while a foreign command hangs that the ACQUIRE had waited for")
def while_acquiring(m):
    foreign, one, breaker = m.process(), client(m), client(m)
    fd = foreign.call(attempt.open_, foreign.call(drive.sr, BUS))
    m.stall(BUS, 3600)
    mark = m.trace.mark()
    reading = foreign.begin(read_disc, fd, 16)
    wait_sent(m, mark)
    acquiring = one.begin(srlock.try_acquire)
    eventually(lambda: breaker.info()["state"] == srlock.ACQUIRING, what="acquiring")
    # nobody holds yet
    assert breaker.errno(srlock.break_) == errno.EPERM
    m.stall(BUS, 0)
    reading.result()
    assert acquiring.result()["errno"] == 0
    assert breaker.call(srlock.break_) == 0


@test("many breakers at once: one breaks, the others find nobody")
def at_once(m):
    one = holder(m)
    breakers = [client(m) for _ in range(6)]
    pending = [breaker.begin(ioctl_bytes, srlock.IOC_BREAK, b"") for breaker in breakers]
    results = sorted(call.result()[0] for call in pending)
    assert results == [-errno.EPERM] * 5 + [0], results
    assert one.errno(srlock.release) == errno.EOWNERDEAD
