# SPDX-License-Identifier: GPL-2.0-or-later
"""Torture that needs more than the small machine has: real burners, drives pulled out by QEMU, sleep.

TORTURE_SCALE is a fraction of the full numbers (0.1 if not set), TORTURE_SEED a seed. By hand:
`PYTHONPATH=tests/integration tests/machine/run tests/torture/test_torture.py`.
"""

from __future__ import annotations

import glob
import os
import random
import time

import intrude
import witness
from clients import calm
from holding import DRIVES, Hold, attribute, no_udev
from machine import eventually, test
from machine.guest import drive, shell, srlock
from recorder import Recorder

NONBLOCK = os.O_RDWR | os.O_NONBLOCK


def scaled(number: int) -> int:
    return max(1, round(number * float(os.environ.get("TORTURE_SCALE", "0.1"))))


def chance() -> random.Random:
    return random.Random(int(os.environ.get("TORTURE_SEED", "1")))


def count(**numbers) -> None:
    print("# count " + " ".join(f"{name}={number}" for name, number in numbers.items()), flush=True)


def spread(title: str, hits: list[str]) -> None:
    """How often each stage was hit."""
    print(f"# {title}: " + ", ".join(f"{name} {hits.count(name)}" for name in sorted(set(hits))), flush=True)


def nobody_left(m) -> None:
    eventually(lambda: m.call(drive.read, "/sys/module/srlock/refcnt") == "0", 30, "nobody uses the module")


# Burners

BURNERS = {
    "cdrskin": "cdrskin dev={sr} -sao tsize=512s /tmp/data",
    "xorriso": "xorriso -as cdrecord dev={sr} /tmp/data",
    "growisofs": "growisofs -Z {sr}=/tmp/data",
}


