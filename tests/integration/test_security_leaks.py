# SPDX-License-Identifier: GPL-2.0-or-later
"""Nothing of the kernel's memory gets out: not from a stack, not from a slab, no pointer, no old sense data.

The kernel is booted without init_on_alloc and with poisoned slabs, and the module is built with the compiler's
pattern (0xFE) in every variable that is not initialised. Each output is compared with what it has to be, byte by
byte, and searched for poison and for addresses of the kernel besides.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import glob
import os
import re
import select
import socket
import struct
import subprocess
import tempfile
from pathlib import Path

from clients import BUS, acquire_bytes, calm, client, ioctl_bytes, watcher
from machine import test
from machine.guest import attempt, drive, scsi, srlock

HERE = Path(__file__).resolve().parent if __file__.startswith("/") else Path()
BOOT = "init_on_alloc=0 init_on_free=0 slub_debug=P page_poison=1"
# POISON_INUSE, POISON_FREE (linux/poison.h), PAGE_POISON, the compiler's pattern
POISON = (0x5A, 0x6B, 0xAA, 0xFE)
MINE = b"\xa5"   # what a caller's buffers are full of before a call

INFO, EVENT, ACQUIRE = "<QIIIIiIIIQQQQII64s", "<QIIIIiIII64s", "<64sIIQIIiI"


# Here

def poisoned_module() -> bytes:
    kernels = HERE.parent / "kernels"
    stock = subprocess.run([kernels / "stock", "6.1"], check=True, stdout=subprocess.PIPE, text=True)
    with tempfile.TemporaryDirectory() as name:
        subprocess.run([kernels / "module", stock.stdout.strip(), f"{name}/module",
                        "KCFLAGS=-Werror -ftrivial-auto-var-init=pattern"], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        return Path(f"{name}/module/srlock.ko").read_bytes()


def leaks(data: bytes) -> list[str]:
    """What in some bytes looks like the kernel's own memory."""
    found = [f"poison {byte:#x}" for byte in POISON if bytes([byte]) * 3 in data]
    for at in range(0, len(data) - 7, 4):
        (word,) = struct.unpack_from("<Q", data, at)
        if 0xFFFF800000000000 <= word < 0xFFFFFFFF00000000 or 0xFFFFFFFF80000000 <= word < 0xFFFFFFFFFFFFF000:
            found.append(f"address {word:#x}")
    return found


def is_clean(what: str, data: bytes) -> None:
    assert not (found := leaks(data)), (what, found, data.hex())


class Witness:
    """Calls, and what must come of them."""

    def __init__(self) -> None:
        self.outputs = 0

    def same(self, what: str, got: bytes, expected: bytes) -> None:
        is_clean(what, got)
        assert got == expected, (what, got.hex(), expected.hex())
        self.outputs += 1

    def call(self, what: str, one, command: int, data: bytes, number: int, expected: bytes) -> None:
        result, answer = one.call(ioctl_bytes, command, data)
        assert result == -number, (what, result)
        self.same(what, answer, expected)


def info_bytes(one, **fields) -> bytes:
    """struct srlock_info as it has to be; the time of the hold is taken as it is."""
    since = one.info()["since_ns"] if fields.get("count") else 0
    known = {"state": srlock.FREE, "count": 0, "my_count": 0, "pid": 0, "uid": 0, "prior": 0, "refused": (0, 0, 0),
             "status": 0, "name": b""} | fields
    return struct.pack(INFO, 0x1F, 0, known["state"], known["count"], known["my_count"], known["pid"], known["uid"], 0,
                       known["prior"], since, *known["refused"], known["status"], 0, known["name"])


def acquired(data: bytes, count: int, reason: int, pid: int) -> bytes:
    """An ACQUIRE's argument with its outputs."""
    return data[:80] + struct.pack("<IIiI", count, reason, pid, 0)


@test("poisoned memory: every output of the ABI has the bytes that it has to have, and none of the kernel's",
      module=False, append=BOOT, timeout=400)
