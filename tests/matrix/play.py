# SPDX-License-Identifier: GPL-2.0-or-later
"""All cells of one drive: who goes which way in which hold, and what is made of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

import clients
from machine.guest import drive as nodes, srlock

from . import drives, inside, stacked, ways
from .cells import WHEN, Group, Way
from .table import Table

MOVES = {
    "CDROMEJECT", "CDROMCLOSETRAY", "CDROMSTOP", "CDROMSTART", "SCSI_IOCTL_START_UNIT", "SCSI_IOCTL_STOP_UNIT",
    "CDROM_LOCKDOOR", "SCSI_IOCTL_DOORLOCK", "SCSI_IOCTL_DOORUNLOCK", "CDROMRESET", "CDROMEJECT_SW", "CDROMPAUSE",
    "CDROMPLAYMSF", "CDROMPLAYTRKIND", "CDROMPLAYBLK",
}
VARIANTS = {"sr": ["SG_IO, v4"], "sg": ["SG_IO, v4", "SG_IO, mmap"], "bsg": ["SG_IO, v4"]}
SG_IO = 0x2285
UNHEARD_OF = {"0x53fe": 0x53FE, "0x22fe": 0x22FE, "0x4008783f": 0x4008783F}     # ioctls that nobody knows
READS = {"pread": "buffered read", "splice": "buffered read", "io_uring": "buffered read", "mmap": "mapped read",
         "readahead": "read ahead", "O_DIRECT": "direct read", "aio": "direct read"}


# The ways

def ioctls(table: Table, numbers: dict[str, int], node: str) -> list[Way]:
    """Every ioctl on one of the nodes."""
    found = []
    names = numbers | dict.fromkeys(VARIANTS[node], SG_IO) | UNHEARD_OF
    for name, number in sorted(names.items()):
        if name == "SG_IO, mmap":
            file = "sgmap"
        else:
            file = node
        row = f"ioctl on {node}"
        if node == "sr":
            verdict = table.verdict(name.partition(",")[0]) or table.verdicts["anything else"]
            row = f"{verdict} {row}"
        found.append(Way(row, name, "ioctl", (file, name, number), name in MOVES))
    return found


def commands(table: Table, numbers: dict[str, int]) -> list[Way]:
    """The ways that a process goes on files that it has."""
    return [
        *(way for node in ("sr", "sg", "bsg") for way in ioctls(table, numbers, node)),
        Way("write on sg", "struct sg_io_hdr", "write_read", ("sg",)),
        Way("write on sg", "struct sg_header", "write_read_old", ("sg",)),
        Way("io_uring on bsg", "", "bsg_io_uring", ("bsg",)),
    ]


def reads() -> list[Way]:
    """The ways to read, each from a place of its own."""
    found = []
    for place, (how, row) in enumerate(READS.items(), start=1):
        found.append(Way(row, how, "read", ("direct" if row == "direct read" else "data", how, place)))
    return found + [Way("direct read", "io_uring", "read", ("direct", "io_uring", len(READS) + 1))]


def opens(bus: str) -> list[Way]:
    return [Way("open", mode, "open_mode", (bus, mode)) for mode in ways.MODES]


UPPER = {"mount": "mount", "loop": "loop device", "loop, O_DIRECT": "loop device",
         "device mapper": "device-mapper device", "pktcdvd": "pktcdvd device"}
UPPER_READS = {"mount": "read of a file", "loop": "read of a loop device", "loop, O_DIRECT": "read of a loop device",
               "device mapper": "read of a device-mapper device", "pktcdvd": "read of a pktcdvd device"}
TOGETHER = (("mount", "loop", "loop, O_DIRECT"), ("device mapper",), ("pktcdvd",))   # others claim the drive for themselves
FORCED = ("mount", "device mapper")


def set_ups(bus: str) -> list[Way]:
    """What can be set up on the drive."""
    return [Way(row, kind, "set_up", (bus, kind)) for kind, row in UPPER.items()]


def upper_reads(kind: str) -> list[Way]:
    """What can be done with one of them; where it is read is added at the time."""
    path = stacked.PATHS[kind]
    found = [Way(UPPER_READS[kind], kind, "read_upper", (path,))]
    if kind == "device mapper":
        found.append(Way("SG_IO on a device-mapper device", "", "sg_io_upper", (path,)))
    return found


def lock_files() -> list[Way]:
    return [Way("lock file of the holder", "", "lock_file", ("lock",)),
            Way("lock file of one's own", "", "lock_file", ("own lock",))]


def by_sysfs(device: str, host: str) -> list[Way]:
    return [Way("sysfs", "rescan", "write_sysfs", (f"{device}/rescan", "1")),
            Way("sysfs", "scan of the host", "write_sysfs", (f"{host}/scan", "- - -")),
            Way("sysfs", "runtime suspend", "write_sysfs", (f"{device}/power/control", "auto"))]


def queries(bus: str) -> list[Way]:
    return [Way("query", "attributes", "look", (bus,)), Way("query", "GET_INFO", "info", ("own lock",))]


def all_ways(table: Table, numbers: dict[str, int], bus: str, sysfs: tuple[str, str]) -> list[Way]:
    """All there are."""
    return [*commands(table, numbers), *reads(), *opens(bus), *lock_files(), *set_ups(bus),
            *(way for kind in UPPER for way in upper_reads(kind)), *by_sysfs(*sysfs), *queries(bus), *KERNEL]


KERNEL = [Way("polling", "", "poll_for_a_second"), Way("uevent", "change", "trigger"), Way("uevent", "add", "trigger")]


# People

@dataclass
class Cast:
    """The processes of one hold."""

    people: dict[str, object]
    holder: object
    lock: int = -1
    lacking: dict[str, dict[str, str]] = field(default_factory=dict)    # who: file: why not

    def end(self) -> None:
        for process in (*self.people.values(), self.holder):
            if process.alive():
                process.kill()


OWN = ("sg", "sgmap", "bsg", "own lock")


def cast_before(d: drives.Drive, shared: tuple[str, ...] = ways.SR_NODES, own: tuple[str, ...] = OWN, flags: int = 0
                ) -> Cast:
    """Everybody opens everything, then the holder acquires."""
    m = d.machine
    holder = m.process()
    holder.call(ways.open_files, d.bus, [*shared, *own])
    cast = Cast({"holder": holder, "child": holder.fork()}, holder)
    middle = holder.fork()
    cast.people["orphan"] = middle.fork()
    cast.people |= {"user": m.user(), "root": m.process(), "passed": m.process()}
    for who, process in cast.people.items():
        if who != "holder":
            names = own if who in ("child", "orphan") else (*shared, *own)
            cast.lacking[who] = process.call(ways.open_files, d.bus, list(names))
    cast.lock = holder.call(srlock.hold, d.node(nodes.srlock), "burner", flags)
    middle.kill()
    give_lock(cast, ())
    return cast


def cast_during(d: drives.Drive) -> Cast:
    """The holder acquires and opens; then the others come, and get its files."""
    m = d.machine
    holder = m.process()
    cast = Cast({"holder": holder}, holder)
    cast.lock = holder.call(srlock.hold, d.node(nodes.srlock), "burner")
    holder.call(ways.open_files, d.bus, [*ways.SR_NODES, *OWN])
    cast.people["child"] = holder.fork()
    middle = holder.fork()
    cast.people["orphan"] = middle.fork()
    middle.kill()
    cast.people |= {"user": m.user(), "root": m.process(), "passed": m.process()}
    for who in ("user", "root", "passed"):
        hand_on(holder, cast.people[who], ways.SR_NODES)
    for who, process in cast.people.items():
        if who != "holder":
            cast.lacking[who] = process.call(ways.open_files, d.bus, list(OWN))
    give_lock(cast, ("child", "orphan"))
    return cast


def hand_on(holder, other, names: tuple[str, ...]) -> None:
    """Pass open files over a socket."""
    have = holder.call(ways.known_files)
    found = {}
    for name in names:
        passed = clients.pass_file(clients.Client(holder, have[name]), other)
        found[name] = passed.fd
    other.call(ways.take_files, found)


def give_lock(cast: Cast, inherited: tuple[str, ...]) -> None:
    """Those who were forked before it was opened, and one who is no kin, get the lock file by a socket."""
    for who in ("holder", *inherited):
        cast.people[who].call(ways.take_files, {"lock": cast.lock})
    for who in {"child", "passed"}.difference(inherited):
        passed = clients.pass_file(clients.Client(cast.holder, cast.lock), cast.people[who])
        cast.people[who].call(ways.take_files, {"lock": passed.fd})


# Going

@dataclass
class Gone:
    """What came of a way: the commands that reached the drive are None where they are not told apart."""

    word: str
    answer: str = ""
    sent: list[bytes] | None = None


def go_marked(d: drives.Drive, process, what: list[Way], marker: str, locked: bool) -> list[Gone]:
    """Go ways in one call; markers in the drive's record tell whose command is whose."""
    start = d.mark()
    results = process.call(ways.go_all, [[way.function, list(way.arguments), way.mend] for way in what], marker, locked,
                           timeout=240)
    sent: list[list[bytes]] = [[] for _ in what]
    current: list[bytes] | None = None
    for cdb in d.since(start):
        number = int.from_bytes(cdb[3:5], "big") if cdb[0] == 0x12 and len(cdb) >= 5 else 0
        if number == ways.MENDED:
            current = None
        elif number >= ways.MARKER:
            current = sent[number - ways.MARKER] if number - ways.MARKER < len(what) else None
        elif current is not None:
            current.append(cdb)
    return [Gone(word, answer, mine) for (word, answer), mine in zip(results, sent)]


