# SPDX-License-Identifier: GPL-2.0-or-later
"""Every command of the module's own, answered by the drive in every way but GOOD.

The recorder answers PREVENT and TEST UNIT READY at an acquire, PREVENT after a data open, an eject and a load of
the holder's, and ALLOW at however a hold ends, with unit attentions, CHECK CONDITIONs, other statuses, late, or not
at all. Each time: the documented errno, in bounded time; the drive free afterwards, everybody's pointers in place,
and the tray unlocked. Where the drive itself has refused ALLOW, the next hold's end unlocks it.
"""

from __future__ import annotations

import errno
import time
from dataclasses import dataclass

import intrude
import witness
from clients import calm
from machine import GuestError, eventually, test
from machine.guest import attempt, cdrom, drive, scsi, srlock
from recorder import Recorder

RO = 0
PREVENT, ALLOW, TEST = "1e......01", "1e......00", "00"
# What a call may take beyond what the drive is given, on a machine that has other things to do
SLACK = 15


@dataclass(frozen=True)
class Answer:
    """How the drive answers, and with what errno an acquire or a release ends then."""

    name: str
    fault: str
    prevent: int = 0
    test: int = 0
    allow: int = 0
    timeout_ms: int = 20000
    refusal: bool = False       # an ALLOW that is answered so is not carried out, nor tried again
    silent: bool = False        # no answer, until the recorder is told to go on


EIO, ETIMEDOUT = errno.EIO, errno.ETIMEDOUT
ANSWERS = [
    Answer("a unit attention", "attention=29/00"),
    Answer("three unit attentions", "times=3 attention=28/00"),
    Answer("unit attentions without end", "forever attention=29/00", EIO, 0, EIO, refusal=True),
    Answer("HARDWARE ERROR", "sense=4/44/00", EIO, 0, EIO, refusal=True),
    Answer("ILLEGAL REQUEST", "forever sense=5/20/00", refusal=True),
    Answer("NOT READY", "sense=2/04/00", EIO, 0, EIO, refusal=True),
    Answer("becoming ready", "sense=2/04/01", EIO, 0, EIO, refusal=True),
    Answer("no medium", "forever sense=2/3a/00", refusal=True),
    Answer("BUSY", "times=2 busy"),
    Answer("RESERVATION CONFLICT", "status=18", EIO, 0, EIO, refusal=True),
    Answer("a late answer", "delay=600"),
    Answer("an answer that is too late", "delay=2500", ETIMEDOUT, ETIMEDOUT, ETIMEDOUT, timeout_ms=500),
    Answer("no answer", "hang", ETIMEDOUT, ETIMEDOUT, ETIMEDOUT, timeout_ms=500, silent=True),
    Answer("a deaf drive", "deaf", ETIMEDOUT, ETIMEDOUT, ETIMEDOUT, timeout_ms=500, silent=True),
]


class Scene:
    """A recorder, a client of its lock, and what is done to them."""

    def __init__(self, m, recorder: Recorder) -> None:
        self.m, self.recorder = m, recorder
        self.path = m.call(drive.srlock, recorder.device)
        self.process = m.process()
        self.fd = self.process.call(srlock.open_lock, self.path)

    def timeout(self, milliseconds: int) -> None:
        self.m.call(drive.write, f"{self.m.call(drive.attributes, self.recorder.device)}/command_timeout_ms",
                    str(milliseconds))

    def state(self) -> str:
        return self.m.call(drive.read, f"{self.m.call(drive.attributes, self.recorder.device)}/state")

    def acquire(self, flags: int = 0) -> None:
        self.process.call(srlock.acquire, self.fd, "faults", flags)

    def timed(self, answer: Answer, function, *args, process=None) -> int:
        """The errno of a call; it must end in bounded time, by itself or when the drive goes on."""
        start = time.monotonic()
        pending = (process or self.process).begin(function, *args)
        limit = answer.timeout_ms / 1000 + SLACK
        try:
            pending.result(limit)
            result = 0
        except GuestError as error:
            if error.errno is None:
                raise
            result = error.errno
        assert time.monotonic() - start < limit
        return result

    def let_go(self) -> None:
        """Whatever the drive still does, it does now."""
        self.recorder.say("clear")
        if self.recorder.status().get("held", "-") not in ("-", "none", ""):
            self.recorder.release()


# Where: each begins with a free drive, has the fault strike and returns the errno; the hold is over then

def at_acquire(scene: Scene, answer: Answer, flags: int) -> int:
    scene.recorder.fault(f"{TEST if flags else PREVENT} {answer.fault}")
    result = scene.timed(answer, srlock.acquire, scene.fd, "faults", flags)
    if not result:
        scene.let_go()
        scene.process.call(srlock.release, scene.fd)
    return result


def by_kernel(scene: Scene, answer: Answer, prepare, act) -> int:
    """A PREVENT that is sent again: nobody is told of its outcome, and the hold goes on."""
    scene.acquire()
    argument = prepare(scene)
    scene.recorder.fault(f"{PREVENT} {answer.fault}")
    pending = scene.process.begin(act, argument)
    if answer.silent:
        scene.recorder.await_held(30)
        scene.let_go()
    pending.result(60)
    scene.let_go()
    assert scene.state() == "held"
    assert scene.process.call(scsi.send_on, scene.fd, scsi.inquiry(79), 79)["good"]
    scene.process.call(srlock.release, scene.fd)
    return 0


def after_data_open(scene: Scene, answer: Answer) -> int:
    return by_kernel(scene, answer,
                     lambda s: s.process.call(attempt.open_, s.m.call(drive.sr, s.recorder.device), RO), attempt.close)


