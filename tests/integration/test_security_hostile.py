# SPDX-License-Identifier: GPL-2.0-or-later
"""A hostile holder, and foreigners that stop halfway: BREAK and the lock's other calls do their work all the same.

docs/security.md says what is promised of this.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import threading
import time

import attack
from attack import Parked
from clients import BUS, admitted, calm, client, holder, wait_free, wait_line, watcher
from machine import GuestError, eventually, never, test
from machine.guest import cdrom, drive, scsi, shell, srlock
from recorder import Recorder

BUSES = ["ahci", "virtio", "usb"]
# BREAK may take half a second for the tray; the rest is for a machine that is emulated and shared.
SOON = 5
NONBLOCK = os.O_RDWR | os.O_NONBLOCK


def break_timed(fd: int) -> float:
    """BREAK, and how many seconds that took."""
    start = time.monotonic()
    srlock.break_(fd)
    return time.monotonic() - start


def breaks(m, bus: str = BUS, breaker=None) -> None:
    """Break the hold; it is over at once, and soon the drive is somebody else's and nobody is let in."""
    breaker = breaker or client(m, bus)
    held = breaker.info()
    took = breaker.call(break_timed)
    assert took < SOON, took
    info = breaker.info()
    assert (info["pid"], info["since_ns"]) != (held["pid"], held["since_ns"]), info


def breaks_and_takes(m, bus: str = BUS):
    """Break the hold and take the drive; who has it then."""
    breaker = client(m, bus)
    breaks(m, bus, breaker)
    assert breaker.acquire("breaker", wait=10)["count"] == 1
    assert breaker.process.call(admitted, bus)
    return breaker


# A holder that does not run


@test("BREAK works on a holder that is stopped by SIGSTOP ({})", each=BUSES)
def stopped(m, bus):
    calm(m)
    one = holder(m, bus=bus)
    one.process.signal(signal.SIGSTOP)
    eventually(lambda: m.call(attack.state_of, one.process.pid) == "T", what="stopped")
    breaks_and_takes(m, bus)
    one.process.signal(signal.SIGCONT)
    assert one.errno(srlock.release) == errno.EOWNERDEAD
    assert not one.process.call(admitted, bus)


FREEZER = "mkdir -p /tmp/cg && mount -t cgroup2 none /tmp/cg; mkdir /tmp/cg/cold && echo {} >/tmp/cg/cold/cgroup.procs " \
          "&& echo 1 >/tmp/cg/cold/cgroup.freeze"


@test("BREAK works on a holder that is frozen by its cgroup")
def frozen(m):
    one = holder(m)
    m.sh(FREEZER.format(one.process.pid))
    eventually(lambda: "frozen 1" in m.call(shell.read, "/tmp/cg/cold/cgroup.events"), what="frozen")
    breaks_and_takes(m)
    m.sh("echo 0 >/tmp/cg/cold/cgroup.freeze")
    assert one.errno(srlock.release) == errno.EOWNERDEAD


@test("BREAK works on a holder that waits for its command and cannot be killed ({})", each=BUSES)
def uninterruptible(m, bus):
    calm(m)
    one = holder(m, bus=bus)
    m.stall(bus, 3600)
    reading = one.begin(scsi.send_on, scsi.read10(16, 1), 2048, timeout=60000)
    eventually(lambda: m.call(attack.state_of, one.process.pid) == "D", what="the command waits")
    one.process.signal(signal.SIGKILL)
    breaks(m, bus)
    assert not reading.done() and m.call(attack.state_of, one.process.pid) == "D"
    m.stall(bus, 0)
    one.process.wait()
    assert client(m, bus).acquire(wait=10)["count"] == 1


@test("BREAK works while the drive answers the holder's command no more, and a reset neither", timeout=180)
def deaf(m):
    with Recorder(m, medium="dvd+r") as recorder:
        bus = recorder.device
        one, breaker = holder(m, bus=bus), client(m, bus)
        recorder.fault("12......4d deaf")
        asking = one.begin(scsi.send_on, scsi.inquiry(77), 77, timeout=2000)
        eventually(lambda: m.call(attack.state_of, one.process.pid) == "D", what="the command hangs")
        assert breaker.call(break_timed) < SOON
        assert breaker.info()["count"] == 0
        recorder.release()
        try:
            asking.result(60)
        except GuestError:
            pass
        assert one.errno(srlock.release) == errno.EOWNERDEAD
        wait_free(breaker)


# A holder that is parked in a call

# A command that nobody else sends: TEST UNIT READY with a control byte of its own.
MARK = bytes([0, 0, 0, 0, 0, 77])
# The parts of SG_IO's argument that the kernel reads when it has a request already; MODE SELECT for one with data.
PARTS = {"cdb": (MARK, 0), "out": (bytes([0x55, 0x10, 0, 0, 0, 0, 0, 0, 8, 77]), 8)}


def park_command(m, process, fd: int, part: str) -> Parked:
    cdb, length = PARTS[part]
    return Parked(m, process, attack.sg_io_with, fd, part, cdb, length)


def marked(m, mark, bus: str) -> list[str]:
    """Commands of the parked call that reached the drive."""
    return [str(c) for c in m.trace.since(mark, bus) if c.cdb[-1] == 77]


def refused(answer) -> bool:
    return answer == {"status": scsi.RESERVATION_CONFLICT, "host": 0, "resid": answer["resid"]}


WAYS = [(bus, node, part) for bus in ("ahci", "virtio") for node in ("lock", "sr") for part in PARTS]


@test("BREAK works on a holder that is parked in SG_IO, and its command does not come after it ({})",
      each=[" ".join(way) for way in WAYS])
