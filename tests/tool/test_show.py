# SPDX-License-Identifier: GPL-2.0-or-later
"""list, status and watch: what they show, and as what."""
import errno
import json
import os
import select
import shutil
import signal
import subprocess
import time

from bench import (BROKEN, COMMAND, HELD, IOCTL, OPEN, REFUSED, RELEASED, UNPLUGGED, Bench, drive, record, test)

UNAVAILABLE = 69
BUSY = {"state": "held", "owner": "nightly, 2", "count": 2, "uid": 0, "waiters": 3, "refused_opens": 4,
        "refused_ioctls": 5, "refused_commands": 6, "last_refused": "command 0x4a 77? udisksd"}


def busy(**more: object) -> str:
    since = time.monotonic_ns() - 65_000_000_000
    return drive(0, **(BUSY | {"pid": os.getpid(), "since": since} | more)) + drive(1)


def comm() -> str:
    with open("/proc/self/comm", encoding="ascii") as file:
        return file.read().strip()


@test("list: one line a drive, with a line of headings")
def list_table(b: Bench) -> None:
    b.drives(busy())
    lines = b.run("list", open=errno.EACCES).out.splitlines()
    assert lines[0].split() == ["NAME", "LOCK", "STATE", "OWNER", "PID", "COMMAND", "HELD", "WAITERS",
                                "REFUSED", "MODEL"]
    assert lines[1].split() == ["sr0", "srlock0", "held", "nightly,", "2", str(os.getpid()), comm(), "1m05s",
                                "3", "15", "BD-RE", "0"], lines
    assert lines[2].split() == ["sr1", "srlock1", "free", "0", "0", "BD-RE", "1"], lines
    assert len(lines) == 3


@test("list works without opening a lock")
def list_unprivileged(b: Bench) -> None:
    b.drives(busy())
    result = b.run("list", "-n", "-r", "-o", "OWNER,PRIOR-OPENS,PREVENTED", "sr0", open=errno.EACCES)
    assert (result.status, result.out) == (0, "nightly,\\x202  \n"), result


@test("list --json: numbers are numbers, what is not there is null")
def list_json(b: Bench) -> None:
    b.drives(busy())
    held, free = json.loads(b.run("list", "-J", open=errno.EACCES).out)["drives"]
    assert held["owner"] == "nightly, 2" and held["pid"] == os.getpid() and held["refused"] == 15, held
    assert isinstance(held["held"], float) and 65 <= held["held"] < 100, held
    assert free["owner"] is None and free["pid"] is None and free["held"] is None, free
    assert free["waiters"] == 0


@test("list --output-all --json: every column, truth values as such where they are known")
def list_all(b: Bench) -> None:
    b.drives(busy())
    rows = json.loads(b.run("list", "-J", "-O", open=errno.EACCES).out)["drives"]
    assert len(rows[0]) == 27 and rows[0]["prevented"] is None and rows[0]["prior-opens"] is None, rows[0]
    assert rows[0]["hctl"] == "0:0:0:0" and rows[0]["vendor"] == "ACME" and rows[0]["user"] == "root", rows[0]
    assert rows[0]["since"].endswith("+0000") and rows[1]["since"] is None
    rows = json.loads(b.run("list", "-J", "-O").out)["drives"]      # asks the lock: nobody holds
    assert rows[0]["prevented"] is False and rows[0]["prior-opens"] == 0, rows[0]


@test("list --json is UTF-8, whatever bytes the holder's name is made of")
def list_json_bytes(b: Bench) -> None:
    name = os.fsencode(b.folder) + b"/a\xffb"
    os.symlink(shutil.which("sleep"), name)
    with subprocess.Popen([name, "60"]) as process:
        try:
            b.drives(busy(pid=process.pid))
            result = b.run("list", "-J", open=errno.EACCES)
        finally:
            process.kill()
    assert json.loads(result.out)["drives"][0]["command"] == "a?b", result


@test("list --json of no drive is an empty array")
def list_nothing(b: Bench) -> None:
    path = "/devices/virtual/other"
    b.drives(f"P: {path}/srlock/other\nE: SUBSYSTEM=srlock\nA: state=\\n\n\n")
    result = b.run("list", "-J")
    assert json.loads(result.out) == {"drives": []}, result


@test("list -o: columns in any case and order, + adds, an unknown one is named")
def list_columns(b: Bench) -> None:
    result = b.run("list", "-o", "state,Name", "sr1")
    assert result.out.split() == ["STATE", "NAME", "free", "sr1"], result
    result = b.run("list", "-o", "+hctl", "sr1")
    assert result.out.split()[9:11] == ["MODEL", "HCTL"], result
    for names in ("bogus", "NAME,bogus", "", "NAME,", "NAME,,PID", "NAM", "NAMES", "+bogus"):
        result = b.run("list", "-o", names)
        assert result.status == 64 and "no such column" in result.err, (names, result)
    assert b.run("list", "-o", ",".join(["NAME"] * 65)).status == 64
    assert b.run("list", "-o", ",".join(["NAME"] * 64)).status == 0


