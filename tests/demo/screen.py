# SPDX-License-Identifier: GPL-2.0-or-later
"""What the demo shows while it runs: steps with their time and progress, quotes, the table at the end."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

BEGAN = time.monotonic()


def title(text: str) -> None:
    print(f"\n{text}\n{'=' * len(text)}", flush=True)


def quote(text: str) -> None:
    """Show what a program has said."""
    for line in text.strip("\n").splitlines():
        print(f"        | {line}", flush=True)


class Step:
    """A step under way; `detail` is shown behind its name and may change."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.detail = ""
        self.began = time.monotonic()
        self.live = sys.stdout.isatty()
        self._over = threading.Event()
        self._painter = threading.Thread(target=self._paint, daemon=True)

    def _line(self, mark: str) -> str:
        total = time.monotonic() - BEGAN
        took = time.monotonic() - self.began
        detail = f": {self.detail}" if self.detail else ""
        return f"[{total:5.0f} s] {mark} {self.name}{detail} ({took:.1f} s)"

    def _paint(self) -> None:
        while not self._over.wait(0.2):
            print(f"\r\033[K{self._line('..')}", end="", flush=True)

    def begin(self) -> None:
        if self.live:
            self._painter.start()
        else:
            print(self._line(".."), flush=True)

    def end(self, well: bool) -> None:
        self._over.set()
        if self.live:
            self._painter.join()
            print("\r\033[K", end="")
        print(self._line("ok" if well else "FAILED"), flush=True)


@contextmanager
def step(name: str, detail: str = "") -> Iterator[Step]:
    """Show a step from its beginning to its end."""
    shown = Step(name)
    shown.detail = detail
    shown.begin()
    try:
        yield shown
    except BaseException:
        shown.end(False)
        raise
    shown.end(True)


def table(rows: list[tuple[str, str, str, bool]]) -> None:
    """The result: what, without, with, whether both are as they should be."""
    heading = ("", "without srlock", "with srlock")
    widths = [max(len(row[i]) for row in [heading, *rows]) for i in range(3)]
    line = "+".join("-" * (width + 2) for width in widths)
    for number, row in enumerate([(*heading, True), *rows]):
        cells = " | ".join(f"{row[i]:{widths[i]}}" for i in range(3))
        print(f" {cells} {'' if row[3] else '  <-- not as promised'}".rstrip())
        if not number:
            print(line)
    sys.stdout.flush()
