# SPDX-License-Identifier: GPL-2.0-or-later
"""P11: drives that go away while they are held, sr unbound and bound again."""

from __future__ import annotations

import errno
import os
import select
import time

import intrude
from hanging import delete
from holding import DRIVES, Hold, door, is_free, no_udev, text
from machine import GuestError, eventually, test
from machine.guest import drive, scsi, srlock

RO, NONBLOCK, RW = os.O_RDONLY, os.O_RDONLY | os.O_NONBLOCK, os.O_RDWR | os.O_NONBLOCK
OWN = scsi.inquiry(79)


def is_gone(path: str) -> bool:
    """Whether a node is gone, or nobody answers there."""
    return not os.path.exists(path)


def error_of(process, function, *args) -> int:
    """The errno of a call; 0 when it works."""
    try:
        process.call(function, *args)
    except GuestError as error:
        return error.errno
    return 0


def told(hold: Hold) -> None:
    """The holder of a drive that is gone gets ENODEV everywhere and HUP from poll."""
    eventually(lambda: hold.info()["state"] == srlock.GONE, 20, "the state is `gone`")
    info = hold.info()
    assert info["count"] == info["my_count"] == info["pid"] == 0, info
    assert error_of(hold.process, srlock.release, hold.fd) == errno.ENODEV
    assert error_of(hold.process, srlock.acquire, hold.fd) == errno.ENODEV
    assert error_of(hold.process, scsi.send_on, hold.fd, OWN, 79) == errno.ENODEV
    assert hold.call(srlock.poll, hold.fd) & select.POLLHUP
    kinds = [event["type"] for event in hold.call(srlock.events, hold.fd)]
    assert kinds[0] == srlock.EVENT_HELD and kinds[-1] == srlock.EVENT_UNPLUGGED, kinds
    eventually(lambda: hold.m.call(is_gone, hold.path), 10, "the lock node is gone")


# Surprise

@test("P11 the holder of an unplugged drive gets ENODEV and HUP ({})", each=DRIVES, timeout=120)
def held(m, bus):
    hold = Hold(m, bus)
    m.unplug(bus)
    told(hold)


@test("P11 those who wait for an unplugged drive get ENODEV ({})", each=DRIVES, timeout=120)
def waiting(m, bus):
    hold = Hold(m, bus)
    waiters = []
    for _ in range(3):
        process = m.process()
        fd = process.call(srlock.open_lock, hold.path)
        waiters.append(process.begin(srlock.try_acquire, fd, "waiter", 0, None))
    eventually(lambda: hold.info()["waiters"] == 3)
    m.unplug(bus)
    assert [pending.result(30)["errno"] for pending in waiters] == [errno.ENODEV] * 3
    told(hold)


@test("P11 those who wait for another program's claim get ENODEV when the drive is deleted", timeout=120)
def waiting_for_claim(m):
    no_udev(m)
    opener = m.process()
    opener.call(os.open, m.call(drive.sr, "virtio"), NONBLOCK | os.O_EXCL)
    path = m.call(drive.srlock, "virtio")
    watch = m.process()
    fd = watch.call(srlock.open_lock, path)
    waiters = []
    for _ in range(2):
        process = m.process()
        waiters.append(process.begin(srlock.try_acquire, process.call(srlock.open_lock, path), "waiter", 0, None))
    eventually(lambda: watch.call(srlock.info, fd)["waiters"] == 2)
    m.process().call(delete, "virtio")
    assert [pending.result(30)["errno"] for pending in waiters] == [errno.ENODEV] * 2
    eventually(lambda: watch.call(srlock.info, fd)["state"] == srlock.GONE, 20)


@test("P11 a lock file of a drive that was unplugged free gives ENODEV ({})", each=DRIVES, timeout=120)
def free(m, bus):
    process = m.process()
    fd = process.call(srlock.open_lock, m.call(drive.srlock, bus))
    m.unplug(bus)
    eventually(lambda: process.call(srlock.info, fd)["state"] == srlock.GONE, 20)
    assert error_of(process, srlock.acquire, fd) == errno.ENODEV
    assert process.call(srlock.poll, fd) & select.POLLHUP


@test("P11 a drive that is unplugged under load ends all calls ({})", each=DRIVES, timeout=180)
def under_load(m, bus):
    hold = Hold(m, bus)
    child = hold.process.fork()
    started = [f"/tmp/started-{number}" for number in range(5)]
    load = [m.process().begin(intrude.hammer, bus, way, 300, "/tmp/enough", file)
            for way, file in zip(("sr", "open", "sg", "bsg"), started)]
    own = child.begin(intrude.hammer, bus, "sr", 300, "/tmp/enough", started[4])
    eventually(lambda: all(m.call(os.path.exists, file) for file in started), 60)
    m.unplug(bus)
    time.sleep(2)
    m.put("/tmp/enough", b"")
    for pending in (*load, own):
        pending.result(60)
    told(hold)


@test("P11 a drive that is unplugged with the holder's command in flight ends it ({})", each=["virtio", "usb"],
      timeout=180)
