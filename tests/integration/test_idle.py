# SPDX-License-Identifier: GPL-2.0-or-later
"""P8: with no lock held the module is on no I/O path.

Two witnesses, both kernel probes (Documentation/trace/kprobetrace.rst): the pointers themselves, fetched from the
queue of a command that is being dispatched, and counts of calls of the module's functions.
"""

from __future__ import annotations

import os
import struct

import intrude
from holding import DRIVES, Hold, attribute, no_udev, probes
from machine import eventually, test
from machine.guest import drive, scsi, shell, srlock

RO, NONBLOCK, RW = os.O_RDONLY, os.O_RDONLY | os.O_NONBLOCK, os.O_RDWR | os.O_NONBLOCK
TRACING = "/sys/kernel/tracing"

STRUCT, UNION = 4, 5
# What follows a type's 12 bytes, by kind: a fixed size, or a size for each member (Documentation/bpf/btf.rst)
FIXED = {1: 4, 3: 12, 14: 4, 17: 4}
EACH = {STRUCT: 12, UNION: 12, 6: 8, 13: 8, 15: 12, 19: 12}


def offsets(wanted: dict[str, list[str]]) -> dict[str, int]:
    """The byte offsets of members of structs, "struct.member", from the kernel's own type information."""
    with open("/sys/kernel/btf/vmlinux", "rb") as file:
        data = file.read()
    (header,) = struct.unpack_from("<I", data, 4)
    types, types_size, strings, _ = struct.unpack_from("<IIII", data, 8)
    at, end, strings = header + types, header + types + types_size, header + strings

    def name(offset: int) -> str:
        return data[strings + offset:data.index(0, strings + offset)].decode()

    heads = {data.find(b"\0" + key.encode() + b"\0", strings) + 1 - strings: key for key in wanted}
    found: dict[str, int] = {}
    unpack = struct.Struct("<III").unpack_from
    while at < end:
        label, info, _ = unpack(data, at)
        kind, members = info >> 24 & 0x1F, info & 0xFFFF
        at += 12
        if kind == STRUCT and label in heads:
            for index in range(members):
                member, _, bits = unpack(data, at + 12 * index)
                if name(member) in wanted[heads[label]]:
                    found[f"{heads[label]}.{name(member)}"] = (bits & 0xFFFFFF if info >> 31 else bits) // 8
        at += FIXED.get(kind, 0) + EACH.get(kind, 0) * members
    return found


def probe(definition: str) -> None:
    """Set a kernel probe."""
    fd = os.open(f"{TRACING}/kprobe_events", os.O_WRONLY | os.O_APPEND)
    try:
        os.write(fd, definition.encode() + b"\n")
    finally:
        os.close(fd)


def watch_pointers() -> None:
    """From here on each dispatch of a SCSI command notes its queue's and its disk's operation pointers."""
    o = offsets({"blk_mq_hw_ctx": ["queue"], "request_queue": ["mq_ops", "disk"], "gendisk": ["fops"]})
    queue = f"+{o['blk_mq_hw_ctx.queue']}(%di)"
    disk = f"+{o['request_queue.disk']}({queue})"
    probe(f"p:idle/pointers scsi_queue_rq queue={queue}:x64 "
          f"mq_ops=+{o['request_queue.mq_ops']}({queue}):x64 fops=+{o['gendisk.fops']}({disk}):x64")
    drive.write(f"{TRACING}/events/idle/pointers/enable", "1")


def pointers_on(fd: int) -> list[str]:
    """The pointers of a drive, seen while a command of this file is dispatched to it."""
    os.close(os.open(f"{TRACING}/trace", os.O_WRONLY | os.O_TRUNC))     # forgets what it has
    result = scsi.sg_io(fd, scsi.TEST_UNIT_READY)
    assert result.good, result
    (line,) = [line for line in shell.read(f"{TRACING}/trace").splitlines() if "pointers:" in line]
    return [word for word in line.split() if word.startswith(("mq_ops=", "fops="))]


