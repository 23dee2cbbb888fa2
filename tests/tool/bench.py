# SPDX-License-Identifier: GPL-2.0-or-later
"""A bench for the srlock command: made-up drives, a fake lock node, TAP output.

umockdev gives the command a /sys and /dev of our making, fake_lock.so plays the
module behind the lock nodes. The command is built with address and undefined
behaviour sanitizers, whose complaints fail the test.
"""
from __future__ import annotations

import os
import re
import signal
import struct
import subprocess
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "tool-check"
TOOL = BUILD / "srlock"
FAKE = BUILD / "fake_lock.so"

# How long anything may take; the machine may be busy with other tests.
PATIENCE = 30.0


def scsi_device(number: int, kind: int = 5, model: str = "BD-RE") -> tuple[str, str]:
    path = f"/devices/pci0000:00/ata{number}/host{number}/target{number}:0:0/{number}:0:0:0"
    return path, (f"P: {path}\nE: SUBSYSTEM=scsi\nE: DEVTYPE=scsi_device\nA: type={kind}\\n\n"
                  f"A: vendor=ACME    \\n\nA: model={model:16}\\n\nA: rev=1.00\\n\n\n")


def node(path: str, subsystem: str, name: str, major: int, minor: int, more: str = "") -> str:
    return (f"P: {path}/{subsystem}/{name}\nN: {name}\nE: SUBSYSTEM={subsystem}\n"
            f"E: DEVNAME=/dev/{name}\nE: MAJOR={major}\nE: MINOR={minor}\n"
            f"A: dev={major}:{minor}\\n\n{more}\n")


def attributes(**values: object) -> str:
    """A lock's attributes in sysfs: free, unless told otherwise."""
    known = {"state": "free", "owner": "", "count": 0, "pid": 0, "uid": 0, "since": 0,
             "waiters": 0, "refused_opens": 0, "refused_ioctls": 0, "refused_commands": 0,
             "last_refused": "", "command_timeout_ms": 5000}
    assert not set(values) - set(known), values
    return "".join(f"A: {name}={value}\\n\n" for name, value in (known | values).items())


def drive(number: int, **values: object) -> str:
    """An optical drive with its lock: sr0 and srlock0 for number 0."""
    path, text = scsi_device(number, model=f"BD-RE {number}")
    return (text + node(path, "block", f"sr{number}", 11, number, "E: DEVTYPE=disk\n") +
            node(path, "srlock", f"srlock{number}", 240, number, attributes(**values)))


def drive_without_lock(number: int) -> str:
    path, text = scsi_device(number)
    return text + node(path, "block", f"sr{number}", 11, number, "E: DEVTYPE=disk\n")


def lock_without_driver(number: int) -> str:
    path, text = scsi_device(number)
    return text + node(path, "srlock", f"srlock{number}", 240, number, attributes())


def disk(name: str = "sda") -> str:
    path, text = scsi_device(9, kind=0, model="DISK")
    return text + node(path, "block", name, 8, 0, "E: DEVTYPE=disk\n")


HELD, RELEASED, BROKEN, REFUSED, UNPLUGGED = range(1, 6)
OPEN, IOCTL, COMMAND = 1, 2, 3


def record(kind: int, name: str = "", pid: int = 0, way: int = 0, code: int = 0,
           repeats: int = 1, lost: int = 0, guess: bool = False, uid: int = 0) -> bytes:
    """A struct srlock_event, as in include/uapi/linux/srlock.h."""
    return struct.pack("=QIIIIiIII64s", time.monotonic_ns(), kind, repeats, lost, int(guess),
                       pid, uid, way, code, name.encode(errors="surrogateescape"))


@dataclass
class Result:
    status: int
    out: str
    err: str