def after_eject(scene: Scene, answer: Answer) -> int:
    result = by_kernel(scene, answer, lambda s: s.fd, eject)
    load_all(scene)
    return result


def after_load(scene: Scene, answer: Answer) -> int:
    def prepare(s: Scene) -> int:
        s.process.call(eject, s.fd)
        return s.fd
    result = by_kernel(scene, answer, prepare, load)
    load_all(scene)
    return result


def load_all(scene: Scene) -> None:
    """As it was before: the tray closed."""
    scene.m.call(scsi.send, scene.recorder.sg, scsi.ALLOW)
    scene.m.call(scsi.send, scene.recorder.sg, scsi.LOAD)


def at_release(scene: Scene, answer: Answer) -> int:
    scene.acquire()
    scene.recorder.fault(f"{ALLOW} {answer.fault}")
    return scene.timed(answer, srlock.release, scene.fd)


def at_close(scene: Scene, answer: Answer) -> int:
    scene.acquire()
    scene.recorder.fault(f"{ALLOW} {answer.fault}")
    assert scene.timed(answer, attempt.close, scene.fd) == 0
    return answer.allow


def at_kill(scene: Scene, answer: Answer) -> int:
    scene.acquire()
    scene.recorder.fault(f"{ALLOW} {answer.fault}")
    start = time.monotonic()
    scene.process.kill()
    assert time.monotonic() - start < SLACK, "death waits for the drive"
    return answer.allow


def at_break(scene: Scene, answer: Answer) -> int:
    scene.acquire()
    breaker = scene.m.process()
    fd = breaker.call(srlock.open_lock, scene.path)
    scene.recorder.fault(f"{ALLOW} {answer.fault}")
    start = time.monotonic()
    result = scene.timed(answer, srlock.break_, fd, process=breaker)
    # it does not wait for an answer longer than half a second
    waited = time.monotonic() - start >= 0.5
    breaker.kill()
    return answer.allow if not result and waited else result


WHERE = {
    "PREVENT at ACQUIRE": ("prevent", lambda s, a: at_acquire(s, a, 0)),
    "TEST UNIT READY at ACQUIRE": ("test", lambda s, a: at_acquire(s, a, srlock.NO_PREVENT)),
    "PREVENT after a data open": ("", after_data_open),
    "PREVENT after an eject": ("", after_eject),
    "PREVENT after a load": ("", after_load),
    "ALLOW at RELEASE": ("allow", at_release),
    "ALLOW at a close": ("allow", at_close),
    "ALLOW at a death": ("allow", at_kill),
    "ALLOW at BREAK": ("allow", at_break),
}


def struck(recorder: Recorder, mark: int) -> int:
    """How many commands met a fault."""
    return len([c for c in recorder.since(mark) if c.fault != "-"])


def one(m, recorder: Recorder, where: str, answer: Answer) -> int:
    """One fault; how often it struck."""
    column, act = WHERE[where]
    mark = recorder.mark()
    scene = Scene(m, recorder)
    scene.timeout(answer.timeout_ms)
    result = act(scene, answer)
    assert result == (getattr(answer, column) if column else 0), errno.errorcode.get(result, result)
    scene.let_go()
    if scene.process.alive():
        scene.process.kill()
    eventually(lambda: scene.state() == "free", 30, "the drive is free")
    recorder.await_idle(30)
    eventually(lambda: struck(recorder, mark), 10, "the fault has struck")
    strikes = struck(recorder, mark)
    # a drive that times out is reset, which it tells in a unit attention
    m.call(becomes_ready, recorder.sg, timeout=60)
    if column == "allow" and answer.refusal:
        next_one = Scene(m, recorder)
        next_one.acquire()
        assert next_one.process.call(srlock.release, next_one.fd) == 0
        next_one.process.kill()
    eventually(lambda: not recorder.prevented(), 30, "the tray is unlocked")
    eventually(lambda: witness.in_place(m, recorder.address), 5, "the operations are in place")
    assert m.call(intrude.on_new_file, recorder.sg, 2, "sg_io") == "ok"
    eventually(lambda: m.call(drive.read, "/sys/module/srlock/refcnt") == "0", 10, "nobody uses the module")
    return strikes


@test("torture: {}, answered in every way", each=list(WHERE), timeout=900)
def faults(m, where):
    witness.load(m)
    strikes = 0
    with Recorder(m) as recorder:
        calm(m)
        m.sh(f"echo 0 >/sys/block/{recorder.sr[5:]}/events_poll_msecs")
        for answer in ANSWERS:
            try:
                strikes += one(m, recorder, where, answer)
            except Exception as error:
                raise AssertionError(f"{where}: {answer.name}: {type(error).__name__}: {error}") from error
    print(f"# count faults={strikes}", flush=True)


# In the machine

def eject(fd: int) -> None:
    """CDROMEJECT on a lock file, whatever comes of it."""
    try:
        cdrom.ioctl(fd, cdrom.CDROMEJECT)
    except OSError:
        pass


def load(fd: int) -> None:
    """CDROMCLOSETRAY on a lock file, whatever comes of it."""
    try:
        cdrom.ioctl(fd, cdrom.CDROMCLOSETRAY)
    except OSError:
        pass


def becomes_ready(path: str) -> None:
    """Take the unit attentions that are pending."""
    for _ in range(100):
        if scsi.send(path, scsi.TEST_UNIT_READY)["good"]:
            return
        time.sleep(0.2)
    raise TimeoutError("not ready")
