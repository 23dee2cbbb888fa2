# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of QEMU's machine protocol (QMP) on a connected socket."""

from __future__ import annotations

import json
import socket
import threading
import time

from . import patience


class QmpError(Exception):
    """QEMU refused a command."""


class Qmp:
    """Commands go one at a time; events are kept until somebody asks for them."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.reader = connection.makefile("rb")
        self.events: list[dict] = []
        self._arrived = threading.Condition()
        self._replies: list[dict] = []
        self._command = threading.Lock()
        self._closed = False
        threading.Thread(target=self._receive, daemon=True).start()
        self.execute("qmp_capabilities")

    def _receive(self) -> None:
        try:
            for line in self.reader:
                message = json.loads(line)
                with self._arrived:
                    if "event" in message:
                        self.events.append(message)
                    elif "QMP" not in message:
                        self._replies.append(message)
                    self._arrived.notify_all()
        except (OSError, ValueError):
            pass
        with self._arrived:
            self._closed = True
            self._arrived.notify_all()

    def execute(self, command: str, timeout: float = 60, **arguments):
        """Run a command and return its result."""
        with self._command:
            self.socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
            with self._arrived:
                if not self._arrived.wait_for(lambda: self._replies or self._closed, timeout):
                    raise QmpError(f"{command}: no answer in {timeout} s")
                if not self._replies:
                    raise QmpError(f"{command}: QEMU is gone")
                reply = self._replies.pop(0)
        if "error" in reply:
            raise QmpError(f"{command}: {reply['error']['desc']}")
        return reply["return"]

    def event(self, name: str, timeout: float = 10, **data) -> dict:
        """Wait for an event with these data and take it off the list."""
        def find() -> dict | None:
            for event in self.events:
                have = event.get("data", {})
                if event["event"] == name and all(have.get(k) == v for k, v in data.items()):
                    return event
            return None

        timeout = patience(timeout)
        deadline = time.monotonic() + timeout
        with self._arrived:
            while not (found := find()):
                if self._closed or not self._arrived.wait(deadline - time.monotonic()):
                    raise QmpError(f"no {name} event {data} within {timeout} s")
            self.events.remove(found)
        return found
