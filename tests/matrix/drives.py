# SPDX-License-Identifier: GPL-2.0-or-later
"""The five drives, each in a machine of its own, and the witness of what reached it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

import clients
from machine.guest import drive
from recorder import Recorder

from . import ways

DRIVES = ("recorder", "usb-uas", "ahci", "virtio", "usb-bot")     # what takes longest first
OPTIONS = {"usb-uas": {"usb": "uas"}}
ATA_PACKET, NO_PACKET = 0xA0, 0xFF


@dataclass
class Drive:
    """A drive in its machine."""

    name: str                   # of DRIVES
    machine: object
    bus: str                    # what machine.guest.drive takes for its name
    recorder: Recorder | None = None

    def mark(self) -> tuple[int, int]:
        """A place in the witness's record."""
        if self.recorder:
            return self.machine.call(ways.size_of, self.recorder.log), 0
        return self.machine.trace.mark(), os.path.getsize(self.machine.trace.path)

    def since(self, mark: tuple[int, int]) -> list[bytes]:
        """The commands that reached the drive since then, in order."""
        if self.recorder:
            return journal(self.machine.call(ways.read_from, self.recorder.log, mark[0]))
        if self.name == "ahci":
            return self.ata_commands(mark[1])
        return [c.cdb for c in self.machine.trace.since(mark[0], self.bus)]

    def ata_commands(self, position: int) -> list[bytes]:
        """Packets, and ATA commands that are none: a byte that no packet has, and the opcode."""
        with open(self.machine.trace.path, errors="replace") as file:
            file.seek(position)
            text = file.read()
        found = []
        for packet, number in _ATA.findall(text):
            if packet:
                found.append(bytes.fromhex(packet.replace("0x", "")))
            elif int(number, 16) != ATA_PACKET:
                found.append(bytes([NO_PACKET, int(number, 16)]))
        return found

    def device(self) -> str:
        """The block device in sysfs."""
        return f"/sys/class/block/{self.node(drive.name)}"

    def quiet(self) -> None:
        """No more polling by the kernel, and none under way."""
        self.machine.call(ways.quiet, self.bus)
        clients.let_checks_end(self.machine, self.bus, self.mark, self.since)

    def node(self, find) -> str:
        return self.machine.call(find, self.bus)


_ATA = re.compile(r"ide_atapi_cmd_packet .*packet: (.*)|ide_exec_cmd .*cmd (0x[0-9a-f]+)")
_JOURNAL = re.compile(r" command \d+ \S+ cdb=([0-9a-f]+) ")


def journal(text: str) -> list[bytes]:
    """The commands in a piece of the recorder's journal."""
    return [bytes.fromhex(cdb) for cdb in _JOURNAL.findall(text)]


def attach(name: str, machine) -> Drive:
    """Get a drive ready: nobody looks at it but the test."""
    if name == "recorder":
        machine.sh("dd if=$(ls /dev/disk/by-label/DISC_VIRTIO) of=/tmp/disc.iso bs=64k status=none")
        recorder = Recorder(machine, medium="image /tmp/disc.iso")
        found = Drive(name, machine, recorder.device, recorder)
    else:
        found = Drive(name, machine, name.split("-")[0])
    if name == "ahci":
        machine.qmp.execute("trace-event-set-state", name="ide_exec_cmd", enable=True)
    return found
