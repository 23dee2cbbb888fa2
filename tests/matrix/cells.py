# SPDX-License-Identifier: GPL-2.0-or-later
"""Cells: what one person's way to a drive came to, what was expected, and the table of them all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

PEOPLE = ("holder", "child", "orphan", "user", "root", "passed", "ex-holder", "broken", "kernel")
WHEN = ("before", "during")


@dataclass(frozen=True)
class Way:
    """A way to a drive."""

    row: str                # of docs/matrix.md
    name: str               # within the row
    function: str           # of ways.py
    arguments: tuple = ()
    mend: bool = False      # it moves the tray, locks the door or the like

    def __str__(self) -> str:
        return f"{self.row}: {self.name}" if self.name else self.row


@dataclass
class Cell:
    """One cell of the matrix."""

    drive: str
    way: Way
    who: str
    when: str
    outcome: str            # "refused", "allowed", "not applicable", "skipped", "failed"
    sent: bool = False      # a command reached the drive, and may
    foreign: int = 0        # commands that reached it and may not
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.drive}, {self.who}, {self.when}, {self.way}: {self.reason}"


@dataclass
class Group:
    """Cells that are reported as one test: those of a drive, a person and a time."""

    drive: str
    who: str
    when: str
    cells: list[Cell] = field(default_factory=list)

    def add(self, way: Way, outcome: str, reason: str = "", **more) -> None:
        self.cells.append(Cell(self.drive, way, self.who, self.when, outcome, reason=reason, **more))

    @property
    def failed(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.outcome == "failed"]

    def __str__(self) -> str:
        return f"matrix: {self.drive}, {self.who}, file from {self.when} the hold"


def summary(cells: Iterable[Cell]) -> str:
    """The counts of some cells in words."""
    cells = list(cells)
    count = Counter(cell.outcome for cell in cells)
    sent = sum(cell.sent for cell in cells)
    words = [f"{count['refused']} refused", f"{count['allowed']} allowed ({sent} reached the drive)",
             f"{sum(cell.foreign for cell in cells)} foreign commands", f"{count['not applicable']} not applicable"]
    words += [f"{count[word]} {word}" for word in ("skipped", "failed") if count[word]]
    return ", ".join(words)


def table(cells: list[Cell]) -> list[str]:
    """Ways against people: refused + allowed in each cell."""
    rows = list(dict.fromkeys(cell.way.row for cell in cells))
    width = max(map(len, rows), default=0) + 2
    people = [who for who in PEOPLE if any(cell.who == who for cell in cells)]
    lines = ["refused/allowed".ljust(width) + "".join(who.rjust(12) for who in people) + "   foreign commands"]
    for row in rows:
        line = row.ljust(width)
        mine = [cell for cell in cells if cell.way.row == row]
        for who in people:
            count = Counter(cell.outcome for cell in mine if cell.who == who)
            run = count["refused"] + count["allowed"] + count["failed"]
            line += (f"{count['refused']}/{count['allowed']}" if run else "-").rjust(12)
        lines.append(line + str(sum(cell.foreign for cell in mine)).rjust(12))
    lines.append("all".ljust(width) + "".join(
        f"{_count(cells, who, 'refused')}/{_count(cells, who, 'allowed')}".rjust(12) for who in people)
        + str(sum(cell.foreign for cell in cells)).rjust(12))
    return lines


def _count(cells: list[Cell], who: str, outcome: str) -> int:
    return sum(cell.who == who and cell.outcome == outcome for cell in cells)


def reasons(cells: list[Cell]) -> list[str]:
    """How many cells were not run, by reason."""
    lines = []
    for outcome in ("not applicable", "skipped"):
        count = Counter(cell.reason for cell in cells if cell.outcome == outcome)
        lines += [f"{outcome}: {number} {reason}" for reason, number in sorted(count.items())]
    return lines
