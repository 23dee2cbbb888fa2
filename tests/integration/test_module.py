# SPDX-License-Identifier: GPL-2.0-or-later
"""P11: loading and unloading the module."""

from __future__ import annotations

import os
import time

import intrude
from holding import DRIVES, Hold, is_free, no_udev
from machine import eventually, never, test
from machine.guest import attempt, drive, scsi, shell, srlock

RO, NONBLOCK, RW = os.O_RDONLY, os.O_RDONLY | os.O_NONBLOCK, os.O_RDWR | os.O_NONBLOCK
KO = "/opt/srlock.ko"


def is_loaded() -> bool:
    return os.path.exists("/sys/module/srlock")


@test("P11 the module cannot be unloaded while a lock file is open", timeout=120)
def open_file(m):
    process = m.process()
    fd = process.call(srlock.open_lock, m.call(drive.srlock, "virtio"), os.O_RDONLY)
    for step in ("open", "held"):
        if step == "held":
            hold = Hold(m, "ahci")
            process.call(os.close, fd)
        done = m.sh("rmmod srlock", check=False)
        assert done["rc"] and "in use" in done["stderr"], done
        assert m.call(is_loaded)
    hold.release()
    assert m.sh("rmmod srlock", check=False)["rc"]
    hold.call(os.close, hold.fd)
    m.sh("rmmod srlock")
    assert not m.call(is_loaded)


@test("P11 a process that is killed with the drive held leaves a module that can be unloaded at once ({})",
      each=DRIVES, timeout=120)
def killed(m, bus):
    Hold(m, bus).process.kill()
    eventually(lambda: m.sh("rmmod srlock", check=False)["rc"] == 0, 10, "the module is unloaded")
    assert m.call(intrude.open_close, m.call(drive.sr, bus), RO) == "ok"


def again(count: int) -> int:
    """Unload and load the module, and hold all drives in between; how often."""
    for _ in range(count):
        assert (done := shell.run("rmmod srlock", 30))["rc"] == 0, done
        assert (done := shell.run(f"insmod {KO}", 30))["rc"] == 0, done
        fds = [srlock.hold(drive.wait_node(drive.srlock, bus)) for bus in DRIVES]
        for fd in fds:
            assert srlock.release(fd) == 0
            os.close(fd)
    return count


@test("P11 unloading and loading under load does not disturb", timeout=300)
def under_load(m):
    no_udev(m)
    load = [m.process().begin(intrude.hammer, bus, way, 25) for bus in DRIVES for way in ("open", "sg", "bsg")]
    assert m.call(again, 10, timeout=200) == 10
    for pending in load:
        words = set(pending.result(90)["words"])
        assert words <= {"ok", "EBUSY", "refused"} and "ok" in words, words
    for bus in DRIVES:
        is_free(m, bus)


@test("P11 the module is unloaded while a queue of foreign calls is under way ({})", each=DRIVES, timeout=120)
def with_queue(m, bus):
    hold = Hold(m, bus)
    load = [m.process().begin(intrude.hammer, bus, way, 6) for way in ("sr", "open", "sg", "bsg", "exclusive")]
    time.sleep(1)
    hold.release()
    hold.call(os.close, hold.fd)
    m.sh("rmmod srlock", timeout=40)
    for pending in load:
        assert "ok" in pending.result(60)["words"]


@test("P11 the module is unloaded although an ex-holder's child is still inside a call", each=["virtio"],
      timeout=120)
def with_call_inside(m, bus):
    hold = Hold(m, bus)
    child = hold.process.fork()
    child.call(os.close, hold.fd)
    fd = child.call(attempt.open_, m.call(drive.sr, bus), RW)
    m.stall(bus, 3600)
    mark = m.trace.mark()
    pending = child.begin(intrude.word_of_command, fd, scsi.read10(64, 1), 2048)
    eventually(lambda: [c for c in m.trace.since(mark, bus) if c.opcode == 0x28], 10)
    hold.release()
    hold.call(os.close, hold.fd)
    unload = m.process().begin(shell.run, "rmmod srlock", 60)
    never(unload.done, 2, "unloaded while a call is inside")
    m.stall(bus, 0)
    assert pending.result(30) == "ok"
    assert unload.result(60)["rc"] == 0


