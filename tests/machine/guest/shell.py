# SPDX-License-Identifier: GPL-2.0-or-later
"""Shell commands in the machine."""

from __future__ import annotations

import os
import signal
import subprocess

from .limits import patient


def run(command: str, timeout: float = 20, data: bytes | None = None) -> dict:
    """Run a shell command; its status, output and error output, and whether it had to be killed."""
    child = subprocess.Popen(["/bin/sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, start_new_session=True)
    late = False
    try:
        out, err = child.communicate(data, patient(timeout))
    except subprocess.TimeoutExpired:
        late = True
        os.killpg(child.pid, signal.SIGKILL)
        out, err = child.communicate()
    return {"rc": child.returncode, "stdout": out.decode(errors="replace"),
            "stderr": err.decode(errors="replace"), "timeout": late}


def read(path: str) -> str:
    """A small text file, without the newline at its end."""
    with open(path, errors="replace") as file:
        return file.read().rstrip("\n")


def data(path: str) -> bytes:
    """A file's contents."""
    with open(path, "rb") as file:
        return file.read()
