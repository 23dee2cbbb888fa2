# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of the srlock command share."""

from __future__ import annotations

from machine import eventually
from machine.guest import drive, shell


class Background:
    """A shell command that runs in the machine while the test goes on.

    Its standard input is open until end(); it starts with `exec`, so that the
    process is the command itself.
    """

    def __init__(self, m, command: str, process=None) -> None:
        self.m = m
        self.process = process or m.process()
        self.name = f"/tmp/background-{self.process.pid}"
        m.sh(f"rm -f {self.name}.in; mkfifo {self.name}.in; touch {self.name}.out {self.name}.err; "
             f"chmod 666 {self.name}.*")
        # The read-write open keeps the pipe from ending before end() closes it.
        self.pending = self.process.begin(
            shell.run, f"sleep 1000 >{self.name}.in 2>/dev/null & echo $! >{self.name}.feeder; "
                       f"sh -c 'echo $$ >{self.name}.pid; exec {command}' "
                       f"<{self.name}.in >{self.name}.out 2>{self.name}.err", 1000)
        eventually(lambda: self.m.call(shell_exists, f"{self.name}.pid"))

    @property
    def pid(self) -> int:
        return int(self.m.call(shell.read, f"{self.name}.pid"))

    def out(self) -> str:
        return self.m.call(shell.read, f"{self.name}.out")

    def err(self) -> str:
        return self.m.call(shell.read, f"{self.name}.err")

    def says(self, text: str) -> None:
        """Wait until it has said that, on either output."""
        eventually(lambda: text in self.out() + self.err())

    def signal(self, name: str) -> None:
        self.m.sh(f"kill -{name} {self.pid}")

    def end(self, timeout: float = 20) -> int:
        """End its standard input; its exit status."""
        self.m.sh(f"kill $(cat {self.name}.feeder)")
        return self.status(timeout)

    def status(self, timeout: float = 20) -> int:
        """Wait for its end; its exit status."""
        return self.pending.result(timeout)["rc"]


def shell_exists(path: str) -> bool:
    import os
    return os.path.exists(path) and os.path.getsize(path) > 0


def attribute(m, bus: str, name: str) -> str:
    """A lock's attribute in sysfs."""
    return m.call(read_attribute, bus, name)


def read_attribute(bus: str, name: str) -> str:
    return drive.read(f"{drive.attributes(bus)}/{name}")
