# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent: a Python process that is already running, warm, when the machine's state is saved.

It answers requests that come over a virtio serial port: start a process (a fork of the agent, hence
quick), call a function in a process, kill a process. A process lives until it is told to exit or is
killed, and keeps what it opened between calls. The agent itself never calls a function of a test.

A frame is a length (4 bytes, little endian) and JSON. Bytes travel as {"bytes": base64}.
"""

from __future__ import annotations

import base64
import glob
import importlib
import importlib.util
import json
import marshal
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import traceback
import types

HOME = "\0machine-agent"

# Loaded here, so that every process has it at once.
PRELOADED = (subprocess,)


# Frames

def _default(value):
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"bytes": base64.b64encode(bytes(value)).decode()}
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return repr(value)


def _hook(value: dict):
    return base64.b64decode(value["bytes"]) if value.keys() == {"bytes"} else value


def encode(message) -> bytes:
    data = json.dumps(message, default=_default).encode()
    return struct.pack("<I", len(data)) + data


class Frames:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        self.buffer = bytearray()

    def feed(self, data: bytes):
        self.buffer += data
        while len(self.buffer) >= 4:
            (length,) = struct.unpack_from("<I", self.buffer)
            if len(self.buffer) < 4 + length:
                return
            message = json.loads(self.buffer[4:4 + length], object_hook=_hook)
            del self.buffer[:4 + length]
            yield message


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view[:32768]):]


# In a process

modules: dict[str, types.ModuleType] = {}


def load(key: str, name: str, code: bytes, source: bytes, magic: bytes, package: bool, needs: list
         ) -> None:
    """Make a module from code compiled by the host, or from source when the host's Python differs."""
    if key in modules:
        return
    module = types.ModuleType(name)
    parent, _, last = name.rpartition(".")
    module.__package__ = name if package else parent
    module.__file__ = f"{name}.py"
    if package:
        module.__path__ = []
    same = magic == importlib.util.MAGIC_NUMBER
    sys.modules[name] = modules[key] = module
    exec(marshal.loads(code) if same else compile(source, module.__file__, "exec"), module.__dict__)
    if parent:
        setattr(sys.modules[parent], last, module)


class Process:
    """The inside of a process: receives calls, sends results."""

    current: Process

    def __init__(self) -> None:
        Process.current = self
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(HOME)
        self.send({"hello": os.getpid(), "has": list(modules)})

    def send(self, message) -> None:
        self.socket.sendall(encode(message))

    def serve(self) -> None:
        frames = Frames()
        while data := self.socket.recv(65536):
            for message in frames.feed(data):
                if "modules" in message:
                    for item in message["modules"]:
                        load(**item)
                self.send({"id": message["id"]} | perform(message))
        os._exit(0)


def perform(message: dict) -> dict:
    """Call what the message says; the outcome as part of a reply."""
    try:
        if message["key"]:
            target = modules[message["key"]]
        else:
            target = importlib.import_module(message["module"])
        for name in message["function"].split("."):
            target = getattr(target, name)
        return {"value": target(*message["args"], **message["kwargs"])}
    except SystemExit:
        raise
    except BaseException as error:
        text = "".join(traceback.format_exception(error)[-8:])
        return {"error": type(error).__name__, "text": str(error), "traceback": text,
                "errno": getattr(error, "errno", None)}


