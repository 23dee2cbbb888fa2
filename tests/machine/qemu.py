# SPDX-License-Identifier: GPL-2.0-or-later
"""One QEMU process: its command line, its sockets, its memory file and its logs.

The guest's memory is a file. When a state is made the file is mapped shared, so that at the end it is
the memory; when a state is restored it is mapped private, so that only the pages that the machine
touches are copied, and any number of machines start from one file. What else there is to a machine
goes through a migration stream of less than a megabyte (capability x-ignore-shared leaves memory out).
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from . import patience, trace
from .link import Link
from .qmp import Qmp, QmpError

QEMU = "qemu-system-x86_64"
APPEND = ("console=ttyS0 panic=-1 nokaslr mitigations=off clocksource=acpi_pm no_timer_check "
          "random.trust_bootloader=1 quiet")
DISK_BYTES = 256 << 20


@dataclass(frozen=True)
class Hardware:
    """What a machine is made of; part of the key of its saved states."""

    kernel: Path
    initrd: Path
    root: Path
    media: dict[str, Path] = field(hash=False)   # drive: its disc
    usb: str = "bot"                             # or "uas": cannot be saved, so it boots afresh
    memory: int = 512
    cpus: int = 2
    append: str = ""

    def can_be_saved(self) -> bool:
        """QEMU's usb-uas cannot be migrated."""
        return self.usb != "uas"

    def drives(self) -> list[str]:
        """The three optical drives; the ids are known to trace.py."""
        args = ["-device", "ahci,id=sata", "-device", "virtio-scsi-pci,id=vscsi",
                "-device", "qemu-xhci,id=xhci"]
        for name, disc in self.media.items():
            args += ["-drive", f"if=none,id=cd-{name},media=cdrom,readonly=on,format=raw,file={disc}"]
        args += ["-device", "ide-cd,id=ahci,bus=sata.0,drive=cd-ahci,serial=DRIVE-AHCI",
                 "-device", "scsi-cd,id=virtio,bus=vscsi.0,scsi-id=1,drive=cd-virtio,"
                 "serial=DRIVE-VIRTIO"]
        if self.usb == "bot":
            args += ["-device", "usb-bot,id=usbhost,bus=xhci.0,serial=USB-BOT"]
        else:
            args += ["-device", "usb-uas,id=usbhost,bus=xhci.0,serial=USB-UAS"]
        return args + ["-device", "scsi-cd,id=usb,bus=usbhost.0,scsi-id=0,lun=0,drive=cd-usb,"
                       "serial=DRIVE-USB"]

    def arguments(self) -> list[str]:
        accel = os.environ.get("SRLOCK_ACCEL", "tcg,thread=multi")
        return [
            "-accel", accel, "-cpu", "qemu64", "-smp", str(self.cpus), "-m", str(self.memory),
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-drive", f"if=none,id=root,readonly=on,format=raw,file={self.root}",
            "-device", "virtio-blk-pci,drive=root",
            "-device", "virtio-blk-pci,drive=disk",
            "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=agent",
            *self.drives(),
        ]

    def boot_arguments(self) -> list[str]:
        """What it boots. Not for a machine that is restored: at each reset, and waking from S3 is one, QEMU
        copies a vmlinux into memory anew, over the kernel that runs there."""
        return ["-kernel", str(self.kernel), "-initrd", str(self.initrd),
                "-append", f"{APPEND} {self.append}".strip()]


running: set[Qemu] = set()


@atexit.register
def kill_all() -> None:
    """End every QEMU of this process."""
    for qemu in list(running):
        qemu.kill()


class Qemu:
    """A running QEMU."""

    def __init__(self, hardware: Hardware, folder: Path, memory: Path, shared: bool,
                 incoming: bool) -> None:
        """Start; the folder gets the logs and the scratch disk, `memory` is the guest's RAM file."""
        self.process: subprocess.Popen | None = None
        running.add(self)
        self.folder = folder
        self.serial = folder / "serial.log"
        self.trace = trace.Trace(folder / "trace.log")
        self.disk = folder / "disk.img"
        with open(self.disk, "wb") as disk:
            disk.truncate(DISK_BYTES)
        ours, theirs = zip(*(socket.socketpair() for _ in range(2)))
        command = [
            QEMU, *hardware.arguments(), "-S",
            "-machine", "pc,memory-backend=ram",
            "-object", f"memory-backend-file,id=ram,mem-path={memory},size={hardware.memory}M,"
            f"share={'on' if shared else 'off'}",
            "-drive", f"if=none,id=disk,format=raw,cache=unsafe,file={self.disk}",
            "-chardev", f"socket,id=qmp,fd={theirs[0].fileno()}", "-mon", "chardev=qmp,mode=control",
            "-chardev", f"socket,id=agent,fd={theirs[1].fileno()}",
            "-chardev", f"file,id=serial,path={self.serial}", "-serial", "chardev:serial",
            "-D", str(self.trace.path), "-msg", "timestamp=on",
            *(word for event in trace.EVENTS for word in ("-trace", event)),
            *(["-incoming", "defer"] if incoming else hardware.boot_arguments()),
        ]
        (folder / "command").write_text("\n".join(command) + "\n")
        with open(folder / "qemu.log", "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=[end.fileno() for end in theirs], start_new_session=True)
        for end in theirs:
            end.close()
        try:
            self.link = Link(ours[1])
            self.qmp = Qmp(ours[0])
        except (QmpError, OSError) as error:
            self.kill()
            raise RuntimeError(f"QEMU did not start: {self.log()}") from error

    def log(self) -> str:
        """What QEMU itself said."""
        return (self.folder / "qemu.log").read_text(errors="replace").strip()

    def boot(self, timeout: float = 180) -> None:
        self.qmp.execute("cont")
        self.link.wait_ready(patience(timeout))

    def save(self, state: Path) -> None:
        """Stop the machine and write what is not memory; QEMU ends, and the memory file is complete."""
        self._capabilities()
        self.qmp.execute("stop")
        self.qmp.execute("migrate", uri=f"exec:cat >'{state}'")
        self._migrated()
        self.qmp.execute("quit")
        self.process.wait(60)

    def restore(self, state: Path) -> None:
        self._capabilities()
        self.qmp.execute("migrate-incoming", uri=f"exec:cat '{state}'")
        self._migrated()
        self.qmp.execute("cont")

    def _capabilities(self) -> None:
        self.qmp.execute("migrate-set-capabilities", capabilities=[
            {"capability": name, "state": True} for name in ("x-ignore-shared", "events")])

    def _migrated(self) -> None:
        while True:
            status = self.qmp.event("MIGRATION", timeout=60)["data"]["status"]
            if status == "completed":
                return
            if status in ("failed", "cancelled"):
                raise RuntimeError(f"migration {status}: {self.log()}")

    def kill(self) -> None:
        """End QEMU, whatever it is doing."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        running.discard(self)
        if hasattr(self, "link"):
            self.link.close()
        self.disk.unlink(missing_ok=True)


def copy_memory(source: Path, target: Path) -> None:
    """Copy a memory file, holes and all."""
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", source, target], check=True)


def keep_logs(source: Path, target: Path) -> None:
    """Keep the logs of a machine that failed."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path in source.iterdir():
        if path.name not in ("disk.img", "memory"):
            shutil.copy(path, target)