def pointers(path: str) -> list[str]:
    """The same with a file of its own."""
    fd = os.open(path, RW)
    try:
        return pointers_on(fd)
    finally:
        os.close(fd)


@test("P8 without a hold the drive's own operation pointers are in place ({})", each=DRIVES, timeout=180)
def same_pointers(m, bus):
    probes(m)
    no_udev(m)
    for each in DRIVES:
        m.call(intrude.poll_every, each, 0)
    m.call(watch_pointers, timeout=90)
    path = m.call(drive.sr, bus)
    loaded = m.call(pointers, path)
    for end in ("release", "kill", "break"):
        hold = Hold(m, bus)
        held = hold.call(pointers_on, hold.fd)
        assert held[0] != loaded[0] and held[1] != loaded[1], (held, loaded)
        if end == "release":
            hold.release()
        elif end == "kill":
            hold.process.kill()
        else:
            hold.call(srlock.break_, hold.fd)
        eventually(lambda: attribute(m, bus, "state") == "free", 10)
        assert m.call(pointers, path) == loaded, end
        if end != "kill":
            hold.process.kill()      # its lock file is still open
    m.sh("rmmod srlock")
    assert m.call(pointers, path) == loaded, "the module had changed them when it was loaded"


def watch_functions() -> list[str]:
    """Count the calls of all of the module's functions that stand in others' places."""
    swapped = ["srlock_open", "srlock_release", "srlock_ioctl", "srlock_compat_ioctl", "srlock_check_events",
               "srlock_queue_rq"]
    for name in swapped:
        probe(f"p:idle/{name} srlock:{name}")
    drive.write(f"{TRACING}/events/idle/enable", "1")
    return swapped


def calls() -> dict[str, int]:
    """How often each was called (kprobe_profile: event, hits, misses)."""
    lines = shell.read(f"{TRACING}/kprobe_profile").splitlines()
    return {line.split()[0].split("/")[-1]: int(line.split()[1]) for line in lines}


def stop_watching() -> None:
    drive.write(f"{TRACING}/events/idle/enable", "0")
    drive.write(f"{TRACING}/kprobe_events", "\n")


def use(bus: str) -> None:
    """Everything that a free drive is used for."""
    path = drive.sr(bus)
    for mode in (RO, NONBLOCK, NONBLOCK | os.O_EXCL):
        assert intrude.open_close(path, mode) == "ok"
    assert intrude.mount_umount(path) == "ok"
    for node, way in ((drive.sr(bus), "sg_io"), (drive.sg(bus), "sg_io"), (drive.sg(bus), "write_read"),
                      (drive.bsg(bus), "bsg_io")):
        assert intrude.on_new_file(node, RW if node == path else os.O_RDWR, way) == "ok"
    assert intrude.on_new_file(path, RO, "read", 6) == "ok"


@test("P8 without a hold none of the module's functions is called ({})", each=DRIVES, timeout=180)
def no_calls(m, bus):
    probes(m)
    no_udev(m)
    swapped = m.call(watch_functions)
    Hold(m, bus).release()                 # idle again is idle, too
    before = m.call(calls)
    m.call(use, bus, timeout=60)
    m.call(intrude.poll_every, bus, 100)
    mark = m.trace.mark()
    assert m.trace.since(mark, bus, settle=1)
    assert m.call(calls) == before
    hold = Hold(m, bus)
    hold.call(intrude.on_new_file, m.call(drive.sr, bus), RO, "read", 7)
    m.call(intrude.open_close, m.call(drive.sr, bus), NONBLOCK)
    hold.call(intrude.on_new_file, m.call(drive.sr, bus), RW, "sg_io")
    after = m.call(calls)
    missing = [name for name in swapped if after[name] == before[name] and name != "srlock_compat_ioctl"]
    assert not missing, f"the probes count nothing: {missing}"
    hold.release()
    m.call(stop_watching)
