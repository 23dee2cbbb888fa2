# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may do what with a lock: node modes, files that were passed, privileges, namespaces.

docs/security.md has the table that these tests are for.
"""

from __future__ import annotations

import ast
import ctypes
import errno
import fcntl
import os
import signal
import stat
import struct
from pathlib import Path

import attack
from clients import (BUS, CDROM_GROUP, USER, acquire_bytes, client, holder, ioctl_bytes, nothing_changes, pass_file,
                     watcher)
from machine import eventually, test
from machine.guest import attempt, cdrom, drive, scsi, srlock

STRANGER = 1001
RULES = Path(__file__).resolve().parent.parent.parent / "packaging" / "60-srlock.rules"
LIBC = ctypes.CDLL(None, use_errno=True)

NEWUSER, NEWPID, NEWNS = 0x10000000, 0x20000000, 0x00020000


# The nodes


def access(path: str) -> dict:
    """Mode and owners of a node, and what an open of it says."""
    status = os.stat(path)
    return {"mode": oct(stat.S_IMODE(status.st_mode)), "owner": [status.st_uid, status.st_gid],
            "read": attack.name_of(-min(0, attempt.open_(path, os.O_RDONLY))),
            "write": attack.name_of(-min(0, attempt.open_(path, os.O_RDWR)))}


def people(m) -> dict:
    return {"root": m.process(), "user": m.user(), "stranger": m.stranger()}


def rules_are_applied(m, path: str) -> bool:
    m.sh("udevadm trigger --action=add --settle /sys/class/srlock/*")
    return m.sh(f"stat -c %a {path}")["stdout"] == "660\n"


@test("the nodes are root's alone until a udev rule says otherwise, and then as the sr nodes are")
def node_modes(m):
    path, sr = m.call(drive.srlock, BUS), m.call(drive.sr, BUS)
    seen = {who: p.call(access, path) for who, p in people(m).items()}
    no = {"mode": "0o600", "owner": [0, 0], "read": "EACCES", "write": "EACCES"}
    assert seen == {"root": no | {"read": "", "write": ""}, "user": no, "stranger": no}, seen
    m.put("/run/udev/rules.d/60-srlock.rules", RULES)
    m.sh("udevadm control --reload")
    eventually(lambda: rules_are_applied(m, path), 30, "the rules are applied")
    seen = {who: p.call(access, path) for who, p in people(m).items()}
    yes = {"mode": "0o660", "owner": [0, CDROM_GROUP], "read": "", "write": ""}
    assert seen == {"root": yes, "user": yes, "stranger": yes | {"read": "EACCES", "write": "EACCES"}}, seen
    there = m.call(access, sr)
    assert (there["mode"], there["owner"]) == (yes["mode"], yes["owner"]), there
    tags = "udevadm info -q property {} | sed -n 's/^TAGS=//p'"
    for node in (path, sr):
        assert ":uaccess:" in m.sh(tags.format(node))["stdout"], node


def writable(folder: str) -> list[str]:
    """What of a folder in sysfs can be opened for writing, folders of the driver core in it left out."""
    found = []
    for name in sorted(os.listdir(folder)):
        if not os.path.islink(f"{folder}/{name}") and os.path.isfile(f"{folder}/{name}"):
            if attempt.open_(f"{folder}/{name}", os.O_WRONLY) >= 0:
                found.append(name)
    return found


@test("sysfs: root may write the time-out, and nobody else anything; tracing and parameters are root's")
def attribute_modes(m):
    folder = m.call(drive.attributes, BUS)
    for process in (m.user(), m.stranger()):
        assert process.call(writable, folder) == []
        assert process.call(writable, folder + "/power") == []
        assert process.call(writable, "/sys/module/srlock/parameters") == []
        for path in ("/sys/kernel/tracing/events/srlock", "/sys/kernel/debug"):
            assert process.call(attempt.errno_of, "shell", "read", path) == "EACCES", path
    # uevent is the driver core's
    assert m.call(writable, folder) == ["command_timeout_ms", "uevent"]


def be_dumpable() -> None:
    """As a program is that was executed, which this process, that changed its user, is not."""
    attack.checked(LIBC.prctl(4, 1, 0, 0, 0), "PR_SET_DUMPABLE")


# Files that are passed to who may not open the node


def outcomes(fd: int) -> dict[str, str]:
    """What each call on a file ends with."""
    calls = {"ACQUIRE": (srlock.IOC_ACQUIRE, acquire_bytes()), "RELEASE": (srlock.IOC_RELEASE, bytes(8)),
             "GET_INFO": (srlock.IOC_GET_INFO, bytes(144)), "BREAK": (srlock.IOC_BREAK, b""),
             "SG_IO": (scsi.SG_IO, bytes(88)), "CDROM_SEND_PACKET": (cdrom.CDROM_SEND_PACKET, bytes(64)),
             "CDROMEJECT": (cdrom.CDROMEJECT, b""), "CDROMCLOSETRAY": (cdrom.CDROMCLOSETRAY, b""),
             "SG_SCSI_RESET": (scsi.SG_SCSI_RESET, bytes(4))}
    return {name: attack.name_of(-min(0, ioctl_bytes(fd, number, data)[0])) for name, (number, data) in calls.items()}


def reopened(fd: int) -> list[str]:
    """What it says to open a file again by /proc, for reading, writing and both."""
    return [attack.name_of(-min(0, attempt.open_(f"/proc/self/fd/{fd}", mode)))
            for mode in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR)]


READ_ONLY = {"ACQUIRE": "EBADF", "RELEASE": "EBADF", "GET_INFO": "", "BREAK": "EBADF", "SG_IO": "EBADF",
             "CDROM_SEND_PACKET": "EBADF", "CDROMEJECT": "EBADF", "CDROMCLOSETRAY": "EBADF", "SG_SCSI_RESET": "ENOTTY"}


@test("a file passed for reading stays one for reading: it asks and reads, and cannot be opened again")
def passed_read_only(m):
    one = client(m)
    for passer in (None, holder(m)):
        given = pass_file(watcher(m), m.stranger())
        with nothing_changes(m, one, *filter(None, [passer])):
            assert given.call(outcomes) == READ_ONLY
            assert given.call(reopened) == ["EACCES"] * 3
            # its flags can be changed, its mode cannot
            assert given.call(set_flags) == "" and given.call(outcomes) == READ_ONLY


def set_flags(fd: int) -> str:
    return attack.name_of(-min(0, fcntl.fcntl(fd, fcntl.F_SETFL, os.O_RDWR | os.O_NONBLOCK)))


def by_path_only(path: str) -> dict:
    """What a file opened with O_PATH, which needs no permission, is good for."""
    fd = os.open(path, os.O_PATH)
    return {"calls": set(outcomes(fd).values()), "reopened": reopened(fd),
            "read": attempt.errno_of("cdrom", "read_at", fd)}


@test("O_PATH on a node, which anybody may, is good for nothing")
def path_only(m):
    one = holder(m)
    with nothing_changes(m, one):
        seen = m.stranger().call(by_path_only, m.call(drive.srlock, BUS))
    assert seen == {"calls": ["EBADF"], "reopened": ["EACCES"] * 3, "read": "EBADF"}, seen


@test("a stranger cannot get at the holder's file: not by /proc, pidfd_getfd or ptrace; the same user can")
def others_files(m):
    m.sh("sysctl -q kernel.yama.ptrace_scope=0")
    attack.may_open(m, BUS)
    one = client(m, process=m.user())
    one.acquire()
    one.process.call(be_dumpable)
    for stranger, expected in ((m.stranger(), ["EACCES", "EPERM", "EPERM"]), (m.user(), ["", "", ""])):
        assert (seen := stranger.call(steal, one.process.pid, one.fd)) == expected, seen
    assert one.info()["count"] == 1


def steal(pid: int, fd: int) -> list[str]:
    """Get a file of another process in three ways; traces it last, and leaves it alone."""
    reopen = attempt.open_(f"/proc/{pid}/fd/{fd}", os.O_RDONLY)
    pidfd = os.pidfd_open(pid)
    got = LIBC.syscall(438, pidfd, fd, 0)
    number = ctypes.get_errno() if got < 0 else 0
    traced = LIBC.ptrace(0x4206, pid, None, None)
    results = [attack.name_of(-min(0, reopen)), attack.name_of(number),
               attack.name_of(ctypes.get_errno() if traced else 0)]
    if not traced:
        LIBC.ptrace(0x4207, pid, None, None)
        os.waitpid(pid, 0x40000000)
        LIBC.ptrace(17, pid, None, None)
    return results


# Privileges


def become_root_of_a_namespace() -> list[int]:
    """Root with all capabilities, in a user namespace of one's own; (uid, effective capabilities)."""
    be_dumpable()
    uid, gid = os.getuid(), os.getgid()
    attack.checked(LIBC.unshare(NEWUSER | NEWNS), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        drive.write(f"/proc/self/{name}", text)
    (line,) = [line for line in drive.read("/proc/self/status").splitlines() if line.startswith("CapEff")]
    return [os.getuid(), int(line.split()[1], 16)]


@test("the root of a user namespace opens no node, makes none, and sends nothing that its user may not send")
def namespace_root(m):
    path = attack.may_open(m, BUS)
    one = holder(m)
    root = m.stranger()
    uid, capabilities = root.call(become_root_of_a_namespace)
    assert uid == 0 and capabilities & 1 << 21, (uid, capabilities)
    assert root.call(access, path)["read"] == root.call(access, path)["write"] == "EACCES"
    assert root.call(make_node, path) == "EPERM"
    # with the holder's file: what needs CAP_SYS_RAWIO is not for this root
    given = pass_file(one, root)
    assert given.errno(scsi.send_on, bytes([0xC5, 0, 0, 0, 0, 0])) == errno.EPERM
    with nothing_changes(m, one):
        assert given.errno(srlock.break_) == errno.EPERM
        assert given.try_acquire(flags=srlock.FORCE)["errno"] == errno.EPERM


def make_node(path: str) -> str:
    try:
        os.mknod("/tmp/node", 0o666 | stat.S_IFCHR, os.stat(path).st_rdev)
    except OSError as error:
        return errno.errorcode[error.errno]
    return ""


CAP_SYS_ADMIN = 21


def give_capability(path: str) -> None:
    """File capabilities, as setcap cap_sys_admin+ep (struct vfs_cap_data of linux/capability.h)."""
    os.setxattr(path, "security.capability",
                struct.pack("<IIIII", 0x02000000 | 1, 1 << CAP_SYS_ADMIN, 0, 0, 0))


@test("BREAK is for CAP_SYS_ADMIN, however a program came by it: root without is refused, a file with it is not")
def capability(m):
    attack.put_hostile(m)
    path = attack.may_open(m, BUS)
    one, user = holder(m), m.user()
    assert user.call(attack.go, "break", path) == [str(errno.EPERM)]
    without = m.sh(f"setpriv --bounding-set -sys_admin {attack.HOSTILE} break {path} </dev/null")
    assert without["stdout"].split() == ["ready", str(errno.EPERM)], without
    assert one.info()["count"] == 1
    m.call(give_capability, attack.HOSTILE)
    assert user.call(attack.go, "break", path) == ["0"]
    assert one.errno(srlock.release) == errno.EOWNERDEAD


@test("a set-uid program that the holder runs is the holder; it is the real user who is shown")
def set_uid(m):
    attack.put_hostile(m)
    attack.may_open(m, BUS)
    m.sh(f"chmod 4755 {attack.HOSTILE}")
    one = client(m, process=m.user())
    one.acquire()
    assert one.process.call(attack.go, "open", m.call(drive.sr, BUS)) == ["0", str(USER)]
    assert m.user().call(attack.go, "open", m.call(drive.sr, BUS)) == [str(errno.EBUSY), str(USER)]
    # a set-uid root program that acquires for a user
    other = m.user()
    other.call(attack.start, "crowd", m.call(drive.srlock, "ahci"), 0)
    assert m.call(drive.read, m.call(drive.attributes, "ahci") + "/uid") == str(USER)


# What others see


def enter(user: bool) -> None:
    """A pid namespace for the children of this process; with `user` a user namespace, in which the user is 5."""
    be_dumpable()
    uid = os.getuid()
    attack.checked(LIBC.unshare(NEWPID | NEWUSER if user else NEWPID), "unshare")
    if user:
        drive.write("/proc/self/setgroups", "deny")
        drive.write("/proc/self/uid_map", f"5 {uid} 1")


def seen_by(fd: int, watching: int, bus: str) -> dict:
    """Who holds the drive, and who did what, as all ways to ask say it."""
    folder = drive.attributes(bus)
    info, events = srlock.info(fd), srlock.events(watching, 1)
    return {"info": [info["pid"], info["uid"]], "acquire": srlock.try_acquire(fd)["holder_pid"],
            "sysfs": [int(drive.read(folder + "/pid")), int(drive.read(folder + "/uid"))],
            "events": [[event["pid"], event["uid"]] for event in events if event["type"] == srlock.EVENT_HELD],
            "refused": drive.read(folder + "/last_refused").split()[2]}


def everywhere(pid: int, uid: int, refused: int) -> dict:
    return {"info": [pid, uid], "acquire": pid, "sysfs": [pid, uid], "events": [[pid, uid]], "refused": str(refused)}


def in_child(name: str, *args):
    """What a function returns in a plain child."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, repr(globals()[name](*args)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        text = pipe.read().decode()
    os.waitpid(child, 0)
    return ast.literal_eval(text)


def child_that_stays(name: str, *args) -> int:
    """A child that does something and then sleeps; its pid."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        LIBC.prctl(1, signal.SIGKILL, 0, 0, 0)   # PR_SET_PDEATHSIG
        globals()[name](*args)
        os.write(writer, b"!")
        signal.pause()
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read(1) == b"!"
    return child


def hold_there(path: str) -> None:
    srlock.hold(path, "inside")


def do_nothing() -> None:
    pass


@test("process and user are shown as the one who asks knows them: translated, 0 or the overflow user")
def translated(m):
    path = attack.may_open(m, BUS)
    inside, outside, elsewhere = m.user(), m.process(), m.process()
    # each with one file to ask with and one to read the record with
    files = {p: (pass_file(client(m), p).fd, pass_file(watcher(m), p).fd) for p in (inside, outside, elsewhere)}
    inside.call(enter, True)
    inside.call(child_that_stays, "do_nothing")   # init of the namespace
    pid = inside.call(child_that_stays, "hold_there", path)
    refused = m.process()
    refused.call(attempt.open_, m.call(drive.sr, BUS))
    elsewhere.call(enter, True)
    elsewhere.call(child_that_stays, "do_nothing")
    seen = {p: p.call(in_child, "seen_by", *files[p], BUS) for p in files}
    assert seen[outside] == everywhere(pid, USER, refused.pid), seen[outside]
    assert seen[inside] == everywhere(2, 5, 0), seen[inside]
    assert seen[elsewhere] == everywhere(0, 65534, 0), seen[elsewhere]
