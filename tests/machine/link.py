# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's end of the agent: processes in the machine and calls of functions in them."""

from __future__ import annotations

import ast
import importlib.util
import itertools
import marshal
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from . import GuestError, GuestTimeout, ProcessGone, cache, patience
from .guest.agent import Frames, encode

TESTS = Path(__file__).resolve().parent.parent


_parsing = threading.Lock()


@lru_cache
def parsed(name: str, source: bytes) -> tuple[ast.Module, bytes]:
    """A module's tree and its code, marshalled. One thread at a time: Python 3.11's ast.parse() has failed otherwise."""
    with _parsing:
        tree = ast.parse(source)
        return tree, marshal.dumps(compile(tree, name, "exec", dont_inherit=True))


class Pending:
    """A request under way."""

    def __init__(self, link: Link, what: str) -> None:
        self.link = link
        self.what = what
        self.reply: dict | None = None

    def done(self) -> bool:
        """Whether there is a result."""
        return self.reply is not None

    def result(self, timeout: float = 20):
        """Wait for the result and return it."""
        timeout = patience(timeout)
        with self.link.arrived:
            if not self.link.arrived.wait_for(lambda: self.reply or self.link.closed, timeout):
                raise GuestTimeout(f"{self.what}: no answer within {timeout} s")
        if not self.reply:
            raise GuestTimeout(f"{self.what}: the machine is gone")
        if "gone" in self.reply:
            raise ProcessGone(self.reply["gone"])
        if "error" in self.reply:
            raise GuestError(self.reply)
        return self.reply["value"]


class Process:
    """A process in the machine. It keeps its open files between calls."""

    def __init__(self, link: Link, pid: int) -> None:
        self.link = link
        self.pid = pid

    def begin(self, function: Callable, *args, **kwargs) -> Pending:
        """Have the process call a function of a test or of machine.guest; does not wait."""
        key, module = self.link.module_of(function)
        return self.link.request(
            "call", f"{function.__qualname__}{args} in process {self.pid}", pid=self.pid, key=key,
            module=module, function=function.__qualname__, args=args, kwargs=kwargs)

    def call(self, function: Callable, *args, timeout: float = 20, **kwargs):
        """Have the process call a function, and return what it returns."""
        return self.begin(function, *args, **kwargs).result(timeout)

    def fork(self, uid: int = 0, gid: int = 0, groups: tuple = (), session: bool = False) -> Process:
        """A child of this process, as a process of its own. Files stay open in both."""
        pending = self.link.request(
            "call", f"fork of process {self.pid}", pid=self.pid, key="", module="machine.guest.agent",
            function="start", args=(), kwargs={"uid": uid, "gid": gid, "groups": groups,
                                               "session": session})
        return Process(self.link, pending.result())

    def kill(self, number: int = signal.SIGKILL, wait: bool = True, timeout: float = 10) -> None:
        """Send the process a signal, by default SIGKILL; with `wait`, return when it is dead."""
        self.link.ask("kill", pid=self.pid, signal=int(number))
        if wait:
            self.wait(timeout)

    def signal(self, number: int) -> None:
        """Send the process a signal and go on."""
        self.kill(number, wait=False)

    def alive(self) -> bool:
        return self.pid not in self.link.ended

    def wait(self, timeout: float = 20) -> int | None:
        """Wait until the process is dead; its wait status."""
        timeout = patience(timeout)
        with self.link.arrived:
            if not self.link.arrived.wait_for(lambda: not self.alive() or self.link.closed, timeout):
                raise GuestTimeout(f"process {self.pid} still lives after {timeout} s")
        if self.alive():
            raise GuestTimeout(f"process {self.pid}: the machine is gone")
        return self.link.ended[self.pid]

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_) -> None:
        if self.alive():
            self.kill()


def own_file(name: str) -> Path | None:
    """The file of a module of the tests; None for any other and for this package, which is there."""
    path = getattr(sys.modules.get(name), "__file__", None)
    if not path or name.split(".")[0] == "machine" or not Path(path).is_relative_to(TESTS):
        return None
    return Path(path)


def imported(tree: ast.Module, name: str) -> list[str]:
    """The modules of the tests that a module of that name imports at its top, packages first."""
    found: dict[str, None] = {}
    for node in tree.body:
        if isinstance(node, ast.Import):
            candidates = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = sys.modules[name].__package__ or ""
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            candidates = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        for candidate in candidates:
            parts = candidate.split(".")
            for end in range(1, len(parts) + 1):
                found[".".join(parts[:end])] = None
    return [module for module in found if own_file(module)]


class Link:
    """The connection to the agent."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.arrived = threading.Condition()
        self.closed = False
        self.ready = False
        self.ended: dict[int, int | None] = {}
        self._requests: dict[int, Pending] = {}
        self._numbers = itertools.count(int(time.time() * 1000))
        self._modules: set[str] = set()
        self._send = threading.Lock()
        threading.Thread(target=self._receive, daemon=True).start()

    def _receive(self) -> None:
        frames = Frames()
        try:
            while data := self.socket.recv(1 << 20):
                for message in frames.feed(data):
                    with self.arrived:
                        self._message(message)
                        self.arrived.notify_all()
        except OSError:
            pass
        with self.arrived:
            self.closed = True
            self.arrived.notify_all()

    def _message(self, message: dict) -> None:
        if "ready" in message:
            self.ready = True
        elif "ended" in message:
            self.ended[message["ended"]] = message["status"]
        elif pending := self._requests.pop(message["id"], None):
            pending.reply = message

    def request(self, op: str, what: str = "", **fields) -> Pending:
        number = next(self._numbers)
        pending = self._requests[number] = Pending(self, what or op)
        with self._send:
            self.socket.sendall(encode({"id": number, "op": op} | fields))
        return pending

    def ask(self, op: str, timeout: float = 20, **fields):
        return self.request(op, **fields).result(timeout)

    def wait_ready(self, timeout: float) -> None:
        with self.arrived:
            if not self.arrived.wait_for(lambda: self.ready or self.closed, timeout) or self.closed:
                raise GuestTimeout(f"no agent after {timeout} s")

    def module_of(self, function: Callable) -> tuple[str, str]:
        """(key, name) of a function's module; a test's module is sent, the library is there."""
        name = function.__module__
        if "<" in function.__qualname__:
            raise TypeError(f"{function.__qualname__}: only functions of a module can be called there")
        if not own_file(name):
            return "", name
        return self._send_module(name), name

    def _send_module(self, name: str) -> str:
        """Send a module of the tests, after those that it imports; its key."""
        path = own_file(name)
        source = path.read_bytes()
        tree, code = parsed(path.name, source)
        key = cache.digest(name, source)
        if key not in self._modules:
            self._modules.add(key)
            needs = [self._send_module(other) for other in imported(tree, name) if other != name]
            self.ask("module", key=key, name=name, code=code, source=source, needs=needs,
                     package=path.name == "__init__.py", magic=importlib.util.MAGIC_NUMBER)
        return key

    def process(self, **options) -> Process:
        return Process(self, self.ask("start", options=options))

    def put(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Write a file in the machine."""
        self.ask("put", timeout=60, path=path, data=data, mode=mode)

    def close(self) -> None:
        self.socket.close()