def go_unmarked(d: drives.Drive, process, what: list[Way]) -> tuple[list[Gone], list[bytes]]:
    """Go ways in one call, and all that reached the drive meanwhile."""
    start = d.mark()
    results = process.call(ways.go_all, [[way.function, list(way.arguments), False] for way in what], None, timeout=240)
    return [Gone(word, answer) for word, answer in results], d.since(start)


def go_single(d: drives.Drive, process, way: Way) -> Gone:
    """Go one way."""
    (gone,), sent = go_unmarked(d, process, [way])
    return Gone(gone.word, gone.answer, sent)


class Judge:
    """Compares what came with what is expected."""

    def __init__(self, table: Table, release: str) -> None:
        self.table = table
        self.release = release
        self.free: dict[tuple[str, Way], Gone] = {}     # on a free drive, by credentials

    def base(self, who: str, way: Way) -> Gone:
        return self.free["user" if who == "user" else "root", way]

    def missing(self, group: Group, way: Way) -> str:
        """Why a way is not there on this kernel, "" if it is."""
        base = self.free.get(("root", way))
        if way.row == "io_uring on bsg" and base and base.word in ("ENOTSUP", "EINVAL") and not base.sent:
            return f"bsg of {self.release} knows no io_uring"
        return ""

    def cell(self, group: Group, way: Way, gone: Gone, foreign: list[bytes]) -> None:
        """One cell: what came of it, and the commands among it that may not have reached the drive."""
        if reason := self.missing(group, way):
            group.add(way, "skipped", reason)
            return
        kind = self.table.people[group.who]
        expected = self.table.outcome(way.row, kind, group.when)
        base = self.base(group.who, way)
        if group.who == "user" and base.word in DENIED and gone.word == base.word and not gone.sent and not foreign:
            group.add(way, "not applicable", f"{base.word} for an ordinary user on a free drive, too")
            return
        outcome, wrong = self.compare(expected, base, gone, kind)
        if expected == "ok" and kind == "foreigner" and way.name in CHANGING:
            outcome, wrong = self.compare(expected, base, Gone(gone.word, base.answer, gone.sent), kind)
        if foreign:
            wrong = f"reached the drive: {text(foreign)}"
        if wrong:
            group.add(way, "failed", f"{wrong} (expected {expected}; came {gone.word}; free: {base.word})",
                      foreign=len(foreign))
        else:
            group.add(way, outcome, sent=bool(gone.sent))

    def compare(self, expected: str, base: Gone, gone: Gone, kind: str) -> tuple[str, str]:
        """"refused" or "allowed", and what is wrong."""
        if expected == "ok":
            wrong = ""
            if gone.word != base.word:
                wrong = "another outcome than on a free drive"
            elif base.sent and not gone.sent and gone.sent is not None:
                wrong = "did not reach the drive"
            elif kind == "foreigner" and not base.sent and gone.answer != base.answer:
                wrong = f"another answer than on a free drive: {base.answer}, {gone.answer}"
            return "allowed", wrong
        if gone.sent:
            return "refused", f"reached the drive: {text(gone.sent)}"
        if expected == "quiet":
            return "refused" if base.sent else "allowed", "" if gone.word == base.word else "another outcome"
        if expected == "conflict":
            if not base.sent:
                return "allowed", "" if gone.word == base.word else "another outcome, though it sends nothing"
            return "refused", "" if gone.word in ("conflict", "EIO") else "no conflict"
        if expected == "stopped":
            return "refused", "stuck" if gone.word == "stuck" else ""
        return "refused", "" if gone.word == expected else "another outcome"


