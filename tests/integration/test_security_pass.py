# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether somebody can be taken for the holder who is not: by kinship, threads, io_uring, or by the memory of a stack.

docs/security.md says what is promised of this.
"""

from __future__ import annotations

import errno
import os

import attack
from attack import Parked
from clients import BUS, Client, admitted, calm, client, holder, pass_file, quiet
from machine import eventually, test
from machine.guest import attempt, cdrom, drive, scsi, srlock

NONBLOCK = os.O_RDWR | os.O_NONBLOCK
BUSY = str(errno.EBUSY)


def prepare(m, bus: str = BUS) -> tuple[str, str]:
    """The program is there and nobody else touches the drive; the nodes of lock and drive."""
    calm(m)
    quiet(m, bus)
    attack.put_hostile(m)
    return m.call(drive.srlock, bus), m.call(drive.sr, bus)


@test("a child made by vfork or sharing the holder's memory is let in, a sibling (CLONE_PARENT) is not")
def clones(m):
    nodes = prepare(m)
    process = m.process()
    shared, forked, grandchild, sibling = process.call(attack.start, "clones", *nodes)
    assert (shared, forked) == ("0", "0")
    # a sibling of the holder's child is the holder's child; the holder's own sibling is nobody's
    assert grandchild == "0"
    assert sibling == BUSY


@test("a program that another thread of the holder executes is the holder")
def exec_by_thread(m):
    nodes = prepare(m)
    assert m.process().call(attack.start, "exec", *nodes) == ["0", "0"]


@test("io_uring: the holder's requests are let in, from its workers and polling threads too; a foreigner's are not, "
      "with a ring attached to the holder's either")
def rings(m):
    nodes = prepare(m)
    said = m.process().call(attack.start, "ring", *nodes)
    assert said == ["0"] * 4 + [BUSY] * 4, said


def tell_apart(m, mark, bus: str, foreign: bytes) -> list[str]:
    return [str(c) for c in m.trace.since(mark, bus) if c.cdb[:len(foreign)] == foreign]


def send_many(path: str, times: int) -> int:
    """Commands by bsg or sg, each in a process of its own; how many were not refused."""
    passed = 0
    for _ in range(times):
        child = os.fork()
        if child == 0:
            os._exit(0 if scsi.send(path, scsi.inquiry(77), 77)["refused"] else 1)
        passed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return passed


@test("a foreign command is refused while the holder is inside a call, whoever's stack lies beside whose ({})",
      each=["bsg", "sg"])
def beside(m, door):
    prepare(m)
    one, foreign = holder(m), m.user()
    path = foreign.call({"bsg": drive.bsg, "sg": drive.sg}[door], BUS)
    m.sh(f"chmod 666 {path}")
    mark = m.trace.mark()
    # ten processes of the holder inside a call, so that there are passes in the slots and on the list
    calls = [Parked(m, one.process.fork(), attack.ioctl_at, one.fd, cdrom.CDROM_SEND_PACKET) for _ in range(10)]
    assert foreign.call(send_many, path, 60, timeout=60) == 0
    assert not tell_apart(m, mark, BUS, scsi.inquiry(77))
    for call in calls:
        call.spring()
        call.result()


@test("a stack that the kernel uses again gives nobody the pass of who had it before", timeout=120)
def stack_again(m):
    prepare(m)
    one, foreign = holder(m), m.user()
    path = foreign.call(drive.bsg, BUS)
    m.sh(f"chmod 666 {path}")
    mark = m.trace.mark()
    for _ in range(3):
        calls = [Parked(m, one.process.fork(), attack.ioctl_at, one.fd, cdrom.CDROM_SEND_PACKET) for _ in range(2)]
        for call in calls:
            call.child.kill()
            call.process.kill()
        # as many new processes, which get the stacks that were just freed
        assert foreign.call(send_many, path, 20, timeout=60) == 0
    assert not tell_apart(m, mark, BUS, scsi.inquiry(77))
    assert one.call(scsi.send_on, scsi.inquiry(78), 78)["good"]


@test("an ex-holder's pid that comes again is nobody")
def pid_again(m):
    prepare(m)
    one = holder(m)
    child = one.fork()
    child.acquire()
    pid = child.process.pid
    child.kill()
    one.process.call(os.waitpid, pid, 0)
    writer = m.process()

    def again():
        writer.call(drive.write, "/proc/sys/kernel/ns_last_pid", str(pid - 1))
        found = m.process()
        if found.pid == pid:
            return found
        found.kill()    # the kernel has made a thread meanwhile
        return None

    stranger = eventually(again, 20, "the pid comes again")
    assert not stranger.call(admitted, BUS)
    assert one.process.call(admitted, BUS)


# A foreigner who stops halfway

MARK = bytes([0, 0, 0, 0, 0, 77])   # TEST UNIT READY with a control byte of its own


@test("a foreigner that was in an ioctl on sr before the hold is refused when it goes on ({})",
      each=["cdb", "out"])
def foreign_in_sr(m, part):
    calm(m)
    quiet(m, BUS)
    foreign = m.process()
    fd = foreign.call(os.open, foreign.call(drive.sr, BUS), NONBLOCK)
    cdb, length = {"cdb": (MARK, 0), "out": (bytes([0x55, 0x10, 0, 0, 0, 0, 0, 0, 8, 77]), 8)}[part]
    call = Parked(m, foreign, attack.sg_io_with, fd, part, cdb, length)
    # sr's own mutex is taken, so sr is of no use to the holder; the lock and its file are
    one = holder(m)
    mark = m.trace.mark()
    assert one.call(scsi.send_on, scsi.inquiry(78), 78)["good"]
    assert client(m).call(srlock.break_) == 0
    two = client(m)
    two.acquire(wait=10)
    assert two.release() == 0
    two.acquire()
    call.spring(cdb if part == "cdb" else bytes(8))
    answer = call.result()
    assert answer["status"] == scsi.RESERVATION_CONFLICT, answer
    assert not [c for c in m.trace.since(mark, BUS) if c.cdb[-1] == 77]


@test("P6 an eject that hangs in sr when its hold is broken does not unlock the tray of the next one", timeout=120)
def eject_of_before(m):
    calm(m)
    quiet(m, BUS)
    path = m.call(drive.sr, BUS)
    foreign, process = m.process(), m.process()
    fd, own = foreign.call(os.open, path, NONBLOCK), process.call(os.open, path, NONBLOCK)
    call = Parked(m, foreign, attack.sg_io_with, fd, "cdb", MARK, 0)    # has sr's mutex
    one = client(m, process=process)
    one.acquire()
    ejecting = process.begin(attempt.errno_of, "cdrom", "ioctl", own, cdrom.CDROMEJECT)
    eventually(lambda: not m.locked(BUS), 10, "the eject has begun")
    assert client(m).call(srlock.break_) == 0
    two = client(m)
    two.acquire(wait=10)
    assert m.locked(BUS) and not ejecting.done()
    assert two.call(cdrom.ioctl, cdrom.CDROMEJECT) == 0
    assert two.call(cdrom.ioctl, cdrom.CDROMCLOSETRAY) == 0
    eventually(lambda: m.locked(BUS), 10, "the tray is locked again")
    assert not ejecting.done()
    call.spring(MARK)
    call.result()
    ejecting.result(20)
    assert m.locked(BUS) and not m.tray_open(BUS)
    assert two.release() == 0


def occupy(m, bus: str, number: int) -> list[Parked]:
    """Requests that users have, and do not send: each is one that nobody else can have."""
    attack.allow_traps(m)
    path = m.call(drive.sg, bus)
    m.sh(f"chgrp cdrom {path}; chmod 660 {path}")
    cdb = bytes([0x55, 0x10, 0, 0, 0, 0, 0, 0, 8, 0])
    return [Parked(m, m.user(), attack.on_node, path, NONBLOCK, "sg_io_with", "out", cdb, 8) for _ in range(number)]


@test("users who keep all requests of a queue cannot keep ACQUIRE, RELEASE, BREAK or another drive's lock from their "
      "end", timeout=180)
def no_requests(m):
    bus = "usb"   # which has two
    calm(m)
    m.sh("echo 300 >/proc/sys/kernel/hung_task_timeout_secs")   # who waits for a request, hangs
    quiet(m, bus)
    m.call(drive.write, m.call(drive.attributes, bus) + "/command_timeout_ms", "300")
    one, other = holder(m, bus=bus), client(m, bus)
    assert m.locked(bus)
    kept = occupy(m, bus, 2)
    # ALLOW cannot be sent, and the drive is free all the same
    assert one.errno(srlock.release) == errno.ETIMEDOUT
    assert one.info()["state"] == srlock.FREE
    for _ in range(20):
        assert other.try_acquire()["errno"] == errno.ETIMEDOUT
        eventually(lambda: other.info()["state"] == srlock.FREE, 10, "the acquire is undone")
    # ACQUIREs that fail do not use up the workers that all drives share
    waiting = m.call(attack.stuck, "kworker")
    assert 1 <= len([stack for stack in waiting if "srlock" in stack]) <= 8, waiting
    neighbour = holder(m, bus="ahci")
    assert neighbour.release() == 0
    for call in kept:
        call.spring()
        call.result()
    eventually(lambda: not m.locked(bus), 10, "the tray is unlocked")
    assert other.acquire(wait=10)["count"] == 1
    # and BREAK, with all requests gone
    kept = occupy(m, bus, 2)
    breaker = client(m, bus)
    # the errno is what became of ALLOW
    assert breaker.errno(srlock.break_) in (0, errno.ETIMEDOUT)
    assert breaker.info()["count"] == 0
    for call in kept:
        call.spring()
        call.result()
    eventually(lambda: not m.locked(bus), 10, "the tray is unlocked again")


def is_running(device: str) -> bool:
    """Whether a device is there, and nobody has begun to remove it."""
    try:
        return drive.read(f"{device}/state") == "running"
    except OSError:
        return False


@test("users who keep all requests of a drive that is being removed cannot keep others from being added", timeout=180)
def removed_without_requests(m):
    bus = "usb"   # which has two
    calm(m)
    m.sh("echo 300 >/proc/sys/kernel/hung_task_timeout_secs")
    quiet(m, bus)
    m.call(drive.write, m.call(drive.attributes, bus) + "/command_timeout_ms", "300")
    one = holder(m, bus=bus)
    kept = occupy(m, bus, 2)
    assert one.errno(srlock.release) == errno.ETIMEDOUT
    path = m.call(drive.device, bus)
    removing = m.process().begin(drive.write, f"{path}/delete", "1")
    # the kernel itself waits for the requests before the removal is over
    eventually(lambda: not m.call(is_running, path), 10, "the drive is being removed")
    assert not removing.done()
    m.sh("modprobe scsi_debug ptype=5 && ls /sys/bus/pseudo/devices/adapter0/host*/target*/*/srlock", timeout=20)
    for call in kept:
        call.spring()
        call.result()
    removing.result(20)


@test("who is given an sr file that the holder has opened can read with it, and send no command")
def given_away(m):
    calm(m)
    one = holder(m)
    own = Client(one.process, one.process.call(os.open, one.process.call(drive.sr, BUS), NONBLOCK))
    given = pass_file(own, m.process())
    mark = m.trace.mark()
    assert given.errno(scsi.send_on, scsi.inquiry(77), 77) == errno.EBUSY
    assert not tell_apart(m, mark, BUS, scsi.inquiry(77))
    assert len(given.call(cdrom.read_at, 16 * 2048)) == 2048