def parked(m, way):
    bus, node, part = way.split()
    calm(m)
    one, breaker = holder(m, bus=bus), client(m, bus)
    fd = one.fd if node == "lock" else one.process.call(os.open, one.process.call(drive.sr, bus), NONBLOCK)
    call = park_command(m, one.process, fd, part)
    mark = m.trace.mark()
    breaks(m, bus, breaker)
    assert breaker.acquire(wait=10)["count"] == 1
    assert breaker.call(scsi.send_on, scsi.inquiry(78), 78)["good"]
    assert not call.done()
    call.spring(PARTS[part][0])
    assert refused(call.result()), call.result()
    assert not marked(m, mark, bus)
    # and in the breaker's hold the old holder is a foreigner as any other
    assert one.errno(srlock.release) == errno.EOWNERDEAD
    assert not one.process.call(admitted, bus)


@test("a holder that is parked goes on undisturbed when nobody breaks it ({})", each=list(PARTS))
def parked_and_well(m, part):
    calm(m)
    one = holder(m)
    call = park_command(m, one.process, one.fd, part)
    mark = m.trace.mark()
    call.spring(PARTS[part][0] if part == "cdb" else bytes(8))
    assert not refused(call.result()), call.result()
    assert len(marked(m, mark, BUS)) == 1


def packet(cdb: bytes) -> bytes:
    """struct cdrom_generic_command of a command without data."""
    return bytes(cdrom.GenericCommand(cmd=(ctypes.c_ubyte * 12).from_buffer_copy(cdb.ljust(12, b"\0")),
                                      data_direction=cdrom.CGC_NONE, quiet=1, timeout=2000))


@test("many threads' worth of calls parked at once lose their passes together, and get none in the next hold",
      timeout=180)
def many_parked(m):
    calm(m)
    one, breaker = holder(m), client(m)
    # more than there are slots for passes
    calls = [Parked(m, one.process.fork(), attack.ioctl_at, one.fd, cdrom.CDROM_SEND_PACKET) for _ in range(14)]
    mark = m.trace.mark()
    breaks(m, BUS, breaker)
    breaker.acquire(wait=10)
    cdb = bytes([0x00, 0, 0, 0, 0, 77, 0, 0, 0, 0, 0, 0])
    for call in calls[::2]:
        call.spring(packet(cdb))
    results = [call.result() for call in calls[::2]]
    breaker.release()
    # the old holder's others wake up in a later hold of its own
    again = client(m, process=one.process)
    again.acquire(wait=10)
    for call in calls[1::2]:
        call.spring(packet(cdb))
    results += [call.result() for call in calls[1::2]]
    assert all(result == -errno.EIO for result in results), results
    assert not [c for c in m.trace.since(mark, BUS) if c.cdb[5] == 77]


@test("BREAK works while the holder is parked in the end of its ACQUIRE, in GET_INFO and in read")
def parked_in_calls(m):
    first, one, breaker = holder(m), client(m), client(m)
    page = one.process.call(attack.set_trap)
    one.process.call(attack.spring, page, b"parked\0")
    acquiring = one.begin(acquire_and_clear, page["address"])
    wait_line(first, 1)
    time.sleep(0.5)
    first.release()
    eventually(lambda: "handle_userfault" in m.call(shell.read, f"/proc/{one.process.pid}/stack"), 10, "parked")
    info = breaker.info()
    assert (info["state"], info["count"], info["pid"]) == (srlock.HELD, 1, one.process.pid), info
    asking = Parked(m, m.process(), on_lock, "ioctl_at", srlock.IOC_GET_INFO)
    breaks_and_takes(m)
    assert not acquiring.done() and not asking.done()
    asking.process.kill()
    one.process.kill()
    assert breaker.info()["client"] == "breaker"


def on_lock(function: str, *args):
    return attack.on_node(drive.srlock(BUS), os.O_RDWR, function, *args)


def acquire_and_clear(fd: int, address: int) -> int:
    """ACQUIRE whose argument is gone from memory when it comes to its outputs."""
    ctypes.memset(address + 72, 0xFF, 8)   # deadline_ns: no limit

    def clear() -> None:
        with open(drive.srlock(BUS)) as lock:
            while not srlock.info(lock.fileno())["waiters"]:
                time.sleep(0.01)
        attack.clear_trap()

    threading.Thread(target=clear).start()
    return attack.ioctl_at(fd, srlock.IOC_ACQUIRE, address)


@test("an ACQUIRE whose outputs cannot be written any more holds nothing")
def unmapped(m):
    first, one = holder(m), client(m)
    acquiring = one.begin(acquire_and_unmap)
    wait_line(first, 1)
    time.sleep(1)
    first.release()
    assert acquiring.result() == -errno.EFAULT
    wait_free(first)
    assert one.info()["my_count"] == 0


def acquire_and_unmap(fd: int) -> int:
    trap = attack.set_trap()
    attack.spring(trap, b"unmapped\0")
    ctypes.memset(trap["address"] + 72, 0xFF, 8)

    def unmap() -> None:
        with open(drive.srlock(BUS)) as lock:
            while not srlock.info(lock.fileno())["waiters"]:
                time.sleep(0.01)
        attack.libc.mprotect(ctypes.c_void_p(trap["address"]), attack.PAGE, 0)

    threading.Thread(target=unmap).start()
    return attack.ioctl_at(fd, srlock.IOC_ACQUIRE, trap["address"])


@test("a process that waits for another one's read of the same file can be killed")
def parked_read(m):
    watch = watcher(m)
    other = watch.fork()
    holder(m)
    reading = Parked(m, watch.process, attack.read_at, watch.fd)
    second = other.begin(os.read, 104)
    never(second.done, 0.5, "two reads of one record")
    # kill waits for the death
    other.kill()
    reading.spring()
    assert reading.result() == 104
