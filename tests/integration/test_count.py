# SPDX-License-Identifier: GPL-2.0-or-later
"""P1 and P5: the nested count of an open file, and what ends a hold."""

from __future__ import annotations

import errno
import os
import socket
import threading

from clients import BUS, calm, client, holder, pass_file, wait_free, wait_line, wait_sent, watcher
from machine import eventually, never, test
from machine.guest import drive, scsi, srlock


def count(watch) -> int:
    return watch.info()["count"]


# P1


@test("P1 each ACQUIRE adds one, each RELEASE takes one off, at zero the drive is free")
def nesting(m):
    watch, one = watcher(m), client(m)
    for expected in range(1, 6):
        answer = one.acquire("nester")
        assert (answer["count"], answer["busy_reason"]) == (expected, srlock.BUSY_NOT), answer
        assert answer["holder_pid"] == one.process.pid
        assert one.info()["my_count"] == count(watch) == expected
    for expected in range(4, -1, -1):
        assert one.release() == expected
        assert one.info()["my_count"] == count(watch) == expected
        assert watch.info()["state"] == (srlock.HELD if expected else srlock.FREE)
    assert one.errno(srlock.release) == errno.EPERM


def nest_often(fd: int, times: int) -> tuple[int, int]:
    """Acquire and release so often; the highest count and the last one."""
    top = [srlock.acquire(fd)["count"] for _ in range(times)][-1]
    return top, [srlock.release(fd) for _ in range(times)][-1]


@test("P1 the count takes thousands, equal numbers of calls are needed")
def deep_nesting(m):
    watch, one = watcher(m), client(m)
    assert one.call(nest_often, 5000) == [5000, 0]
    assert watch.info()["state"] == srlock.FREE


@test("P1 a duplicated file shares the count")
def duplicated(m):
    one = client(m)
    other = one.call(os.dup)
    one.acquire()
    assert one.process.call(srlock.acquire, other)["count"] == 2
    assert one.info()["my_count"] == one.process.call(srlock.info, other)["my_count"] == 2
    assert one.process.call(srlock.release, other) == 1
    assert one.release() == 0


@test("P1 a file inherited by a child shares the count")
def inherited(m):
    one = holder(m)
    child = one.fork()
    assert child.info()["my_count"] == 1
    assert child.acquire()["count"] == 2
    assert one.info()["my_count"] == 2
    assert one.release() == 1
    assert child.release() == 0


@test("P1 a file passed over a socket shares the count")
def passed(m):
    one = holder(m)
    other = pass_file(one, m.process())
    assert other.info()["my_count"] == 1
    assert other.acquire()["count"] == 2
    assert one.release() == 1
    assert other.release() == 0


@test("P1 a second file of the same process is another client")
def second_file(m):
    one = holder(m)
    two = client(m, process=one.process)
    answer = two.try_acquire()
    assert answer["errno"] == errno.EBUSY and answer["busy_reason"] == srlock.BUSY_HELD, answer
    assert (answer["count"], answer["holder_pid"]) == (1, one.process.pid), answer
    assert two.info()["my_count"] == 0 and two.info()["count"] == 1
    assert two.errno(srlock.release) == errno.EPERM
    assert one.info()["count"] == 1


@test("P1 a nested ACQUIRE leaves the first name, pid and time")
def first_stays(m):
    one = holder(m, "first name")
    child = one.fork()
    before = one.info()
    child.acquire("second name")
    assert one.info() == before | {"count": 2, "my_count": 2}


def count_in_threads(fd: int, threads: int, times: int) -> int:
    """Acquire and release from many threads at once; the count that is left."""
    def work() -> None:
        for _ in range(times):
            srlock.acquire(fd)
            srlock.acquire(fd)
            srlock.release(fd)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return srlock.info(fd)["count"]


@test("P1 no call is lost when many threads and processes count at once")
def counted_at_once(m):
    one = holder(m)
    calls = [c.begin(count_in_threads, 4, 100) for c in (one, one.fork(), one.fork())]
    for call in calls:
        call.result()
    assert one.info()["count"] == 1 + 3 * 4 * 100


# P5


@test("P5 close releases, whatever the count is")
def closed(m):
    watch, one = watcher(m), holder(m)
    for _ in range(3):
        one.acquire()
    one.close()
    wait_free(watch)
    client(m).acquire()


@test("P5 exit releases")
def exited(m):
    watch, one = watcher(m), holder(m)
    one.process.begin(os._exit, 0)
    one.process.wait()
    wait_free(watch)