@test("list --help tells every column")
def list_help(b: Bench) -> None:
    named = b.run("list", "--help").out.split("Columns:\n")[1].splitlines()
    names = [line.split()[0] for line in named]
    rows = json.loads(b.run("list", "-J", "-O").out)["drives"]
    assert [name.lower() for name in names] == list(rows[0]), names


@test("output that cannot be written is an error, not success")
def full_disk(b: Bench) -> None:
    for verb in ("list", "status", "--help", "--version"):
        result = b.start(verb, prefix=("sh", "-c", 'exec "$@" >/dev/full', "sh")).finish()
        assert result.status == 74 and "cannot write" in result.err, (verb, result)


@test("status tells everything in words")
def status_text(b: Bench) -> None:
    b.drives(busy())
    result = b.run("status", open=errno.EACCES)
    out = result.out
    assert out.startswith("/dev/sr0 (srlock0, ACME BD-RE 0): held\n"), out
    assert f'holder:       "nightly, 2" (pid {os.getpid()}, command {comm()}, user root) for 1m0' in out, out
    assert "count:        2\n" in out and "waiters:      3\n" in out, out
    assert "refused:      4 opens, 5 ioctls, 6 commands\n" in out, out
    assert "last refused: command GET EVENT STATUS NOTIFICATION of pid 77? (udisksd)\n" in out, out
    assert "tray locked" not in out, out
    assert "\n\n/dev/sr1 (srlock1, ACME BD-RE 1): free\n" in out, out


@test("status: last refusals of every kind are put into words")
def status_last(b: Bench) -> None:
    for value, text in (("open 0x1 12 dd", "open O_RDONLY of pid 12 (dd)"),
                        ("ioctl 0x5309 12 my eject", "ioctl CDROMEJECT of pid 12 (my eject)"),
                        ("command 0xff 0? ", "command 0xff of an unknown process"),
                        ("open 0x1 0 dd", "open O_RDONLY of dd (process not visible from here)")):
        b.drives(busy(last_refused=value))
        out = b.run("status", "sr0", open=errno.EACCES).out
        assert f"last refused: {text}\n" in out, (value, out)
    for value in ("", "nonsense"):
        b.drives(busy(last_refused=value))
        assert "last refused" not in b.run("status", "sr0", open=errno.EACCES).out, value


@test("status asks the lock itself where it may be opened")
def status_asked(b: Bench) -> None:
    holder = b.start("hold", "--name", "me", "sr0")
    holder.line()
    out = b.run("status", "sr0", status=3, prior=2).out
    assert 'holder:       "me"' in out and "tray locked:  yes\n" in out and "forced: " in out, out
    assert "prior opens:  2 " in out, out
    holder.finish("")


@test("a holder that has exited, or that is not visible from here, is told as such")
def status_invisible(b: Bench) -> None:
    b.drives(busy(pid=4194304 + 7))
    assert "which has exited" in b.run("status", "sr0", open=errno.EACCES).out
    b.drives(busy(pid=0))
    assert "process gone or not visible from here" in b.run("status", "sr0", open=errno.EACCES).out


@test("status -q: 0 when all are free, 1 when not, and not a word")
def status_quiet(b: Bench) -> None:
    b.drives(busy())
    assert b.run("status", "-q", "sr1", open=errno.EACCES) == b.run("status", "-q", "srlock1", open=errno.EACCES)
    for arguments, status in ((["sr1"], 0), (["sr0"], 1), ([], 1), (["sr1", "sr0"], 1)):
        result = b.run("status", "-q", *arguments, open=errno.EACCES)
        assert (result.status, result.out, result.err) == (status, "", ""), (arguments, result)
    assert b.run("status", "-q", "-J").status == 64


@test("status --json has every column of list")
def status_json(b: Bench) -> None:
    b.drives(busy())
    out = b.run("status", "-J", "sr0", open=errno.EACCES).out
    (row,) = json.loads(out)["drives"]
    assert row["state"] == "held" and row["refused-opens"] == 4 and row["count"] == 2, row


