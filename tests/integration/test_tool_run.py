# SPDX-License-Identifier: GPL-2.0-or-later
"""srlock run and hold with a lock that locks."""

from __future__ import annotations

import json
import re

from machine import eventually, never, test
from machine.guest import drive, scsi, shell, srlock
from tool_help import Background, attribute

DRIVES = ["ahci", "virtio", "usb"]


def on_lock(bus: str, function: str) -> dict:
    return getattr(srlock, function)(drive.srlock(bus))


def foreign_inquiry(bus: str, node: str, length: int) -> dict:
    return scsi.send({"sg": drive.sg, "bsg": drive.bsg}[node](bus), scsi.inquiry(length), length)


def try_open(bus: str) -> int:
    from machine.guest import attempt
    return attempt.open_(drive.sr(bus))


@test("tool: the command of run has the drive, everybody else is refused ({})", each=DRIVES)
def run_protects(m, bus):
    sr = m.call(drive.sr, bus)
    burner = Background(m, f"srlock run {sr} sh -c \"sg_inq -l 91 {sr} && echo ready; read line; sg_inq -l 93 {sr}\"")
    burner.says("ready")
    mark = m.trace.mark()
    assert m.call(foreign_inquiry, bus, "sg", 77)["refused"] and m.call(foreign_inquiry, bus, "bsg", 79)["refused"]
    assert m.call(try_open, bus) == -16
    assert m.locked(bus)
    assert burner.end() == 0, burner.err()
    lengths = [c.cdb[4] for c in m.trace.since(mark, bus) if c.opcode == 0x12]
    assert 93 in lengths and 77 not in lengths and 79 not in lengths, lengths
    assert scsi.ALLOW in [c.cdb[:6] for c in m.trace.since(mark, bus)]
    assert m.call(foreign_inquiry, bus, "sg", 77)["good"]
    assert attribute(m, bus, "state") == "free"


@test("tool: run says what was refused, and to whom")
def run_reports(m):
    sr, sg = m.call(drive.sr, "virtio"), m.call(drive.sg, "virtio")
    burner = Background(m, f"srlock run {sr} sh -c \"echo ready; read line; true\"")
    burner.says("ready")
    m.sh(f"for i in 1 2 3; do dd if={sr} of=/dev/null count=1; done", check=False)
    m.sh(f"sg_turs {sg}; sg_turs {sg}", check=False)
    assert burner.end() == 0
    err = burner.err()
    assert f"{sr}: refused " in err and "(dd): 1 open" in err, err
    assert "(sg_turs): 1 command (TEST UNIT READY)" in err, err


def sent(m, mark) -> list[bytes]:
    """The commands that reached the drive, but for the kernel's own polling for media."""
    return [c.cdb[:6] for c in m.trace.since(mark, "ahci") if c.opcode != 0x4A]


@test("tool: run sends the drive one PREVENT and one ALLOW, and list and status nothing")
def commands_of_its_own(m):
    sr = m.call(drive.sr, "ahci")
    mark = m.trace.mark()
    m.sh(f"srlock list; srlock list -J; srlock status; srlock status -J {sr}")
    assert not sent(m, mark), sent(m, mark)
    m.sh(f"srlock run {sr} true")
    assert sent(m, mark)[:2] == [scsi.PREVENT, scsi.ALLOW], sent(m, mark)


@test("tool: the burn stays protected when srlock run is killed, and is released when the command ends ({})",
      each=DRIVES)
def parent_killed(m, bus):
    sr = m.call(drive.sr, bus)
    burner = Background(m, f"srlock run {sr} sh -c \"echo ready; read line; sg_inq -l 93 {sr}; echo $? >/tmp/inq\"")
    burner.says("ready")
    burner.signal("KILL")
    mark = m.trace.mark()
    assert attribute(m, bus, "state") == "held" and m.locked(bus)
    assert m.call(foreign_inquiry, bus, "sg", 77)["refused"]
    burner.end()
    eventually(lambda: attribute(m, bus, "state") == "free")
    assert m.sh("cat /tmp/inq")["stdout"] == "0\n", burner.err()
    lengths = [c.cdb[4] for c in m.trace.since(mark, bus) if c.opcode == 0x12]
    assert 93 in lengths and 77 not in lengths, lengths
    assert scsi.ALLOW in [c.cdb[:6] for c in m.trace.since(mark, bus)]


