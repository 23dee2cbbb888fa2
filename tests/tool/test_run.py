# SPDX-License-Identifier: GPL-2.0-or-later
"""run and hold: exit statuses, signals, what is released, what is reported."""
import errno
import os
import select
import signal
import time

from bench import (BROKEN, COMMAND, HELD, IOCTL, OPEN, REFUSED, RELEASED, UNPLUGGED, Bench, Running, drive,
                   record, test)

UNAVAILABLE, SOFTWARE, OSERR, IOERR, TEMPFAIL, NOPERM = 69, 70, 71, 74, 75, 77


def started(b: Bench, script: str, *options: str, **environment: object) -> tuple[Running, int]:
    """Run a shell script under srlock; returns when its first line of output came."""
    running = b.start("run", *options, "sr0", "--", "sh", "-c", script, **environment)
    assert running.line() == "ready"
    return running, b.tool_process(running)


@test("run ends with the command's status")
def own_status(b: Bench) -> None:
    for status in (0, 1, 3, 125, 255):
        assert b.run("run", "sr0", "sh", "-c", f"exit {status}").status == status


@test("run ends with 128 and the signal's number when a signal ended the command")
def by_signal(b: Bench) -> None:
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV):
        result = b.run("run", "sr0", "sh", "-c", f"ulimit -c 0; kill -{int(number)} $$")
        assert result.status == 128 + number, result


@test("a command that is not found: 127, and one that cannot be run: 126")
def not_run(b: Bench) -> None:
    result = b.run("run", "sr0", "no-such-command")
    assert result.status == 127 and "no-such-command: command not found" in result.err, result
    result = b.run("run", "sr0", "/no/such/command")
    assert result.status == 127 and "PATH" not in result.err, result
    result = b.run("run", "sr0", "/etc/passwd")
    assert result.status == 126 and "/etc/passwd: cannot be run: Permission denied" in result.err, result
    assert b.log(0)[-1] == "release 1"


@test("parent and command acquire, and at the end all is released")
def both_acquire(b: Bench) -> None:
    b.run("run", "--name", "x", "sr0", "true")
    assert b.log(0) == ["acquire x 0 0", "acquire x 0 0", "release 2", "release 1"]


@test("the command has the lock file open, and no other file of srlock's")
def inherited(b: Bench) -> None:
    result = b.run("run", "sr0", "ls", "-l", "/proc/self/fd")
    targets = [line.split(" -> ")[1] for line in result.out.splitlines() if " -> " in line]
    assert sum(target.endswith("/srlock0") for target in targets) == 1, targets
    assert not [target for target in targets if "signalfd" in target or "/sys/" in target], targets
    assert not [target for target in targets if target.endswith("/sr0")], targets


@test("the lock file never becomes a standard file, even if these are closed")
def closed_standard_files(b: Bench) -> None:
    target = b.folder / "out"
    script = f'exec 0<&- 1>&- 2>&-; exec "$@" sh -c "ls -l /proc/\\$\\$/fd >{target}"'
    b.start("run", "sr0", prefix=("sh", "-c", script, "sh")).finish()
    lines = target.read_text().splitlines()
    numbers = [int(line.split(" -> ")[0].split()[-1]) for line in lines if line.endswith("/srlock0")]
    assert numbers and min(numbers) > 2, lines


@test("nothing is said when nothing was refused")
def silence(b: Bench) -> None:
    result = b.run("run", "sr0", "true")
    assert (result.out, result.err) == ("", ""), result


@test("the drive stays held when the parent is killed, until the command ends")
def parent_killed(b: Bench) -> None:
    running, pid = started(b, "echo ready; read line")
    os.kill(pid, signal.SIGKILL)
    assert b.run("status", "-q", "sr0").status in (0, 1)
    assert b.run("run", "-n", "sr0", "true").status == 1
    running.process.stdin.close()
    running.process.stdin = None
    b.eventually(lambda: b.run("run", "-n", "sr0", "true").status == 0)
    running.process.wait()


@test("orphans of the command come to the parent, which releases without waiting for them")
def orphans(b: Bench) -> None:
    script = "(sh -c 'while [ -e go ]; do sleep 0.05; done' <&- >&- 2>&- & echo $! >pid); exit 4"
    (b.folder / "go").touch()
    here = os.getcwd()
    os.chdir(b.folder)
    try:
        result = b.run("run", "sr0", "--", "sh", "-c", script)
    finally:
        os.chdir(here)
    pid = int((b.folder / "pid").read_text())
    assert os.path.exists(f"/proc/{pid}"), "the orphan is over: nothing was tested"
    assert result.status == 4 and "still run" in result.err, result
    assert b.log(0)[-1] == "release 1"
    (b.folder / "go").unlink()


