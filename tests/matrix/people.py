# SPDX-License-Identifier: GPL-2.0-or-later
"""Who goes the ways: the processes of one hold, and the files that they have."""

from __future__ import annotations

from dataclasses import dataclass, field

import clients
from machine.guest import drive as nodes, srlock

from . import drives, ways

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
