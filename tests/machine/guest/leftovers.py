# SPDX-License-Identifier: GPL-2.0-or-later
"""What every test of the module must leave behind: free drives, and a module that can be unloaded."""

from __future__ import annotations

import glob
import os
import subprocess
import time

from . import drive
from .limits import patient


def states() -> dict[str, str]:
    """The state of every lock."""
    found = {}
    for path in glob.glob("/sys/class/srlock/*"):
        try:
            found[os.path.basename(path)] = drive.read(path + "/state")
        except OSError:
            pass  # gone meanwhile
    return found


def check(timeout: float = 10) -> str:
    """After all processes of the test are dead: what is wrong, "" if nothing."""
    timeout = patient(timeout)
    deadline = time.monotonic() + timeout
    while held := {name: state for name, state in states().items() if state != "free"}:
        if time.monotonic() > deadline:
            return f"not free {timeout} s after the last process: {held}"
        time.sleep(0.02)
    if not os.path.exists("/sys/module/srlock"):
        return ""
    done = subprocess.run(["rmmod", "srlock"], capture_output=True, text=True)
    return done.stderr.strip()
