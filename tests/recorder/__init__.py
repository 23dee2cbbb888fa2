# SPDX-License-Identifier: GPL-2.0-or-later
"""The recorder in the integration machine: attach one, handle it, read what reached it.

    from recorder import Recorder

    with Recorder(m, medium="dvd+r") as drive:          # m is the machine
        mark = drive.mark()
        m.sh(f"cdrskin dev={drive.sr} -sao tsize=512s /tmp/image")
        assert not [c for c in drive.since(mark) if c.cdb == scsi.inquiry(77)]

`drive.device` is its folder in sysfs, which machine.guest.drive takes for the name of a drive. The
functions at the end run in the machine.
"""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

HERE = Path(__file__).resolve().parent if __file__.startswith("/") else Path()
BUILD = HERE.parent.parent / "build" / "recorder"
THERE = "/opt/recorder"     # in the machine

KINDS = ("dvd+rw", "dvd+r", "dvd-r", "dvd-rw")
SECTOR = 2048


@lru_cache
def files() -> tuple[tuple[str, Path, int], ...]:
    """What a machine needs to have a recorder, built: (path there, file here, mode)."""
    subprocess.run([HERE.parent / "setup" / "need", "gcc", "make", "libc6-dev", "linux-libc-dev"], check=True)
    subprocess.run(["make", "-s", "-C", HERE, f"O={BUILD}", "all"], check=True)
    return tuple((f"{THERE}/{path.name}", path, 0o755)
                 for path in (HERE / "start", HERE / "stop", BUILD / "recorder", BUILD / "recorderctl"))


@dataclass(frozen=True)
class Command:
    """One command that reached the recorder, and how it was answered."""

    time: float                 # CLOCK_MONOTONIC of the machine, when it was answered
    sequence: int               # in order of arrival, from 1
    name: str
    cdb: bytes
    length: int                 # of the data buffer
    returned: int               # bytes of data for the host
    status: int
    sense: tuple[int, int, int] | None
    took: float                 # seconds
    fault: str                  # what it met, "-" for nothing

    @property
    def opcode(self) -> int:
        return self.cdb[0]

    @property
    def prevent(self) -> bool | None:
        """True for PREVENT, False for ALLOW MEDIUM REMOVAL, None for anything else."""
        return bool(self.cdb[4] & 1) if self.opcode == 0x1E else None


class RecorderError(Exception):
    """The recorder refuses what was asked of it."""


class Recorder:
    """A recorder attached to a machine. Leave it by stop(), or use it in a `with` statement."""

    def __init__(self, machine, name: str = "recorder", medium: str = "dvd+rw") -> None:
        self.machine = machine
        self.name = name
        self._process = None
        machine.call(_there, [path for path, _, _ in files()]) or self._install()
        done = machine.sh(f"{THERE}/start --medium '{medium}' {name}", timeout=60)
        place = dict(word.split("=", 1) for word in done["stdout"].split())
        self.sr, self.sg, self.bsg = place["sr"], place["sg"], place["bsg"]
        self.address, self.log, self._socket = place["address"], place["log"], place["control"]
        self.device = f"/sys/bus/scsi/devices/{self.address}"
        self._unlock()

    def _install(self) -> None:
        for path, source, mode in files():
            self.machine.put(path, source, mode)

    def _unlock(self) -> None:
        """udev locks the tray when it sees a disc; tests start with an unlocked one, as on other drives."""
        self.machine.sh(f"udevadm settle; eject -i off {self.sr}; udevadm settle", timeout=60)

    def stop(self) -> None:
        """Take it away: the nodes vanish as at an orderly unplugging."""
        self.machine.sh(f"{THERE}/stop {self.name}", timeout=60)
        if self._process and self._process.alive():
            self._process.kill()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind, *_) -> None:
        """After a failure the machine is thrown away as it is; the recorder's log is kept with the machine's."""
        if not kind:
            self.stop()
        elif not self.machine.link.closed:
            (self.machine.folder / f"{self.name}.log").write_text(self.machine.call(_read, self.log))

    # Control

    def _call(self, function, *args, **options):
        """Call a function in a process of its own, the same one each time, which saves that time."""
        if not self._process or not self._process.alive():
            self._process = self.machine.process()
        return self._process.call(function, *args, **options)

    def say(self, line: str, timeout: float = 10) -> str:
        """Say a line at the control socket, and return the answer."""
        word, _, answer = self._call(_say, self._socket, line, timeout,
                                     timeout=timeout + 10).partition("\n")
        if word != "ok":
            raise RecorderError(word)
        return answer

    def status(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.say("status").splitlines())

    def prevented(self) -> bool:
        """Whether medium removal is prevented."""
        status = self.status()
        return "1" in (status["prevented"], status["persistent-prevented"])

    def tray_open(self) -> bool:
        return self.status()["tray"] == "open"

    def insert(self, medium: str) -> None:
        """Put in another disc: dvd+r, dvd+rw, dvd-r, dvd-rw, perhaps with its sectors, or `image PATH`."""
        self.say(f"insert {medium}")

    def swap(self, medium: str) -> None:
        """Unlock the tray, put in another disc, and wait until everybody has had a look at it."""
        self._unlock()
        self.insert(medium)
        self._unlock()

    def press_eject(self) -> None:
        """Press the button: a locked drive only asks the host for an eject."""
        self.say("press")

    def fault(self, text: str) -> None:
        """Answer a command in another way: "00 delay=8000", "1e......00 sense=4/44/00"; see README.md."""
        self.say(f"fault {text}")

    def release(self) -> None:
        """Let a held command go on."""
        self.say("release")

    def await_held(self, timeout: float = 10) -> None:
        """Wait until a command is delayed or hangs by a fault."""
        self.say("await held", timeout)

    def await_idle(self, timeout: float = 10) -> None:
        """Wait until the drive has answered everything."""
        self.say("await idle", timeout)

    # The witness

    def commands(self) -> list[Command]:
        """Everything that was answered so far."""
        return list(_parse(self._call(_read, self.log)))

    def mark(self) -> int:
        """A place in the log: `since(mark)` is what arrived later."""
        return int(self.status()["commands"])

    def since(self, mark: int) -> list[Command]:
        return [command for command in self.commands() if command.sequence > mark]


_COMMAND = re.compile(
    r"(?P<time>[\d.]+) command (?P<sequence>\d+) (?P<name>\S+) cdb=(?P<cdb>[0-9a-f]+) length=(?P<length>\d+) "
    r"returned=(?P<returned>\d+) status=(?P<status>[0-9a-f]+) sense=(?P<sense>\S+) took=(?P<took>[\d.]+) "
    r"fault=(?P<fault>\S+)")


def _parse(log: str) -> Iterator[Command]:
    for match in _COMMAND.finditer(log):
        sense = match["sense"]
        yield Command(float(match["time"]), int(match["sequence"]), match["name"], bytes.fromhex(match["cdb"]),
                      int(match["length"]), int(match["returned"]), int(match["status"], 16),
                      None if sense == "-" else tuple(int(part, 16) for part in sense.split("/")),
                      float(match["took"]), match["fault"])


# In the machine

def _there(paths: list[str]) -> bool:
    return all(Path(path).exists() for path in paths)


def _read(path: str) -> str:
    return Path(path).read_text()


def _say(path: str, line: str, timeout: float) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(timeout)
        client.connect(path)
        client.sendall(f"{line}\n".encode())
        answer = b""
        while data := client.recv(65536):
            answer += data
    return answer.decode()