@test("processes that srlock has from the program that it was before are not the command's")
def inherited_child(b: Bench) -> None:
    result = b.start("run", "sr0", "true", prefix=("sh", "-c", 'sleep 5 <&- >&- 2>&- & exec "$@"', "sh")).finish()
    assert result.status == 0 and not result.err, result


@test("a signal sent to srlock is passed on to the command, and its status comes back")
def passed_on(b: Bench) -> None:
    for name in ("TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "ALRM"):
        running, pid = started(b, f"trap 'echo got {name}; exit 5' {name}; echo ready; "
                                  "while :; do sleep 0.02; done")
        os.kill(pid, getattr(signal, f"SIG{name}"))
        result = running.finish()
        assert (result.status, result.out) == (5, f"got {name}\n"), (name, result)
        assert b.log(0)[-1] == "release 1"


@test("the end of the command is noticed by a srlock that was started with SIGCHLD ignored")
def child_ignored(b: Bench) -> None:
    running = b.start("run", "sr0", "sh", "-c", "exit 5", prefix=("env", "--ignore-signal=CHLD"))
    assert running.finish().status == 5


@test("a command that ignores a signal is not left alone by srlock")
def ignored(b: Bench) -> None:
    running, pid = started(b, "trap '' TERM; echo ready; read line; exit 6")
    os.kill(pid, signal.SIGTERM)
    time.sleep(0.2)
    assert b.run("run", "-n", "sr0", "true").status == 1
    assert running.finish("\n").status == 6


def process_state(pid: int) -> str:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return file.read().rsplit(")", 1)[1].split()[0]


def children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


@test("a stop request stops the command and srlock, the drive stays held, and both go on")
def stopped(b: Bench) -> None:
    running, pid = started(b, "echo ready; read line; exit 7")
    (child,) = children(pid)
    os.kill(pid, signal.SIGTSTP)
    b.eventually(lambda: process_state(pid) == "T" and process_state(child) == "T")
    assert b.run("run", "-n", "sr0", "true").status == 1
    os.kill(pid, signal.SIGCONT)
    b.eventually(lambda: process_state(pid) != "T" and process_state(child) != "T")
    assert running.finish("\n").status == 7


@test("a stop request is nothing to a srlock that nobody could make go on, as to its command")
def not_stopped(b: Bench) -> None:
    running = b.start("run", "sr0", "--", "sh", "-c", "echo ready; read line; exit 7", prefix=("setsid", "--wait"))
    assert running.line() == "ready"
    pid = b.tool_process(running)
    os.kill(pid, signal.SIGTSTP)
    time.sleep(0.3)
    assert process_state(pid) != "T" and process_state(children(pid)[0]) != "T"
    assert running.finish("\n").status == 7


@test("several drives: when the second is busy the first is given back")
def all_or_nothing(b: Bench) -> None:
    holder = b.start("hold", "sr1")
    assert holder.line().startswith("held /dev/sr1")
    result = b.run("run", "-n", "--name", "x", "sr0,sr1", "true")
    assert result.status == 1 and "/dev/sr1: busy" in result.err, result
    assert b.log(0) == ["acquire x 0 0", "release 1"]
    holder.finish("")


@test("several drives: the command runs when all are held, and all are released")
def all_held(b: Bench) -> None:
    script = "for d in sr0 sr1; do [ $(wc -l <$SRLOCK_FAKE/srlock${d#sr}.log) = 2 ] || exit 1; done"
    assert b.run("run", "sr1,sr0", "sh", "-c", script).status == 0
    for number in (0, 1):
        assert b.log(number)[-1] == "release 1"


@test("-w ends the waiting, -n does not wait, without either run waits")
def waiting(b: Bench) -> None:
    holder = b.start("hold", "--name", "first", "sr0")
    assert holder.line() == 'held /dev/sr0 as "first"'
    began = time.monotonic()
    result = b.run("run", "-w", "0.6", "sr0", "true")
    assert result.status == 1 and time.monotonic() - began >= 0.6, result
    assert 'waiting for /dev/sr0: held by "first"' in result.err, result
    assert 'busy: held by "first" (pid' in result.err, result
    result = b.run("run", "-n", "sr0", "true")
    assert result.status == 1 and "waiting" not in result.err, result
    third = b.start("run", "sr0", "echo", "mine")
    time.sleep(0.4)
    assert third.process.poll() is None
    holder.finish("")
    assert third.finish().out == "mine\n"


@test("who waits under its own hold is told so at once instead of waiting for ever")
def own_hold(b: Bench) -> None:
    holder = b.start("hold", "sr0")
    holder.line()
    result = b.run("run", "sr0", "true", status=4)
    assert result.status == 1 and "under that very hold" in result.err, result
    holder.finish("")


@test("each errno of ACQUIRE has its message and status, and the command is not run")
def acquire_errors(b: Bench) -> None:
    for error, status, text, word in (
            (errno.ETIMEDOUT, TEMPFAIL, "did not finish in time", "E_IMAPI_RECORDER_COMMAND_TIMEOUT"),
            (errno.EIO, IOERR, "refused to lock its tray", "E_FAIL"),
            (errno.ENODEV, UNAVAILABLE, "the drive is gone", ""),
            (errno.EPERM, NOPERM, "first process", "E_ACCESSDENIED"),
            (errno.EOPNOTSUPP, UNAVAILABLE, "cannot keep others out", "E_FAIL"),
            (errno.EOWNERDEAD, UNAVAILABLE, "taken away", "E_FAIL"),
            (errno.EINVAL, SOFTWARE, "different versions", "E_IMAPI_RECORDER_CLIENT_NAME_IS_NOT_VALID"),
            (errno.ENOTTY, SOFTWARE, "different versions", "E_FAIL"),
            (errno.ENOMEM, OSERR, "Cannot allocate memory", "E_OUTOFMEMORY")):
        result = b.run("run", "sr0", "echo", "ran", acquire=error)
        assert result.status == status and text in result.err, (error, result)
        assert word in result.err and "ran" not in result.out, (error, result)
        if word and error != errno.EOPNOTSUPP:    # which has two names
            assert f"[{errno.errorcode[error]}, {word}]" in result.err, (error, result)
    result = b.run("run", "--force", "sr0", "true", acquire=errno.EPERM)
    assert "--force is for root only" in result.err, result


@test("each reason for busy is told")
def busy_reasons(b: Bench) -> None:
    for reason, text in ((1, "held by another client"), (2, "mounted or open with O_EXCL"),
                         (3, "others wait for it"), (4, "is still under way"),
                         (9, "does not know (9)")):
        result = b.run("run", "-n", "sr0", "true", acquire=errno.EBUSY, busy=reason)
        text = text.replace("others wait", "0 other clients wait")
        assert result.status == 1 and text in result.err, (reason, result)
        assert "[EBUSY, E_IMAPI_RECORDER_LOCKED]" in result.err, result
        # a remedy is named only where it is one
        assert ("srlock break" in result.err) == (reason == 1), (reason, result)
        assert ("--force" in result.err) == (reason == 2), (reason, result)
    result = b.run("run", "-n", "--force", "sr0", "true", acquire=errno.EBUSY, busy=2)
    assert "root can" not in result.err and "unmount it" in result.err, result


@test("each errno of opening the lock has its message and status")
def open_errors(b: Bench) -> None:
    for error, status, text in ((errno.EACCES, NOPERM, "no permission to open its lock"),
                                (errno.ENODEV, UNAVAILABLE, "the drive is gone"),
                                (errno.ENOENT, UNAVAILABLE, "there is no node /dev/srlock0"),
                                (errno.EMFILE, OSERR, "Too many open files")):
        for arguments in (["run", "sr0", "true"], ["watch", "sr0"], ["break", "sr0"]):
            result = b.run(*arguments, open=error)
            assert result.status == status and text in result.err, (arguments, result)


@test("a command that cannot join the hold is not run")
def join_fails(b: Bench) -> None:
    result = b.run("run", "sr0", "echo", "ran", join=errno.EOWNERDEAD)
    assert result.status == UNAVAILABLE and not result.out, result
    assert b.log(0)[-1] == "release 1"


@test("a tray that stays locked is reported; the command's status wins over it")
def tray_stays_locked(b: Bench) -> None:
    for error, text in ((errno.EIO, "refused to unlock its tray"), (errno.ETIMEDOUT, "in time")):
        result = b.run("run", "sr0", "true", release=error)
        assert result.status == IOERR and text in result.err and "eject /dev/sr0" in result.err, result
        assert b.run("run", "sr0", "sh", "-c", "exit 3", release=error).status == 3


@test("files open from before the hold are warned of")
def prior_opens(b: Bench) -> None:
    result = b.run("run", "sr0", "true", prior=2)
    assert result.status == 0 and "still open from before the hold" in result.err, result
    assert b.run("run", "-q", "sr0", "true", prior=2).err == ""


@test("a drive that is unplugged in the middle: the command goes on, the status is 69 for its 0")
def unplugged(b: Bench) -> None:
    for status, expected in ((0, UNAVAILABLE), (3, 3)):
        running, _ = started(b, f"echo ready; read line; exit {status}", release=errno.ENODEV)
        b.events(0, record(UNPLUGGED))
        b.revents(0, select.POLLHUP)
        time.sleep(0.2)
        assert running.process.poll() is None
        result = running.finish("\n")
        assert result.status == expected, result
        assert result.err.count("unplugged") == 1 and "RELEASE" not in result.err, result
        (b.locks / "srlock0.revents").unlink()
        (b.locks / "srlock0.events").unlink()


@test("a hold that is broken in the middle: the command goes on, the status is 69 for its 0")
def broken(b: Bench) -> None:
    running, _ = started(b, "echo ready; read line", release=errno.EOWNERDEAD)
    b.events(0, record(BROKEN, "sh", 1))
    b.revents(0, select.POLLERR)
    time.sleep(0.2)
    result = running.finish("\n")
    assert result.status == UNAVAILABLE and result.err.count("srlock break") == 1, result


@test("what was refused is summed up by process, most first")
def summary(b: Bench) -> None:
    running, pid = started(b, "echo ready; read line")
    b.events(0, record(HELD, "sh", pid),
             record(REFUSED, "dd", 11, OPEN, 1),
             record(REFUSED, "udisksd", 12, COMMAND, 0x00, repeats=40, guess=True),
             record(REFUSED, "udisksd", 12, COMMAND, 0x00, repeats=2, guess=True),
             record(REFUSED, "eject", 13, IOCTL, 0x5309),
             record(REFUSED, "eject", 13, OPEN, 1),
             record(REFUSED, "sg_raw", 14, COMMAND, 0x12),
             record(REFUSED, "sg_raw", 14, COMMAND, 0x1b),
             record(REFUSED, "", 0, COMMAND, 0x4a))
    result = running.finish("\n")
    lines = [line.strip() for line in result.err.splitlines()]
    assert lines == ["srlock: /dev/sr0: refused 48 foreign accesses during the hold:",
                     "pid 12? (udisksd): 42 commands (TEST UNIT READY)",
                     *sorted(["pid 13 (eject): 1 open, 1 ioctl (CDROMEJECT)",
                              "pid 14 (sg_raw): 2 commands"]),
                     *lines[4:]], lines
    assert sorted(lines[4:]) == ["pid 11 (dd): 1 open",
                                 "unknown: 1 command (GET EVENT STATUS NOTIFICATION)"], lines


@test("only what was refused in the own hold is counted")
def own_hold_only(b: Bench) -> None:
    b.events(0, record(HELD, "other", 1), record(REFUSED, "before", 20, OPEN), record(RELEASED, "other", 1),
             record(REFUSED, "at-once", 21, OPEN))
    running, pid = started(b, "echo ready; read line")
    b.events(0, record(HELD, "sh", pid), record(REFUSED, "during", 22, OPEN), record(RELEASED, "sh", pid),
             record(HELD, "other", 1), record(REFUSED, "after", 23, OPEN))
    result = running.finish("\n")
    assert "at-once" in result.err and "during" in result.err, result
    assert "before" not in result.err and "after" not in result.err, result


@test("records that were lost are admitted, and -q reports nothing")
def lost(b: Bench) -> None:
    for options, expected in (((), True), (("-q",), False)):
        running, pid = started(b, "echo ready; read line", *options)
        b.events(0, record(HELD, "sh", pid), record(REFUSED, "dd", 11, OPEN, lost=9))
        result = running.finish("\n")
        assert ("9 more records were lost" in result.err) == expected, result
        assert ("pid 11 (dd)" in result.err) == expected, result
        (b.locks / "srlock0.events").unlink()


@test("more processes than anybody reads are summed up as others")
def many_processes(b: Bench) -> None:
    running, pid = started(b, "echo ready; read line")
    b.events(0, record(HELD, "sh", pid), *(record(REFUSED, "worker", 1000 + i, OPEN) for i in range(150)))
    result = running.finish("\n")
    assert "refused 150 foreign accesses" in result.err and "others: 50 opens" in result.err, result
    assert len(result.err.splitlines()) == 102, len(result.err.splitlines())


@test("hold says when it holds, and releases when standard input ends")
def hold_input(b: Bench) -> None:
    running = b.start("hold", "--name", "me", "sr0", "sr1")
    assert running.line() == 'held /dev/sr0 as "me"' and running.line() == 'held /dev/sr1 as "me"'
    assert running.process.stdin
    running.process.stdin.write("not the end\n")
    running.process.stdin.flush()
    time.sleep(0.2)
    assert running.process.poll() is None
    assert running.finish("").status == 0
    assert b.log(0)[-1] == b.log(1)[-1] == "release 1"


@test("hold releases in good order on a signal")
def hold_signal(b: Bench) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        running = b.start("hold", "sr0")
        running.line()
        os.kill(b.tool_process(running), number)
        assert running.process.wait(30) == 0, number
        running.finish()
        assert b.log(0)[-1] == "release 1"


@test("hold --seconds ends by itself and lets standard input be")
def hold_seconds(b: Bench) -> None:
    began = time.monotonic()
    result = b.run("hold", "--seconds", "0.7", "sr0", text="")
    assert result.status == 0 and time.monotonic() - began >= 0.7, result
    assert b.run("run", "--seconds", "1", "sr0", "true").status == 64


@test("hold ends with 69 when the hold is lost")
def hold_lost(b: Bench) -> None:
    running = b.start("hold", "sr0", release=errno.ENODEV)
    running.line()
    b.revents(0, select.POLLHUP)
    running.process.wait(30)
    result = running.finish()
    assert result.status == UNAVAILABLE and "unplugged" in result.err, result


@test("wait: 0 when free, 1 when -n or -w found it held, and it says by whom")
def wait_node(b: Bench) -> None:
    assert b.run("wait", "-n", "sr0").status == 0
    holder = b.start("hold", "--name", "me", "sr0")
    holder.line()
    began = time.monotonic()
    result = b.run("wait", "-w", "0.5", "sr0")
    assert result.status == 1 and time.monotonic() - began >= 0.5, result
    assert 'still held by "me" (pid ' in result.err, result
    assert b.run("wait", "-q", "-n", "sr0").err == ""
    waiter = b.start("wait", "sr0", "sr1")
    time.sleep(0.3)
    assert waiter.process.poll() is None
    holder.finish("")
    assert waiter.finish().status == 0


@test("wait works on the attribute where the lock may not be opened")
def wait_attribute(b: Bench) -> None:
    b.drives(drive(0, state="held", owner="x", count=1, pid=1, since=1) + drive(1) + drive(2, state="gone"))
    assert b.run("wait", "-w", "0.3", "sr0", open=errno.EACCES).status == 1
    assert b.run("wait", "sr1", open=errno.EACCES).status == 0
    assert b.run("wait", "sr2", open=errno.EACCES).status == UNAVAILABLE


@test("wait: 69 when the drive is unplugged")
def wait_unplugged(b: Bench) -> None:
    b.revents(0, select.POLLHUP)
    result = b.run("wait", "-w", "5", "sr0")
    assert result.status == UNAVAILABLE and "the drive is gone" in result.err, result


@test("break: says whose hold it was; nobody's is 1, without privilege 77, a locked tray 74")
def break_statuses(b: Bench) -> None:
    result = b.run("break", "sr0")
    assert result.status == 1 and "nobody holds it" in result.err, result
    holder = b.start("hold", "--name", "me", "sr0")
    holder.line()
    result = b.run("break", "sr0")
    assert result.status == 0 and 'taken from "me" (pid ' in result.err, result
    assert b.run("break", "-q", "sr0").err == ""
    result = b.run("break", "sr0", **{"break": errno.EPERM})
    assert result.status == NOPERM and "only root" in result.err, result
    assert "[EPERM, E_ACCESSDENIED]" in result.err, result
    assert b.run("break", "sr0", **{"break": errno.EIO}).status == IOERR
    assert b.run("break", "sr0", **{"break": errno.ENODEV}).status == UNAVAILABLE
    holder.finish("")


@test("break: one drive that nobody holds does not keep it from the next")
def break_several(b: Bench) -> None:
    holder = b.start("hold", "--name", "me", "sr1")
    holder.line()
    result = b.run("break", "sr1", "sr9")
    assert result.status == 66 and "taken" not in result.err, result      # a slip of the pen breaks nothing
    result = b.run("break", "sr0", "sr1")
    assert result.status == 1 and "sr0: nobody holds it" in result.err and 'taken from "me"' in result.err, result
    holder.finish("")
