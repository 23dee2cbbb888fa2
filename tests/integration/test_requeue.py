# SPDX-License-Identifier: GPL-2.0-or-later
"""P2: a foreign command that waits to be sent again when the gate closes is refused, and nothing of it leaks.

A drive that answers BUSY or TASK SET FULL has its command put back: it is idle then, no iterator of requests sees
it, and it still has its scatter list (RQF_DONTPREP). The witness for the latter are kernel probes on the functions
that take scatter lists from their pool and put them back.
"""

from __future__ import annotations

import os

import intrude
from holding import no_udev, probes
from machine import eventually, test
from machine.guest import drive, scsi, srlock
from recorder import SECTOR, Recorder

TRACING = "/sys/kernel/tracing"
BLOCKS = 16                     # enough for a scatter list that is not the command's own
ROUNDS = 40
SOON = 30.0
MARK = scsi.inquiry(79)


# In the machine

def watch_pools() -> None:
    """From here on count what is taken from each pool of memory and put back; scatter lists come from such."""
    for name, argument in (("alloc", "%di"), ("free", "%si")):
        fd = os.open(f"{TRACING}/kprobe_events", os.O_WRONLY | os.O_APPEND)
        os.write(fd, f"p:requeue/{name} mempool_{name} pool={argument}:x64\n".encode())
        os.close(fd)
        drive.write(f"{TRACING}/events/requeue/{name}/trigger", "hist:keys=pool")


def taken() -> dict[str, int]:
    """How much more was taken from each pool than put back."""
    counts: dict[str, int] = {}
    for name, sign in (("alloc", 1), ("free", -1)):
        with open(f"{TRACING}/events/requeue/{name}/hist") as file:
            for line in file:
                if line.startswith("{ pool:"):
                    pool, count = line.split()[2], int(line.split("hitcount:")[1])
                    counts[pool] = counts.get(pool, 0) + sign * count
    return counts


def read_blocks(path: str) -> str:
    """Read some blocks into memory in pieces, by SG_IO."""
    fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        cdb, length = scsi.read10(0, BLOCKS), BLOCKS * SECTOR
        way = scsi.sg_io_v4 if path.startswith("/dev/bsg") else scsi.sg_io
        return intrude.word(way, fd, cdb, length, timeout=600000)
    finally:
        os.close(fd)


def hold_and_mark(fd: int) -> bool:
    """ACQUIRE, send a command that tells that in the drive's log; whether that was answered well."""
    srlock.acquire(fd, "burner", 0, 20)
    return scsi.sg_io(fd, MARK, 79).good


# Here

def answers(recorder: Recorder, mark: int, status: int) -> int:
    """How many commands have got that answer."""
    return sum(c.status == status for c in recorder.since(mark))


@test("P2 a command that the drive has sent back ({0[1]}) is refused, not kept for later, over 40 holds ({0[0]})",
      each=[("bsg", "TASK SET FULL"), ("bsg", "BUSY")], timeout=400)
def sent_back(m, case):
    probes(m)
    way, word = case
    status = {"TASK SET FULL": 0x28, "BUSY": 0x08}[word]
    with Recorder(m, medium="dvd+r") as recorder:
        no_udev(m)
        m.call(intrude.poll_every, recorder.device, 0)
        m.call(watch_pools)
        acquirer, foreign = m.process(), m.process()
        fd = acquirer.call(srlock.open_lock, m.call(drive.srlock, recorder.device))
        node = {"sr": recorder.sr, "bsg": recorder.bsg}[way]
        words = []
        for _ in range(ROUNDS):
            recorder.fault(f"28 forever status={status:02x}")
            mark = recorder.mark()
            pending = foreign.begin(read_blocks, node)
            eventually(lambda: answers(recorder, mark, status), SOON, "the drive has sent the command back")
            assert acquirer.begin(hold_and_mark, fd).result(SOON)
            words.append(pending.result(SOON))
            recorder.say("clear")
            log = recorder.since(mark)
            (at,) = [i for i, c in enumerate(log) if c.cdb[:6] == MARK]
            begin = max(i for i in range(at) if log[i].prevent)
            assert not [c for c in log[begin:] if c.opcode == 0x28], "a foreign read in a hold"
            assert acquirer.call(srlock.release, fd) == 0
        assert set(words) == {"refused"}, words
        kept = m.call(taken)
        assert kept, "the witness saw no pool"
        assert max(kept.values()) < ROUNDS // 4, f"taken and not put back: {kept}"
        assert not recorder.prevented()