DENIED = ("EACCES", "EPERM")
CHANGING = ("BLKGETDISKSEQ",)       # its answer is another one after each change of the disc
MARKER = "lock"         # the file that the holder's own commands are marked through
ORDER = ("orphan", "user", "root", "passed", "child", "holder")
ON_FILES = ("lock file of the holder", "lock file of one's own", "query")
FIRST_PLACE = 10        # behind what was read through sr's own page cache
NOT_HANDED = "has not been handed the lock file"
RETURNED = "a call that returns before it can be held up"
NOT_OPENED = "the node cannot be opened: not by an ordinary user"


class Play:
    """All cells of a drive."""

    def __init__(self, name: str, machine, table: Table, numbers: dict[str, int], release: str) -> None:
        machine.sh("udevadm settle; udevadm control --stop-exec-queue")
        self.d = drives.attach(name, machine)
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

    def run(self, report: Callable) -> list[Group]:
        machine = self.d.machine
        machine.call(ways.quiet, self.d.bus)
        machine.sh("modprobe -a loop dm_mod isofs; modprobe pktcdvd", check=False)
        self.lacks = [kind for kind in UPPER if not machine.call(stacked.exists, kind)]
        for part in (self.baseline, self.before, self.before_upper, self.during, self.during_upper, self.inside,
                     self.kernel, self.not_gone):
            report(part.__name__)
            part()
        return list(self.groups.values())

    # On a free drive

    def baseline(self) -> None:
        """What comes of everything on a free drive, for root and for a user."""
        m, d = self.d.machine, self.d
        for who, process in (("root", m.process()), ("user", m.user())):
            lacking = process.call(ways.open_files, d.bus, ["sr", *OWN])
            process.call(ways.settings)
            what = [way for way in self.commands if way.arguments[0] not in lacking]
            self.learn(who, what, go_marked(d, process, what, "sg", False))
            process.call(ways.open_files, d.bus, list(ways.SR_NODES))
            self.learn(who, self.reads, go_marked(d, process, self.reads, "sg", False))
            what = [*opens(d.bus), *queries(d.bus)[:1]]
            self.learn(who, what, go_marked(d, process, what, "sg", False))
            process.call(ways.close_files, list(ways.SR_NODES))
            self.learn(who, self.sysfs, [go_single(d, process, way) for way in self.sysfs])
            what = [way for way in set_ups(d.bus) if self.has(way.arguments[1])]
            self.learn(who, what, [go_single(d, process, way) for way in what])
            process.kill()
        self.judge.free["root", queries(d.bus)[1]] = Gone("ok")
        self.judge.free["root", lock_files()[0]] = Gone("ok", sent=[b"its own"])
        self.judge.free["root", lock_files()[1]] = Gone("EPERM")
        for kind in filter(self.has, UPPER):
            with self.upper(m.process(), (kind,)):
                for place, (who, process) in enumerate((("root", m.process()), ("user", m.user()))):
                    for way in upper_reads(kind):
                        self.judge.free[who, way] = go_single(d, process, at(way, place))

    def learn(self, who: str, what: list[Way], gone: list[Gone]) -> None:
        for way, one in zip(what, gone):
            self.judge.free[who, way] = one

    def has(self, kind: str) -> bool:
        """Whether the kernel has something that can be set up on top."""
        return kind not in self.lacks

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
        cast.end()

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
                cast.end()
                clients.wait_free(clients.watcher(self.d.machine, self.d.bus))

    def during(self) -> None:
        cast = cast_during(self.d)
        self.on_files(cast, "during")
        self.each(cast, "during", [*lock_files(), *opens(self.d.bus), *self.sysfs, *queries(self.d.bus)])
        cast.end()

    def during_upper(self) -> None:
        """What is set up in a hold: by everybody, and by the holder for everybody."""
        cast = cast_before(self.d, (), ())
        self.each(cast, "during", [way for way in set_ups(self.d.bus) if self.has(way.arguments[1])])
        for kinds in TOGETHER:
            if all(map(self.has, kinds)):
                with self.upper(cast.holder, kinds):
                    self.read_upper(cast, "during", kinds)
        cast.end()

    def on_files(self, cast: Cast, when: str) -> None:
        """Everybody reads, then everybody sends commands; the holder last, as it moves the tray."""
        for what in (self.reads, self.commands):
            for who in ORDER:
                self.go(cast, who, when, what, when == "during" and what is self.reads)

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
            telling = [way for way in mine if self.may_send(way, who, when)]
            for some in (telling, [way for way in mine if way not in telling]):
                if some:
                    self.go(cast, who, when, some, some is telling)

    def may_send(self, way: Way, who: str, when: str) -> bool:
        """Whether commands of this way may reach the drive, so that it is to be told which did."""
        expected = self.table.outcome(way.row, self.table.people[who], when)
        return expected == "ok" and bool(self.judge.base(who, way).sent)

    def read_upper(self, cast: Cast, when: str, kinds: tuple[str, ...]) -> None:
        for kind in kinds:
            for place, who in enumerate(ORDER):
                for way in upper_reads(kind):
                    gone = go_single(self.d, cast.people[who], at(way, place))
                    self.judge.cell(self.group(who, when), way, gone, [])

    def go(self, cast: Cast, who: str, when: str, what: list[Way], telling: bool = False) -> None:
        """One person goes some ways in a hold, all at once; `telling`: commands may reach the drive, and are told apart."""
        group, process = self.group(who, when), cast.people[who]
        lacking = cast.lacking.get(who, {})
        for way in what:
            if way.arguments[0] in lacking:
                group.add(way, "not applicable", NOT_OPENED)
        what = [way for way in what if way.arguments[0] not in lacking]
        foreign: list[bytes] = []
        if who in ("holder", "child") and MARKER in process.call(ways.known_files):
            gone = go_marked(self.d, process, what, MARKER, True)
        elif telling:
            gone = [go_single(self.d, process, way) for way in what]
        else:
            gone, foreign = go_unmarked(self.d, process, what)
            if foreign:     # whose? once more, one by one
                gone = [go_single(self.d, process, way) for way in what]
        for way, one in zip(what, gone):
            self.judge.cell(group, way, one, [])
        if foreign and not group.failed:
            group.add(what[0], "failed", f"reached the drive in one of {len(what)} ways: {text(foreign)}",
                      foreign=len(foreign))

    # Ex-holders

    def inside(self) -> None:
        """A holder releases, or is broken, while other threads of it are inside calls; then another one holds."""
        what = [way for way in self.commands if way.function in ("ioctl", "write_read") and way.name != "BLKBSZSET"]
        what += [way for way in self.reads if way.function == "read" and way.name == "O_DIRECT"]
        for who, end in (("ex-holder", srlock.release), ("broken", srlock.break_)):
            m, group = self.d.machine, self.group(who, "before")
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
                    self.judge.cell(group, way, Gone(word, self.judge.base(who, way).answer, []), [])
                else:
                    group.add(way, "not applicable", RETURNED)
            if sent:
                group.add(what[0], "failed", f"reached the drive from inside {sum(inside_now)} calls: {text(sent)}",
                          foreign=len(sent))
            for one in {past, breaker, now}:
                one.kill()

    # The kernel

    def kernel(self) -> None:
        """What the kernel and udev do: on a free drive, and in a hold."""
        m, d = self.d.machine, self.d
        m.sh("udevadm control --start-exec-queue; udevadm settle", timeout=60)
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
                    self.judge.cell(self.group("kernel", "during"), way, gone, [])
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


def at(way: Way, place: int) -> Way:
    """A read of something on top, at a place that no other one has read."""
    if way.function != "read_upper":
        return way
    return Way(way.row, way.name, way.function, (*way.arguments, FIRST_PLACE + place))


def text(commands: list[bytes]) -> str:
    return ", ".join(cdb.hex() for cdb in commands[:4])
