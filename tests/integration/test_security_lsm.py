# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's other guards still decide: landlock, TOMOYO, seccomp and the device cgroup, before the lock is asked.

A holder gets no more than they give it, and who is refused by them never gets to the lock.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

import attack
from clients import BUS, holder, ioctl_bytes, nothing_changes
from machine import test
from machine.guest import attempt, drive, scsi, srlock

LIBC = ctypes.CDLL(None, use_errno=True)
LANDLOCK_CREATE, LANDLOCK_RESTRICT = 444, 446
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2


def landlock() -> None:
    """From here on this process may open no file for reading or writing (landlock(7))."""
    rules = ctypes.create_string_buffer(struct.pack("Q", 1 << 1 | 1 << 2), 8)
    ruleset = attack.checked(LIBC.syscall(LANDLOCK_CREATE, rules, 8, 0), "landlock_create_ruleset")
    LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    attack.checked(LIBC.syscall(LANDLOCK_RESTRICT, ruleset, 0), "landlock_restrict_self")


def opens(*paths: str) -> list[str]:
    return [attack.name_of(-min(0, attempt.open_(path, os.O_RDONLY | os.O_NONBLOCK))) for path in paths]


@test("landlock decides who opens drive and lock: it refuses a holder's child, and a foreigner before the lock does")
def landlocked(m):
    one = holder(m)
    nodes = [m.call(drive.sr, BUS), m.call(drive.srlock, BUS)]
    child, foreign = one.fork(), m.process()
    assert child.process.call(opens, *nodes) == ["", ""]
    assert foreign.call(opens, *nodes) == ["EBUSY", ""]
    before = one.info()["refused_opens"]
    for process in (child.process, foreign):
        process.call(landlock)
        assert process.call(opens, *nodes) == ["EACCES", "EACCES"]
    assert one.info()["refused_opens"] == before
    # the file that the child has is its own
    assert child.call(scsi.send_on, scsi.TEST_UNIT_READY)["good"]
    assert child.info()["my_count"] == 1


class Filter(ctypes.Structure):
    """struct sock_fprog (linux/filter.h)"""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def seccomp(command: int) -> None:
    """From here on one ioctl fails with EXDEV in this process, which no driver says."""
    steps = [(0x20, 0, 0, 0), (0x15, 0, 3, 16), (0x20, 0, 0, 24), (0x15, 0, 1, command),
             (0x06, 0, 0, 0x00050000 | errno.EXDEV), (0x06, 0, 0, 0x7FFF0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    program = Filter(len(steps), ctypes.addressof(code))
    attack.checked(LIBC.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0), "seccomp")


@test("seccomp decides about ioctls: one that it refuses changes nothing, the others work")
def filtered(m):
    one = holder(m)
    child = one.fork()
    child.process.call(seccomp, srlock.IOC_RELEASE)
    with nothing_changes(m, one):
        assert child.call(ioctl_bytes, srlock.IOC_RELEASE, bytes(8))[0] == -errno.EXDEV
    assert child.acquire()["count"] == 2
    assert one.release() == 1


@test("the device cgroup decides who opens drive and lock, the holder included")
def device_cgroup(m):
    m.sh("mkdir -p /tmp/devices && mount -t cgroup -o devices none /tmp/devices && mkdir /tmp/devices/less")
    one = holder(m)
    nodes = [m.call(drive.sr, BUS), m.call(drive.srlock, BUS)]
    child = one.process.fork()
    assert child.call(opens, *nodes) == ["", ""]
    for node, kind in zip(nodes, "bc"):
        number = m.sh(f"stat -c '%t:%T' {node}")["stdout"].strip()
        major, minor = (int(part, 16) for part in number.split(":"))
        m.sh(f"echo '{kind} {major}:{minor} rwm' >/tmp/devices/less/devices.deny")
    m.sh(f"echo {child.pid} >/tmp/devices/less/cgroup.procs")
    assert child.call(opens, *nodes) == ["EPERM", "EPERM"]
    assert one.process.call(opens, *nodes) == ["", ""]


POLICY = """
mount -t securityfs none /sys/kernel/security 2>/dev/null
cd /sys/kernel/security/tomoyo
echo 'initialize_domain /tmp/hostile from any' >exception_policy
printf '<kernel> /tmp/hostile\\nuse_profile 3\\n{rules}' >domain_policy
printf 'PROFILE_VERSION=20150505\\n0-CONFIG={{ mode=disabled }}\\n3-CONFIG={{ mode=disabled }}\\n3-CONFIG::file::ioctl={{ mode=enforcing }}\\n' >profile
readlink -f /bin/sh >manager
printf '#!/bin/sh\\n' >/tmp/loader; cp /bin/true /tmp/trigger; chmod 755 /tmp/loader /tmp/trigger; /tmp/trigger
"""


@test("TOMOYO decides about ioctls: one that its policy does not have never gets to the lock", timeout=240,
      append="lsm=tomoyo TOMOYO_loader=/tmp/loader TOMOYO_trigger=/tmp/trigger")
def tomoyo(m):
    attack.put_hostile(m)
    path = m.call(drive.srlock, BUS)
    one = holder(m)
    rule = f"file ioctl {path} {srlock.IOC_GET_INFO:#X}\\n".replace("0X", "0x")
    m.sh(POLICY.format(rules=rule))
    process = m.process()
    with nothing_changes(m, one):
        # without the policy these are EBUSY and EPERM, and a BREAK that works
        for command in (srlock.IOC_ACQUIRE, srlock.IOC_RELEASE, srlock.IOC_BREAK):
            assert process.call(attack.go, "call", path, command) == [str(errno.EPERM)], command
        assert process.call(attack.go, "call", path, srlock.IOC_GET_INFO)[0] in ("0", str(errno.EINVAL))
    m.sh("printf 'select domain=<kernel> /tmp/hostile\\nuse_profile 0\\n' "
         ">/sys/kernel/security/tomoyo/domain_policy")
    assert process.call(attack.go, "call", path, srlock.IOC_BREAK) == ["0"]
    assert one.errno(srlock.release) == errno.EOWNERDEAD
