# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens in the demo: burns under fire, an ordinary user's two commands, a burner that is killed.

Everything is played twice, in a machine without the module and in one with it, on the same recorder with
the same intruders.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

from machine.guest import shell
from recorder import SECTOR, Recorder

import intruders
import screen
import witness

MEGABYTES = 6
IMAGE = "/opt/image.iso"
# Something to burn, made when the machine is prepared.
MAKE_IMAGE = (f"mkdir /tmp/tree && head -c {MEGABYTES}M /dev/urandom >/tmp/tree/data && "
              f"xorriso -as mkisofs -quiet -R -V DEMO -o {IMAGE} /tmp/tree && rm -r /tmp/tree")
BURNERS = {
    "xorriso": f"xorriso -as cdrecord -v dev={{sr}} {IMAGE}",
    "growisofs": f"growisofs -Z {{sr}}={IMAGE}",
}
# A burner, with marks for the witness around it.
SCRIPT = """#!/bin/sh
echo '{begin}' >/sys/kernel/tracing/trace_marker
{command} >/tmp/burner.log 2>&1
status=$?
echo '{end}' >/sys/kernel/tracing/trace_marker
exit $status
"""
PREVENT_ALLOW = "1e"
PATIENCE = 300.0


@dataclass
class Burn:
    """What became of a burn under fire."""

    status: int
    report: str                 # what was said on standard error: srlock's report of what was refused
    own: int                    # the burner's commands that reached the drive
    foreign: Counter            # everybody else's, by process
    refused: int                # what srlock refused meanwhile
    image: int                  # how much was to be burned, in bytes
    size: int                   # of the disc afterwards, as the system sees it
    compare: str                # what cmp said of disc and image, "" if they are the same


@dataclass
class Vandalism:
    """What became of a burn in whose middle an ordinary user sent two commands."""

    status: int
    taken: list                 # whether the drive took each