@test("tool: a grandchild whose parent has exited is still the holder's")
def orphan_is_holder(m):
    sr = m.call(drive.sr, "virtio")
    script = f"(sleep 0.3; sg_inq -l 93 {sr} >/dev/null; echo $? >/tmp/orphan) & sleep 1.5"
    m.sh(f"srlock run {sr} sh -c '(sh -c \"{script}\" &) ; sleep 2'")
    assert m.sh("cat /tmp/orphan")["stdout"] == "0\n"


@test("tool: descendants that outlive the command hold nothing")
def outliving(m):
    sr = m.call(drive.sr, "virtio")
    done = m.sh(f"srlock run {sr} sh -c 'sleep 30 </dev/null >/dev/null 2>&1 & echo $!; exit 3'", check=False)
    assert done["rc"] == 3 and "still run" in done["stderr"], done
    assert attribute(m, "virtio", "state") == "free"
    m.sh(f"kill {done['stdout']}")


def udev_knows(m, name: str) -> list[str]:
    """udev's properties of a drive in order, but for its own clock and the number of the disc's change."""
    lines = m.sh(f"udevadm info --query=property --name=/dev/{name}")["stdout"].splitlines()
    lines = [re.sub(r" ?/dev/disk/by-diskseq/\d+", "", line) for line in lines]
    lines = [line for line in lines if not line.startswith(("USEC", "DISKSEQ"))]
    return sorted(f"{key}={' '.join(sorted(re.findall('[^ :]+', value)))}"
                  for key, value in (line.split("=", 1) for line in lines))


@test("tool: udev keeps a drive's links and properties while it is refused, and has them afterwards")
def udev_keeps(m):
    name = m.call(drive.name, "virtio")
    before = udev_knows(m, name)
    assert any("by-label" in line for line in before) and "ID_CDROM=1" in before, before
    held = Background(m, f"srlock hold {name}")
    held.says("held")
    opens = int(attribute(m, "virtio", "refused_opens"))
    m.sh(f"udevadm trigger --settle --name-match=/dev/{name} --action=change", timeout=40)
    assert int(attribute(m, "virtio", "refused_opens")) > opens, "udev did not try"
    during = udev_knows(m, name)
    assert during == before, set(during) ^ set(before)
    assert held.end() == 0
    m.sh("udevadm settle")
    after = udev_knows(m, name)
    assert after == before, set(after) ^ set(before)


@test("tool: an unmodified burner runs under srlock run ({})", each=DRIVES)
def burner_program(m, bus):
    sr = m.call(drive.sr, bus)
    done = m.sh(f"srlock run {sr} xorriso -outdev {sr} -toc", timeout=60)
    assert "Media" in done["stdout"] + done["stderr"], done


@test("tool: several drives are held together, and all released")
def several(m):
    names = [m.call(drive.name, bus) for bus in DRIVES]
    held = Background(m, f"srlock run {','.join(reversed(names))} sh -c \"echo ready; read line; true\"")
    held.says("ready")
    assert [attribute(m, bus, "state") for bus in DRIVES] == ["held"] * 3
    assert all(m.locked(bus) for bus in DRIVES)
    assert held.end() == 0
    assert [attribute(m, bus, "state") for bus in DRIVES] == ["free"] * 3


@test("tool: two commands that want the same drives in opposite order do not block each other")
def opposite_order(m):
    a, b = (m.call(drive.name, bus) for bus in ("virtio", "ahci"))
    loop = "for i in 1 2 3 4 5 6 7 8 9 10; do srlock run {} true || exit 1; done"
    first = m.process().begin(shell.run, loop.format(f"{a},{b}"), 60)
    second = m.process().begin(shell.run, loop.format(f"{b},{a}"), 60)
    assert first.result(60)["rc"] == 0 and second.result(60)["rc"] == 0


@test("tool: waiters are served in turn, and are told for whom they wait")
def turn(m):
    name = m.call(drive.name, "virtio")
    holder = Background(m, f"srlock hold --name first {name}")
    holder.says("held")
    second = Background(m, f"srlock run --name second {name} echo second is in")
    second.says('waiting for')
    eventually(lambda: attribute(m, "virtio", "waiters") == "1")
    third = Background(m, f"srlock run -w 20 {name} echo third is in")
    eventually(lambda: attribute(m, "virtio", "waiters") == "2")
    assert 'held by "first" (pid ' in second.err(), second.err()
    refused = m.sh(f"srlock run -n -E 9 {name} true", check=False)
    assert refused["rc"] == 9, refused
    assert holder.end() == 0 and second.status() == 0 and third.status() == 0
    assert second.out() == "second is in" and third.out() == "third is in"