def start(command: str, log: str) -> int:
    """Start a command in a session of its own; its pid. It is a child of this process."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        null = os.open(log, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.execv("/bin/sh", ["/bin/sh", "-c", f"exec {command}"])
    return pid


def child_of(pid: int) -> int:
    """The first child of a process, 0 if there is none."""
    try:
        return int(drive.read(f"/proc/{pid}/task/{pid}/children").split()[0])
    except (IndexError, OSError):
        return 0


def kill_after(pid: int, seconds: float, whom: str, state: str) -> str:
    """Kill the launcher, the burner or both after a while; what the lock said then, "" if too late."""
    time.sleep(seconds)
    said = drive.read(state)
    burner = child_of(pid)
    killed = False
    for victim in {"launcher": [pid], "burner": [burner], "both": [burner, pid]}[whom]:
        if victim and not is_zombie(victim):
            os.kill(victim, 9)
            killed = True
    return said if killed else ""


def is_zombie(pid: int) -> bool:
    try:
        return shell.read(f"/proc/{pid}/stat").rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def end(pid: int) -> int:
    """End what is left of the session, and reap its leader; its wait status."""
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            fields = shell.read(path).rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == pid:
            try:
                os.kill(int(path.split("/")[2]), 9)
            except ProcessLookupError:
                pass
    return os.waitpid(pid, 0)[1]


@test("torture: `srlock run {}` and the burner killed at random instants", each=list(BURNERS), timeout=1800)
def burners(m, burner):
    witness.load(m)
    rng = chance()
    hits: list[str] = []
    late = 0
    m.sh("head -c 1048576 /dev/urandom >/tmp/data")
    with Recorder(m, medium="dvd+rw") as recorder:
        calm(m)
        state = m.call(drive.attributes, recorder.device) + "/state"
        command = f"srlock run -w 30 {recorder.sr} -- " + BURNERS[burner].format(sr=recorder.sr)
        process = m.process()
        begin = time.monotonic()
        whole = process.call(start, command, "/tmp/burner")
        eventually(lambda: process.call(is_zombie, whole), 120, "the burner has ended")
        duration = time.monotonic() - begin
        assert process.call(end, whole) == 0, m.sh("cat /tmp/burner")["stdout"][-2000:]
        wanted = scaled(60)
        while len(hits) < wanted and late < 3 * wanted:
            whom = rng.choice(["launcher", "burner", "both"])
            pid = process.call(start, command, "/tmp/burner")
            said = process.call(kill_after, pid, rng.uniform(0, duration), whom, state, timeout=120)
            hits += [f"{whom} while {said}"] if said else []
            late += not said
            process.call(end, pid, timeout=60)
            eventually(lambda: m.call(drive.read, state) == "free", 60, "the drive is free")
            recorder.await_idle(30)
            eventually(lambda: not recorder.prevented(), 30, "the tray is unlocked")
            assert witness.in_place(m, recorder.address), witness.look(m, recorder.address)
            nobody_left(m)
    spread(f"{burner}, {duration:.1f} s", hits)
    count(kills=len(hits))
    assert len(hits) == wanted


# Pulled out

def play(bus: str, way: str, stage: str) -> str:
    """Hold, use and release until the drive is gone; the stage is in a file."""
    note = os.open(stage, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)

    def at(name: str) -> None:
        os.pwrite(note, name.ljust(16).encode(), 0)

    try:
        path, sr = drive.srlock(bus), drive.sr(bus)
        while True:
            at("open")
            fd = os.open(path, os.O_RDWR)
            at("acquire")
            srlock.acquire(fd, "play", 0, 5)
            at("command")
            intrude.sg_io(fd)
            if way == "data":
                at("data open")
                intrude.on_new_file(sr, os.O_RDONLY, "read", 3)
            at("sr open")
            intrude.open_close(sr, NONBLOCK)
            at("release")
            srlock.release(fd)
            at("close")
            os.close(fd)
    except (OSError, StopIteration) as error:
        return str(error)
    finally:
        os.close(note)


def wait_nodes(bus: str) -> None:
    """Wait until a drive is there with all its nodes."""
    for find in (drive.srlock, drive.sr, drive.sg):
        drive.wait_node(find, bus, 60)


def stage_of(path: str) -> str:
    """What play() was doing, and what the lock said."""
    return shell.read(path).strip()


class Socket:
    """Where a drive can be pulled out and put in again."""

    def __init__(self, m, bus: str) -> None:
        self.m, self.bus, self.serial = m, bus, 0
        self.disc = m._block(bus)["inserted"]["file"]
        self.first = True

    def out(self) -> None:
        device = {"usb": "usbhost"}.get(self.bus, self.bus)
        self.m.qmp.execute("device_del", id=device)
        self.m.qmp.event("DEVICE_DELETED", timeout=60, device=device)
        if not self.first:
            self.m.qmp.execute("blockdev-del", **{"node-name": f"disc{self.serial}"})
        self.first = False

    def back(self) -> None:
        self.serial += 1
        node = f"disc{self.serial}"
        self.m.qmp.execute("blockdev-add", driver="raw", **{"node-name": node, "read-only": True},
                           file={"driver": "file", "filename": self.disc})
        if self.bus == "usb":
            self.m.qmp.execute("device_add", driver="usb-bot", id="usbhost", bus="xhci.0", serial="USB-BOT")
            self.m.qmp.execute("device_add", driver="scsi-cd", id="usb", bus="usbhost.0", drive=node,
                               serial="DRIVE-USB", **{"scsi-id": 0, "lun": 0})
            self.m.qmp.execute("qom-set", path="/machine/peripheral/usbhost", property="attached", value=True)
        else:
            self.m.qmp.execute("device_add", driver="scsi-cd", id="virtio", bus="vscsi.0", drive=node,
                               serial="DRIVE-VIRTIO", **{"scsi-id": 1})

    def locked(self) -> bool:
        """Whether the tray of the drive that is there now is locked."""
        for entry in self.m.qmp.execute("query-block"):
            if self.bus in entry.get("qdev", "").split("/") or entry["device"] == f"cd-{self.bus}":
                return entry["locked"]
        raise KeyError(self.bus)


@test("torture: the {} drive pulled out at random instants", each=["virtio", "usb"], timeout=3600)
def pulled(m, bus):
    witness.load(m)
    no_udev(m)
    rng = chance()
    socket = Socket(m, bus)
    hits = []
    wanted = scaled(75)
    for number in range(wanted):
        m.call(wait_nodes, bus, timeout=90)
        address = m.call(drive.address, bus)
        path = f"/tmp/stage{number % 2}"
        playing = m.process()
        played = playing.begin(play, bus, rng.choice(["data", "commands"]), path)
        other = m.process()
        waiting = other.begin(play, bus, "commands", "/tmp/other")
        stranger = m.process().begin(intrude.hammer, bus, "sg", 60, f"/tmp/end{number}")
        eventually(lambda: m.call(os.path.exists, path), 30)
        time.sleep(rng.uniform(0.05, 0.6))
        hits.append(m.call(stage_of, path))
        socket.out()
        for pending, process in ((played, playing), (waiting, other)):
            assert pending.result(60)
            process.kill()
        m.sh(f"touch /tmp/end{number}")
        stranger.result(60)
        eventually(lambda: not m.call(drive.present, bus), 60, "the drive is gone")
        eventually(lambda: not witness.look(m, address), 30, "it is gone for the witness")
        nobody_left(m)
        socket.back()
    m.call(wait_nodes, bus, timeout=90)
    hold = Hold(m, bus)
    assert socket.locked()
    hold.release()
    assert not socket.locked()
    assert witness.in_place(m, m.call(drive.address, bus))
    spread(f"{bus} pulled out at", hits)
    count(unplugs=len(hits))


# Sleep

@test("torture: held through {} and woken", each=["mem", "freeze"], timeout=3600)
def asleep(m, state):
    no_udev(m)
    rng = chance()
    wanted = scaled(20)
    for _ in range(wanted):
        holds = [Hold(m, bus) for bus in DRIVES]
        with m.asleep(state):
            time.sleep(rng.uniform(0, 1))
        for hold in holds:
            assert hold.info()["state"] == srlock.HELD
            eventually(lambda: m.locked(hold.bus), 30, f"the {hold.bus} tray is locked again")
            assert m.call(intrude.open_close, m.call(drive.sr, hold.bus), NONBLOCK) == "EBUSY"
            hold.release()
            assert attribute(m, hold.bus, "state") == "free" and not m.locked(hold.bus)
            hold.process.kill()
    count(sleeps=wanted)


class Players:
    """Two who take a drive by turns, and a stranger with sg."""

    def __init__(self, m, bus: str, number: int) -> None:
        self.bus, self.note = bus, f"/tmp/stage-{bus}-{number}"
        self.processes = [m.process() for _ in range(3)]
        self.pending = [process.begin(play, bus, way, path) for process, way, path in
                        zip(self.processes, ("data", "commands"), (self.note, f"/tmp/other-{bus}"))]
        self.pending.append(self.processes[2].begin(intrude.hammer, bus, "sg", 600))

    def stop(self) -> None:
        """Kill them in the middle of it; each must be at it still."""
        for pending, process in zip(self.pending, self.processes):
            assert not pending.done(), pending.result()
            process.kill()


@test("torture: {} begun at random instants of holders, and woken", each=["mem", "freeze"], timeout=3600)
def asleep_under_load(m, state):
    witness.load(m)
    no_udev(m)
    rng = chance()
    hits = []
    wanted = scaled(20)
    for number in range(wanted):
        all_players = [Players(m, bus, number) for bus in DRIVES]
        for players in all_players:
            eventually(lambda: m.call(os.path.exists, players.note), 30, f"they play with {players.bus}")
        time.sleep(rng.uniform(0.05, 0.6))
        hits += [m.call(stage_of, players.note) for players in all_players]
        with m.asleep(state):
            time.sleep(rng.uniform(0, 1))
        time.sleep(rng.uniform(0, 2))
        for players in all_players:
            players.stop()
        for bus in DRIVES:
            eventually(lambda: attribute(m, bus, "state") == "free", 30, f"the {bus} drive is free")
            eventually(lambda: not m.locked(bus), 30, f"the {bus} tray is unlocked")
            assert witness.in_place(m, m.call(drive.address, bus)), bus
            Hold(m, bus).process.kill()
        nobody_left(m)
    spread(f"{state} at", hits)
    count(sleeps=wanted)
