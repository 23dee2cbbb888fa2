# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be set up on top of a drive: a file system, loop and device-mapper devices, pktcdvd.

All of this runs in the machine. Each is set up by the process that calls, with plain system calls.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct

import intrude


class Mount:
    """The disc's file system, read-only."""

    target = "/mnt"
    path = "/mnt/data.bin"

    def set_up(self, node: str) -> str:
        # everybody may read it, whatever the disc says
        if intrude.libc.mount(node.encode(), self.target.encode(), b"iso9660", 1, b"norock,dmode=0555,mode=0444"):
            raise OSError(ctypes.get_errno(), "mount")
        return self.path

    def take_down(self) -> None:
        if (word := intrude.umount(self.target)) != "ok":
            raise OSError(getattr(errno, word), "umount")


class Loop:
    """A loop device."""

    LOOP_SET_FD, LOOP_CLR_FD, LOOP_SET_DIRECT_IO, LOOP_SET_BLOCK_SIZE = 0x4C00, 0x4C01, 0x4C08, 0x4C09
    path = "/dev/loop0"
    direct = False

    def set_up(self, node: str) -> str:
        backing = os.open(node, os.O_RDONLY)
        try:
            loop = os.open(self.path, os.O_RDONLY)
            try:
                fcntl.ioctl(loop, self.LOOP_SET_FD, backing)
                if self.direct:
                    fcntl.ioctl(loop, self.LOOP_SET_BLOCK_SIZE, 2048)
                    fcntl.ioctl(loop, self.LOOP_SET_DIRECT_IO, 1)
            finally:
                os.close(loop)
        finally:
            os.close(backing)
        os.chmod(self.path, 0o666)
        return self.path

    def take_down(self) -> None:
        os.chmod(self.path, 0o660)
        loop = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(loop, self.LOOP_CLR_FD)
        finally:
            os.close(loop)


class DirectLoop(Loop):
    """One that reads around the page cache."""

    path = "/dev/loop1"
    direct = True


class Mapper:
    """A linear device-mapper device (linux/dm-ioctl.h)."""

    CREATE, REMOVE, SUSPEND, LOAD = 3, 4, 6, 9
    READONLY = 1
    SIZE = 312
    path = "/dev/mapper/matrix"
    name = b"matrix"

    def call(self, control: int, command: int, flags: int = 0, data: bytes = b"") -> bytearray:
        total = self.SIZE + len(data)
        header = struct.pack("6Ii3IQ128s129s7x", 4, 0, 0, total, self.SIZE, 1 if data else 0, 0, flags, 0, 0, 0,
                             self.name, b"")
        buffer = bytearray(header + data)
        page = (ctypes.c_char * len(buffer)).from_buffer(buffer)
        number = 3 << 30 | self.SIZE << 16 | 0xFD << 8 | command
        if intrude.libc.ioctl(control, ctypes.c_ulong(number), page) < 0:
            raise OSError(ctypes.get_errno(), f"dm ioctl {command}")
        return buffer

    def set_up(self, node: str) -> str:
        status = os.stat(node)
        words = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)} 0".encode().ljust(16, b"\0")
        target = struct.pack("QQiI16s", 0, sectors(node), 0, 40 + len(words), b"linear") + words
        control = os.open("/dev/mapper/control", os.O_RDWR)
        try:
            made = self.call(control, self.CREATE)
            try:
                self.call(control, self.LOAD, self.READONLY, target)
                self.call(control, self.SUSPEND)    # without the flag: resume
            except OSError:
                self.call(control, self.REMOVE)
                raise
        finally:
            os.close(control)
        number = struct.unpack_from("Q", made, 40)[0]
        device = os.makedev(number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00)
        if not os.path.exists(self.path):
            os.mknod(self.path, 0o660 | 0o060000, device)
            os.chmod(self.path, 0o666)
        return self.path

    def take_down(self) -> None:
        control = os.open("/dev/mapper/control", os.O_RDWR)
        try:
            self.call(control, self.REMOVE)
        finally:
            os.close(control)
        if os.path.exists(self.path):
            os.unlink(self.path)


def sectors(node: str) -> int:
    """The size of a drive's disc."""
    with open(f"/sys/class/block/{os.path.basename(node)}/size") as file:
        return int(file.read())


class Packet:
    """A pktcdvd device (linux/pktcdvd.h)."""

    SETUP, TEARDOWN = 0, 1
    COMMAND = 3 << 30 | 24 << 16 | ord("X") << 8 | 1
    path = "/dev/pktcdvd/matrix"

    def call(self, command: int, drive: int = 0, device: int = 0) -> int:
        """Set up or tear down, which unlike the same by sysfs says what was wrong; the device's number."""
        words = bytearray(struct.pack("6I", command, 0, drive, device, 0, 0))
        control = os.open("/dev/pktcdvd/control", os.O_RDONLY)
        try:
            fcntl.ioctl(control, self.COMMAND, words)
        finally:
            os.close(control)
        return struct.unpack("6I", words)[3]

    def set_up(self, node: str) -> str:
        # numbers of devices are as in stat() where they are small
        self.device = self.call(self.SETUP, drive=os.stat(node).st_rdev)
        if not os.path.exists(self.path):
            os.mknod(self.path, 0o660 | 0o060000, self.device)
            os.chmod(self.path, 0o666)
        return self.path

    def take_down(self) -> None:
        self.call(self.TEARDOWN, device=self.device)
        os.unlink(self.path)


KINDS = {"mount": Mount, "loop": Loop, "loop, O_DIRECT": DirectLoop, "device mapper": Mapper, "pktcdvd": Packet}
PATHS = {kind: upper.path for kind, upper in KINDS.items()}
made: dict = {}


def set_up(node: str, kind: str) -> str:
    """Set up and keep; the path to read from."""
    upper = KINDS[kind]()
    path = upper.set_up(node)
    made[kind] = upper
    return path


def take_down(kind: str) -> None:
    made.pop(kind).take_down()


def exists(kind: str) -> bool:
    """Whether the kernel has it."""
    if kind == "pktcdvd":
        return os.path.exists("/dev/pktcdvd/control")
    return True
