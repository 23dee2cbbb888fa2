# SPDX-License-Identifier: GPL-2.0-or-later
"""The recorder under the machine's kernel: real burners, and a drive that misbehaves when told to."""

from __future__ import annotations

import glob
import hashlib
import os
import struct
import time

from machine import eventually, test
from machine.guest import scsi
from recorder import SECTOR, Recorder, RecorderError

MEGABYTE = 1 << 20


# In the machine

def make_file(path: str, size: int) -> str:
    """A file of random bytes; its digest."""
    data = os.urandom(size)
    with open(path, "wb") as file:
        file.write(data)
    return hashlib.sha256(data).hexdigest()


def file_digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def disc_digest(sg: str, size: int) -> str:
    """The digest of the disc's first bytes, read from the drive itself, past the page cache."""
    digest = hashlib.sha256()
    fd = os.open(sg, os.O_RDWR)
    try:
        for block in range(0, (size + SECTOR - 1) // SECTOR, 32):
            length = min(32 * SECTOR, size - block * SECTOR)
            blocks = (length + SECTOR - 1) // SECTOR
            result = scsi.sg_io(fd, scsi.read10(block, blocks), blocks * SECTOR)
            assert result.good and result.resid == 0, (block, result)
            digest.update(result.data[:length])
    finally:
        os.close(fd)
    return digest.hexdigest()


def write10(block: int, blocks: int) -> bytes:
    return struct.pack(">BBIBHB", 0x2A, 0, block, 0, blocks, 0)


def send_data(path: str, cdb: bytes, data: bytes) -> dict:
    return scsi.send(path, cdb, data=data)


def node_size(path: str) -> int:
    """The size that the kernel has for a node, by an open as any reader's."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.lseek(fd, 0, os.SEEK_END)
    finally:
        os.close(fd)


def read_node(path: str, size: int) -> str:
    """The digest of what an ordinary read gives, and how much that is."""
    with open(path, "rb", buffering=0) as file:
        data = b""
        while len(data) < size and (part := file.read(min(size - len(data), 1 << 16))):
            data += part
    return f"{len(data)} {hashlib.sha256(data).hexdigest()}"


def timed(path: str, cdb: bytes, length: int) -> tuple[float, dict]:
    """Send a command; how long it took, and its result."""
    start = time.monotonic()
    result = scsi.send(path, cdb, length)
    return time.monotonic() - start, result


# Burning

BURNERS = {
    "cdrskin": "cdrskin -v dev={sr} -sao tsize={sectors}s /tmp/data",
    "cdrskin, incremental": "cdrskin -v dev={sr} -tao -multi /tmp/data",
    "xorriso": "xorriso -as cdrecord -v dev={sr} /tmp/data",
    "growisofs": "growisofs -Z {sr}=/tmp/data",
    "growisofs, finalizing": "growisofs -dvd-compat -Z {sr}=/tmp/data",
}
WRITE_ONCE = ("dvd+r", "dvd-r")
LEFT_OPEN = ("cdrskin, incremental", "growisofs")


def burn_one(m, drive: Recorder, burner: str, kind: str, size: int = MEGABYTE) -> None:
    """Burn random bytes on the disc in the drive, and compare what the drive gives back."""
    digest = m.call(make_file, "/tmp/data", size)
    mark = drive.mark()
    m.sh(BURNERS[burner].format(sr=drive.sr, sectors=size // SECTOR), timeout=90)
    assert m.call(disc_digest, drive.sg, size, timeout=60) == digest, kind
    status = drive.status()
    assert status["medium"] == kind and int(status["medium-written"]) >= size // SECTOR, status
    appendable = kind in WRITE_ONCE and burner in LEFT_OPEN
    assert status["medium-state"] == ("appendable" if appendable else "complete"), status
    writes = [c for c in drive.since(mark) if c.name in ("WRITE_10", "WRITE_12")]
    assert writes and not [c for c in writes if c.status], writes


@test("recorder: {0[0]} on {0[1]}: what was burned comes back", module=False, timeout=240,
      each=[("cdrskin", "dvd+rw dvd+r dvd-r"), ("xorriso", "dvd+rw dvd+r dvd-r"),
            ("growisofs", "dvd+rw dvd+r dvd-r"), ("cdrskin, incremental", "dvd-r"),
            ("growisofs, finalizing", "dvd+r dvd-r")])
def burn(m, job):
    burner, kinds = job[0], job[1].split()
    with Recorder(m, medium=kinds[0]) as drive:
        burn_one(m, drive, burner, kinds[0])
        for kind in kinds[1:]:
            drive.swap(kind)
            burn_one(m, drive, burner, kind)


@test("recorder: xorriso makes a file system on a {}, adds a session, and reads both", module=False,
      timeout=240, each=["dvd+rw", "dvd-r"])
def two_sessions(m, kind):
    digests = [m.call(make_file, f"/tmp/file{number}", MEGABYTE) for number in range(2)]
    with Recorder(m, medium=kind) as drive:
        for number in range(2):
            m.sh(f"xorriso -dev {drive.sr} -map /tmp/file{number} /file{number} -commit", timeout=90)
        m.sh(f"mkdir /tmp/out; xorriso -osirrox on -indev {drive.sr} -extract / /tmp/out", timeout=90)
        assert [m.call(file_digest, f"/tmp/out/file{number}") for number in range(2)] == digests
        if kind in WRITE_ONCE:      # a DVD+RW has no sessions of its own
            assert drive.status()["medium-sessions"] == "3", drive.status()


@test("recorder: a blanked DVD-RW is burned again", module=False, timeout=240)
def blank_and_burn(m):
    size = MEGABYTE
    with Recorder(m, medium="dvd-rw") as drive:
        for _ in range(2):
            digest = m.call(make_file, "/tmp/data", size)
            m.sh(f"cdrskin -v dev={drive.sr} blank=as_needed -sao tsize={size // SECTOR}s /tmp/data", timeout=60)
            assert m.call(disc_digest, drive.sg, size) == digest
        assert [c.name for c in drive.commands()].count("BLANK") == 1


@test("recorder: a finalized {} refuses a second burn and keeps its bytes", module=False, timeout=240,
      each=WRITE_ONCE)
def write_once(m, kind):
    size = MEGABYTE
    with Recorder(m, medium=kind) as drive:
        burn_one(m, drive, "cdrskin", kind, size)
        digest = m.call(file_digest, "/tmp/data")
        m.call(make_file, "/tmp/data", size)
        again = m.sh(BURNERS["cdrskin"].format(sr=drive.sr, sectors=size // SECTOR), timeout=90, check=False)
        assert again["rc"] and not again["timeout"], again
        for block in (0, size // SECTOR):
            result = m.call(send_data, drive.sg, write10(block, 16), bytes(16 * SECTOR))
            assert result["key"] == [5, 0x21, 0x02], result
        assert m.call(disc_digest, drive.sg, size) == digest


@test("recorder: a blank DVD+R takes writes at the next writable address only", module=False)
def next_writable_address(m):
    with Recorder(m, medium="dvd+r") as drive:
        data = os.urandom(16 * SECTOR)
        assert m.call(send_data, drive.sg, write10(16, 16), data)["key"] == [5, 0x21, 0x02]
        assert m.call(send_data, drive.sg, write10(0, 16), data)["good"]
        assert m.call(send_data, drive.sg, write10(0, 16), data)["key"] == [5, 0x21, 0x02]
        assert m.call(send_data, drive.sg, write10(16, 16), data)["good"]
        assert drive.status()["medium-written"] == "32"


@test("recorder: without the lock module sr keeps the size and blocks of the blank disc after a burn",
      module=False, timeout=240)
def stale_size(m):
    size = MEGABYTE
    digest = m.call(make_file, "/tmp/data", size)
    with Recorder(m, medium="dvd+r") as drive:
        before = m.call(node_size, drive.sr)
        m.sh(f"cdrskin -v dev={drive.sr} -sao tsize={size // SECTOR}s /tmp/data", timeout=60)
        assert m.call(disc_digest, drive.sg, size) == digest      # the disc is right
        assert m.call(node_size, drive.sr) == before < size       # and the kernel does not know
        compare = m.sh(f"cmp /tmp/data {drive.sr}", check=False)
        assert compare["rc"] == 1 and "EOF" in compare["stderr"], compare
        m.sh(f"eject -i off {drive.sr}; eject {drive.sr} && eject -t {drive.sr}")
        eventually(lambda: m.call(node_size, drive.sr) == size, 10, "the right size after a tray cycle")
        assert m.call(read_node, drive.sr, size) == f"{size} {digest}"


# Tray

def open_node(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_NONBLOCK)


@test("recorder: eject is refused with 5/53/02 while removal is prevented, by each node", module=False)
def removal_prevented(m):
    with Recorder(m, medium="none") as drive:   # udev would lock the tray whenever a disc comes
        for node in (drive.sr, drive.sg, drive.bsg):
            with m.process() as process:        # one file for all: sr allows removal at its last close
                fd = process.call(open_node, node)
                answers = [(cdb, process.call(scsi.send_on, fd, cdb, bsg=node == drive.bsg)["key"],
                            drive.prevented(), drive.tray_open())
                           for cdb in (scsi.PREVENT, scsi.EJECT, scsi.ALLOW, scsi.EJECT, scsi.LOAD)]
            assert answers == [(scsi.PREVENT, None, True, False),
                               (scsi.EJECT, [5, 0x53, 0x02], True, False),
                               (scsi.ALLOW, None, False, False),
                               (scsi.EJECT, None, False, True),
                               (scsi.LOAD, None, False, False)], (node, answers)


def kernel_events() -> list[str]:
    """What udev saw of the kernel's media events, since monitor() was begun."""
    with open("/tmp/events", errors="replace") as file:
        return [line.strip() for line in file if line.startswith("DISK_")]


@test("recorder: the eject button of a locked drive reaches udev as an eject request", module=False)
def eject_request(m):
    with Recorder(m) as drive:
        m.sh("udevadm monitor --kernel --property --subsystem-match=block >/tmp/events 2>&1 &")
        eventually(lambda: "KERNEL" in m.sh("cat /tmp/events")["stdout"], 15, "the monitor listens")
        assert m.call(scsi.send, drive.sg, scsi.PREVENT)["good"]
        drive.press_eject()
        assert not drive.tray_open()
        eventually(lambda: "DISK_EJECT_REQUEST=1" in m.call(kernel_events), 15, "an eject request")


@test("recorder: another disc is noticed by the kernel", module=False)
def another_disc(m):
    with Recorder(m, medium="none") as drive:
        m.call(make_file, "/tmp/image", MEGABYTE)
        drive.insert("image /tmp/image")
        eventually(lambda: m.call(node_size, drive.sr) == MEGABYTE, 15, "the size of the disc")
        assert m.call(read_node, drive.sr, MEGABYTE).endswith(m.call(file_digest, "/tmp/image"))
        m.call(make_file, "/tmp/image2", 2 * MEGABYTE)
        m.sh(f"udevadm settle; eject -i off {drive.sr}; udevadm settle")    # udev locks the tray
        drive.insert("image /tmp/image2")
        eventually(lambda: m.call(node_size, drive.sr) == 2 * MEGABYTE, 15, "the size of the other disc")
        assert m.call(read_node, drive.sr, 2 * MEGABYTE).endswith(m.call(file_digest, "/tmp/image2"))


@test("recorder: a disc cannot be taken out by hand while removal is prevented", module=False)
def not_by_hand(m):
    with Recorder(m) as drive:
        assert m.call(scsi.send, drive.sg, scsi.PREVENT)["good"]
        for line in ("insert dvd+r", "remove"):
            try:
                drive.say(line)
            except RecorderError as error:
                assert "prevented" in str(error)
            else:
                raise AssertionError(f"{line} was possible")
        assert drive.status()["medium"] == "dvd+rw"
        assert m.call(scsi.send, drive.sg, scsi.ALLOW)["good"]


# The witness

@test("recorder: every command is in the log once, whatever node it came by", module=False)
def witness(m):
    with Recorder(m) as drive:
        mark = drive.mark()
        for number, node in enumerate((drive.sr, drive.sg, drive.bsg)):
            assert m.call(scsi.send, node, scsi.inquiry(41 + number), 41 + number)["good"]
        commands = drive.since(mark)
        for number in range(3):
            found = [c for c in commands if c.cdb == scsi.inquiry(41 + number)]
            assert len(found) == 1, commands
            assert (found[0].length, found[0].returned, found[0].status) == (41 + number,) * 2 + (0,)


@test("recorder: short data leaves a residue, and no stale bytes", module=False)
def residue(m):
    with Recorder(m) as drive:
        assert m.call(send_data, drive.sg, write10(0, 16), b"\xa5" * 16 * SECTOR)["status"] == 2   # unformatted
        result = m.call(scsi.send, drive.sg, bytes([0x25]) + bytes(9), 512)
        assert result["good"] and result["resid"] == 512 - 8, result
        assert result["data"][8:] == bytes(504)
        result = m.call(scsi.send, drive.sg, scsi.TEST_UNIT_READY, 512)    # none at all
        assert result["data"] == bytes(512), result


# Faults

@test("recorder: a delayed command is late, and so are those behind it", module=False)
def delayed(m):
    with Recorder(m) as drive:
        drive.fault("12......4d delay=3000")
        first, second = m.process(), m.process()
        slow = first.begin(timed, drive.sg, scsi.inquiry(77), 77)
        drive.await_held()
        behind = second.begin(timed, drive.sr, scsi.inquiry(78), 78)
        assert 2.9 < slow.result()[0] < 10
        took, result = behind.result()
        assert took > 1 and result["good"], (took, result)


def impatient(path: str, cdb: bytes, milliseconds: int, length: int = 0) -> dict:
    """Send a command with a time-out of its own."""
    fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        return scsi.sg_io(fd, cdb, length, timeout=milliseconds).plain()
    finally:
        os.close(fd)


@test("recorder: a hanging command ends with the host's time-out, and the drive lives on", module=False)
def hanging(m):
    with Recorder(m) as drive:
        drive.fault("12......4d hang")
        result = m.call(impatient, drive.sg, scsi.inquiry(77), 1000, 77, timeout=30)
        assert not result["good"], result
        assert m.call(scsi.send, drive.sg, scsi.inquiry(78), 78)["good"]
        assert " event abort of 1 commands" in m.sh(f"cat {drive.log}")["stdout"]


@test("recorder: PREVENT that hangs and times out was not carried out", module=False)
def hanging_prevent(m):
    with Recorder(m) as drive:
        m.sh(f"eject -i off {drive.sr}")
        drive.fault("1e......01 hang")
        assert not m.call(impatient, drive.sg, scsi.PREVENT, 1000, timeout=30)["good"]
        assert not drive.prevented()
        assert m.call(scsi.send, drive.sg, scsi.PREVENT)["good"]
        assert drive.prevented()


@test("recorder: a deaf drive answers when it is released, and not before", module=False, timeout=240)
def deaf(m):
    with Recorder(m) as drive:
        drive.fault("1e......01 deaf")
        waiting = m.process().begin(impatient, drive.sg, scsi.PREVENT, 1000)
        drive.await_held()
        time.sleep(4)
        assert not waiting.done()
        assert drive.status()["held"] == "PREVENT_ALLOW_MEDIUM_REMOVAL"
        drive.release()
        waiting.result(20)
        eventually(lambda: m.call(scsi.send, drive.sg, scsi.TEST_UNIT_READY)["good"], 10, "a drive that answers")


@test("recorder: BUSY is tried again by the kernel, an error is handed to the caller", module=False)
def busy_and_errors(m):
    with Recorder(m) as drive:
        mark = drive.mark()
        drive.fault("12......4d times=2 busy")
        assert m.call(scsi.send, drive.sg, scsi.inquiry(77), 77)["good"]
        seen = [c.status for c in drive.since(mark) if c.cdb == scsi.inquiry(77)]
        assert seen == [8, 8, 0], seen
        drive.fault("1e......00 sense=4/44/00")
        assert m.call(scsi.send, drive.sg, scsi.PREVENT)["good"]
        assert m.call(scsi.send, drive.sg, scsi.ALLOW)["key"] == [4, 0x44, 0x00]
        assert drive.prevented()
        assert m.call(scsi.send, drive.sg, scsi.ALLOW)["good"]


@test("recorder: a unit attention comes once", module=False)
def attention(m):
    with Recorder(m) as drive:
        m.sh("echo 0 >/sys/module/block/parameters/events_dfl_poll_msecs")
        m.sh(f"echo 0 >/sys/block/{drive.sr[5:]}/events_poll_msecs; sleep 1; udevadm settle")
        drive.say("attention 28/00")
        assert m.call(scsi.send, drive.sg, scsi.TEST_UNIT_READY)["key"] == [6, 0x28, 0x00]
        assert m.call(scsi.send, drive.sg, scsi.TEST_UNIT_READY)["good"]


@test("recorder: a reset unlocks the tray and is told as a unit attention", module=False)
def reset(m):
    with Recorder(m) as drive:
        assert m.call(scsi.send, drive.sg, scsi.PREVENT)["good"]
        mark = drive.mark()
        m.sh(f"sg_reset --device {drive.sg}")
        assert not drive.prevented()
        assert "event reset of" in m.sh(f"cat {drive.log}")["stdout"]
        assert drive.mark() >= mark


# Coming and going

@test("recorder: several at once, each with its own disc, log and nodes", module=False, timeout=240)
def several(m):
    with Recorder(m, "one", "dvd+r") as one, Recorder(m, "two", "dvd-r") as two, \
            Recorder(m, "three", "none") as three:
        assert len({one.sr, two.sr, three.sr}) == len({one.sg, two.sg, three.sg}) == 3
        assert [drive.status()["profile"] for drive in (one, two, three)] == ["001b", "0011", "0000"]
        mark = two.mark()
        assert m.call(scsi.send, one.sg, scsi.inquiry(77), 77)["good"]
        assert scsi.inquiry(77) in [c.cdb for c in one.commands()]
        assert scsi.inquiry(77) not in [c.cdb for c in two.since(mark)]
        digests = [m.call(make_file, f"/tmp/{drive.name}", MEGABYTE) for drive in (one, two)]
        m.sh(" & ".join(f"cdrskin -v dev={drive.sr} -sao tsize={MEGABYTE // SECTOR}s /tmp/{drive.name}"
                        for drive in (one, two)) + " & wait", timeout=90)
        assert [m.call(disc_digest, drive.sg, MEGABYTE) for drive in (one, two)] == digests


def left_behind() -> list[str]:
    """What a stopped recorder must not leave."""
    left = [f"/run/recorder/{name}" for name in os.listdir("/run/recorder")]
    for folder in ("core/user_0", "loopback"):
        path = f"/sys/kernel/config/target/{folder}"
        left += [f"{path}/{name}" for name in os.listdir(path) if name not in
                 ("hba_info", "hba_mode", "discovery_auth", "version")]
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as file:
                if file.read().strip() == "recorder":
                    left.append(f"process {pid}")
        except FileNotFoundError:
            pass
    for path in glob.glob("/sys/bus/scsi/devices/*/model"):
        with open(path) as file:
            if "DVD RECORDER" in file.read():
                left.append(path)
    return left


@test("recorder: stop leaves nothing, and the name can be used again", module=False, timeout=240)
def stop(m):
    for kind in ("dvd+r", "dvd-r"):
        drive = Recorder(m, medium=kind)
        assert m.call(left_behind)
        drive.stop()
        assert m.call(left_behind) == []


@test("recorder: stop works while a command hangs", module=False, timeout=240)
def stop_while_hanging(m):
    drive = Recorder(m)
    drive.fault("12......4d deaf")
    m.process().begin(scsi.send, drive.sg, scsi.inquiry(77), 77)
    drive.await_held()
    drive.stop()
    assert m.call(left_behind) == []


@test("recorder: stop works when the program was killed", module=False, timeout=240)
def stop_after_a_crash(m):
    drive = Recorder(m)
    m.sh("kill -9 $(cat /run/recorder/recorder/pid)")
    drive.stop()
    assert m.call(left_behind) == []


@test("recorder: start says what is wrong, and leaves nothing", module=False, timeout=240)
def bad_start(m):
    Recorder(m).stop()
    for arguments, words in (("", "usage"), ("a b", "usage"), ("../x", "a name has"),
                             ("--medium floppy x", "unknown kind of disc"),
                             ("--medium 'image /nonexistent' x", "No such file")):
        done = m.sh(f"/opt/recorder/start {arguments}", check=False)
        assert done["rc"] and words in done["stderr"], (arguments, done)
        assert m.call(left_behind) == [], arguments
    drive = Recorder(m)
    done = m.sh(f"/opt/recorder/start {drive.name}", check=False)
    assert done["rc"] and "already" in done["stderr"], done
    assert drive.status()["medium"] == "dvd+rw"
    drive.stop()
