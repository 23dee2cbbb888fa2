# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the matrix on each drive, reports in KTAP, and prints the table."""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import signal
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from machine import rootfs, runner, state
from machine.machine import Machine
from machine.qemu import kill_all

from . import catalogue, cells, drives, play, table

TOP = Path(__file__).resolve().parent.parent.parent


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Go through the matrix of docs/matrix.md.")
    parser.add_argument("drives", nargs="*", metavar="DRIVE",
                        help=f"some of {', '.join(drives.DRIVES)}; default: all")
    parser.add_argument("-j", type=int, default=1, metavar="N", help="so many machines at a time")
    parser.add_argument("-v", "--verbose", action="store_true", help="say what is being done, and all that fails")
    parser.add_argument("--module", type=Path, metavar="KO", help="srlock.ko; default: the one built here")
    parser.add_argument("--series", default="6.1", help="the stock kernel (tests/kernels/stock)")
    parser.add_argument("--kernel", type=Path, metavar="FOLDER", help="a kernel of one's own")
    options = parser.parse_args()
    if unknown := set(options.drives).difference(drives.DRIVES):
        parser.error(f"no such drive: {', '.join(sorted(unknown))}")
    return options


@dataclass
class Test:
    """One line of the report."""

    name: str
    wrong: list[str] = field(default_factory=list)
    skipped: str = ""


@dataclass
class Outcome:
    """What a drive's machine came to."""

    tests: list[Test]
    cells: list[cells.Cell]


class Matrix:
    """All of it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.table = table.read(TOP)
        self.numbers = table.ioctls_of_headers()
        module = options.module or runner.first(TOP / "srlock.ko", TOP / "module" / "srlock.ko")
        if not module or not module.is_file():
            raise SystemExit("matrix: no srlock.ko: build the module first (make)")
        self.payload = state.Payload((("/opt/srlock.ko", module, 0o644),),
                                     ("modprobe -a sr_mod sg", "insmod /opt/srlock.ko"), "srlock")
        self.release = rootfs.release(options.kernel or rootfs.kernel(options.series))
        self.start = time.monotonic()

    def say(self, words: str) -> None:
        if self.options.verbose:
            print(f"# {time.monotonic() - self.start:.1f} s: {words}", flush=True)

    def hardware(self, name: str):
        return state.hardware(series=self.options.series, kernel=self.options.kernel,
                              **drives.OPTIONS.get(name, {}))

    def documents(self) -> list[Test]:
        """What can be said of the tables without a drive."""
        known = {way.row for way in catalogue.all_ways(self.table, self.numbers, "", ("", ""))}
        return [
            Test(f"matrix: every ioctl of the headers is in {table.IOCTLS} ({len(self.numbers)})",
                 table.missing(self.table, self.numbers)),
            Test(f"matrix: {table.IOCTLS} has no ioctl that no header has", table.unknown(self.table, self.numbers)),
            Test(f"matrix: every way has a row in {table.MATRIX}, and every row a way ({len(known)})",
                 sorted(known.symmetric_difference(self.table.outcomes))),
            Test(f"matrix: {table.MATRIX} has everybody ({len(cells.PEOPLE)})",
                 sorted(set(cells.PEOPLE).symmetric_difference(self.table.people))),
        ]

    def drive(self, name: str) -> Outcome:
        """One drive, in a machine of its own."""
        wrong: list[str] = []
        groups: list[cells.Group] = []
        started = time.monotonic()
        with Machine(self.payload, name=f"matrix {name}", hardware=self.hardware(name)) as machine:
            one = None
            try:
                one = play.Play(name, machine, self.table, self.numbers, self.release,
                                lambda words: self.say(f"{name}: {words}"))
                one.run()
                wrong += filter(None, [machine.leftovers()])
            except Exception as error:
                wrong += traceback.format_exc().splitlines()[-6:] if self.options.verbose else runner.describe(error)
                if not machine.alive():
                    wrong += ["the machine is dead; its last words:", *machine.log().splitlines()[-20:]]
                else:
                    machine.explain_hang()
            wrong += machine.reports()
            groups = list(one.groups.values()) if one else []
            if wrong or any(group.failed for group in groups):
                folder = runner.LOGS / f"matrix-{name}"
                machine.keep(folder)
                wrong += [f"logs: {os.path.relpath(folder)}"] if wrong else []
        seconds = time.monotonic() - started
        tests = [test for group in groups for test in self.of_group(group)]
        everything = [cell for group in groups for cell in group.cells]
        tests += [Test(f"matrix: {name}: {number} cells", skipped=reason) for reason, number in
                  Counter(cell.reason for cell in everything if cell.outcome == "skipped").items()]
        return Outcome([*tests, Test(f"matrix: {name}: {cells.summary(everything)} # {seconds:.1f} s", wrong)],
                       everything)

    def of_group(self, group: cells.Group) -> list[Test]:
        """The report of a group, if anything of it was run."""
        if not any(cell.outcome in ("refused", "allowed", "failed") for cell in group.cells):
            return []
        most = len(group.failed) if self.options.verbose else 8
        wrong = [str(cell) for cell in group.failed[:most]]
        if len(group.failed) > most:
            wrong.append(f"and {len(group.failed) - most} more")
        return [Test(f"{group}: {cells.summary(group.cells)}", wrong)]


class Report:
    """KTAP."""

    def __init__(self) -> None:
        self.count = dict.fromkeys(("passed", "failed", "skipped"), 0)
        print("KTAP version 1", flush=True)

    def add(self, tests: list[Test]) -> None:
        for test in tests:
            self.count["failed" if test.wrong else "skipped" if test.skipped else "passed"] += 1
            print(f"{'not ok' if test.wrong else 'ok'} {sum(self.count.values())} {test.name}"
                  + (f" # SKIP {test.skipped}" if test.skipped else ""))
            for line in test.wrong:
                print(f"# {line}")
        sys.stdout.flush()

    def end(self) -> int:
        print(f"1..{sum(self.count.values())}")
        print(", ".join(f"{number} {word}" for word, number in self.count.items()), flush=True)
        return 1 if self.count["failed"] or not self.count["passed"] else 0


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = arguments()
    matrix = Matrix(options)
    report = Report()
    report.add(matrix.documents())
    everything: list[cells.Cell] = []
    pool = concurrent.futures.ThreadPoolExecutor(options.j)
    try:
        for outcome in pool.map(matrix.drive, options.drives or drives.DRIVES):
            report.add(outcome.tests)
            everything += outcome.cells
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        kill_all()
        raise
    finally:
        pool.shutdown()
    for line in [*cells.table(everything), *cells.reasons(everything), f"in all: {cells.summary(everything)}"]:
        print(f"# {line}")
    return report.end()
