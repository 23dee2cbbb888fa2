# SPDX-License-Identifier: GPL-2.0-or-later
"""Going the ways, and judging what comes of them by the tables."""

from __future__ import annotations

from dataclasses import dataclass, replace

from . import drives, ways
from .cells import Group, Way
from .table import Table

DENIED = ("EACCES", "EPERM")
PATIENCE = 600      # seconds for a few hundred ways, on a machine that has other things to do
CHANGING = ("BLKGETDISKSEQ",)       # its answer is another one after each change of the disc
OPENS = "opens, "
PREVENT = bytes((0x1e, 0, 0, 0, 1, 0))


@dataclass
class Gone:
    """What came of a way: the commands that reached the drive are None where they are not told apart."""

    word: str
    answer: str = ""
    sent: list[bytes] | None = None
    seconds: float = 0


def go_marked(d: drives.Drive, process, what: list[Way], marker: str, locked: bool) -> list[Gone]:
    """Go ways in one call; markers in the drive's record tell whose command is whose."""
    start = d.mark()
    calls = [[way.function, list(way.arguments), way.mend] for way in what]
    results = process.call(ways.go_all, calls, marker, locked, timeout=PATIENCE)
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
    return [Gone(word, answer, mine, seconds) for (word, answer, seconds), mine in zip(results, sent)]


def go_unmarked(d: drives.Drive, process, what: list[Way]) -> tuple[list[Gone], list[bytes]]:
    """Go ways in one call, and all that reached the drive meanwhile."""
    start = d.mark()
    calls = [[way.function, list(way.arguments), False] for way in what]
    results = process.call(ways.go_all, calls, None, timeout=PATIENCE)
    return [Gone(word, answer, seconds=seconds) for word, answer, seconds in results], d.since(start)


def go_single(d: drives.Drive, process, way: Way) -> Gone:
    """Go one way."""
    (gone,), sent = go_unmarked(d, process, [way])
    return Gone(gone.word, gone.answer, sent, gone.seconds)


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

    def cell(self, group: Group, way: Way, gone: Gone) -> None:
        """One cell, and what came of it."""
        if reason := self.missing(group, way):
            group.add(way, "skipped", reason)
            return
        kind = self.table.people[group.who]
        expected = self.table.outcome(way.row, kind, group.when)
        base = self.base(group.who, way)
        if group.who == "user" and base.word in DENIED and gone.word == base.word and not gone.sent:
            group.add(way, "not applicable", f"{base.word} for an ordinary user on a free drive, too")
            return
        gone = without_own(gone, base)
        outcome, wrong = self.compare(expected, base, self.without_open(expected, gone), kind)
        if expected == "ok" and kind == "foreigner" and way.name in CHANGING:
            outcome, wrong = self.compare(expected, base, Gone(gone.word, base.answer, gone.sent), kind)
        if wrong:
            group.add(way, "failed", f"{wrong} (expected {expected}; came {gone.word}; free: {base.word})",
                      foreign=len(gone.sent or []) if outcome == "refused" else 0)
        else:
            group.add(way, outcome, sent=bool(gone.sent))

    def without_open(self, expected: str, gone: Gone) -> Gone:
        """Where the drive is to be opened, leave out what that and a close send; nothing else may be there."""
        if not expected.startswith(OPENS) or not gone.sent:
            return gone
        usual = {cdb[0] for (_, way), base in self.free.items() if way.row == "open" for cdb in base.sent or []}
        usual.add(PREVENT[0])
        return replace(gone, sent=[cdb for cdb in gone.sent if cdb[0] not in usual])

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
            return "refused", "" if gone.word in ("conflict", "EIO", "EBADE") else "no conflict"
        if expected == "stopped":
            return "refused", "stuck" if gone.word == "stuck" else ""
        return "refused", "" if gone.word == expected.removeprefix(OPENS) else "another outcome"



def without_own(gone: Gone, base: Gone) -> Gone:
    """Leave out the PREVENT of the lock's own: it comes again when the host driver has reset the drive.

    A way that sends one on a free drive keeps what it is found to send.
    """
    if not gone.sent or any(cdb[:6] == PREVENT for cdb in base.sent or []):
        return gone
    return replace(gone, sent=[cdb for cdb in gone.sent if cdb[:6] != PREVENT])


def text(commands: list[bytes]) -> str:
    return ", ".join(cdb.hex() for cdb in commands[:4])
