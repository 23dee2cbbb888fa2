# SPDX-License-Identifier: GPL-2.0-or-later
"""What an attacker of the lock does.

A trap is memory whose first touch stops whoever touches it, in the kernel too: a call that has the kernel
read or write there is parked halfway until `spring()` lets it go on. FUSE gives such memory to anybody; the
tests have it from userfaultfd(2).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import select
import struct
import subprocess
import tempfile
from pathlib import Path

from machine import eventually
from machine.guest import drive, scsi, shell

HERE = Path(__file__).resolve().parent if __file__.startswith("/") else Path()
HOSTILE = "/tmp/hostile"


# Here

def may_open(m, bus: str) -> str:
    """Let everybody in group cdrom use the lock, as the udev rule does; the node."""
    path = m.call(drive.srlock, bus)
    m.sh(f"chgrp cdrom {path} && chmod 660 {path}")
    return path


def put_hostile(m) -> None:
    """hostile.c, built and put into the machine."""
    with tempfile.TemporaryDirectory() as name:
        program = Path(name) / "hostile"
        subprocess.run(["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror", "-static",
                        "-pthread", f"-I{HERE.parent.parent}/include/uapi", "-o", program,
                        HERE / "hostile" / "hostile.c"], check=True)
        m.put(HOSTILE, program.read_bytes(), 0o755)


def allow_traps(m) -> None:
    """Let everybody set traps; else root alone may."""
    m.sh("sysctl -q vm.unprivileged_userfaultfd=1")


class Parked:
    """A process whose call is parked in a trap, and its child that can spring that.

    The function gets the trap's address as its first argument, after those of `before`.
    """

    def __init__(self, m, process, function, *before, **options) -> None:
        self.process = process
        self.trap = process.call(set_trap)
        self.child = process.fork()
        self.calling = process.begin(function, *before, self.trap["address"], **options)
        eventually(lambda: "handle_userfault" in self.stack(m), 10, "the call is parked")

    def stack(self, m) -> str:
        return m.call(shell.read, f"/proc/{self.process.pid}/stack")

    def spring(self, data: bytes = b"") -> None:
        self.child.call(spring, self.trap, data)

    def done(self) -> bool:
        return self.calling.done()

    def result(self, timeout: float = 20):
        return self.calling.result(timeout)


# In the machine

PAGE = 4096
libc = ctypes.CDLL(None, use_errno=True)

# userfaultfd(2), linux/userfaultfd.h
USERFAULTFD = 323
UFFDIO_API, UFFDIO_REGISTER, UFFDIO_COPY = 0xC018AA3F, 0xC020AA00, 0xC028AA03
UFFD_API, UFFDIO_REGISTER_MODE_MISSING = 0xAA, 1

_kept: list = []   # what must live as long as the process


def checked(result: int, what: str) -> int:
    """The result of a call of the C library, or its error as an exception."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def set_trap() -> dict:
    """A page that nobody has touched, and the file that it is sprung with."""
    fd = checked(libc.syscall(USERFAULTFD, os.O_CLOEXEC), "userfaultfd")
    fcntl.ioctl(fd, UFFDIO_API, bytearray(struct.pack("QQQ", UFFD_API, 0, 0)), True)
    page = mmap.mmap(-1, PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    _kept.append(page)
    region = struct.pack("QQQQ", address, PAGE, UFFDIO_REGISTER_MODE_MISSING, 0)
    fcntl.ioctl(fd, UFFDIO_REGISTER, bytearray(region), True)
    return {"fd": fd, "address": address}


def spring(trap: dict, data: bytes = b"") -> None:
    """Put a page there, so that whoever is caught goes on. Any process with the file may."""
    source = ctypes.create_string_buffer(data, PAGE)
    page = struct.pack("QQQQq", trap["address"], ctypes.addressof(source), PAGE, 0, 0)
    fcntl.ioctl(trap["fd"], UFFDIO_COPY, bytearray(page), True)


def ioctl_at(fd: int, command: int, address: int) -> int:
    """An ioctl whose argument is at an address; its result, or minus the errno."""
    result = libc.ioctl(fd, ctypes.c_ulong(command), ctypes.c_void_p(address))
    return result if result >= 0 else -ctypes.get_errno()


def read_at(fd: int, address: int, size: int = 104) -> int:
    """read(2) to an address."""
    result = libc.read(fd, ctypes.c_void_p(address), ctypes.c_size_t(size))
    return result if result >= 0 else -ctypes.get_errno()


def sg_io_with(fd: int, part: str, cdb: bytes, length: int, address: int) -> dict | int:
    """SG_IO of which one part is at an address: "cdb", "in" or "out" (the data), or "sense".

    What it ends with, or minus the errno.
    """
    command = ctypes.create_string_buffer(cdb, len(cdb))
    data = ctypes.create_string_buffer(max(length, 1))
    sense = ctypes.create_string_buffer(96)
    where = {"cdb": ctypes.addressof(command), "data": ctypes.addressof(data), "sense": ctypes.addressof(sense)}
    where["data" if part in ("in", "out") else part] = address
    header = scsi.SgIoHdr(
        interface_id=ord("S"), cmd_len=len(cdb), mx_sb_len=96, dxfer_len=length,
        dxfer_direction=scsi.OUT if part == "out" else scsi.IN if length else scsi.NONE,
        dxferp=where["data"], cmdp=where["cdb"], sbp=where["sense"], timeout=20000)
    result = ioctl_at(fd, scsi.SG_IO, ctypes.addressof(header))
    if result:
        return result
    return {"status": header.status, "host": header.host_status, "resid": header.resid}


def clear_trap() -> None:
    """Make the page of the trap that was set last one that nobody has touched."""
    _kept[-1].madvise(mmap.MADV_DONTNEED)


def on_node(path: str, mode: int, function: str, *args):
    """A function of this file on a node that is opened for it."""
    fd = os.open(path, mode)
    try:
        return globals()[function](fd, *args)
    finally:
        os.close(fd)


def stuck(comm: str = "") -> list[str]:
    """Where every task is that sleeps and cannot be killed, of those whose name has a word in it."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            state = drive.read(f"/proc/{pid}/stat").rpartition(") ")[2][0]
            name, stack = drive.read(f"/proc/{pid}/comm"), drive.read(f"/proc/{pid}/stack")
        except OSError:
            continue
        if state == "D" and comm in name:
            found.append(f"{name}: {stack}")
    return found


def state_of(pid: int) -> str:
    """The letter of a process's state; "" if it is gone."""
    try:
        return drive.read(f"/proc/{pid}/stat").rpartition(") ")[2][0]
    except OSError:
        return ""


# hostile.c

_programs: list[subprocess.Popen] = []


def start(way: str, *args, timeout: float = 60) -> list[str]:
    """Start it; the words that it says when it is ready."""
    program = subprocess.Popen([HOSTILE, way, *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    _programs.append(program)
    if not select.select([program.stdout], [], [], timeout)[0]:
        raise TimeoutError(f"hostile {way} is not ready")
    words = program.stdout.readline().decode().split()
    if words[:1] != ["ready"]:
        raise RuntimeError(f"hostile {way}: {words}, status {program.wait(5)}")
    return words[1:]


def go(way: str, *args, timeout: float = 60) -> list[str]:
    """Run it to its end; what it says."""
    done = subprocess.run([HOSTILE, way, *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=timeout, check=True)
    return done.stdout.decode().split()[1:]


def name_of(number: int) -> str:
    """The name of an errno, "" of 0."""
    return errno.errorcode[number] if number else ""
