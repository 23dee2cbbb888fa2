# SPDX-License-Identifier: GPL-2.0-or-later
"""What the srlock command says when something is in the way, each trouble real."""

from __future__ import annotations

import os
from pathlib import Path

from clients import wait_sent
from machine import eventually, test
from machine.guest import attempt, drive, scsi, srlock
from tool_help import Background, attribute

def source(path: str) -> Path:
    """A file of the source; a function, as this file is loaded in the machine too."""
    return Path(__file__).resolve().parents[2] / path


def run(m, command: str, process=None) -> dict:
    return m.sh(command, check=False, process=process)


def rule_is_applied(m) -> bool:
    m.sh("udevadm trigger --settle -s srlock")
    return set(m.sh("stat -c '%a %G' /dev/srlock*")["stdout"].splitlines()) == {"660 cdrom"}


def install_rule(m) -> None:
    """Install the udev rule and have it applied, by whatever udev is still busy with."""
    m.put("/usr/lib/udev/rules.d/60-srlock.rules", source("packaging/60-srlock.rules"))
    m.sh("udevadm control --reload")
    eventually(lambda: rule_is_applied(m), 30, "the rule is applied")


@test("tool: busy by a client: its name, its pid and its command")
def busy_held(m):
    name = m.call(drive.name, "virtio")
    holder = m.process()
    holder.call(srlock.hold, m.call(drive.srlock, "virtio"), "Some burner, v1.0")
    done = run(m, f"srlock run -n {name} true")
    assert done["rc"] == 1, done
    assert f'/dev/{name}: busy: held by "Some burner, v1.0" (pid {holder.pid}, command python3, user root)' \
        in done["stderr"], done
    assert "[EBUSY, E_IMAPI_RECORDER_LOCKED]" in done["stderr"] and "srlock break" in done["stderr"], done


@test("tool: busy by a mount: the mount point, and --force takes a read-only one")
def busy_mounted(m):
    name = m.call(drive.name, "virtio")
    m.sh(f"mkdir -p '/tmp/a disc'; mount -o ro /dev/{name} '/tmp/a disc'")
    done = run(m, f"srlock run -n {name} true")
    assert done["rc"] == 1 and "busy: mounted on /tmp/a disc (read-only)" in done["stderr"], done
    assert "--force" in done["stderr"], done
    assert "mounted on:   /tmp/a disc (read-only)" in run(m, f"srlock status {name}")["stdout"]
    assert run(m, f"srlock list -n -r -o MOUNTPOINTS {name}")["stdout"] == "/tmp/a\\x20disc\n"
    forced = Background(m, f"srlock hold --force {name}")
    forced.says("held")
    assert "forced: " in run(m, f"srlock status {name}")["stdout"]
    assert forced.end() == 0
    m.sh("umount '/tmp/a disc'")


@test("tool: waiting for a mount ends when it is unmounted")
def wait_mounted(m):
    name = m.call(drive.name, "virtio")
    m.sh(f"mkdir -p /tmp/disc; mount -o ro /dev/{name} /tmp/disc")
    waiter = Background(m, f"srlock run {name} echo mine")
    waiter.says("waiting for")
    assert "mounted on /tmp/disc" in waiter.err()
    m.sh("umount /tmp/disc")
    assert waiter.status() == 0 and waiter.out() == "mine"


@test("tool: busy by an O_EXCL opener: the process that has it open")
def busy_exclusive(m):
    name = m.call(drive.name, "virtio")
    opener = m.process()
    fd = opener.call(attempt.open_, f"/dev/{name}", os.O_RDONLY | os.O_NONBLOCK | os.O_EXCL)
    assert fd >= 0
    done = run(m, f"srlock run -n {name} true")
    assert done["rc"] == 1 and f"busy: open with O_EXCL: pid {opener.pid} (python3)" in done["stderr"], done


@test("tool: who has the drive open from before the hold is told")
def prior_open(m):
    name = m.call(drive.name, "virtio")
    opener = m.process()
    assert opener.call(attempt.open_, f"/dev/{name}") >= 0
    held = Background(m, f"srlock hold {name}")
    held.says("held")
    assert f"/dev/{name}: still open from before the hold: pid {opener.pid} (python3)" in held.err(), held.err()
    status = run(m, f"srlock status {name}")["stdout"]
    assert "prior opens:  1 " in status and f"open in:      pid {opener.pid} (python3)" in status, status
    assert held.end() == 0


@test("tool: without the udev rule the lock is root's, and the message says which rule is missing")
def no_rule(m):
    name = m.call(drive.name, "virtio")
    user = m.user()
    done = run(m, f"srlock run {name} true", user)
    assert done["rc"] == 77 and "no permission to open its lock" in done["stderr"], done
    assert "60-srlock.rules" in done["stderr"], done