def start(uid: int = 0, gid: int = 0, groups: list | tuple = (), session: bool = True) -> int:
    """Fork a new process from this one; its pid, once it is ready for calls."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        ready = os.read(reader, 1)
        os.close(reader)
        if not ready:
            raise ChildProcessError(f"process {pid} did not come up")
        return pid
    try:
        os.close(reader)
        live(uid, gid, groups, session, ready=writer)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(99)


def live(uid: int = 0, gid: int = 0, groups: list | tuple = (), session: bool = True,
         ready: int | None = None) -> None:
    """The life of a process, from its fork on; `ready` is a pipe to write to when it can be called."""
    leave_parent()
    if session:
        os.setsid()
    if uid:
        os.setgroups(list(groups))
        os.setresgid(gid or uid, gid or uid, gid or uid)
        os.setresuid(uid, uid, uid)
    process = Process()
    process.socket.recv(1)  # the agent has it on its list
    if ready is not None:
        os.write(ready, b"!")
        os.close(ready)
    process.serve()


def leave_parent() -> None:
    """After a fork: give up what belongs to the agent or to the parent's calls."""
    for number in (signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    if agent := Agent.current:
        Agent.current = None
        agent.selector.close()
        agent.listener.close()
        os.close(agent.port)
        for known in agent.known.values():
            known.close()
    elif hasattr(Process, "current"):
        Process.current.socket.close()


# The agent

class Known:
    """What the agent knows of a process."""

    def __init__(self, pid: int, has: list[str], connection: socket.socket) -> None:
        self.pid = pid
        self.has = set(has)  # the modules that it was given
        self.socket = connection
        self.pidfd = os.pidfd_open(pid)
        self.frames = Frames()
        self.pending: set[int] = set()
        self.dead = self.deaf = False

    def close(self) -> None:
        self.dead = True
        self.socket.close()
        os.close(self.pidfd)


class Agent:
    """Carries messages between the host and the processes."""

    current: Agent | None = None

    def __init__(self, port: int) -> None:
        Agent.current = self
        self.port = port
        self.frames = Frames()
        self.known: dict[int, Known] = {}
        self.code: dict[str, dict] = {}
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(HOME)
        self.listener.listen(64)
        self.listener.settimeout(30)
        self.selector = selectors.DefaultSelector()
        self.selector.register(port, selectors.EVENT_READ, self.from_host)
        self.selector.register(self.listener, selectors.EVENT_READ, self.newcomer)

    def to_host(self, message) -> None:
        write_all(self.port, encode(message))

    def serve(self) -> None:
        while True:
            for key, _ in self.selector.select():
                key.data()

    def from_host(self) -> None:
        for message in self.frames.feed(os.read(self.port, 65536)):
            try:
                answer = getattr(self, "do_" + message["op"])(message)
            except Exception as error:
                answer = {"error": type(error).__name__, "text": str(error), "errno":
                          getattr(error, "errno", None), "traceback": traceback.format_exc()}
            if answer is not None:
                self.to_host({"id": message["id"]} | answer)

    def newcomer(self) -> None:
        """A process introduces itself."""
        connection, _ = self.listener.accept()
        hello = next(Frames().feed(connection.recv(65536)))
        known = Known(hello["hello"], hello["has"], connection)
        self.known[known.pid] = known
        self.selector.register(connection, selectors.EVENT_READ, lambda: self.from_process(known))
        self.selector.register(known.pidfd, selectors.EVENT_READ, lambda: self.ended(known))
        connection.send(b"!")

    def from_process(self, known: Known) -> None:
        if known.dead:
            return
        try:
            data = known.socket.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.selector.unregister(known.socket)
            known.deaf = True
            return
        for message in known.frames.feed(data):
            known.pending.discard(message["id"])
            self.to_host(message)

    def ended(self, known: Known) -> None:
        """A process is dead: its calls will not return."""
        if known.dead:
            return
        try:
            while data := known.socket.recv(65536, socket.MSG_DONTWAIT):
                for message in known.frames.feed(data):
                    known.pending.discard(message["id"])
                    self.to_host(message)
        except OSError:
            pass
        status = exit_status(known.pid)
        try:
            os.waitpid(known.pid, os.WNOHANG)
        except ChildProcessError:
            pass
        self.selector.unregister(known.pidfd)
        if not known.deaf:
            self.selector.unregister(known.socket)
        known.close()
        del self.known[known.pid]
        for number in known.pending:
            self.to_host({"id": number, "gone": status})
        self.to_host({"ended": known.pid, "status": status})

    # What the host may ask

    def do_ping(self, message: dict) -> dict:
        return {"value": os.getpid()}

    def do_start(self, message: dict) -> dict:
        """Fork a process. The agent must answer its hello meanwhile, hence not start() as it is."""
        pid = os.fork()
        if pid == 0:
            try:
                live(**message["options"])
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(99)
        while pid not in self.known:
            self.newcomer()
        return {"value": pid}

    def do_module(self, message: dict) -> dict:
        names = ("key", "name", "code", "source", "magic", "package", "needs")
        item = {name: message[name] for name in names}
        load(**item)
        self.code[item["key"]] = item
        return {"value": None}

    def do_import(self, message: dict) -> dict:
        for name in message["names"]:
            importlib.import_module(name)
        return {"value": None}

    def do_call(self, message: dict) -> dict | None:
        known = self.known.get(message["pid"])
        if known is None:
            return {"gone": None}
        if message["key"]:
            message["modules"] = list(self.missing(message["key"], known))
        known.pending.add(message["id"])
        known.socket.sendall(encode(message))
        return None

    def missing(self, key: str, known: Known):
        """The modules that a process lacks for one module, in the order to load them."""
        if key in known.has:
            return
        known.has.add(key)
        for other in self.code[key]["needs"]:
            yield from self.missing(other, known)
        yield self.code[key]

    def do_kill(self, message: dict) -> dict:
        os.kill(message["pid"], message["signal"])
        return {"value": None}

    def do_kill_all(self, message: dict) -> dict:
        pids = list(self.known)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return {"value": pids}

    def do_put(self, message: dict) -> dict:
        os.makedirs(os.path.dirname(message["path"]), exist_ok=True)
        with open(message["path"], "wb") as file:
            file.write(message["data"])
        os.chmod(message["path"], message["mode"])
        return {"value": None}

    def do_stacks(self, message: dict) -> dict:
        """Where every process of the tests is: for the report of a test that hangs."""
        return {"value": {pid: stack(pid) for pid in all_pids() if not is_kernel_thread(pid)}}


def exit_status(pid: int) -> int | None:
    """The wait status of a zombie, whoever its parent is (proc(5), field exit_code)."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[49])
    except OSError:
        return None


def all_pids() -> list[int]:
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())


def is_kernel_thread(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return not file.read(1)
    except OSError:
        return True


def stack(pid: int) -> str:
    parts = []
    for name in ("comm", "stack"):
        try:
            with open(f"/proc/{pid}/{name}") as file:
                parts.append(file.read().strip())
        except OSError as error:
            parts.append(str(error))
    return "\n".join(parts)


def open_port() -> int:
    for name in glob.glob("/sys/class/virtio-ports/*/name"):
        with open(name) as file:
            if file.read().strip() == "agent":
                return os.open("/dev/" + name.split("/")[-2], os.O_RDWR | os.O_CLOEXEC)
    raise SystemExit("agent: no virtio port")


def main() -> None:
    # One module, whichever name it is reached by.
    sys.modules["machine.guest.agent"] = sys.modules["__main__"]
    os.chdir("/")
    agent = Agent(open_port())
    agent.to_host({"ready": os.getpid()})
    agent.serve()


if __name__ == "__main__":
    main()
