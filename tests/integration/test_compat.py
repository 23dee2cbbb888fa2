# SPDX-License-Identifier: GPL-2.0-or-later
"""A 32-bit program on the 64-bit kernel."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

from clients import BUS, calm, holder
from machine import test
from machine.guest import drive

TESTS = Path(__file__).resolve().parent.parent


def build(bits: int) -> bytes:
    """tests/abi/caller.c, statically linked."""
    if bits == 32:
        version = subprocess.run(["gcc", "-dumpversion"], capture_output=True, text=True, check=True)
        packages = ["libc6-dev-i386", f"lib32gcc-{version.stdout.strip()}-dev"]
        subprocess.run([TESTS / "setup" / "need", *packages], check=True)
    where = subprocess.run(["gcc", "-print-multiarch"], capture_output=True, text=True, check=True)
    with tempfile.TemporaryDirectory() as name:
        program = Path(name) / "caller"
        subprocess.run(["gcc", f"-m{bits}", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-static",
                        f"-I{TESTS.parent}/include/uapi", "-idirafter", f"/usr/include/{where.stdout.strip()}",
                        "-o", program, TESTS / "abi" / "caller.c"], check=True)
        return program.read_bytes()


def put_caller(m, bits: int) -> str:
    path = f"/tmp/caller{bits}"
    m.link.put(path, build(bits), 0o755)
    return path


def judge(output: str, bits: int) -> None:
    """Every line of the program's TAP is ok, and the plan says that none is missing."""
    lines = output.splitlines()
    assert f"# {bits} bits" in lines, output
    assert not [line for line in lines if line.startswith("not ok")], output
    (plan,) = [line for line in lines if re.fullmatch(r"1\.\.\d+", line)]
    assert plan == f"1..{sum(line.startswith('ok ') for line in lines)}", output


@test("a {}-bit program holds, asks, waits, sends commands, reads and breaks", each=[32, 64])
def program(m, bits):
    calm(m)
    caller = put_caller(m, bits)
    lock, sr = m.call(drive.srlock, BUS), m.call(drive.sr, BUS)
    done = m.sh(f"{caller} {lock} {sr}", check=False)
    judge(done["stdout"], bits)
    assert done["rc"] == 0, done


@test("a {}-bit program's calls on the drive are refused while somebody else holds it, on sr, sg and bsg", each=[32, 64])
def foreign_program(m, bits):
    caller = put_caller(m, bits)
    nodes = " ".join(m.call(find, BUS) for find in (drive.sr, drive.sg, drive.bsg))
    m.sh(f"mkfifo /tmp/go; {caller} {nodes} </tmp/go >/tmp/said 2>&1 & exec 3>/tmp/go; "
         "until grep -q open /tmp/said; do sleep 0.02; done; sleep 1000 >&- 2>&- & ")
    one = holder(m)
    mark = m.trace.mark()
    m.sh("echo >/tmp/go; until grep -q '^1[.][.]' /tmp/said; do sleep 0.02; done")
    assert not m.trace.since(mark, BUS)
    judge(m.sh("cat /tmp/said")["stdout"], bits)
    info = one.info()
    assert (info["refused_ioctls"], info["refused_opens"]) == (3, 1), info
    # those on sg and bsg, and what closing sr sends, when that was quick enough
    assert info["refused_commands"] in (2, 3), info