@test("tool: with the udev rule group cdrom may hold, and others are told to join it")
def rule(m):
    install_rule(m)
    name, lock = m.call(drive.name, "virtio"), m.call(drive.srlock, "virtio")
    assert "uaccess" in m.sh(f"udevadm info --query=property --name={lock}")["stdout"]
    user, stranger = m.user(), m.stranger()
    assert run(m, f"srlock run {name} true", user)["rc"] == 0
    done = run(m, f"srlock run {name} true", stranger)
    assert done["rc"] == 77 and "usermod -aG cdrom USER" in done["stderr"], done


@test("tool: --force and break are for root only, and say so")
def privilege(m):
    install_rule(m)
    name = m.call(drive.name, "virtio")
    user = m.user()
    done = run(m, f"srlock run --force {name} true", user)
    assert done["rc"] == 77 and "--force is for root only [EPERM, E_ACCESSDENIED]" in done["stderr"], done
    holder = Background(m, f"srlock hold {name}")
    holder.says("held")
    done = run(m, f"srlock break {name}", user)
    assert done["rc"] == 77 and "only root may take it" in done["stderr"], done
    assert attribute(m, "virtio", "state") == "held" and holder.end() == 0


@test("tool: a stranger sees by list and status who holds a drive")
def visible(m):
    name = m.call(drive.name, "virtio")
    holder = Background(m, f"srlock hold --name keeper {name}")
    holder.says("held")
    stranger = m.stranger()
    for command in ("list", "status"):
        done = run(m, f"srlock {command} {name}", stranger)
        assert done["rc"] == 0 and "keeper" in done["stdout"] and str(holder.pid) in done["stdout"], done
    assert run(m, f"srlock status -q {name}", stranger)["rc"] == 1
    assert holder.end() == 0
    assert run(m, f"srlock status -q {name}", stranger)["rc"] == 0


@test("tool: drives are found by every name that they have")
def names(m):
    name, lock = m.call(drive.name, "ahci"), m.call(drive.srlock, "ahci")
    links = m.sh(f"find -L /dev/disk /dev/cdrom* -samefile /dev/{name}")["stdout"].split()
    assert any("by-id" in link for link in links), links
    for word in (name, f"/dev/{name}", lock, lock.removeprefix("/dev/"), *links):
        assert m.sh(f"srlock list -n -r -o NAME {word}")["stdout"] == f"{name}\n", word
    for word in ("/dev/vda", "/dev/loop0", m.call(drive.sg, "ahci")):
        done = run(m, f"srlock run {word} true")
        assert done["rc"] == 66 and "is not an optical drive" in done["stderr"], done
    done = run(m, "srlock run sr77 true")
    assert done["rc"] == 66 and "there is no drive sr77" in done["stderr"], done


def slow_read(bus: str) -> bool:
    return scsi.send(drive.sg(bus), scsi.read10(0, 16), 32768, timeout=30000)["good"]


@test("tool: commands in flight that take too long: status 75, and where the limit is", timeout=90)
def fence_timeout(m):
    name = m.call(drive.name, "virtio")
    m.sh(f"echo 500 >{m.call(drive.attributes, 'virtio')}/command_timeout_ms")
    m.stall("virtio", 3600)
    mark = m.trace.mark()
    reader = m.process().begin(slow_read, "virtio")
    wait_sent(m, mark, "virtio")
    done = run(m, f"srlock run {name} true")
    assert done["rc"] == 75 and "[ETIMEDOUT, E_IMAPI_RECORDER_COMMAND_TIMEOUT]" in done["stderr"], done
    assert "command_timeout_ms" in done["stderr"], done
    m.stall("virtio", 0)
    assert reader.result(20)
    assert run(m, f"srlock run {name} true")["rc"] == 0


def load_tool(m) -> None:
    m.put("/usr/local/bin/srlock", source("tools/srlock"), 0o755)


@test("tool: without the module: how to load it", module=False)
def no_module(m):
    load_tool(m)
    name = m.call(drive.name, "virtio")
    for command in ("list", f"status {name}", f"run {name} true", "watch", f"hold /dev/{name}"):
        done = run(m, f"srlock {command}")
        assert done["rc"] == 69 and "modprobe srlock" in done["stderr"], done
    done = run(m, f"srlock run {name} true", m.user())
    assert "load it as root: modprobe srlock" in done["stderr"], done


@test("tool: a command that is not found: 127, nothing is left held")
def not_found(m):
    name = m.call(drive.name, "virtio")
    done = run(m, f"srlock run {name} no-such-burner")
    assert done["rc"] == 127 and "no-such-burner: command not found" in done["stderr"], done
    assert attribute(m, "virtio", "state") == "free"


@test("tool: a hold that is asked for under the same hold fails at once")
def nested(m):
    name = m.call(drive.name, "virtio")
    done = run(m, f"srlock run {name} srlock run {name} true")
    assert done["rc"] == 1 and "under that very hold" in done["stderr"], done


@test("tool: a holder in another pid name space is named without a pid")
def other_namespace(m):
    name = m.call(drive.name, "virtio")
    holder = Background(m, f"srlock hold --name outside {name}")
    holder.says("held")
    done = m.sh(f"unshare -p -f --mount-proc srlock status {name}")
    assert '"outside" (process gone or not visible from here, user root)' in done["stdout"], done
    assert holder.end() == 0
