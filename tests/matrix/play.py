# SPDX-License-Identifier: GPL-2.0-or-later
"""All cells of one drive: who goes which way in which hold."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable

import clients
from machine.guest import drive as nodes, srlock

from . import drives, inside, stacked, ways
from .catalogue import (FORCED, KERNEL, TOGETHER, UPPER, UPPER_READS, all_ways, at, by_sysfs, commands, lock_files,
                        opens, queries, reads, set_ups, upper_reads)
from .cells import WHEN, Group, Way
from .judge import Gone, Judge, go_marked, go_single, go_unmarked, text
from .people import OWN, Cast, cast_before, cast_during
from .table import Table

POLLING = {0x00, 0x4A}      # TEST UNIT READY, GET EVENT STATUS NOTIFICATION
MARKER = "lock"         # the file that the holder's own commands are marked through
SLOW = 2.0      # seconds, for one way
ORDER = ("orphan", "user", "root", "passed", "child", "holder")
ON_FILES = ("lock file of the holder", "lock file of one's own", "query")
NOT_HANDED = "has not been handed the lock file"
RETURNED = "a call that returns before it can be held up"
NOT_OPENED = "the node cannot be opened: not by an ordinary user"


class Play:
    """All cells of a drive."""

    def __init__(self, name: str, machine, table: Table, numbers: dict[str, int], release: str,
                 say: Callable[[str], None]) -> None:
        self.say = say
        self.d = drives.attach(name, machine)
        # udev comes back in kernel(); until then nobody opens the drive but the test
        clients.end_udev(machine)
        self.table, self.numbers, self.release = table, numbers, release
        self.judge = Judge(table, release)
        self.groups: dict[tuple[str, str], Group] = {}
        self.commands = commands(table, numbers)
        self.reads = reads()
        self.places = machine.call(ways.sysfs_places, self.d.bus)
        self.sysfs = by_sysfs(*self.places)
        self.lacks: list[str] = []

    def group(self, who: str, when: str) -> Group:
        return self.groups.setdefault((who, when), Group(self.d.name, who, when))

    def run(self) -> None:
        machine = self.d.machine
        self.d.quiet()
        machine.sh("modprobe -a loop dm_mod isofs; modprobe pktcdvd", check=False)
        self.lacks = [kind for kind in UPPER if not machine.call(stacked.exists, kind)]
        for part in (self.baseline, self.before, self.before_upper, self.during, self.during_upper, self.inside,
                     self.kernel, self.not_gone):
            self.say(part.__name__)
            part()

    # On a free drive

    def baseline(self) -> None:
        """What comes of everything on a free drive, for root and for a user."""
        m, d = self.d.machine, self.d
        for who, process in (("root", m.process()), ("user", m.user())):
            lacking = process.call(ways.open_files, d.bus, ["sr", *OWN])
            process.call(ways.settings)
            what = [way for way in self.commands if way.arguments[0] not in lacking]
            self.learn(process, who, what, go_marked(d, process, what, "sg", False))
            process.call(ways.open_files, d.bus, list(ways.SR_NODES))
            self.learn(process, who, self.reads, go_marked(d, process, self.reads, "sg", False))
            what = [*opens(d.bus), *queries(d.bus)[:1]]
            self.learn(process, who, what, go_marked(d, process, what, "sg", False))
            process.call(ways.close_files, list(ways.SR_NODES))
            self.learn(process, who, self.sysfs, [go_single(d, process, way) for way in self.sysfs])
            what = [way for way in set_ups(d.bus) if self.has(way.arguments[1])]
            self.learn(process, who, what, [go_single(d, process, way) for way in what])
            process.kill()
        self.judge.free["root", queries(d.bus)[1]] = Gone("ok")
        self.judge.free["root", lock_files()[0]] = Gone("ok", sent=[b"its own"])
        self.judge.free["root", lock_files()[1]] = Gone("EPERM")
        for kind in filter(self.has, UPPER):
            with self.upper(m.process(), (kind,)):
                for place, (who, process) in enumerate((("root", m.process()), ("user", m.user()))):
                    for way in upper_reads(kind):
                        self.judge.free[who, way] = go_single(d, process, at(way, place))

    def learn(self, process, who: str, what: list[Way], gone: list[Gone]) -> None:
        """Keep what came on a free drive. What the kernel polled meanwhile is none of a way's doing."""
        for way, one in zip(what, gone):
            if one.sent and {cdb[0] for cdb in one.sent} <= POLLING and way.row not in ("open", "sysfs"):
                time.sleep(0.2)
                if not go_single(self.d, process, way).sent:
                    one.sent = []
            self.judge.free[who, way] = one

    def has(self, kind: str) -> bool:
        """Whether the kernel has something that can be set up on top."""
        return kind not in self.lacks

    def holder_sets_up(self, kinds: Iterable[str]) -> bool:
        """Whether these can be set up by the holder."""
        return all(self.table.outcome(UPPER[kind], "holder", "during") == "ok" for kind in kinds)

    @contextlib.contextmanager
    def upper(self, process, kinds: tuple[str, ...]):
        """Some of them set up by a process."""
        node = self.d.node(nodes.sr)
        for kind in kinds:
            process.call(stacked.set_up, node, kind)
        yield
        for kind in kinds:
            process.call(stacked.take_down, kind)

    # In a hold

    def before(self) -> None:
        cast = cast_before(self.d)
        self.on_files(cast, "before")
        self.each(cast, "before", lock_files()[1:])
        self.end(cast)

    def before_upper(self) -> None:
        """What was set up before the hold, which is forced where that is needed."""
        for kinds in TOGETHER:
            if not all(map(self.has, kinds)):
                continue
            maker = self.d.machine.process()
            with self.upper(maker, kinds):
                flags = srlock.FORCE if set(kinds) & set(FORCED) else 0
                cast = cast_before(self.d, (), (), flags)
                self.read_upper(cast, "before", kinds)
                self.end(cast)

    def during(self) -> None:
        cast = cast_during(self.d)
        self.on_files(cast, "during")
        self.each(cast, "during", [*lock_files(), *opens(self.d.bus), *self.sysfs, *queries(self.d.bus)])
        self.end(cast)

    def during_upper(self) -> None:
        """What is set up in a hold: by everybody, and by the holder for everybody."""
        cast = cast_before(self.d, (), ())
        self.each(cast, "during", [way for way in set_ups(self.d.bus) if self.has(way.arguments[1])])
        for kinds in TOGETHER:
            if all(map(self.has, kinds)) and self.holder_sets_up(kinds):
                with self.upper(cast.holder, kinds):
                    self.read_upper(cast, "during", kinds)
        self.end(cast)

    def end(self, cast: Cast) -> None:
        """Nobody is left, and the drive is free."""
        cast.end()
        clients.wait_free(clients.watcher(self.d.machine, self.d.bus))

    def on_files(self, cast: Cast, when: str) -> None:
        """Everybody reads, then everybody sends commands; the holder last, as it moves the tray."""
        for what in (self.reads, self.commands):
            for who in ORDER:
                self.go(cast, who, when, what)

    def each(self, cast: Cast, when: str, what: list[Way]) -> None:
        """Everybody goes some ways that not everybody has."""
        for who in ORDER:
            have = cast.people[who].call(ways.known_files)
            mine = []
            for way in what:
                lacking = way.arguments[0] if way.row in ON_FILES and way.arguments[0] not in have else ""
                if lacking:
                    self.group(who, when).add(way, "not applicable", NOT_HANDED if lacking == "lock" else NOT_OPENED)
                elif reason := self.not_promised(way):
                    self.group(who, when).add(way, "skipped", reason)
                else:
                    mine.append(way)
            if mine:
                self.go(cast, who, when, mine)

    def may_send(self, way: Way, who: str, when: str) -> bool:
        """Whether commands of this way may reach the drive, so that it is to be told which did."""
        expected = self.table.outcome(way.row, self.table.people[who], when)
        return expected == "ok" and bool(self.judge.base(who, way).sent)

    def read_upper(self, cast: Cast, when: str, kinds: tuple[str, ...]) -> None:
        for kind in kinds:
            for place, who in enumerate(ORDER):
                for way in upper_reads(kind):
                    gone = go_single(self.d, cast.people[who], at(way, place))
                    self.judge.cell(self.group(who, when), way, gone)

    def go(self, cast: Cast, who: str, when: str, what: list[Way]) -> None:
        """One person goes some ways in a hold."""
        group, process = self.group(who, when), cast.people[who]
        lacking = cast.lacking.get(who, {})
        for way in what:
            if way.arguments[0] in lacking:
                group.add(way, "not applicable", NOT_OPENED)
        what = [way for way in what if way.arguments[0] not in lacking]
        if who in ("holder", "child") and MARKER in process.call(ways.known_files):
            gone = dict(zip(what, go_marked(self.d, process, what, MARKER, True)))
        else:
            gone = self.go_apart(process, what, who, when)
        for way in what:
            self.judge.cell(group, way, gone[way])
            if gone[way].seconds > SLOW:
                self.say(f"{who}, {when}, {way}: {gone[way].seconds:.1f} s")

    def go_apart(self, process, what: list[Way], who: str, when: str) -> dict[Way, Gone]:
        """Ways whose commands may reach the drive one by one, all others in one call, in which nothing may."""
        quiet = [way for way in what if not self.may_send(way, who, when)]
        gone = {}
        if quiet:
            found, foreign = go_unmarked(self.d, process, quiet)
            gone = dict(zip(quiet, found))
            if foreign:
                self.say(f"{who}, {when}: {text(foreign)} reached the drive; whose? once more, one by one")
                gone = {way: go_single(self.d, process, way) for way in quiet}
                if not any(one.sent for one in gone.values()):      # not this time
                    gone[quiet[0]].sent = foreign
        return gone | {way: go_single(self.d, process, way) for way in what if way not in gone}

    # Ex-holders

    def inside(self) -> None:
        """A holder releases, or is broken, while other threads of it are inside calls; then another one holds."""
        what = [way for way in self.commands if way.function in ("ioctl", "write_read") and way.name != "BLKBSZSET"]
        what += [way for way in self.reads if way.function == "read" and way.name == "O_DIRECT"]
        m = self.d.machine
        if not m.call(inside.possible):
            for who in ("ex-holder", "broken"):
                for way in what:
                    self.group(who, "before").add(way, "skipped", f"{self.release} has no userfaultfd")
            return
        # the threads are meant to be blocked, for as long as it takes
        watch = "/proc/sys/kernel/hung_task_timeout_secs"
        m.sh(f"echo 0 >{watch}")
        for who, end in (("ex-holder", srlock.release), ("broken", srlock.break_)):
            group = self.group(who, "before")
            past = clients.client(m, self.d.bus)
            past.acquire("past")
            past.process.call(ways.open_files, self.d.bus, ["sr", "direct", "sg", "sgmap", "bsg"])
            calls = [[way.arguments[0], {"write_read": "write", "read": "read"}.get(way.function, way.name),
                      way.arguments[-1] if way.function == "ioctl" else 0] for way in what]
            inside_now = past.process.call(inside.begin, calls, timeout=60)
            breaker = past if end is srlock.release else clients.client(m, self.d.bus)
            breaker.call(end)
            now = clients.client(m, self.d.bus)
            now.acquire("now", wait=20)
            mark = self.d.mark()
            words = past.process.call(inside.let_go, timeout=120)
            sent = self.d.since(mark)
            for way, was_inside, word in zip(what, inside_now, words):
                if was_inside:
                    self.judge.cell(group, way, Gone(word, self.judge.base(who, way).answer, []))
                else:
                    group.add(way, "not applicable", RETURNED)
            if sent:
                group.add(what[0], "failed", f"reached the drive from inside {sum(inside_now)} calls: {text(sent)}",
                          foreign=len(sent))
            for one in {past, breaker, now}:
                one.kill()
        m.sh(f"echo 20 >{watch}")

    # The kernel

    def kernel(self) -> None:
        """What the kernel and udev do: on a free drive, and in a hold."""
        m, d = self.d.machine, self.d
        m.sh("/lib/systemd/systemd-udevd --daemon; udevadm control --ping; udevadm settle", timeout=60)
        held = None
        for part in ("free", "held"):
            if part == "held":
                held = clients.holder(m, bus=d.bus)
            for way in KERNEL:
                mark = d.mark()
                if way.row == "polling":
                    m.call(ways.poll_for_a_second, d.bus)
                else:
                    m.sh(f"udevadm trigger --settle --action={way.name} {d.device()}", timeout=60)
                gone = Gone("ok", sent=d.since(mark))
                if part == "free":
                    self.judge.free["root", way] = gone
                    if not gone.sent:
                        raise AssertionError(f"{way}: nothing reached the free drive")
                else:
                    self.judge.cell(self.group("kernel", "during"), way, gone)
        held.kill()

    # What is left

    def not_gone(self) -> None:
        """Every cell that was not run, with the reason; one without a reason fails."""
        kernel = [way.row for way in KERNEL]
        everything = all_ways(self.table, self.numbers, self.d.bus, self.places)
        for who, kind in self.table.people.items():
            for when in WHEN if who != "kernel" else ("during",):
                group = self.group(who, when)
                gone = {cell.way for cell in group.cells}
                for way in everything:
                    if way in gone or (who == "kernel") != (way.row in kernel):
                        continue
                    group.add(way, *self.why_not(way, kind, when))

    def why_not(self, way: Way, kind: str, when: str) -> tuple[str, str]:
        """Why there is no such cell."""
        if way.row in UPPER.values() or way.row in UPPER_READS.values():
            for name in self.lacks:
                if way.name == name:
                    return "skipped", f"{self.release} has no {name}"
        if way.row in UPPER_READS.values() and when == "during" and not self.holder_sets_up((way.name,)):
            return "not applicable", f"the holder cannot set up {way.name}"
        if kind == "ex-holder" and when == "during":
            return "not applicable", "a call from before the hold is on no file that was opened in it"
        if self.table.outcome(way.row, kind, when) == "-" or kind == "ex-holder":
            if way.name == "BLKBSZSET" or way.row == "open":
                return "not applicable", "with an open inside the drive no hold begins"
            if kind == "ex-holder":
                return "not applicable", "no call that can be held up inside the drive's driver"
            return "not applicable", "takes no file from before the hold"
        return "failed", "was not run, and nobody knows why"

    def not_promised(self, way: Way) -> str:
        if way.name == "scan of the host" and self.d.name == "ahci":
            return "libata makes a reset of it, which is not promised"
        return ""
