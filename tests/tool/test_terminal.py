# SPDX-License-Identifier: GPL-2.0-or-later
"""Signals of the terminal and of the kernel, and what is ignored."""
from __future__ import annotations

import os
import signal
import time

from pathlib import Path

from bench import Bench, Running, test


def at_terminal(b: Bench, script: str) -> tuple[Running, int, Path]:
    """Run a script under srlock at a terminal of its own, up to its first words; its other end, and what it prints."""
    master, slave = os.openpty()
    command = f"exec setsid --ctty --wait \"$@\" <{os.ttyname(slave)} >{b.folder}/out 2>&1"
    running = b.start("run", "sr0", "--", "sh", "-c", script, prefix=("sh", "-c", command, "sh"))
    out = b.folder / "out"
    b.eventually(lambda: out.exists() and "ready" in out.read_text())
    os.close(slave)
    return running, master, out


@test("the command starts with the signal mask that srlock was started with")
def mask(b: Bench) -> None:
    result = b.run("run", "sr0", "grep", "SigBlk", "/proc/self/status")
    assert int(result.out.split()[1], 16) == 0, result


@test("Ctrl-C at a terminal reaches the command once")
def terminal(b: Bench) -> None:
    script = ("trap 'count=$((count+1))' INT; echo ready; while [ -z \"$count\" ]; do sleep 0.05; done; "
              "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.05; done; echo count=$count")
    running, master, out = at_terminal(b, script)
    os.write(master, b"\x03")
    running.finish()
    os.close(master)
    assert "count=1\n" in out.read_text(), out.read_text()


@test("a hangup that comes to srlock alone, as the leader of the terminal's session, is passed on to the command")
def hangup(b: Bench) -> None:
    running, master, out = at_terminal(b, "trap 'echo hangup; exit 7' HUP; echo ready; while :; do sleep 0.05; done")
    os.close(master)
    result = running.finish()
    assert result.status == 7 and "hangup\n" in out.read_text(), (result, out.read_text())
    assert b.log(0)[-1] == "release 1"


@test("an alarm that was set before srlock was started is passed on to the command")
def alarm(b: Bench) -> None:
    set_alarm = "import os, signal, sys; signal.alarm(5); os.execvp(sys.argv[1], sys.argv[1:])"
    script = "trap 'exit 7' ALRM; while :; do sleep 0.05; done"
    result = b.start("run", "sr0", "--", "sh", "-c", script, prefix=("python3", "-c", set_alarm)).finish()
    assert result.status == 7, result


@test("the drive is given back when nobody reads what is said, and processes of the command still run")
def nobody_reads(b: Bench) -> None:
    script = "sleep 5 </dev/null >/dev/null 2>&1 & exit 7"
    gone = ("import os, signal, sys; signal.signal(signal.SIGPIPE, signal.SIG_DFL); here, there = os.pipe(); "
            "os.close(here); os.dup2(there, 2); os.execvp(sys.argv[1], sys.argv[1:])")
    result = b.start("run", "sr0", "--", "sh", "-c", script, prefix=("python3", "-c", gone)).finish()
    assert result.status == 7, result
    assert b.log(0)[-1] == "release 1"


@test("hold that becomes a background job of its terminal leaves the terminal alone, and can be ended")
def hold_in_background(b: Bench) -> None:
    master, slave = os.openpty()
    out, job = b.folder / "out", b.folder / "job"
    # What a shell does at Ctrl-Z and bg. With umockdev's library it could not give the terminal to the job.
    script = f'LD_PRELOAD=$preload "$@"; jobs -p >{job}; bg >&2; sleep 1; echo late; wait %1; echo "status $?"'
    command = f"exec env -u LD_PRELOAD preload=$LD_PRELOAD setsid --ctty --wait bash --norc -ic '{script}' bash \"$@\" <{os.ttyname(slave)} >{out} 2>&1"
    running = b.start("hold", "sr0", prefix=("sh", "-c", command, "sh"))
    os.close(slave)
    b.eventually(lambda: out.exists() and "held" in out.read_text())
    os.write(master, b"\x1a")
    b.eventually(lambda: job.exists() and job.read_text())
    os.write(master, b"a line for the shell\n")
    b.eventually(lambda: "late" in out.read_text())
    tool = int(job.read_text())
    state = Path(f"/proc/{tool}/stat").read_text().rpartition(")")[2].split()[0]
    assert state in "SR" and b.log(0)[-1] != "release 1", (state, b.log(0))
    os.kill(tool, signal.SIGTERM)
    running.finish()
    os.close(master)
    assert b.log(0)[-1] == "release 1" and "status 0" in out.read_text(), out.read_text()


@test("hold goes on over a hangup that is ignored, as under nohup")
def hold_ignoring(b: Bench) -> None:
    running = b.start("hold", "sr0", prefix=("env", "--ignore-signal=HUP"))
    assert running.line().startswith("held /dev/sr0")
    os.kill(b.tool_process(running), signal.SIGHUP)
    time.sleep(0.3)
    assert b.log(0)[-1] != "release 1"
    assert running.finish("").status == 0
    assert b.log(0)[-1] == "release 1"