def poisoned(m):
    m.put("/tmp/srlock.ko", poisoned_module())
    m.sh("modprobe -a sr_mod sg && insmod /tmp/srlock.ko && udevadm settle")
    calm(m)
    names = m.call(trace_on)
    ear = m.process()
    line = ear.call(listen)
    w = Witness()
    one, other, user = client(m), client(m), client(m).fork(uid=1000, groups=(24,))
    reader = watcher(m)
    pid = one.process.pid
    free = info_bytes(one)
    w.call("GET_INFO free", one, srlock.IOC_GET_INFO, bytes(144), 0, free)
    calls_of_a_hold(w, one, other, user, pid)
    refusals(m, w, one)
    w.call("RELEASE", one, srlock.IOC_RELEASE, struct.pack("<II", 0, 0xA5A5A5A5), 0, struct.pack("<II", 0, 1))
    w.call("RELEASE, the last", one, srlock.IOC_RELEASE, struct.pack("<II", 0, 0xA5A5A5A5), 0, bytes(8))
    one.acquire("broken")
    other.call(srlock.break_)
    for name, command, data in (("ACQUIRE", srlock.IOC_ACQUIRE, acquire_bytes()), ("RELEASE", srlock.IOC_RELEASE, bytes(8))):
        w.call(f"{name} broken", one, command, data, errno.EOWNERDEAD, data)
    w.call("GET_INFO broken", one, srlock.IOC_GET_INFO, bytes(144), 0, info_bytes(
        one, status=srlock.STATUS_BROKEN, refused=tuple(one.info()[f"refused_{k}"] for k in ("opens", "ioctls", "commands"))))
    records(m, w, reader)
    for name, text in m.call(attribute_bytes, BUS).items():
        is_clean(name, text)
        assert re.fullmatch(rb"[ -~]*\n", text) and b"ffff" not in text, (name, text)
        w.outputs += 1
    for message in ear.call(messages, line):
        is_clean("uevent", message)
        assert re.fullmatch(rb"[ -~\0]*", message), message
        w.outputs += 1
    raw = m.call(raw_trace, names)
    assert len(raw) > 200, len(raw)
    is_clean("trace", raw)
    log = [line for line in m.log().splitlines() if "srlock" in line]
    assert not [line for line in log if re.search(r"\bf{4}[0-9a-f]{12}\b", line)], log
    assert w.outputs > 40, w.outputs


def calls_of_a_hold(w: Witness, one, other, user, pid: int) -> None:
    """ACQUIRE and GET_INFO, when they work and with each error."""
    good = acquire_bytes(b"poison")[:80] + MINE * 12 + bytes(4)
    w.call("ACQUIRE", one, srlock.IOC_ACQUIRE, good, 0, acquired(good, 1, 0, pid))
    w.call("ACQUIRE nested", one, srlock.IOC_ACQUIRE, good, 0, acquired(good, 2, 0, pid))
    w.call("ACQUIRE busy", other, srlock.IOC_ACQUIRE, good, errno.EBUSY, acquired(good, 2, srlock.BUSY_HELD, pid))
    late = acquire_bytes(b"late", deadline=1)
    w.call("ACQUIRE late", other, srlock.IOC_ACQUIRE, late, errno.EBUSY, acquired(late, 2, srlock.BUSY_HELD, pid))
    for what, data, number in (("name", acquire_bytes(b"/"), errno.EINVAL), ("flags", acquire_bytes(flags=64), errno.EINVAL),
                               ("pad", acquire_bytes(pad=1), errno.EINVAL), ("pad2", acquire_bytes(pad2=1), errno.EINVAL)):
        w.call(f"ACQUIRE {what}", other, srlock.IOC_ACQUIRE, data, number, data)
    forced = acquire_bytes(flags=srlock.FORCE)
    w.call("ACQUIRE forced", user, srlock.IOC_ACQUIRE, forced, errno.EPERM, forced)
    w.call("RELEASE of nothing", other, srlock.IOC_RELEASE, bytes(8), errno.EPERM, bytes(8))
    w.call("BREAK", user, srlock.IOC_BREAK, MINE * 8, errno.EPERM, MINE * 8)
    held = {"state": srlock.HELD, "count": 2, "pid": pid, "name": b"poison"}
    w.call("GET_INFO mine", one, srlock.IOC_GET_INFO, bytes(144), 0, info_bytes(
        one, my_count=2, status=srlock.STATUS_PREVENTED | srlock.STATUS_MINE, **held))
    w.call("GET_INFO", other, srlock.IOC_GET_INFO, bytes(144), 0,
           info_bytes(other, status=srlock.STATUS_PREVENTED, **held))
    for size in (1024, 16376):
        data = bytes(size)
        w.call(f"GET_INFO {size}", other, srlock.iowr(3, size), data, 0,
               info_bytes(other, status=srlock.STATUS_PREVENTED, **held).ljust(size, b"\0"))
    w.call("GET_INFO small", other, srlock.iowr(3, 136), MINE * 136, errno.EINVAL, MINE * 136)
    w.call("GET_INFO flags", other, srlock.IOC_GET_INFO, bytes(8) + MINE * 136, errno.EINVAL, bytes(8) + MINE * 136)
    w.call("SG_IO of nobody", other, scsi.SG_IO, MINE * 88, errno.EPERM, MINE * 88)


