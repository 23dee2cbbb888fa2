# SPDX-License-Identifier: GPL-2.0-or-later
"""Who sent the commands that reached a drive, and what the system makes of its disc. Runs in the machine.

The kernel's own tracing tells: blk_execute_rq() runs in the process that wants a command sent,
scsi_queue_rq() sees the request in whatever task hands it to the drive, and the tracepoint
scsi_dispatch_cmd_start, next in the same task, says that it went out. A request that nobody submitted
that way is the page cache's. srlock's gate sits in front of scsi_queue_rq(), so what it refuses
never gets there. Only what happens between the marks BEGIN and END in the trace counts, which the
burner's own shell puts there.
"""

from __future__ import annotations

import os
import re
from collections import Counter

TRACING = "/sys/kernel/tracing"
BEGIN, END = "demo begin", "demo end"
PROBES = (
    "p:srlock_demo/submit blk_execute_rq rq=$arg1:x64",
    "p:srlock_demo/submit_async blk_execute_rq_nowait rq=$arg1:x64",
    "p:srlock_demo/issue scsi_queue_rq rq=+0($arg2):x64",
)
LINE = re.compile(r"\s*(?P<comm>.+)-(?P<pid>\d+)\s+\[\d+\] \S+\s+[\d.]+: (?P<event>\w+): (?P<rest>.*)")
REQUEST = re.compile(r"rq=(0x[0-9a-f]+)")
OPCODE = re.compile(r"raw=([0-9a-f]{2})")


def write(name: str, text: str, flags: int = os.O_TRUNC) -> None:
    """Write a file of the tracing system in one call; opening some of them to append adds, else clears."""
    fd = os.open(f"{TRACING}/{name}", os.O_WRONLY | flags)
    os.write(fd, text.encode())
    os.close(fd)


def set_up(host: int) -> None:
    """Make ready to watch the drive at a SCSI host, once for all that is played.

    What is switched later is the buffer alone. To enable an event is to patch the running kernel's code; a machine
    in which that was done beside a busy crew was seen to hang once, though it is not known whether by that.
    """
    write("tracing_on", "0")
    write("buffer_size_kb", "16384")
    for probe in PROBES:
        write("kprobe_events", f"{probe}\n", os.O_APPEND)
    write("events/scsi/scsi_dispatch_cmd_start/filter", f"host_no == {host}")
    write("events/srlock_demo/enable", "1")
    write("events/scsi/scsi_dispatch_cmd_start/enable", "1")


def start() -> None:
    """Begin to watch."""
    write("trace", "\n")
    write("tracing_on", "1")


def stop() -> None:
    """End the watch."""
    write("tracing_on", "0")


def read() -> dict[str, dict[str, int]]:
    """What was seen: for each process name how many commands of each opcode reached the drive."""
    with open(f"{TRACING}/trace", errors="replace") as trace:
        found = attribute(trace)
    return {name: dict(codes) for name, codes in found.items()}


def attribute(trace) -> dict[str, Counter]:
    """Put each dispatched command down to the process that submitted its request."""
    submitters: dict[str, str] = {}
    issued: dict[str, str] = {}
    found: dict[str, Counter] = {}
    counting = False
    for line in trace:
        match = LINE.match(line)
        if not match:
            continue
        if match["event"] == "tracing_mark_write":
            counting = match["rest"].strip() == BEGIN
        elif match["event"] == "scsi_dispatch_cmd_start":
            if not counting:
                continue
            # None: the page cache's. A requeued request goes out once more under the same name.
            name = submitters.get(issued.get(match["pid"], ""), "page cache")
            found.setdefault(name, Counter())[OPCODE.search(match["rest"])[1]] += 1
        elif match["event"] == "issue":
            issued[match["pid"]] = REQUEST.search(match["rest"])[1]
        else:
            submitters[REQUEST.search(match["rest"])[1]] = match["comm"].strip()
    return found


def size_of(path: str) -> int:
    """The size of a file or a drive, as its next opener sees it."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.lseek(fd, 0, os.SEEK_END)
    finally:
        os.close(fd)