EVENTS = ((HELD, {"name": "me", "pid": 5}, 'held, "me" (pid 5)'),
          (RELEASED, {"name": "me", "pid": 5}, 'released, "me" (pid 5)'),
          (BROKEN, {"name": "me", "pid": 5}, 'broken, "me" (pid 5)'),
          (REFUSED, {"name": "dd", "pid": 6, "way": OPEN, "code": 1}, "refused open O_RDONLY of pid 6 (dd)"),
          (REFUSED, {"name": "dd", "pid": 6, "way": OPEN, "code": 15},
           "refused open O_RDWR|O_EXCL|O_NONBLOCK of pid 6 (dd)"),
          (REFUSED, {"name": "a b", "pid": 6, "way": IOCTL, "code": 0x5309, "repeats": 3},
           "refused ioctl CDROMEJECT of pid 6 (a b), 3 times"),
          (REFUSED, {"name": "x", "pid": 6, "way": COMMAND, "code": 0, "guess": True, "lost": 2},
           "refused command TEST UNIT READY of pid 6? (x) (2 earlier records are lost)"),
          (REFUSED, {"way": COMMAND, "code": 0xfe}, "refused command 0xfe of unknown"),
          (99, {}, "unknown"),
          (UNPLUGGED, {}, "unplugged"))


@test("watch prints each kind of record, and ends with 69 when the drives are gone")
def watch_text(b: Bench) -> None:
    b.events(0, *(record(kind, **fields) for kind, fields, _ in EVENTS))
    b.revents(0, select.POLLHUP)
    result = b.run("watch", "sr0")
    assert result.status == UNAVAILABLE and "the drive was unplugged" in result.err, result
    lines = result.out.splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == [text for *_, text in EVENTS], lines
    assert all(line.split()[1] == "/dev/sr0:" for line in lines), lines


@test("watch --json: one object a line")
def watch_json(b: Bench) -> None:
    b.events(0, *(record(kind, **fields) for kind, fields, _ in EVENTS))
    b.revents(0, select.POLLHUP)
    rows = [json.loads(line) for line in b.run("watch", "-J", "sr0").out.splitlines()]
    assert len(rows) == len(EVENTS)
    assert rows[5] == {"drive": "/dev/sr0", "time": rows[5]["time"], "monotonic_ns": rows[5]["monotonic_ns"],
                       "event": "refused", "name": "a b", "pid": 6, "guess": False, "uid": 0, "way": "ioctl",
                       "code": 0x5309, "operation": "CDROMEJECT", "repeats": 3, "lost": 0}, rows[5]
    assert rows[6]["guess"] is True and rows[7]["name"] is None and rows[7]["pid"] is None
    assert rows[0]["way"] is None and rows[0]["code"] is None and rows[0]["operation"] is None


@test("a name with quotes, brackets and control characters stays one JSON object on one line")
def watch_json_names(b: Bench) -> None:
    names = ['a"b\\c', "x]y[z", "{}", "tab\tline\nend", "\x1b[31m", "é", "  two  blanks  "]
    b.events(0, *(record(REFUSED, name, 6, OPEN, 1) for name in names))
    b.revents(0, select.POLLHUP)
    lines = b.run("watch", "-J", "sr0").out.splitlines()
    assert [json.loads(line)["name"] for line in lines] == names, lines


@test("JSON is UTF-8, whatever bytes a name is made of")
def watch_json_bytes(b: Bench) -> None:
    names = {"a\udcffb": "a?b", "\udcc3": "?", "caf\udcc3": "caf?", "\udced\udca0\udc80x": "???x", "é\udce2\udc82": "é??"}
    b.events(0, *(record(REFUSED, name, 6, OPEN, 1) for name in names))
    b.revents(0, select.POLLHUP)
    lines = b.run("watch", "-J", "sr0").out.splitlines()
    assert [json.loads(line)["name"] for line in lines] == list(names.values()), lines


@test("names of processes cannot send escape sequences to the terminal")
def watch_text_names(b: Bench) -> None:
    b.events(0, record(REFUSED, "\x1b]0;x\x07\n", 6, OPEN, 1))
    b.revents(0, select.POLLHUP)
    result = b.run("watch", "sr0")
    assert "\x1b" not in result.out and "\x07" not in result.out and len(result.out.splitlines()) == 1, result


@test("nor can they through status and the summary of run")
def other_names(b: Bench) -> None:
    b.drives(busy(last_refused="open 0x1 12 \x1b[2J"))
    assert "(?[2J)" in b.run("status", "sr0", open=errno.EACCES).out
    running = b.start("run", "sr1", "--", "sh", "-c", "echo ready; read line")
    running.line()
    b.events(1, record(REFUSED, "\x1b[2J", 6, OPEN, 1))
    result = running.finish("\n")
    assert "pid 6 (?[2J): 1 open" in result.err, result


@test("watch goes on while a drive is left, and ends with 0 on a signal")
def watch_signal(b: Bench) -> None:
    running = b.start("watch")
    pid = b.tool_process(running)
    b.events(1, record(HELD, "me", 5))
    assert 'held, "me"' in running.line()
    b.revents(0, select.POLLHUP)
    time.sleep(0.2)
    b.events(1, record(RELEASED, "me", 5))
    assert 'released, "me"' in running.line()
    os.kill(pid, signal.SIGTERM)
    assert running.finish().status == 0