class Stage:
    """A machine with a recorder."""

    def __init__(self, machine, locked: bool) -> None:
        self.m = machine
        self.locked = locked
        with screen.step("a DVD recorder is plugged in"):
            self.size = machine.call(witness.size_of, IMAGE)
            self.drive = Recorder(machine, medium="none")
            # 32 KB in 10 ms at the most, as a drive at double speed: time enough to get in the way.
            self.drive.fault("2a forever delay=10")
            machine.call(witness.set_up, int(self.drive.address.split(":")[0]))
        self.name = self.drive.sr.removeprefix("/dev/")

    # The burner

    def _start(self, burner: str, medium: str):
        """Insert a blank disc and start a burner; returns when it writes."""
        self.drive.swap(medium)
        script = SCRIPT.format(begin=witness.BEGIN, end=witness.END,
                               command=BURNERS[burner].format(sr=self.drive.sr))
        self.m.put("/tmp/burn", script.encode(), 0o755)
        command = f"srlock run --name {burner} {self.drive.sr} /tmp/burn" if self.locked else "/tmp/burn"
        pending = self.m.process().begin(shell.run, command, PATIENCE)
        while not self._written() and not pending.done():
            time.sleep(0.1)
        return pending

    def _written(self) -> int:
        """How much is on the disc, in bytes."""
        return int(self.drive.status().get("medium-written", 0)) * SECTOR

    def _finish(self, pending, burner: str, step: screen.Step) -> dict:
        """Show how far a burn is, until it is over."""
        while not pending.done():
            step.detail = f"{min(100 * self._written() // self.size, 100)} % written"
            time.sleep(0.3)
        done = pending.result()
        step.detail = f"{burner} ended with status {done['rc']}"
        return done

    def _refused(self) -> int:
        """How much srlock has refused so far."""
        return int(self.m.sh(f"srlock list -n -o REFUSED {self.drive.sr}")["stdout"]) if self.locked else 0

    # The intruders

    def _attack(self) -> list:
        """Send in the intruders."""
        self.m.call(intruders.poll_by_kernel, self.name, 100)
        crew = [self.m.process() for _ in range(5)]
        crew[0].begin(intruders.send_forever, "sg-reader", self.drive.sg, 0.003)
        crew[1].begin(intruders.send_forever, "bsg-reader", self.drive.bsg, 0.003)
        crew[2].begin(intruders.exclusive, "excl-opener", self.drive.sr, 0.01)
        crew[3].begin(intruders.poller, "media-poller", self.drive.sr, 0.02)
        crew[4].begin(intruders.trigger, self.drive.sr, 0.5)
        return crew

    def _retreat(self, crew: list) -> None:
        for process in crew:
            process.kill()
        self.m.call(intruders.poll_by_kernel, self.name, -1)
        self.m.sh("udevadm settle", timeout=180)

    def _sort(self, found: dict[str, dict[str, int]], burner: str) -> tuple[int, Counter]:
        """The burner's own commands, and everybody else's."""
        own, foreign = 0, Counter()
        for name, codes in found.items():
            for code, count in codes.items():
                # PREVENT and ALLOW are srlock's own work, from a thread of the kernel.
                lock = self.locked and code == PREVENT_ALLOW and name.startswith(("kworker", "srlock"))
                if name == burner:
                    own += count
                elif not lock:
                    foreign["kernel" if name.startswith("kworker") else name] += count
        return own, foreign

    # What is played

    def burn_under_fire(self, burner: str, medium: str) -> Burn:
        """Burn while the intruders do what they can, then see what the system reads back."""
        with screen.step(f"{burner} burns {self.size >> 20} MB on a {medium.upper()} while others use the drive") \
                as step:
            before = self._refused()
            self.m.call(witness.start)
            pending = self._start(burner, medium)
            crew = self._attack()
            listed = self.m.sh("srlock list")["stdout"] if self.locked else ""
            done = self._finish(pending, burner, step)
            refused = self._refused() - before
            self.m.call(witness.stop, timeout=60)
            self._retreat(crew)
            found = self.m.call(witness.read, timeout=60)
        if listed:
            print("        in the middle of it:")
            screen.quote(listed)
        own, foreign = self._sort(found, burner)
        with screen.step("the disc is read back, without a tray cycle") as step:
            compare = self.m.sh(f"cmp -n {self.size} {IMAGE} {self.drive.sr}", timeout=60, check=False)
            size = self.m.call(witness.size_of, self.drive.sr)
            words = (compare["stdout"] + compare["stderr"]).strip()
            step.detail = words or "the bytes are the same"
        return Burn(done["rc"], done["stderr"], own, foreign, refused, self.size, size,
                    words)

    def two_commands(self) -> Vandalism:
        """An ordinary user unlocks and opens the tray in the middle of a burn."""
        with screen.step("in the middle of a burn an ordinary user sends ALLOW and EJECT") as step:
            pending = self._start("xorriso", "dvd+r")
            taken = self.m.user().call(intruders.two_commands, self.drive.sg)
            done = self._finish(pending, "xorriso", step)
        return Vandalism(done["rc"], taken)

    def kill_burner(self) -> bool:
        """Kill a burner, and its launcher, with SIGKILL; whether the tray stays locked, as the drive has it."""
        with screen.step("a burner is killed with SIGKILL in the middle of a burn") as step:
            pending = self._start("xorriso", "dvd+r")
            # udev locks trays by itself whenever a disc changes: not what is asked here.
            self.m.sh("udevadm control --stop-exec-queue")
            self.m.sh("pkill -KILL -x srlock; pkill -KILL -x burn; pkill -KILL -x xorriso", check=False)
            pending.result()
            time.sleep(1)
            locked = self.drive.prevented()
            self.m.sh("udevadm control --start-exec-queue")
            step.detail = f"the drive says that its tray is {'locked' if locked else 'unlocked'}"
        return locked