def refusals(m, w: Witness, one) -> None:
    """What is in the buffers of who is refused: what the caller had put there, or nothing; after a command with sense."""
    failing = one.call(scsi.send_on, scsi.read10(0x7FFFFFFF, 1), 2048)
    assert failing["sense"], failing
    foreign = m.process()
    nodes = [("sg", foreign.call(drive.sg, BUS)), ("write", foreign.call(drive.sg, BUS)), ("bsg", foreign.call(drive.bsg, BUS))]
    for round_ in range(6):
        for way, path in nodes:
            answer = foreign.call(refused_raw, path, way, 512)
            assert answer["status"] == scsi.RESERVATION_CONFLICT and answer["length"] == 0, answer
            assert answer["resid"] == 512 and answer["rest"] == 0, answer
            assert answer["data"] in (bytes(512), MINE * 512), (way, answer["data"])
            w.same(f"sense of {way} {round_}", answer["sense"], MINE * 96)
    assert one.process.call(attempt.open_, one.process.call(drive.sr, BUS)) >= 0


def records(m, w: Witness, reader) -> None:
    """Every kind of record, byte by byte."""
    data = b"".join(reader.call(read_bytes) for _ in range(2))
    assert len(data) % 104 == 0 and data
    kinds = set()
    for at in range(0, len(data), 104):
        fields = struct.unpack_from(EVENT, data, at)
        time_ns, kind, repeats, lost, flags, pid, uid, way, code, name = fields
        text = name.rstrip(b"\0")
        assert time_ns and lost == 0 and flags in (0, 1) and uid in (0, 0xFFFFFFFF), fields
        if kind == srlock.EVENT_REFUSED:
            assert way == srlock.WAY_COMMAND and code == 0x12 and repeats, fields
        else:
            assert (repeats, flags, way, code) == (1, 0, 0, 0) and text in (b"poison", b"broken"), fields
        w.same(f"record {kind}", data[at:at + 104], struct.pack(EVENT, *fields[:-1], text))
        kinds.add(kind)
    assert kinds == {srlock.EVENT_HELD, srlock.EVENT_RELEASED, srlock.EVENT_BROKEN, srlock.EVENT_REFUSED}, kinds


# In the machine

def read_bytes(fd: int) -> bytes:
    return os.read(fd, 104 * 256) if select.select([fd], [], [], 1.5)[0] else b""


def refused_raw(path: str, way: str, length: int) -> dict:
    """A command that is refused, and all that is in the caller's buffers then."""
    cdb = ctypes.create_string_buffer(scsi.inquiry(77), 6)
    sense = ctypes.create_string_buffer(MINE * 96, 96)
    data = ctypes.create_string_buffer(MINE * length, length)
    fd = os.open(path, os.O_RDWR)
    try:
        if way == "bsg":
            header = scsi.SgIoV4(guard=ord("Q"), request_len=6, request=ctypes.addressof(cdb), max_response_len=96,
                                 response=ctypes.addressof(sense), din_xfer_len=length,
                                 din_xferp=ctypes.addressof(data), timeout=9000)
        else:
            header = scsi.SgIoHdr(interface_id=ord("S"), cmd_len=6, mx_sb_len=96, dxfer_len=length,
                                  dxfer_direction=scsi.IN, dxferp=ctypes.addressof(data), cmdp=ctypes.addressof(cdb),
                                  sbp=ctypes.addressof(sense), timeout=9000)
        header = transfer(fd, way, header)
    finally:
        os.close(fd)
    if way == "bsg":
        return {"status": header.device_status, "length": header.response_len, "resid": header.din_resid,
                "rest": header.transport_status | header.spare_out | header.padding,
                "sense": sense.raw, "data": data.raw}
    return {"status": header.status, "length": header.sb_len_wr, "resid": header.resid,
            "rest": header.host_status | header.msg_status, "sense": sense.raw, "data": data.raw}


def transfer(fd: int, way: str, header):
    if way != "write":
        fcntl.ioctl(fd, scsi.SG_IO, header, True)
        return header
    os.write(fd, bytes(header))
    raw = bytearray(bytes(header))
    os.readv(fd, [raw])
    return scsi.SgIoHdr.from_buffer_copy(raw)


def attribute_bytes(bus: str) -> dict[str, bytes]:
    found = {}
    for path in glob.glob(drive.attributes(bus) + "/*"):
        name = os.path.basename(path)
        if os.path.isfile(path) and name != "uevent":
            with open(path, "rb") as file:
                found[name] = file.read()
    return found


def listen() -> int:
    """A socket that gets the kernel's uevents."""
    line = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 15)
    line.bind((0, 1))
    return line.detach()


def messages(fd: int) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(os.read(fd, 8192))
        except BlockingIOError:
            return [message for message in found if b"srlock" in message]


TRACING = "/sys/kernel/tracing"


def trace_on() -> list[str]:
    drive.write(TRACING + "/events/srlock/enable", "1")
    return sorted(glob.glob(TRACING + "/per_cpu/cpu*/trace_pipe_raw"))


def raw_trace(paths: list[str]) -> bytes:
    """The pages of the trace, without their headers and what is not used of them."""
    found = b""
    for path in paths:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            while page := os.read(fd, 4096):
                (used,) = struct.unpack_from("<Q", page, 8)
                found += page[16:16 + (used & 0xFFFF)]
        except BlockingIOError:
            pass
        os.close(fd)
    return found
