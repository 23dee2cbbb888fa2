# SPDX-License-Identifier: GPL-2.0-or-later
"""P10: waiting for a drive."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
import time

from clients import BUS, acquire_bytes, client, holder, ioctl, wait_free, wait_line, wait_state, watcher
from machine import GuestError, eventually, never, test
from machine.guest import drive, srlock


def held_by(watch) -> list[str]:
    """Who got the drive since the watch began or was asked last, in that order."""
    return [e["name"] for e in watch.call(srlock.events) if e["type"] == srlock.EVENT_HELD]


# Deadlines


def timed_acquire(fd: int, wait: float) -> tuple[dict, float]:
    """ACQUIRE with a deadline; its outcome, and how long it took."""
    start = time.monotonic()
    return srlock.try_acquire(fd, wait=wait), time.monotonic() - start


@test("P10 ACQUIRE waits to its deadline, then it is EBUSY with the reason")
def to_the_deadline(m):
    one, other = holder(m), client(m)
    answer, seconds = other.call(timed_acquire, 0.7)
    assert answer["errno"] == errno.EBUSY and answer["busy_reason"] == srlock.BUSY_HELD, answer
    assert (answer["count"], answer["holder_pid"]) == (1, one.process.pid)
    assert 0.7 <= seconds < 20, seconds
    assert one.info()["waiters"] == 0


def acquire_at(fd: int, deadline_ns: int) -> int:
    data = ctypes.create_string_buffer(acquire_bytes(deadline=deadline_ns))
    return -ioctl(fd, srlock.IOC_ACQUIRE, ctypes.addressof(data))


@test("P10 a deadline in the past does not wait, but takes a drive that is free")
def past_deadline(m):
    one, other = holder(m), client(m)
    assert other.call(acquire_at, 1) == errno.EBUSY
    one.release()
    assert other.call(acquire_at, 1) == 0
    assert other.info()["my_count"] == 1


@test("P10 a deadline of {} waits", each=["U64_MAX", "U64_MAX - 1", "S64_MAX", "S64_MAX + 1"])
def far_deadline(m, word):
    deadline = {"U64_MAX": 2**64 - 1, "U64_MAX - 1": 2**64 - 2, "S64_MAX": 2**63 - 1, "S64_MAX + 1": 2**63}
    watch, one, other = watcher(m), holder(m), client(m)
    waiting = other.begin(acquire_at, deadline[word])
    wait_line(watch, 1)
    never(waiting.done, 0.3, "it did not wait")
    one.release()
    assert waiting.result() == 0


@test("P10 a waiter gets the drive when it is released, closed, or its holder is killed")
def handed_over(m):
    watch = watcher(m)
    ends = [lambda c: c.release(), lambda c: c.close(), lambda c: c.kill()]
    current = holder(m)
    for end in ends:
        following = client(m)
        waiting = following.wait("next")
        wait_line(watch, 1)
        end(current)
        assert waiting.result()["errno"] == 0
        assert watch.info()["pid"] == following.process.pid
        current = following
    assert m.locked(BUS)


@test("P10 a waiter waits for the final release, not for a nested one")
def nested_release(m):
    watch, one, other = watcher(m), holder(m), client(m)
    one.acquire()
    waiting = other.wait()
    wait_line(watch, 1)
    assert one.release() == 1
    never(waiting.done, 0.3, "the drive was given away")
    one.release()
    assert waiting.result()["count"] == 1


# Order


def take_and_give(fd: int, name: str) -> None:
    srlock.acquire(fd, name, wait=None)
    srlock.release(fd)


@test("P10 24 waiters are served first come first served", timeout=180)
def first_come(m):
    watch, one = watcher(m), holder(m)
    names = [f"waiter {number}" for number in range(24)]
    waiting = []
    for number, name in enumerate(names, start=1):
        waiting.append(client(m).begin(take_and_give, name))
        wait_line(watch, number)
    one.release()
    for pending in waiting:
        pending.result()
    assert held_by(watch) == ["holder", *names]
    wait_free(watch)


@test("P10 a deadline of 0 does not pass those who wait")
def no_barging(m):
    watch, one = watcher(m), holder(m)
    first, second = client(m), client(m)
    waiting = first.wait("first")
    wait_line(watch, 1)
    releasing = one.begin(srlock.release)
    # at no moment is the drive to be had by one who does not wait
    while not waiting.done():
        assert second.try_acquire("second")["errno"] == errno.EBUSY
    releasing.result()
    assert second.try_acquire("second")["errno"] == errno.EBUSY
    assert held_by(watch) == ["holder", "first"]


@test("P10 one whose deadline comes leaves the line to the others")
def late_one_leaves(m):
    watch, one = watcher(m), holder(m)
    first, second = client(m), client(m)
    late = first.begin(srlock.try_acquire, "late", 0, 5)
    wait_line(watch, 1)
    waiting = second.wait("second")
    assert late.result()["errno"] == errno.EBUSY
    wait_line(watch, 1)
    one.release()
    assert waiting.result()["errno"] == 0
    assert held_by(watch) == ["holder", "second"]


@test("P10 a killed waiter leaves the line, wherever it stands")
def killed_waiter(m):
    watch, one = watcher(m), holder(m)
    line = [client(m) for _ in range(4)]
    pending = []
    for number, waiter in enumerate(line, start=1):
        pending.append(waiter.wait(f"waiter {number}"))
        wait_line(watch, number)
    line[1].kill()
    line[3].kill()
    wait_line(watch, 2)
    line[0].kill()
    wait_line(watch, 1)
    one.release()
    assert pending[2].result()["errno"] == 0
    assert held_by(watch) == ["holder", "waiter 3"]


@test("P10 two waiters on one file: the second nests, and those between them stay in line")
def two_on_one_file(m):
    watch, one = watcher(m), holder(m)
    first, stranger = client(m), client(m)
    child = first.fork()
    waiting = [first.wait("first"), None, None]
    wait_line(watch, 1)
    waiting[1] = stranger.wait("stranger")
    wait_line(watch, 2)
    waiting[2] = child.wait("child")
    wait_line(watch, 3)
    one.release()
    assert waiting[0].result()["errno"] == waiting[2].result()["errno"] == 0
    info = first.info()
    assert (info["my_count"], info["waiters"], info["client"]) == (2, 1, "first"), info
    assert not waiting[1].done()
    first.release()
    child.release()
    assert waiting[1].result()["count"] == 1
    assert held_by(watch) == ["holder", "first", "stranger"]


# Signals


def on_signal(restart: bool) -> None:
    """Have SIGUSR1 handled, by a handler with or without SA_RESTART."""
    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.siginterrupt(signal.SIGUSR1, not restart)


def pending_signals(pid: int) -> bool:
    with open(f"/proc/{pid}/status") as file:
        masks = dict(line.split(":\t") for line in file if line.startswith(("SigPnd", "ShdPnd")))
    return any(int(mask, 16) for mask in masks.values())


@test("P10 a signal interrupts the wait (EINTR), and the waiter is out of the line")
def interrupted(m):
    watch, one, other = watcher(m), holder(m), client(m)
    other.process.call(on_signal, False)
    waiting = other.wait()
    wait_line(watch, 1)
    other.process.signal(signal.SIGUSR1)
    assert waiting.result()["errno"] == errno.EINTR
    assert watch.info()["waiters"] == 0
    one.release()
    never(lambda: watch.info()["count"], 0.2, "it got the drive though it was interrupted")


@test("P10 with SA_RESTART a signal does not end the wait")
def restarted(m):
    watch, one, other = watcher(m), holder(m), client(m)
    other.process.call(on_signal, True)
    waiting = other.wait()
    wait_line(watch, 1)
    for _ in range(3):
        other.process.signal(signal.SIGUSR1)
        eventually(lambda: not m.call(pending_signals, other.process.pid), 10, "the signal")
        wait_line(watch, 1)
    assert not waiting.done()
    one.release()
    assert waiting.result()["errno"] == 0
    assert other.info()["my_count"] == 1


@test("P10 a restarted wait keeps its deadline")
def restarted_deadline(m):
    _, other = holder(m), client(m)
    other.process.call(on_signal, True)
    waiting = other.begin(timed_acquire, 1.5)

    def signalled() -> bool:
        if not waiting.done():
            other.process.signal(signal.SIGUSR1)
        return waiting.done()

    # each signal restarts the call; were the time to start again as well, it would not end
    eventually(signalled, 20, "the deadline")
    answer, seconds = waiting.result()
    assert answer["errno"] == errno.EBUSY and seconds >= 1.5, (answer, seconds)


@test("P10 a stopped waiter that goes on waits on")
def stopped(m):
    watch, one, other = watcher(m), holder(m), client(m)
    waiting = other.wait()
    wait_line(watch, 1)
    other.process.signal(signal.SIGSTOP)
    time.sleep(0.2)
    other.process.signal(signal.SIGCONT)
    wait_line(watch, 1)
    assert not waiting.done()
    one.release()
    assert waiting.result()["errno"] == 0


# Mounts and O_EXCL openers


def mount_disc(bus: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(drive.sr(bus).encode(), b"/mnt", b"iso9660", 1, b""):  # MS_RDONLY
        raise OSError(ctypes.get_errno(), "mount")


def unmount() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount(b"/mnt"):
        raise OSError(ctypes.get_errno(), "umount")


def open_exclusive(bus: str) -> int:
    return os.open(drive.sr(bus), os.O_RDONLY | os.O_NONBLOCK | os.O_EXCL)


@test("P10 ACQUIRE waits out a mount ({})", each=["ahci", "virtio", "usb"])
def waits_out_mount(m, bus):
    m.call(mount_disc, bus)
    watch, one = watcher(m, bus), client(m, bus)
    waiting = one.wait()
    wait_line(watch, 1)
    never(waiting.done, 0.6, "it did not wait for the mount")
    assert not m.locked(bus)
    m.call(unmount)
    assert waiting.result()["errno"] == 0
    assert m.locked(bus)


@test("P10 ACQUIRE waits out an O_EXCL opener")
def waits_out_exclusive(m):
    opener = m.process()
    fd = opener.call(open_exclusive, BUS)
    watch, one = watcher(m), client(m)
    waiting = one.wait()
    wait_line(watch, 1)
    never(waiting.done, 0.6, "it did not wait for the opener")
    opener.call(os.close, fd)
    assert waiting.result()["errno"] == 0


@test("P10 a wait for a mount ends at the deadline, with that reason, and keeps nobody else out")
def mount_deadline(m):
    m.call(mount_disc, BUS)
    watch, one = watcher(m), client(m)
    answer, seconds = one.call(timed_acquire, 0.8)
    assert answer["errno"] == errno.EBUSY and answer["busy_reason"] == srlock.BUSY_CLAIMED, answer
    assert 0.8 <= seconds < 20, seconds
    info = watch.info()
    assert (info["state"], info["waiters"]) == (srlock.FREE, 0), info
    # the mounted disc can be read all the while
    assert m.sh("cat /mnt/label.txt")["stdout"]


@test("P10 a mounted disc can be read while others wait for the drive")
def mount_unharmed(m):
    m.call(mount_disc, BUS)
    watch, one = watcher(m), client(m)
    waiting = one.wait()
    wait_line(watch, 1)
    for _ in range(5):
        m.sh("echo 3 >/proc/sys/vm/drop_caches; cat /mnt/data.bin | head -c 1000000 >/dev/null")
        time.sleep(0.1)
    assert not waiting.done()


@test("P10 those who wait for a mount keep their order")
def mount_order(m):
    m.call(mount_disc, BUS)
    watch = watcher(m)
    waiting = []
    for number in range(1, 4):
        waiting.append(client(m).begin(take_and_give, f"waiter {number}"))
        wait_line(watch, number)
    time.sleep(0.6)
    m.call(unmount)
    for pending in waiting:
        pending.result()
    assert held_by(watch) == ["waiter 1", "waiter 2", "waiter 3"]


@test("P10 FORCE passes those that a mount blocks, and they stay in line")
def force_passes(m):
    m.call(mount_disc, BUS)
    watch, blocked, forcing = watcher(m), client(m), client(m)
    waiting = blocked.wait("blocked")
    wait_line(watch, 1)
    time.sleep(0.3)
    # at a moment when the blocked one is being tried, the drive is busy
    answer = eventually(lambda: (a := forcing.try_acquire("forcing", srlock.FORCE))["errno"] == 0 and a)
    assert answer["count"] == 1
    wait_line(watch, 1)
    assert not waiting.done()
    forcing.release()
    never(waiting.done, 0.6, "the blocked one got a mounted drive")
    m.call(unmount)
    assert waiting.result()["errno"] == 0
    assert held_by(watch) == ["forcing", "blocked"]


@test("P10 FORCE that waits passes those that a mount blocks")
def waiting_force_passes(m):
    m.call(mount_disc, BUS)
    watch, blocked, forcing = watcher(m), client(m), client(m)
    waiting = blocked.wait("blocked")
    wait_line(watch, 1)
    assert forcing.acquire("forcing", srlock.FORCE, wait=10)["count"] == 1
    assert not waiting.done()


@test("P10 FORCE does not pass those that a holder blocks")
def force_in_line(m):
    watch, one = watcher(m), holder(m)
    first, forcing = client(m), client(m)
    waiting = first.wait("first")
    wait_line(watch, 1)
    assert forcing.try_acquire("forcing", srlock.FORCE)["errno"] == errno.EBUSY
    forced = forcing.wait("forcing", srlock.FORCE)
    wait_line(watch, 2)
    one.release()
    assert waiting.result()["errno"] == 0
    never(forced.done, 0.2, "FORCE passed one who was there before")
    first.release()
    assert forced.result()["errno"] == 0
    assert held_by(watch) == ["holder", "first", "forcing"]


# poll


def poll_now(fd: int) -> int:
    """What poll says, apart from records to read."""
    return srlock.poll(fd) & ~select.POLLIN


@test("P10 poll says OUT while no other file holds the drive and nobody waits")
def poll_out(m):
    watch, one, other = watcher(m), client(m), client(m)
    assert one.call(poll_now) == other.call(poll_now) == select.POLLOUT
    one.acquire()
    assert one.call(poll_now) == select.POLLOUT
    assert other.call(poll_now) == 0
    waiting = other.wait()
    wait_line(watch, 1)
    assert one.call(poll_now) == watch.call(poll_now) == 0
    one.release()
    waiting.result()
    assert (one.call(poll_now), other.call(poll_now)) == (0, select.POLLOUT)


def wait_for(fd: int, what: int) -> int:
    """Wait in poll for one thing."""
    poller = select.poll()
    poller.register(fd, what)
    return poller.poll(15000)[0][1]


@test("P10 a release wakes who waits in poll")
def poll_wakes(m):
    one, other = holder(m), client(m)
    polling = other.begin(wait_for, select.POLLOUT)
    never(polling.done, 0.3, "poll says OUT of a held drive")
    one.release()
    assert polling.result() == select.POLLOUT


@test("P10 poll does not consider a mount")
def poll_mounted(m):
    m.call(mount_disc, BUS)
    assert client(m).call(poll_now) == select.POLLOUT


@test("P10 poll says HUP when the drive is gone, and wakes")
def poll_hangup(m):
    one, other = holder(m), client(m)
    polling = [one.begin(wait_for, 0), other.begin(wait_for, select.POLLOUT)]
    m.unplug(BUS)
    assert [pending.result() for pending in polling] == [select.POLLHUP] * 2


@test("P10 poll says ERR on the file whose hold was broken, and wakes")
def poll_error(m):
    one, other = holder(m), client(m)
    polling = one.begin(wait_for, 0)
    never(polling.done, 0.3, "poll has something")
    other.call(srlock.break_)
    assert polling.result() == select.POLLERR
    assert not other.call(poll_now) & select.POLLERR


# The wait is for the drive's turn only


@test("P10 O_NONBLOCK does not keep ACQUIRE from waiting")
def nonblock_waits(m):
    watch, one = watcher(m), holder(m)
    other = client(m, mode=os.O_RDWR | os.O_NONBLOCK)
    waiting = other.wait()
    wait_line(watch, 1)
    one.release()
    assert waiting.result()["errno"] == 0


@test("P10 waiting sends the drive nothing")
def waiting_is_silent(m):
    watch, one, other = watcher(m), holder(m), client(m)
    mark = m.trace.mark()
    other.wait()
    wait_line(watch, 1)
    assert not m.trace.since(mark, BUS, settle=0.6)
    one.release()
    wait_state(watch, srlock.HELD)


@test("P10 a wait on one drive does not hinder the others")
def other_drives(m):
    watch = watcher(m)
    holder(m)
    client(m).wait()
    wait_line(watch, 1)
    for bus in ("ahci", "usb"):
        assert holder(m, bus=bus).info()["count"] == 1


@test("P10 a file may wait in one process while another asks and polls with it")
def shared_while_waiting(m):
    watch, one, other = watcher(m), holder(m), client(m)
    child = other.fork()
    waiting = other.wait()
    wait_line(watch, 1)
    assert child.info()["my_count"] == 0
    assert child.call(poll_now) == 0
    try:
        child.release()
    except GuestError as error:
        assert error.errno == errno.EPERM
    else:
        raise AssertionError("RELEASE of a file that waits")
    one.release()
    assert waiting.result()["errno"] == 0
    assert child.release() == 0
