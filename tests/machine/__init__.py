# SPDX-License-Identifier: GPL-2.0-or-later
"""The integration machine: a QEMU guest with three optical drives, restored from a saved state in a second.

This file is the package's face on the host and inside the machine: a test file is loaded in both, so
that its functions can be called in the machine (see README.md). It imports nothing that only one of them has.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Case", "GuestError", "GuestTimeout", "ProcessGone", "Skip", "eventually", "never", "patience",
           "test"]


class Skip(Exception):
    """A test raises this, with the reason, when it cannot be done here."""


class GuestError(Exception):
    """A function in the machine raised an exception; `kind` is its class, `errno` its number if any."""

    def __init__(self, reply: dict) -> None:
        super().__init__(f"{reply['error']}: {reply['text']}\nin the machine:\n{reply['traceback']}")
        self.kind = reply["error"]
        self.errno = reply["errno"]


class GuestTimeout(Exception):
    """The machine did not answer in time."""


class ProcessGone(Exception):
    """The process died before the call returned; `status` is its wait status, None if unknown."""

    def __init__(self, status: int | None) -> None:
        super().__init__(f"the process is gone (wait status {status})")
        self.status = status


class Patience:
    """How much longer than on a stock kernel things may take; here and, as a state has it, in the machine."""

    factor = 1.0

    def __call__(self, seconds: float) -> float:
        """A limit of time, for this kernel. Times that a test waits without need are not to be stretched."""
        return seconds * self.factor


patience = Patience()


def eventually(condition: Callable, timeout: float = 20, what: str = "the condition"):
    """Wait until a condition holds and return its value; fail the test when it does not in time."""
    timeout = patience(timeout)
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout} s")
        time.sleep(0.05)
    return value


def never(condition: Callable, seconds: float, what: str) -> None:
    """Fail the test if a condition comes true within some seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            raise AssertionError(what)
        time.sleep(0.05)


@dataclass
class Case:
    """One test: what it shows, how it runs, and what machine it wants."""

    name: str
    run: Callable
    module: bool = True      # srlock.ko loaded and the tool installed
    timeout: float = 60.0    # seconds, for the whole test
    args: tuple = ()         # further arguments of the function
    options: dict = field(default_factory=dict)  # further keywords of Machine()


def test(name: str, *, module: bool = True, timeout: float = 60.0,
         each: list | tuple | None = None, **options) -> Callable:
    """Mark a function of one argument, the machine, as a test, named after the rule that it guards.

    With `each`, a list, the function is one test per item and gets the item as its second argument;
    "{}" in the name stands for it.
    """
    def mark(function: Callable) -> Callable:
        cases = function.__dict__.setdefault("cases", [])
        for item in each if each is not None else [None]:
            args = () if each is None else (item,)
            cases.append(Case(name.format(item), function, module, timeout, args, options))
        return function
    return mark