@test("P5 kill -9 releases, and the tray is unlocked ({})", each=["ahci", "virtio", "usb"])
def killed(m, bus):
    calm(m)
    watch, one = watcher(m, bus), holder(m, bus=bus)
    one.acquire()
    assert m.locked(bus)
    one.kill()
    wait_free(watch)
    assert not m.locked(bus)


@test("P5 another duplicate keeps the hold, the close of the last one ends it")
def last_duplicate(m):
    watch, one = watcher(m), holder(m)
    other = one.call(os.dup)
    one.close()
    assert count(watch) == 1
    assert one.process.call(srlock.info, other)["my_count"] == 1
    one.process.call(os.close, other)
    wait_free(watch)


@test("P5 a child that has the file keeps the hold when the holder is killed")
def child_keeps(m):
    watch, one = watcher(m), holder(m)
    child = one.fork()
    one.kill()
    assert count(watch) == 1 and child.info()["my_count"] == 1
    child.kill()
    wait_free(watch)


@test("P5 exec without the file releases, exec with it keeps")
def executed(m):
    watch = watcher(m)
    without = holder(m)
    without.process.begin(os.execv, "/bin/sleep", ["sleep", "1000"])
    wait_free(watch)
    assert without.process.alive()
    with_file = holder(m)
    with_file.call(os.set_inheritable, True)
    with_file.process.begin(os.execv, "/bin/sleep", ["sleep", "1000"])
    comm = f"/proc/{with_file.process.pid}/comm"
    eventually(lambda: m.call(drive.read, comm) == "sleep", what="the exec")
    assert watch.info()["pid"] == with_file.process.pid
    with_file.kill()
    wait_free(watch)


@test("P5 a file on its way through a socket keeps the hold, and ends it when nobody takes it")
def in_flight(m):
    watch, one = watcher(m), holder(m)
    ends = one.process.call(send_to_self, one.fd)
    assert count(watch) == 1
    one.process.call(os.close, ends[0])
    assert count(watch) == 1
    one.process.call(os.close, ends[1])
    wait_free(watch)


def send_to_self(fd: int) -> list[int]:
    """Send a file into a socket pair, close it, and leave the two ends."""
    sender, receiver = socket.socketpair()
    socket.send_fds(sender, [b"!"], [fd])
    os.close(fd)
    return [sender.detach(), receiver.detach()]


def wait_elsewhere(fd: int) -> None:
    """Begin to wait in another thread, which keeps the file in use."""
    threading.Thread(target=srlock.try_acquire, args=(fd, "thread", 0, None), daemon=True).start()


@test("P5 a waiting ACQUIRE whose file is closed goes on, and dies with its process")
def closed_while_waiting(m):
    watch, one = watcher(m), holder(m)
    waiting = client(m)
    waiting.call(wait_elsewhere)
    wait_line(watch, 1)
    waiting.close()
    assert watch.info()["waiters"] == 1
    waiting.kill()
    wait_line(watch, 0)
    assert watch.info()["pid"] == one.process.pid


@test("P5 a file that gets the drive after its last descriptor was closed frees it at once")
def served_after_close(m):
    watch, one = watcher(m), holder(m)
    waiting = client(m)
    waiting.call(wait_elsewhere)
    wait_line(watch, 1)
    waiting.close()
    one.release()
    # Reading takes the records away, and the two need not come together.
    records = []
    eventually(lambda: records.extend(watch.call(srlock.events)) or
               [e["name"] for e in records].count("thread") == 2, 10, "held and released by the thread")
    wait_free(watch)


def read_disc(fd: int, block: int) -> dict:
    return scsi.sg_io(fd, scsi.read10(block, 1), 2048, timeout=60000).plain()


@test("P5 the hold of a process that is killed in a long command ends with the command ({})",
      each=["ahci", "virtio", "usb"])
def killed_in_command(m, bus):
    calm(m)
    watch, one = watcher(m, bus), holder(m, bus=bus)
    m.stall(bus, 3600)
    mark = m.trace.mark()
    one.begin(read_disc, 16)
    wait_sent(m, mark, bus)
    one.process.kill(wait=False)
    never(lambda: not one.process.alive(), 0.3, "the process died in the middle of its command")
    m.stall(bus, 0)
    one.process.wait()
    wait_free(watch)
    assert not m.locked(bus)


@test("P5 a waiter that is killed while its turn comes leaves nothing behind")
def killed_at_its_turn(m):
    watch = watcher(m)
    for _ in range(3):
        one, waiting = holder(m), client(m)
        waiting.wait()
        wait_line(watch, 1)
        releasing = one.begin(srlock.release)
        waiting.process.kill()
        releasing.result()
        wait_free(watch)
        one.kill()
    client(m).acquire()
    assert m.locked(BUS)
