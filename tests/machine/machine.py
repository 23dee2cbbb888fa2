# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine as a test sees it."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from . import GuestError, GuestTimeout, ProcessGone, Skip, eventually, state
from .guest import findings, leftovers, shell
from .link import Process
from .qemu import Hardware, keep_logs
from .reports import complaints

CDROM_GROUP = 24  # Debian's fixed id
USER, STRANGER = 1000, 1001  # an ordinary user in group cdrom, and one who is not (boot.sh)


class Machine:
    """A running machine. Leave it by close(), or use it in a `with` statement."""

    def __init__(self, payload: state.Payload = state.Payload(), *, name: str = "machine",
                 hardware: Hardware | None = None) -> None:
        self.name = name
        self.expected_reports: list[str] = []   # patterns of log lines that this test provokes
        self._folder = tempfile.TemporaryDirectory(prefix="srlock-machine-")
        self.folder = Path(self._folder.name)
        try:
            self.qemu = state.start(hardware or state.hardware(), payload, self.folder)
        except Exception:
            self._folder.cleanup()
            raise
        self.qmp, self.link, self.trace = self.qemu.qmp, self.qemu.link, self.qemu.trace

    # Processes and calls in the machine

    def process(self, uid: int = 0, gid: int = 0, groups: tuple = ()) -> Process:
        """A new process, in a session of its own, as root or as somebody else."""
        return self.link.process(uid=uid, gid=gid, groups=groups)

    def user(self) -> Process:
        """A process of an ordinary user in group cdrom."""
        return self.process(uid=USER, groups=(CDROM_GROUP,))

    def stranger(self) -> Process:
        """A process of an ordinary user who is in no group."""
        return self.process(uid=STRANGER)

    def call(self, function: Callable, *args, timeout: float = 20, **kwargs):
        """Call a function in a process of its own, which ends with the call."""
        process = self.process()
        try:
            return process.call(function, *args, timeout=timeout, **kwargs)
        finally:
            if not self.link.closed:
                process.kill(wait=False)

    def sh(self, command: str, timeout: float = 20, check: bool = True, process: Process | None = None
           ) -> dict:
        """Run a shell command: rc, stdout, stderr, timeout. With `check` a failure is an exception."""
        run = process.call if process else self.call
        done = run(shell.run, command, timeout, timeout=timeout + 10)
        if check and (done["rc"] or done["timeout"]):
            raise AssertionError(f"`{command}`: status {done['rc']}"
                                 f"{' after a time-out' if done['timeout'] else ''}\n"
                                 f"{done['stdout']}{done['stderr']}")
        return done

    def put(self, path: str, data: bytes | Path, mode: int = 0o644) -> None:
        """Write a file in the machine."""
        self.link.put(path, data.read_bytes() if isinstance(data, Path) else data, mode)

    # The drives, from outside the machine

    def _block(self, drive: str) -> dict:
        for entry in self.qmp.execute("query-block"):
            if entry["device"] == f"cd-{drive}":
                return entry
        raise KeyError(drive)

    def locked(self, drive: str) -> bool:
        """Whether the drive's tray is locked (medium removal prevented)."""
        return self._block(drive)["locked"]

    def tray_open(self, drive: str) -> bool:
        return self._block(drive)["tray_open"]

    def press_eject(self, drive: str) -> None:
        """Press the drive's button: the tray opens, or when it is locked the host is asked for it."""
        self.qmp.execute("blockdev-open-tray", id=drive)

    def close_tray(self, drive: str) -> None:
        self.qmp.execute("blockdev-close-tray", id=drive)

    def change_disc(self, drive: str, disc: Path) -> None:
        """Put another disc in, whatever the guest thinks of it."""
        self.qmp.execute("blockdev-open-tray", id=drive, force=True)
        self.qmp.execute("blockdev-change-medium", id=drive, filename=str(disc), format="raw",
                         **{"read-only-mode": "read-only"})

    def stall(self, drive: str, seconds: float) -> None:
        """Have the drive's next read, of whatever size, answered that late; `stall(drive, 0)` ends it.

        Only reads stall. Those after the next take as long again for each 64 KiB.
        """
        rate = int(65536 / seconds) if seconds else 0
        self.qmp.execute("block_set_io_throttle", id=drive, bps=rate,
                         bps_rd=0, bps_wr=0, iops=0, iops_rd=0, iops_wr=0)
        if rate:  # the first read after a change of the rate is free: take it from outside
            self.qmp.execute("human-monitor-command",
                             **{"command-line": f'qemu-io cd-{drive} "read 0 64k"'})

    def unplug(self, drive: str) -> None:
        """Take the drive away: by surprise on virtio and USB; AHCI goes with its controller, by ACPI."""
        self.qmp.execute("device_del", id={"ahci": "sata", "usb": "usbhost"}.get(drive, drive))

    # Sleep

    @contextlib.contextmanager
    def asleep(self, state: str) -> Iterator[None]:
        """The machine sleeps while this is entered: `mem` is S3 (all but its memory is off), `freeze` s2idle.

        Processes wait for as long as it sleeps, so only QMP is of use. S3 is woken by QEMU, s2idle by the
        power button. Needs a machine that was restored; see Hardware.boot_arguments().
        """
        if state not in self.call(shell.read, "/sys/power/state").split():
            raise Skip(f"this kernel cannot `{state}`")
        # With its messages the kernel tells when s2idle has been reached, which QEMU does not know.
        self.sh("echo N >/sys/module/printk/parameters/console_suspend; echo 1 >/sys/power/pm_debug_messages")
        said = len(self.log())
        process = self.process()
        going = process.begin(shell.run, f"echo {state} >/sys/power/state", 600)
        if state == "mem":
            self.qmp.event("SUSPEND", timeout=60)
        else:
            eventually(lambda: "PM: suspend-to-idle" in self.log()[said:], 60, "s2idle")
        yield
        self.qmp.execute("system_wakeup" if state == "mem" else "system_powerdown")
        done = going.result(60)
        if done["rc"] or "PM: suspend exit" not in self.log()[said:]:
            raise AssertionError(f"it has not slept: {done}")
        process.kill()

    # The kernel's log

    def log(self) -> str:
        """What the kernel has said since the machine was restored."""
        return self.qemu.serial.read_text(errors="replace")

    def reports(self) -> list[str]:
        """Lines of the kernel's log that no test may leave behind."""
        lines = self.log().splitlines()
        return [lines[n] for n in complaints(lines)
                if not any(re.search(pattern, lines[n]) for pattern in self.expected_reports)]

    def alive(self) -> bool:
        """Whether the machine still runs: a panic ends it."""
        return self.qemu.process.poll() is None

    # The end

    def leftovers(self) -> str:
        """Kill the test's processes and unload the module: what is wrong then, "" if nothing.

        A kernel that looks for leaks is asked for them.
        """
        try:
            for pid in self.link.ask("kill_all"):
                Process(self.link, pid).wait()
            return "\n".join(filter(None, [self.call(leftovers.check, timeout=60),
                                           self.call(findings.check, timeout=60)]))
        except (GuestError, GuestTimeout, ProcessGone) as error:
            return str(error)

    def counts(self) -> bytes:
        """What a counting module has counted; see tests/coverage."""
        return self.call(shell.data, "/sys/kernel/debug/srlock_counts", timeout=60)

    def explain_hang(self) -> None:
        """Write where every process is to the folder, for the report of a test that ran out of time."""
        try:
            stacks = self.link.ask("stacks", timeout=10)
            text = "\n\n".join(f"{pid}: {stack}" for pid, stack in stacks.items())
            (self.folder / "stacks.txt").write_text(text + "\n")
            self.sh("echo w >/proc/sysrq-trigger; echo d >/proc/sysrq-trigger", timeout=5, check=False)
        except Exception as error:
            (self.folder / "stacks.txt").write_text(f"the agent does not answer: {error}\n")
            try:
                registers = self.qmp.execute("human-monitor-command", timeout=5,
                                             **{"command-line": "info registers -a"})
                (self.folder / "registers.txt").write_text(registers)
            except Exception:
                pass

    def keep(self, target: Path) -> None:
        """Keep the logs and the command trace in a folder."""
        commands = self.trace.read()
        start = commands[0].time if commands else 0
        lines = [f"{command.time - start:10.6f} {command}" for command in commands]
        (self.folder / "commands.txt").write_text("\n".join(lines) + "\n")
        keep_logs(self.folder, target)

    def close(self) -> None:
        self.qemu.kill()
        self._folder.cleanup()

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_) -> None:
        self.close()
