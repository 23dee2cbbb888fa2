# SPDX-License-Identifier: GPL-2.0-or-later
"""System calls as functions that a process can be told to do, with the error as a value."""

from __future__ import annotations

import errno as numbers
import os


def open_(path: str, mode: int = os.O_RDONLY | os.O_NONBLOCK) -> int:
    """Open a file; its number, or minus the errno. It stays open."""
    try:
        return os.open(path, mode)
    except OSError as error:
        return -error.errno


def close(fd: int) -> int:
    """Close a file; 0, or minus the errno."""
    try:
        os.close(fd)
        return 0
    except OSError as error:
        return -error.errno


def errno_of(module: str, function: str, *args, **kwargs) -> str:
    """Call a function of the library and name the errno it fails with; "" when it works."""
    import importlib
    target = getattr(importlib.import_module(f"machine.guest.{module}"), function)
    try:
        target(*args, **kwargs)
    except OSError as error:
        return numbers.errorcode[error.errno]
    return ""
