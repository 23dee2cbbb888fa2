# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel on which the gate cannot tell commands apart: srlock fails closed, and says so."""

from __future__ import annotations

import errno
from pathlib import Path

from clients import BUS, admitted, calm, client, nothing_changes, quiet, watcher
from machine import test
from machine.guest import drive, scsi, srlock

HERE = Path(__file__).resolve().parent


def build(release: str) -> Path:
    """The module in elsewhere/, for the machine's kernel."""
    from machine import kmod  # not there in the machine
    return kmod.build(HERE / "elsewhere", release)


def load_elsewhere(m) -> None:
    m.put("/tmp/elsewhere.ko", build(m.sh("uname -r")["stdout"].strip()))
    m.sh("insmod /tmp/elsewhere.ko")


def held_commands(bus: str) -> bool:
    """Whether a foreigner's command gets through."""
    return scsi.send(drive.sg(bus), scsi.TEST_UNIT_READY)["good"]


@test("P12 where commands cannot be told apart ACQUIRE is EOPNOTSUPP, and nothing changes")
def told_apart(m):
    calm(m)
    load_elsewhere(m)
    one = client(m)
    with nothing_changes(m, one):
        for wait in (0, 1, None):
            assert one.try_acquire(wait=wait)["errno"] == errno.EOPNOTSUPP
    assert not m.locked(BUS)
    assert m.call(admitted, BUS) and m.call(held_commands, BUS)
    assert m.log().count("this kernel cannot be gated") == 1, m.log()
    m.sh("rmmod elsewhere")
    assert one.acquire()["count"] == 1
    assert m.locked(BUS)
    one.release()


@test("those who wait are told EOPNOTSUPP each, and nobody is left in line")
def line_ends(m):
    calm(m)
    watch, one, waiting = watcher(m), client(m), client(m)
    one.acquire()
    quiet(m, BUS)
    pending = waiting.wait()
    load_elsewhere(m)
    one.release()
    assert pending.result()["errno"] == errno.EOPNOTSUPP
    info = watch.info()
    assert (info["state"], info["waiters"], info["count"]) == (srlock.FREE, 0, 0), info
