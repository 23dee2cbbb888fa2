# SPDX-License-Identifier: GPL-2.0-or-later
"""What one can fill up: the kernel's log, memory, terminals; docs/security.md has the limits."""

from __future__ import annotations

import errno
import os
import re
import resource

import attack
from clients import BUS, calm, holder, quiet, watcher
from machine import test
from machine.guest import attempt, drive, scsi, srlock

NONBLOCK = os.O_RDWR | os.O_NONBLOCK


def refuse_often(bus: str, fd: int, times: int) -> int:
    """Opens, ioctls, reads and commands that are refused; how many were."""
    refused, sg = 0, os.open(drive.sg(bus), os.O_RDWR)
    for number in range(times):
        refused += attempt.open_(drive.sr(bus)) == -errno.EBUSY
        refused += attempt.errno_of("scsi", "sg_io", fd, scsi.TEST_UNIT_READY) == "EBUSY"
        refused += attempt.errno_of("cdrom", "read_at", fd, number % 16 << 18) == "EIO"
        refused += scsi.sg_io(sg, scsi.TEST_UNIT_READY).refused
    return refused


@test("hundreds of refusals write no more to the kernel's log than the block layer lets through", timeout=120)
def log(m):
    calm(m)
    quiet(m, BUS)
    foreign = m.process()
    fd = foreign.call(os.open, foreign.call(drive.sr, BUS), NONBLOCK)
    one = holder(m)
    foreign.call(drive.write, "/proc/self/comm", "\x1b]0;x\x07\nlog")
    before = len(m.log().splitlines())
    assert foreign.call(refuse_often, BUS, fd, 200, timeout=90) == 800
    lines = m.log().splitlines()[before:]
    assert not [line for line in lines if "srlock" in line], lines
    # of 200 reads: ten lines in five seconds (DEFAULT_RATELIMIT_BURST), by two places in the block layer
    assert len(lines) < 150, lines
    assert one.info()["refused_opens"] == 200


@test("a process's command name reaches no terminal as it is: not by sysfs, not by the tool")
def command_name(m):
    calm(m)
    watch = watcher(m)
    holder(m)
    foreign = m.process()
    foreign.call(drive.write, "/proc/self/comm", "\x1b[2J\x07\x9bx")
    assert foreign.call(attempt.open_, m.call(drive.sr, BUS)) == -errno.EBUSY
    text = m.call(attribute, m.call(drive.attributes, BUS) + "/last_refused")
    # Latin-1 is let through, its control characters are not
    assert text.count(b"\n") == 1 and not re.search(rb"[\0-\x1f\x7f-\x9f]", text[:-1]), text
    told = m.sh(f"timeout 3 srlock watch {watch.process.call(drive.srlock, BUS)} & sleep 1; "
                f"head -c0 {m.call(drive.sr, BUS)} 2>/dev/null; wait; srlock status {m.call(drive.sr, BUS)}",
                check=False)["stdout"]
    assert told and all(char in "\n\t" or char.isprintable() for char in told), told
    # the record is for programs, and has it as it is
    names = [event["name"] for event in watch.call(srlock.events, 3) if event["type"] == srlock.EVENT_REFUSED]
    assert any("\x1b[2J" in name for name in names), names


def attribute(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


GROUP = "/tmp/cg/files"


def open_many(path: str, number: int) -> int:
    """Open a node so often in a new memory cgroup; how many bytes that is charged."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (number + 100, number + 100))
    drive.write(f"{GROUP}/cgroup.procs", str(os.getpid()))
    before = charged()
    files = [os.open(path, os.O_RDONLY) for _ in range(number)]
    after = charged()
    drive.write("/tmp/cg/cgroup.procs", str(os.getpid()))
    for fd in files:
        os.close(fd)
    return after - before


def charged() -> int:
    """The kernel's memory of the group."""
    lines = dict(line.split() for line in drive.read(f"{GROUP}/memory.stat").splitlines())
    return int(lines["slab"])


@test("open lock files are charged to the memory cgroup of who opens them")
def accounted(m):
    m.sh(f"mkdir -p /tmp/cg && mount -t cgroup2 none /tmp/cg && echo +memory >/tmp/cg/cgroup.subtree_control && mkdir {GROUP}")
    null = m.call(open_many, "/dev/null", 3000)
    lock = m.call(open_many, m.call(drive.srlock, BUS), 3000)
    # struct srlock_file has more than 64 bytes
    assert lock - null > 3000 * 64, (lock, null)


@test("a user opens as many lock files as his limit lets him, and no more")
def limited(m):
    path = attack.may_open(m, BUS)
    user = m.user()
    m.sh(f"prlimit --pid {user.pid} --nofile=64:64")
    assert user.call(open_all, path) == errno.EMFILE


def open_all(path: str) -> int:
    files = []
    try:
        while True:
            files.append(os.open(path, os.O_RDWR))
    except OSError as error:
        return error.errno
    finally:
        for fd in files:
            os.close(fd)
