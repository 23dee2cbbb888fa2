# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is the holder: processes that made an ACQUIRE, and their descendants."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import threading

from clients import (BUS, CDROM_GROUP, USER, acquire_bytes, admitted, client, holder, ioctl_bytes,
                     pass_file, wait_free, watcher)
from machine import eventually, test
from machine.guest import attempt, cdrom, drive, scsi, shell, srlock


def is_holder(process) -> bool:
    return process.call(admitted, BUS)


# Those who are


@test("the holder's own process is let in, others are not ({})", each=["ahci", "virtio", "usb"])
def own_process(m, bus):
    one = holder(m, bus=bus)
    assert one.process.call(admitted, bus)
    for other in (m.process(), m.user()):
        assert not other.call(admitted, bus)
    one.release()
    assert m.call(admitted, bus)


def admitted_in_thread(bus: str) -> bool:
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(admitted(bus)))
    thread.start()
    thread.join()
    return found[0]


def acquire_in_thread(fd: int) -> None:
    """ACQUIRE in a thread that ends."""
    thread = threading.Thread(target=srlock.acquire, args=(fd,))
    thread.start()
    thread.join()


@test("every thread of a process is the holder, whichever made the ACQUIRE")
def threads(m):
    one = client(m)
    one.call(acquire_in_thread)
    assert one.info()["pid"] == one.process.pid
    assert is_holder(one.process)
    assert one.process.call(admitted_in_thread, BUS)


@test("children, grandchildren and further descendants are the holder")
def descendants(m):
    one = holder(m)
    generation = one.process
    for _ in range(4):
        generation = generation.fork()
        assert is_holder(generation)
    assert not is_holder(m.process())


@test("a child from before the ACQUIRE is the holder, its parent is not")
def child_from_before(m):
    parent = m.process()
    middle = parent.fork()
    child = middle.fork()
    client(m, process=middle).acquire()
    assert is_holder(child) and is_holder(middle)
    assert not is_holder(parent)


@test("a child of another user is the holder")
def setuid_child(m):
    one = holder(m)
    child = one.process.fork(uid=USER, groups=(CDROM_GROUP,))
    assert is_holder(child)
    assert child.call(scsi.send, child.call(drive.sr, BUS), scsi.TEST_UNIT_READY)["good"]


@test("a child in a session and in namespaces of its own is the holder")
def child_in_namespaces(m):
    one = holder(m)
    child = one.process.fork(session=True)
    child.call(unshare, 0x20000000 | 0x00020000 | 0x02000000)  # pid, mount, cgroup
    assert is_holder(child)
    grandchild = child.call(run_admitted, BUS)
    assert grandchild is True


def unshare(flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags):
        raise OSError(ctypes.get_errno(), "unshare")