@test("tool: a waiter is ended by a signal and leaves the line")
def waiter_leaves(m):
    name = m.call(drive.name, "virtio")
    holder = Background(m, f"srlock hold {name}")
    holder.says("held")
    waiter = Background(m, f"srlock run {name} true")
    eventually(lambda: attribute(m, "virtio", "waiters") == "1")
    waiter.signal("TERM")
    eventually(lambda: attribute(m, "virtio", "waiters") == "0")
    assert waiter.status() in (143, -15) and holder.end() == 0


@test("tool: hold keeps others away until its input ends; the tray is left alone with --no-prevent")
def hold(m):
    name = m.call(drive.name, "usb")
    holder = Background(m, f"srlock hold --no-prevent --name keeper {name}")
    holder.says(f'held /dev/{name} as "keeper"')
    assert not m.locked("usb")
    assert m.call(try_open, "usb") == -16
    assert holder.end() == 0
    assert attribute(m, "usb", "state") == "free"


@test("tool: wait returns when the drive is released, also for who may not open the lock")
def wait(m):
    name = m.call(drive.name, "virtio")
    holder = Background(m, f"srlock hold --name keeper {name}")
    holder.says("held")
    done = m.sh(f"srlock wait -w 0.3 {name}", check=False)
    assert done["rc"] == 1 and 'still held by "keeper"' in done["stderr"], done
    root = m.process().begin(shell.run, f"srlock wait {name}", 20)
    stranger = m.stranger().begin(shell.run, f"srlock wait {name}", 20)
    never(lambda: root.done() or stranger.done(), 1, "somebody does not wait")
    assert holder.end() == 0
    assert root.result(20)["rc"] == 0 and stranger.result(20)["rc"] == 0


@test("tool: a drive unplugged in the middle of run: said once, status 69, or the command's ({})",
      each=["virtio", "usb"])
def unplugged(m, bus):
    name = m.call(drive.name, bus)
    burner = Background(m, f"srlock run {name} sh -c \"echo ready; read line; true\"")
    burner.says("ready")
    m.unplug(bus)
    burner.says("was unplugged while it was held")
    assert burner.end() == 69, burner.err()
    assert burner.err().count("unplugged") == 1, burner.err()
    eventually(lambda: not m.call(drive.present, bus), 20, "the drive is gone")     # the lock goes before it
    gone = m.sh(f"srlock run {name} true", check=False)
    assert gone["rc"] == 66 and "there is no drive" in gone["stderr"], gone


@test("tool: break takes the drive, both sides are told, and run ends with 69")
def break_(m):
    name = m.call(drive.name, "virtio")
    burner = Background(m, f"srlock run --name burner {name} sh -c \"echo ready; read line; true\"")
    burner.says("ready")
    done = m.sh(f"srlock break {name}")
    assert f'/dev/{name}: taken from "burner" (pid {burner.pid}, command srlock' in done["stderr"], done
    burner.says("taken away with 'srlock break'")
    assert attribute(m, "virtio", "state") == "free"
    assert burner.end() == 69, burner.err()
    again = m.sh(f"srlock break {name}", check=False)
    assert again["rc"] == 1 and "nobody holds it" in again["stderr"], again


@test("tool: watch prints what happens, as text and as JSON")
def watch(m):
    sr = m.call(drive.sr, "virtio")
    text = Background(m, f"srlock watch {sr}")
    rows = Background(m, "srlock watch --json")
    for process, locks in ((text, 1), (rows, len(m.sh("ls /sys/class/srlock")["stdout"].split()))):
        eventually(lambda: m.sh(f"ls -l /proc/{process.pid}/fd")["stdout"].count("/dev/srlock") == locks)
    burner = Background(m, f"srlock run --name burner {sr} sh -c \"echo ready; read line; true\"")
    burner.says("ready")
    m.sh(f"dd if={sr} of=/dev/null count=1", check=False)
    burner.end()
    text.says("released")
    rows.says("released")
    text.signal("TERM")
    rows.signal("TERM")
    assert text.status() == 0 and rows.status() == 0
    assert f'{sr}: held, "burner" (pid {burner.pid})' in text.out(), text.out()
    assert "(dd)" in text.out()
    events = [json.loads(line) for line in rows.out().splitlines()]
    mine = [event for event in events if event["drive"] == sr]
    assert [event["event"] for event in mine if event["event"] != "refused"] == ["held", "released"], mine
    assert [event for event in mine if event["name"] == "dd" and event["way"] == "open"], mine
