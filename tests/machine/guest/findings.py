# SPDX-License-Identifier: GPL-2.0-or-later
"""What a kernel that looks for mistakes itself found out without a word, or knows only when asked."""

from __future__ import annotations

import os
import re
import time

LEAKS = "/sys/kernel/debug/kmemleak"
RACES = "/sys/kernel/debug/kcsan"
AGE = 5.5  # seconds: younger objects are not told (mm/kmemleak.c, MSECS_MIN_AGE)


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def _write(path: str, word: str) -> None:
    with open(path, "w") as file:
        file.write(word)


def begin() -> None:
    """Start to look, and forget what was found so far; leaks are looked for when asked only."""
    if os.path.exists(RACES):
        _write(RACES, "on")
    if os.path.exists(LEAKS):
        leaks()
        for word in ("scan=off", "clear"):
            _write(LEAKS, word)


def leaks() -> str:
    """What kmemleak says. An object has to be missed twice before it does."""
    _write(LEAKS, "scan")
    time.sleep(AGE)
    _write(LEAKS, "scan")
    return _read(LEAKS)


def check() -> str:
    """After a test: what was found, "" if nothing."""
    found = []
    if re.search(r"debug_locks: +0", _read("/proc/lockdep_stats")):
        found.append("lockdep has turned itself off")
    if os.path.exists(LEAKS):
        found.append(leaks())
    return "\n".join(filter(None, found))