def run_admitted(bus: str) -> bool:
    """admitted() in a plain child."""
    child = os.fork()
    if child == 0:
        os._exit(0 if admitted(bus) else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@test("a program that the holder starts is the holder, through a shell and a pipeline")
def started_program(m):
    one = holder(m)
    path = one.process.call(drive.sr, BUS)
    command = f"(dd if={path} bs=2048 count=1 | cat | wc -c)"
    assert m.sh(command, process=one.process)["stdout"].strip() == "2048"
    assert "busy" in m.sh(command, check=False)["stderr"].lower()


# Those who are not, or no more


@test("an orphan whose parent did not join is no longer the holder, though it has the file")
def orphan(m):
    one = holder(m)
    middle = one.process.fork()
    child = middle.fork()
    assert is_holder(child)
    middle.kill()
    assert not is_holder(child)
    assert is_holder(one.process)
    # but with the file it can still send commands, through the file
    assert child.call(scsi.send_on, one.fd, scsi.TEST_UNIT_READY)["good"]


@test("an orphan that joined stays the holder, whatever becomes of its parents")
def joined_orphan(m):
    one = holder(m)
    child = one.fork().fork()
    assert child.acquire()["count"] == 2
    middle = child.process.call(os.getppid)
    m.call(os.kill, middle, signal.SIGKILL)
    eventually(lambda: child.process.call(os.getppid) != middle, what="the orphan's new parent")
    one.kill()
    assert is_holder(child.process)
    assert child.info()["count"] == 2
    assert is_holder(child.fork().process)


def become_subreaper() -> None:
    assert ctypes.CDLL(None).prctl(36, 1) == 0


@test("an orphan stays the holder under a subreaper that joined")
def subreaper(m):
    one = holder(m)
    one.process.call(become_subreaper)
    middle = one.process.fork()
    child = middle.fork()
    middle.kill()
    eventually(lambda: child.call(os.getppid) == one.process.pid, what="the orphan's new parent")
    assert is_holder(child)


def seize(pid: int) -> None:
    """Begin to trace a process, which goes on."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(Stopped.SEIZE, pid, None, None):
        raise OSError(ctypes.get_errno(), "ptrace")


def tracer_of(pid: int) -> int:
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("TracerPid:"))


@test("who traces the holder is not the holder, nor is whom the holder traces")
def tracing(m):
    one = holder(m)
    foreign, foreign_tracer = m.process(), m.process()
    one.process.call(seize, foreign.pid)
    foreign_tracer.call(seize, one.process.pid)
    assert m.call(tracer_of, foreign.pid) == one.process.pid
    assert not is_holder(foreign)
    assert not is_holder(foreign_tracer)
    assert is_holder(one.process)


# Files that are handed on


@test("a process that got the file is the holder only when it has made an ACQUIRE itself")
def passed_file(m):
    one = holder(m)
    other = pass_file(one, m.process())
    assert not is_holder(other.process)
    assert other.acquire()["count"] == 2
    assert is_holder(other.process)
    assert is_holder(other.fork().process)
    # what it does is the holder's doing, its pid is not the holder's
    assert one.info()["pid"] == one.process.pid


@test("the pid that is shown is of a process that is there")
def shown_pid(m):
    watch, one = watcher(m), holder(m)
    child = one.fork()
    child.acquire()
    keeper = pass_file(one, m.process())
    assert watch.info()["pid"] == one.process.pid
    one.kill()
    assert watch.info()["pid"] == child.process.pid and m.call(attribute_of, BUS, "pid") == str(child.process.pid)
    child.kill()
    # held by the file alone, of which nobody has made an ACQUIRE
    info = watch.info()
    assert (info["state"], info["count"], info["pid"], info["uid"]) == (srlock.HELD, 2, 0, 0), info
    assert m.call(attribute_of, BUS, "pid") == "0" and watch.try_acquire()["holder_pid"] == 0
    keeper.kill()
    wait_free(watch)


def attribute_of(bus: str, name: str) -> str:
    return drive.read(f"{drive.attributes(bus)}/{name}").strip()


@test("whoever has the file with a count can send commands through it, in any process")
def file_sends(m):
    one = holder(m)
    other = pass_file(one, m.stranger())
    assert other.call(scsi.send_on, scsi.TEST_UNIT_READY)["good"]
    assert other.process.call(attempt.open_, other.process.call(drive.sr, BUS)) < 0


@test("RELEASE may come from any process that has the file, and then joins and count are separate")
def release_by_another(m):
    watch, one = watcher(m), holder(m)
    one.acquire()
    other = pass_file(one, m.process())
    assert other.release() == 1
    assert is_holder(one.process)
    assert other.release() == 0
    wait_free(watch)
    assert one.errno(srlock.release) == errno.EPERM


@test("a member that exits takes nothing off the count")
def member_exits(m):
    one = holder(m)
    child = one.fork()
    child.acquire()
    child.acquire()
    child.kill()
    assert one.info()["count"] == 3
    assert [one.release() for _ in range(3)] == [2, 1, 0]


@test("the first member may exit: the hold and its name stay, the pid is the next one's")
def first_member_exits(m):
    watch, one = watcher(m), holder(m, "first")
    child = one.fork()
    child.acquire("second")
    before = watch.info()
    one.kill()
    assert watch.info() == before | {"pid": child.process.pid}
    assert is_holder(child.process)
    assert child.release() == 1
    assert child.release() == 0


@test("the set of members is emptied at zero")
def emptied(m):
    one = holder(m)
    child = one.fork()
    child.acquire()
    child.release()
    one.release()
    # the same file again, but only the child's call counts now
    child.acquire()
    assert is_holder(child.process)
    assert not is_holder(one.process)
    child.release()
    other = holder(m)
    for past in (one, child):
        assert not is_holder(past.process)
    assert is_holder(other.process)


@test("a nested ACQUIRE joins, a RELEASE that leaves a count removes nobody")
def stays_joined(m):
    one = holder(m)
    other = pass_file(one, m.process())
    other.acquire()
    other.release()
    assert other.info()["count"] == 1
    assert is_holder(other.process) and is_holder(one.process)


@test("many members come and go, and each is let in while it lives")
def many_members(m):
    one = holder(m)
    for number in range(20):
        other = pass_file(one, m.process())
        other.acquire()
        assert is_holder(other.process)
        other.kill()
    assert one.info()["count"] == 21
    assert not is_holder(m.process())


@test("GET_INFO says whether the asking process is the holder (STATUS_MINE)")
def status_mine(m):
    one, watch = holder(m), watcher(m)
    passed = pass_file(one, m.process())
    mine = {name: bool(c.info()["status"] & srlock.STATUS_MINE)
            for name, c in (("holder", one), ("child", one.fork()), ("watcher", watch), ("passed", passed))}
    assert mine == {"holder": True, "child": True, "watcher": False, "passed": False}


# init


class Registers(ctypes.Structure):
    """struct user_regs_struct (sys/user.h) of x86-64"""

    _fields_ = [(name, ctypes.c_uint64) for name in (
        "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss "
        "fs_base gs_base ds es fs gs").split()]


class Stopped:
    """A process that is stopped in a system call, and does others for us meanwhile (ptrace)."""

    SEIZE, INTERRUPT, GETREGS, SETREGS, SINGLESTEP, DETACH = 0x4206, 0x4207, 12, 13, 9, 17

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.ptrace(self.SEIZE)
        self.ptrace(self.INTERRUPT)
        os.waitpid(pid, 0)
        self.saved = Registers()
        self.ptrace(self.GETREGS, self.saved)

    def ptrace(self, request: int, data=None) -> None:
        pointer = ctypes.byref(data) if data is not None else None
        if self.libc.ptrace(request, self.pid, None, pointer):
            raise OSError(ctypes.get_errno(), f"ptrace {request:#x}")

    def call(self, number: int, *arguments: int) -> int:
        """A system call; rip is just behind an instruction that makes one."""
        registers = Registers.from_buffer_copy(self.saved)
        registers.rip -= 2
        registers.rax, registers.orig_rax = number, 2**64 - 1
        for name, value in zip(("rdi", "rsi", "rdx"), arguments):
            setattr(registers, name, value)
        self.ptrace(self.SETREGS, registers)
        self.ptrace(self.SINGLESTEP)
        os.waitpid(self.pid, 0)
        self.ptrace(self.GETREGS, registers)
        return ctypes.c_int64(registers.rax).value

    def put(self, data: bytes) -> int:
        """Some bytes, below its stack."""
        address = (self.saved.rsp - 4096) & ~15
        with open(f"/proc/{self.pid}/mem", "r+b", buffering=0) as memory:
            memory.seek(address)
            memory.write(data)
        return address

    def go_on(self) -> None:
        self.ptrace(self.SETREGS, self.saved)
        self.ptrace(self.DETACH)


def acquire_as(pid: int, path: str) -> dict:
    """Have another process open a lock and acquire; what each call returned."""
    other = Stopped(pid)
    try:
        fd = other.call(2, other.put(path.encode() + b"\0"), os.O_RDWR, 0)
        acquired = other.call(16, fd, srlock.IOC_ACQUIRE, other.put(acquire_bytes(b"init")))
        released = other.call(16, fd, srlock.IOC_RELEASE, other.put(bytes(8)))
        return {"fd": fd, "acquire": acquired, "release": released, "close": other.call(3, fd)}
    finally:
        other.go_on()


@test("the global init cannot ACQUIRE, another process can in the same way")
def global_init(m):
    path = m.call(drive.srlock, BUS)
    watch = watcher(m)
    before = watch.info()
    answer = m.call(acquire_as, 1, path)
    assert answer["fd"] >= 0 and answer["close"] == 0, answer
    assert answer["acquire"] == -errno.EPERM and answer["release"] == -errno.EPERM, answer
    assert watch.info() == before
    sleeper = m.process()
    answer = m.call(acquire_as, sleeper.pid, path)
    assert answer["acquire"] == answer["release"] == 0, answer


def init_of_a_namespace(fd: int) -> int:
    """ACQUIRE and RELEASE as process 1 of a new pid namespace; the errno."""
    child = os.fork()
    if child == 0:
        unshare(0x20000000)
        inner = os.fork()
        if inner:
            os._exit(os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1]))
        first = -ioctl_bytes(fd, srlock.IOC_ACQUIRE, acquire_bytes())[0] if os.getpid() == 1 else 255
        os._exit(first or -ioctl_bytes(fd, srlock.IOC_RELEASE, bytes(8))[0])
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@test("the init of a pid namespace can ACQUIRE")
def namespace_init(m):
    assert client(m).call(init_of_a_namespace) == 0


# What the holder may do


@test("the holder opens, reads and ejects as always, also with O_EXCL ({})", each=["ahci", "virtio", "usb"])
def holder_works(m, bus):
    one = holder(m, bus=bus)
    path = one.process.call(drive.sr, bus)
    process = one.process.fork()
    fd = process.call(attempt.open_, path, os.O_RDONLY | os.O_EXCL)
    assert fd >= 0
    assert len(process.call(cdrom.read_at, fd, 16 * 2048)) == 2048
    process.call(os.close, fd)
    assert process.call(shell.run, f"mount -r {path} /mnt && cat /mnt/label.txt && umount /mnt")["rc"] == 0
    process.call(cdrom.on_node, path, cdrom.CDROMEJECT)
    assert m.tray_open(bus)
    process.call(cdrom.on_node, path, cdrom.CDROMCLOSETRAY)
    assert not m.tray_open(bus)


@test("the holder's own sg and bsg commands are refused like anyone's")
def holder_sg(m):
    one = holder(m)
    for node in (drive.sg, drive.bsg):
        path = one.process.call(node, BUS)
        assert one.process.call(scsi.send, path, scsi.TEST_UNIT_READY)["refused"]