@test("P11 drives that are there, and drives that come, get a lock; those that go lose it", timeout=180)
def attach(m):
    assert len(m.call(os.listdir, "/sys/class/srlock")) == 3
    m.unplug("virtio")
    eventually(lambda: len(m.call(os.listdir, "/sys/class/srlock")) == 2, 15)
    m.sh("modprobe scsi_debug ptype=5 max_luns=4 dev_size_mb=8")
    eventually(lambda: len(m.call(os.listdir, "/sys/class/srlock")) == 6, 20)
    m.sh("udevadm settle; udevadm control --stop-exec-queue", timeout=60)      # which would open them after each hold
    nodes = m.sh("ls -d /sys/bus/pseudo/devices/adapter0/host*/target*/*/srlock/srlock*")["stdout"].split()
    assert len(nodes) == 4
    process = m.process()
    fds = [process.call(srlock.hold, f"/dev/{os.path.basename(path)}") for path in nodes]
    for fd in fds:
        assert process.call(srlock.release, fd) == 0
        process.call(os.close, fd)
    # scsi_debug's exit drops a command that is in flight, such as the kernel's poll, which then takes its 30 s.
    eventually(lambda: m.sh("rmmod scsi_debug", timeout=60, check=False)["rc"] == 0, 20, "scsi_debug is unloaded")
    eventually(lambda: len(m.call(os.listdir, "/sys/class/srlock")) == 2, 15)


@test("P11 a host's module can be unloaded while a lock file of its drive is still open", timeout=120)
def host_module(m):
    m.sh("modprobe scsi_debug ptype=5 dev_size_mb=8; udevadm settle", timeout=60)
    (path,) = m.sh("ls -d /sys/bus/pseudo/devices/adapter0/host*/target*/*/srlock/srlock*")["stdout"].split()
    process = m.process()
    fd = process.call(srlock.hold, f"/dev/{os.path.basename(path)}")
    m.sh("udevadm settle", timeout=60)
    m.sh("echo -1 >/sys/bus/pseudo/drivers/scsi_debug/add_host")      # the drive goes, held as it is
    eventually(lambda: process.call(srlock.info, fd)["state"] == srlock.GONE, 10)
    eventually(lambda: m.sh("rmmod scsi_debug", timeout=60, check=False)["rc"] == 0, 20, "scsi_debug is unloaded")
    assert process.call(srlock.info, fd)["state"] == srlock.GONE
    process.call(os.close, fd)
    m.sh("rmmod srlock")


@test("P11 the module is loaded for a drive by its alias", timeout=60)
def alias(m):
    out = m.sh(f"modinfo -F alias {KO}")["stdout"].split()
    modalias = m.call(shell.read, f"{m.call(drive.device, 'virtio')}/modalias")
    assert any(line.rstrip("*") == modalias for line in out), (out, modalias)


@test("P12 the parameter command_timeout_ms has the limits of the attribute, at load and afterwards", timeout=120)
def parameter(m):
    path = "/sys/module/srlock/parameters/command_timeout_ms"
    for value in ("0", "99", "600001", "4294967295", "-1", "x", ""):
        assert m.sh(f"echo {value} >{path}", check=False)["rc"], value
        assert m.call(drive.read, path) == "5000", value
    m.sh("rmmod srlock")
    assert m.sh(f"insmod {KO} command_timeout_ms=0", check=False)["rc"]
    assert not m.call(is_loaded)
    for value in ("100", "600000"):
        m.sh(f"insmod {KO} command_timeout_ms={value}")
        attribute = m.call(drive.attributes, "virtio") + "/command_timeout_ms"
        assert m.call(drive.read, attribute) == value
        m.sh("rmmod srlock")