def in_flight(m, bus):
    hold = Hold(m, bus)
    m.stall(bus, 3600)
    child = hold.process.fork()
    mark = m.trace.mark()
    pending = child.begin(intrude.word_of_command, hold.fd, scsi.read10(64, 1), 2048)
    eventually(lambda: [c for c in m.trace.since(mark, bus) if c.opcode == 0x28], 10)
    m.unplug(bus)
    assert pending.result(60) != "ok"
    told(hold)


# By the administrator

@test("P11 a drive that is deleted while held has its tray unlocked ({})", each=DRIVES, timeout=120)
def deleted(m, bus):
    no_udev(m)
    hold = Hold(m, bus)
    assert m.locked(bus)
    m.call(delete, bus, timeout=30)
    assert not m.locked(bus)
    assert door(hold.reached()) == [False], text(hold.reached())
    told(hold)


def unbind_host(bus: str) -> None:
    """Take the host adapter's driver away from it."""
    path = drive.device(bus)
    while not os.path.exists(path + "/driver/unbind") or os.path.basename(path).count(":") == 3:
        path = os.path.dirname(path)
    drive.write(path + "/driver/unbind", os.path.basename(path))


@test("P11 a host whose driver is unbound takes its held drive along ({})", each=DRIVES, timeout=120)
def host_unbound(m, bus):
    hold = Hold(m, bus)
    m.call(unbind_host, bus, timeout=60)
    told(hold)


# sr alone

def sr_driver(action: str, address: str) -> None:
    drive.write(f"/sys/bus/scsi/drivers/sr/{action}", address)


def sr_of(address: str) -> str:
    return drive.sr(f"/sys/bus/scsi/devices/{address}")


@test("P11 sr unbound and bound again while held: the new disk is gated, too ({})", each=DRIVES, timeout=180)
def rebind(m, bus):
    no_udev(m)
    m.call(intrude.poll_every, bus, 0)
    address, sg = m.call(drive.address, bus), m.call(drive.sg, bus)
    hold = Hold(m, bus)
    load = m.process().begin(intrude.hammer, bus, "sg", 5)
    for _ in range(2):
        m.call(sr_driver, "unbind", address)
        assert m.call(intrude.on_new_file, sg, os.O_RDWR, "sg_io") == "refused"
        assert hold.call(scsi.send_on, hold.fd, OWN, 79)["good"]
        assert hold.info()["state"] == srlock.HELD
        m.call(sr_driver, "bind", address, timeout=60)
        path = m.call(sr_of, address)
        eventually(lambda: m.call(os.path.exists, path), 10)
        assert m.call(intrude.open_close, path, NONBLOCK) == "EBUSY"
        assert m.call(intrude.mount, path) == "EBUSY"
        assert hold.call(intrude.on_new_file, path, RO | os.O_EXCL, "read", 4) == "ok"
        assert hold.call(intrude.on_new_file, path, RW, "sg_io") == "ok"
    assert set(load.result(30)["words"]) == {"refused"}
    hold.release()
    assert m.call(intrude.on_new_file, path, RO, "read", 5) == "ok"
    assert not m.locked(bus)
    is_free(m, bus)


@test("P11 a drive without sr cannot be acquired, and can again with it ({})", each=DRIVES, timeout=120)
def unbound(m, bus):
    address, path = m.call(drive.address, bus), m.call(drive.srlock, bus)
    m.call(sr_driver, "unbind", address)
    process = m.process()
    fd = process.call(srlock.open_lock, path)
    assert error_of(process, srlock.acquire, fd) == errno.ENODEV
    m.call(sr_driver, "bind", address, timeout=60)
    is_free(m, bus)


@test("P11 a hold that is released while sr is unbound leaves nothing behind ({})", each=DRIVES, timeout=120)
def released_unbound(m, bus):
    no_udev(m)
    address, sg = m.call(drive.address, bus), m.call(drive.sg, bus)
    hold = Hold(m, bus)
    m.call(sr_driver, "unbind", address)
    hold.release()
    assert not m.locked(bus)
    assert m.call(intrude.on_new_file, sg, os.O_RDWR, "sg_io") == "ok"
    m.call(sr_driver, "bind", address, timeout=60)
    is_free(m, bus)


@test("P11 sr_mod cannot be unloaded while a drive is held, nor does an unload end a hold ({})", each=["virtio"],
      timeout=180)
def unload_sr(m, bus):
    no_udev(m)
    address = m.call(drive.address, bus)
    hold = Hold(m, bus)
    done = m.sh("rmmod sr_mod", check=False)
    assert done["rc"] and "in use" in done["stderr"], done
    m.call(sr_driver, "unbind", address)
    m.sh("rmmod sr_mod", timeout=60)
    assert hold.info()["state"] == srlock.HELD
    m.sh("modprobe sr_mod", timeout=60)
    path = m.call(sr_of, address)
    assert m.call(intrude.open_close, path, NONBLOCK) == "EBUSY"
    assert hold.call(intrude.on_new_file, path, RO, "read", 4) == "ok"
    hold.release()
    assert m.call(intrude.open_close, path, RO) == "ok"
    # While the module tells of the new medium it keeps sr for a moment.
    eventually(lambda: m.sh("rmmod sr_mod", timeout=60, check=False)["rc"] == 0, 10, "sr is unloaded")
    m.sh("modprobe sr_mod", timeout=60)
