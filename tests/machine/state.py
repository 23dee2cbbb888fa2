# SPDX-License-Identifier: GPL-2.0-or-later
"""Saved states: the machine after boot and coldplug, and after that with the guest library and a payload.

The first costs a boot (about 15 s) and depends on kernel, root image and agent. The second costs about
three seconds and depends on what is under test: the module, the tool, the guest library. Both are in
the cache, keyed by all that went into them.
"""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from . import cache, patience, rootfs
from .guest import findings, shell
from .qemu import QEMU, Hardware, Qemu, copy_memory, keep_logs

PATIENCE = 10.0  # where a kernel looks for mistakes itself, on two slow cores

DRIVES = ("ahci", "virtio", "usb")

# What every state ends with: udev has locked the trays when it saw the drives, tests start with unlocked
# ones; and from here on the serial log has every message of the kernel.
SETTLE = ("udevadm settle", "for drive in /dev/sr?; do eject -i off $drive; done", "udevadm settle",
          "dmesg -n 8")


@dataclass(frozen=True)
class Payload:
    """What is put into the machine before its second state is saved."""

    files: tuple[tuple[str, Path, int], ...] = ()   # (path in the machine, file here, mode)
    commands: tuple[str, ...] = ()                  # then these shell commands must succeed
    name: str = "plain"

    def key(self) -> str:
        parts: list[str | Path] = [self.name, *self.commands]
        for path, source, mode in self.files:
            parts += [f"{path} {mode:o}", source]
        return cache.digest(*parts)


@lru_cache
def hardware(series: str = "6.1", kernel: Path | None = None, **options) -> Hardware:
    """The machine with a stock kernel, or with one from a folder that is laid out as tests/kernels/stock's."""
    rootfs.need("qemu-system-x86")
    folder = kernel or rootfs.kernel(series)
    binary = folder / "vmlinux"
    if not binary.exists():   # one of tests/kernels/debug, which boots as a bzImage only
        binary = folder / "vmlinuz"
        # routing interrupts by ACPI, whose tables are interpreted for each device, takes such a kernel minutes
        options = {"memory": 1280, "append": "acpi=noirq"} | options
    media = {name: rootfs.medium(f"DISC_{name.upper()}") for name in DRIVES}
    return Hardware(binary, rootfs.initramfs(folder), rootfs.root_image(folder),
                    media, **options)


@lru_cache
def _qemu_version() -> str:
    return subprocess.run([QEMU, "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout


def booted(machine: Hardware) -> Path:
    """The state after boot: a folder with `memory` and `devices`."""
    def make(folder: Path) -> None:
        _save(machine, folder, None, lambda qemu: None)

    key = cache.digest("1", _qemu_version(), *machine.arguments(), *machine.boot_arguments())
    return cache.made("booted", key, make, "the booted machine", keep=4)


def prepared(machine: Hardware, payload: Payload) -> Path:
    """The state with guest library and payload."""
    base = booted(machine)
    files = library()

    def make(folder: Path) -> None:
        _save(machine, folder, base, lambda qemu: _install(qemu, files, payload))

    key = cache.digest("1", base.name, f"{patience.factor}", payload.key(), *SETTLE, *files, files.values())
    return cache.made("prepared", key, make, f"the machine's state \"{payload.name}\"", keep=8)


def start(machine: Hardware, payload: Payload, folder: Path) -> Qemu:
    """A machine in the state with guest library and payload: restored, or booted where it cannot be saved."""
    if machine.can_be_saved():
        saved = prepared(machine, payload)
        qemu = Qemu(machine, folder, saved / "memory", shared=False, incoming=True)
        prepare = partial(qemu.restore, saved / "devices")
    else:
        qemu = Qemu(machine, folder, folder / "memory", shared=True, incoming=False)
        prepare = partial(_boot_and_install, qemu, payload)
    try:
        prepare()
    except Exception:
        qemu.kill()
        raise
    return qemu


def _boot_and_install(qemu: Qemu, payload: Payload) -> None:
    qemu.boot()
    _install(qemu, library(), payload)


def library() -> dict[str, Path]:
    """The Python files that a state is given; the rest of guest/ is in the initramfs only."""
    return {name: path for name, path in rootfs.guest_files().items() if name.endswith(".py")}


def _install(qemu: Qemu, files: dict[str, Path], payload: Payload) -> None:
    link = qemu.link
    for name, path in files.items():
        data = path.read_bytes()
        if name == "guest/limits.py":
            data = data.replace(b"FACTOR = 1.0", f"FACTOR = {patience.factor}".encode())
        link.put(f"/opt/machine/{name}", data)
    for path, source, mode in payload.files:
        link.put(path, source.read_bytes(), mode)
    names = [name[:-3].replace("/", ".") for name in files if not name.endswith("__init__.py")]
    link.ask("import", timeout=60, names=[f"machine.{name}" for name in names])
    process = link.process()
    process.call(findings.begin, timeout=120)
    for command in (*payload.commands, *SETTLE):
        done = process.call(shell.run, command, 60, timeout=90)
        if done["rc"]:
            raise RuntimeError(f"{command}: {done['stderr'] or done['stdout']}")
    process.kill()


def _save(machine: Hardware, folder: Path, base: Path | None, prepare) -> None:
    memory = folder / "memory"
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        if base:
            copy_memory(base / "memory", memory)
        qemu = Qemu(machine, Path(name), memory, shared=True, incoming=base is not None)
        try:
            if base:
                qemu.restore(base / "devices")
            else:
                qemu.boot()
            prepare(qemu)
            qemu.save(folder / "devices")
        except Exception as error:
            logs = rootfs.TESTS.parent / "build" / "logs" / "state"
            keep_logs(Path(name), logs)
            raise RuntimeError(f"cannot prepare the machine (logs in {logs}): {error}") from error
        finally:
            qemu.kill()