class Running:
    """A command that was started."""

    def __init__(self, process: subprocess.Popen[str]):
        self.process = process
        self.pid = process.pid

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().rstrip("\n")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def finish(self, text: str | None = None) -> Result:
        try:
            out, err = self.process.communicate(text, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        complaint = re.search(r"(AddressSanitizer|LeakSanitizer|runtime error).*", err)
        assert not complaint, err
        return Result(self.process.returncode, out, err)


class Bench:
    """The surroundings of one test."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.locks = folder / "locks"
        self.locks.mkdir()
        self.drives(drive(0) + drive(1))

    def drives(self, text: str) -> None:
        (self.folder / "drives").write_text(text, encoding="ascii")

    def start(self, *arguments: str, prefix: tuple[str, ...] = (), **environment: object) -> Running:
        """Start srlock; keywords become SRLOCK_FAKE_KEYWORD in its environment."""
        command = ["umockdev-run", "-d", str(self.folder / "drives"), "--", "env",
                   f"LD_PRELOAD={FAKE}:libumockdev-preload.so.0", *prefix, str(TOOL), *arguments]
        fake = {f"SRLOCK_FAKE_{key.upper()}": str(int(value))  # type: ignore[call-overload]
                for key, value in environment.items()}
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            process_group=0,
            env=os.environ | fake | {"SRLOCK_FAKE": str(self.locks), "TZ": "UTC", "LC_ALL": "C.UTF-8",
                                     "ASAN_OPTIONS": "verify_asan_link_order=0:exitcode=99",
                                     "UBSAN_OPTIONS": "halt_on_error=1:exitcode=99"})
        return Running(process)

    def run(self, *arguments: str, text: str | None = None, **environment: object) -> Result:
        return self.start(*arguments, **environment).finish(text)

    def events(self, number: int, *records: bytes) -> None:
        with open(self.locks / f"srlock{number}.events", "ab") as file:
            file.write(b"".join(records))

    def revents(self, number: int, value: int) -> None:
        (self.locks / f"srlock{number}.revents").write_text(str(value), encoding="ascii")

    def log(self, number: int) -> list[str]:
        """The calls that reached a lock."""
        path = self.locks / f"srlock{number}.log"
        return path.read_text(encoding="ascii").splitlines() if path.exists() else []

    def eventually(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, "did not come true in time"
            time.sleep(0.01)

    def tool_process(self, running: Running) -> int:
        """The pid of srlock itself, below umockdev-run."""
        found: list[int] = []

        def look() -> bool:
            for entry in Path("/proc").glob("[0-9]*"):
                try:
                    exe = os.readlink(entry / "exe")
                    parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                except (OSError, ValueError):
                    continue
                if exe == str(TOOL) and parent == running.pid:
                    found.append(int(entry.name))
            return bool(found)

        self.eventually(look)
        return found[0]


TESTS: list[tuple[str, Callable[[Bench], None]]] = []


def test(name: str) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
    def register(function: Callable[[Bench], None]) -> Callable[[Bench], None]:
        TESTS.append((name, function))
        return function
    return register


def run_all(pattern: str) -> int:
    """Run the registered tests whose name matches; TAP on standard output."""
    chosen = [each for each in TESTS if re.search(pattern, each[0])]
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:  # under nohup; commands would inherit that
            signal.signal(number, signal.SIG_DFL)
    failed = 0
    print(f"TAP version 13\n1..{len(chosen)}", flush=True)
    for number, (name, function) in enumerate(chosen, 1):
        with tempfile.TemporaryDirectory(prefix="srlock-tool-") as folder:
            try:
                function(Bench(Path(folder)))
                print(f"ok {number} - {name}", flush=True)
            except Exception:  # pylint: disable=broad-except # any failure is a failed test
                failed += 1
                print(f"not ok {number} - {name}")
                for line in traceback.format_exc().splitlines():
                    print(f"# {line}", flush=True)
    print(f"{len(chosen) - failed} passed, {failed} failed, 0 skipped", flush=True)
    return 1 if failed or not chosen else 0
