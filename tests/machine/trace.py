# SPDX-License-Identifier: GPL-2.0-or-later
"""The witness: every command that reached one of the machine's drives, as QEMU's drives log them.

An ATAPI drive logs the whole packet. A SCSI drive logs target and opcode of a command in one event,
and its bytes in the next, which does not name the drive; commands that the target answers itself
(a pending unit attention, REPORT LUNS, an absent LUN) have only the first: their `cdb` is one byte.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

EVENTS = ["scsi_disk_new_request", "scsi_req_parsed", "ide_atapi_cmd_packet"]

# SCSI id: drive (state.py gives the ids)
TARGETS = {0: "usb", 1: "virtio"}

NAMES = {
    0x00: "TEST UNIT READY", 0x03: "REQUEST SENSE", 0x12: "INQUIRY", 0x15: "MODE SELECT(6)",
    0x1A: "MODE SENSE(6)", 0x1B: "START STOP UNIT", 0x1E: "PREVENT ALLOW MEDIUM REMOVAL",
    0x23: "READ FORMAT CAPACITIES", 0x25: "READ CAPACITY", 0x28: "READ(10)", 0x2A: "WRITE(10)",
    0x35: "SYNCHRONIZE CACHE", 0x42: "READ SUB-CHANNEL", 0x43: "READ TOC", 0x46: "GET CONFIGURATION",
    0x4A: "GET EVENT STATUS NOTIFICATION", 0x51: "READ DISC INFORMATION",
    0x52: "READ TRACK INFORMATION", 0x55: "MODE SELECT(10)", 0x5A: "MODE SENSE(10)",
    0xA0: "REPORT LUNS", 0xA8: "READ(12)", 0xAC: "GET PERFORMANCE", 0xAD: "READ DISC STRUCTURE",
    0xB9: "READ CD MSF", 0xBD: "MECHANISM STATUS", 0xBE: "READ CD",
}

_LINE = re.compile(r"(?:\d+@)?(?P<time>\d+\.\d+):(?P<name>\w+) (?P<rest>.*)")
_PARSED = re.compile(r"target (\d+) lun (\d+) tag (\d+) command (\d+)")
_REQUEST = re.compile(r"tag=(\S+)\s+data=(.*)")
_PACKET = re.compile(r"packet: (.*)")


@dataclass(frozen=True)
class Command:
    """One command that reached a drive."""

    time: float   # of the host
    drive: str    # "ahci", "virtio", "usb"; "virtio:1" for LUN 1 of that target, which is another drive
    cdb: bytes

    @property
    def opcode(self) -> int:
        return self.cdb[0]

    @property
    def name(self) -> str:
        return NAMES.get(self.opcode, f"command {self.opcode:02x}h")

    @property
    def prevent(self) -> bool | None:
        """True for PREVENT, False for ALLOW MEDIUM REMOVAL, None for anything else."""
        return bool(self.cdb[4] & 1) if self.opcode == 0x1E and len(self.cdb) > 4 else None

    def __str__(self) -> str:
        return f"{self.drive}: {self.name} [{self.cdb.hex(' ')}]"


class Trace:
    """Reads the log as it grows. Everything a drive did before the machine's last answer is in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.commands: list[Command] = []
        self._position = 0
        self._rest = ""
        self._tag = -1  # of the last command, while its bytes are awaited

    def mark(self) -> int:
        """A place in the trace: `since(mark)` is what came later."""
        return len(self.read())

    def since(self, mark: int = 0, drive: str | None = None, settle: float = 0) -> list[Command]:
        """The commands since a mark, of one drive or all; `settle`: wait so many seconds first."""
        time.sleep(settle)
        return [c for c in self.read()[mark:] if drive is None or c.drive == drive]

    def read(self) -> list[Command]:
        if not self.path.exists():
            return self.commands
        with open(self.path, errors="replace") as file:
            file.seek(self._position)
            text = self._rest + file.read()
            self._position = file.tell()
        *lines, self._rest = text.split("\n")
        for line in lines:
            self._line(line)
        return self.commands

    def _line(self, line: str) -> None:
        match = _LINE.match(line)
        if not match:
            return
        when, rest = float(match["time"]), match["rest"]
        if match["name"] == "ide_atapi_cmd_packet":
            packet = bytes.fromhex(_PACKET.search(rest)[1].replace("0x", ""))
            self.commands.append(Command(when, "ahci", packet))
        elif match["name"] == "scsi_req_parsed":
            target, lun, tag, opcode = map(int, _PARSED.search(rest).groups())
            drive = TARGETS.get(target, f"scsi{target}") + (f":{lun}" if lun else "")
            self.commands.append(Command(when, drive, bytes([opcode])))
            self._tag = tag
        elif match["name"] == "scsi_disk_new_request":
            tag, words = _REQUEST.search(rest).groups()
            if int(tag, 16) == self._tag:
                last = self.commands[-1]
                cdb = bytes(int(word, 16) for word in words.split())
                self.commands[-1] = Command(last.time, last.drive, cdb)
                self._tag = -1
