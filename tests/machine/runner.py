# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds tests, gives each a machine of its own, and reports in KTAP.

    python3 tests/machine/run [-k WORDS] [-j N] [FILE...]
"""

from __future__ import annotations

import argparse
import concurrent.futures
import importlib.util
import os
import re
import shutil
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from . import Case, GuestTimeout, Skip, cache, patience, rootfs, state
from .machine import Machine
from .qemu import Hardware, kill_all

TOP = rootfs.TESTS.parent
LOGS = TOP / "build" / "logs"


@dataclass
class Outcome:
    """What became of a test."""

    case: Case
    result: str = "passed"       # or "failed", "skipped"
    seconds: float = 0.0
    words: list[str] = field(default_factory=list)


def load(path: Path) -> list[Case]:
    """The tests of a file, in the order in which they are written."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.path.insert(0, str(path.parent))
    spec.loader.exec_module(module)
    functions = [item for item in vars(module).values() if hasattr(item, "cases")
                 and item.__module__ == path.stem]
    functions.sort(key=lambda function: function.__code__.co_firstlineno)
    return [case for function in functions for case in function.cases]


def module_payload(ko: Path, tool: Path | None, counting: bool = False) -> state.Payload:
    """The module loaded and the tool installed; a counting module after the one that keeps its counts."""
    files = [("/opt/srlock.ko", ko, 0o644)]
    commands = ["modprobe -a sr_mod sg", "insmod /opt/srlock.ko"]
    if counting:
        files.append(("/opt/srlock_counts.ko", ko.with_name("srlock_counts.ko"), 0o644))
        commands.insert(1, "insmod /opt/srlock_counts.ko")
    if tool:
        files.append(("/usr/local/bin/srlock", tool, 0o755))
    return state.Payload(tuple(files), tuple(commands), "counting srlock" if counting else "srlock")


def run_body(case: Case, machine: Machine) -> BaseException | None:
    """Run a test's function in a thread, so that a test that hangs does not hang the runner."""
    result: list[BaseException | None] = []

    def body() -> None:
        try:
            case.run(machine, *case.args)
            result.append(None)
        except BaseException as error:
            result.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    limit = patience(case.timeout)
    thread.join(limit)
    if result:
        return result[0]
    stuck = sys._current_frames().get(thread.ident)
    where = places(traceback.extract_stack(stuck)) if stuck else []
    return TimeoutError("\n".join([f"not finished after {limit:.0f} s", *where]))


def attempt(case: Case, machine: Machine) -> Outcome:
    """Run one test in a machine: what it says, and what the kernel says after it."""
    outcome = Outcome(case)
    error = run_body(case, machine)
    if isinstance(error, Skip):
        outcome.result, outcome.words = "skipped", [str(error)]
    elif error is not None:
        outcome.result = "failed"
        outcome.words = describe(error)
        if isinstance(error, (TimeoutError, GuestTimeout)):
            machine.explain_hang()
    elif case.module and error is None and (wrong := machine.leftovers()):
        outcome.result, outcome.words = "failed", [f"after the test: {wrong}"]
    if not machine.alive():
        outcome.result = "failed"
        outcome.words += ["the machine is dead; its last words:", *machine.log().splitlines()[-20:]]
    if reports := machine.reports():
        outcome.result = "failed"
        outcome.words += ["the kernel reports:", *reports[:12]]
    return outcome


def describe(error: BaseException) -> list[str]:
    """An exception for people: where in the test, and what."""
    text = str(error) or "(no message)"
    return [*places(traceback.extract_tb(error.__traceback__)), f"{type(error).__name__}: {text}"]


def places(stack: traceback.StackSummary) -> list[str]:
    """The innermost lines of a stack that are the tests' own."""
    frames = [f for f in stack if "/machine/" not in f.filename and "threading" not in f.filename]
    return [f"{Path(f.filename).name}:{f.lineno}: {f.line}" for f in frames[-4:]]


def run_case(case: Case, payload: state.Payload, base: dict, options: argparse.Namespace) -> Outcome:
    """One test from beginning to end."""
    start = time.monotonic()
    name = re.sub(r"[^A-Za-z0-9]+", "-", case.name).strip("-")[:80]
    folder = LOGS / name
    shutil.rmtree(folder, ignore_errors=True)
    try:
        hardware = state.hardware(**base | case.options)
        with Machine(payload, name=case.name, hardware=hardware) as machine:
            outcome = attempt(case, machine)
            if options.counts and case.module and machine.alive():
                (options.counts / f"{name[:60]}-{cache.digest(case.name)}.counts").write_bytes(machine.counts())
            if outcome.result == "failed" or options.keep:
                machine.keep(folder)
            if outcome.result == "failed":
                outcome.words.append(f"logs: {os.path.relpath(folder)}")
    except Exception as error:
        outcome = Outcome(case, "failed", words=["the machine did not come up:", *describe(error)])
    outcome.seconds = time.monotonic() - start
    return outcome


def report(number: int, outcome: Outcome) -> None:
    word = "not ok" if outcome.result == "failed" else "ok"
    skip = f" # SKIP {outcome.words[0]}" if outcome.result == "skipped" else ""
    print(f"{word} {number} {outcome.case.name}{skip} # {outcome.seconds:.1f} s")
    if outcome.result == "failed":
        for line in "\n".join(outcome.words).splitlines():
            print(f"# {line}")
    sys.stdout.flush()


def find(paths: list[Path], words: str) -> list[Case]:
    files = paths or sorted((rootfs.TESTS / "integration").glob("test_*.py"))
    cases = [case for path in files for case in load(path.resolve())]
    twice = {case.name for case in cases if [c.name for c in cases].count(case.name) > 1}
    if twice:
        raise SystemExit(f"two tests of the same name: {', '.join(sorted(twice))}")
    return [case for case in cases if re.search(words, case.name, re.IGNORECASE)]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run integration tests in the machine.")
    parser.add_argument("files", nargs="*", type=Path, help="test files; default: all of tests/integration")
    parser.add_argument("-k", default="", metavar="REGEX", help="only tests whose name matches")
    parser.add_argument("-j", type=int, default=1, metavar="N", help="so many machines at a time")
    parser.add_argument("-l", "--list", action="store_true", help="list the tests and exit")
    parser.add_argument("--module", type=Path, metavar="KO", help="srlock.ko; default: the one built here")
    parser.add_argument("--tool", type=Path, help="the srlock command; default: the one built here")
    parser.add_argument("--series", default="6.1", help="the stock kernel (tests/kernels/stock)")
    parser.add_argument("--kernel", type=Path, metavar="FOLDER", help="a kernel of one's own")
    parser.add_argument("--patience", type=float, metavar="N", help="multiply all limits of time; default: "
                        f"1, and {state.PATIENCE:.0f} with a kernel of one's own")
    parser.add_argument("-c", dest="command", help="instead of tests, run a shell command in the machine")
    parser.add_argument("--plain", action="store_true", help="with -c: without the module")
    parser.add_argument("--counts", type=Path, metavar="FOLDER",
                        help="write there what a counting module has counted in each test (tests/coverage)")
    parser.add_argument("--keep", action="store_true", help="keep the logs of tests that pass, too")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="run every test N times")
    return parser.parse_args()


def first(*paths: Path) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def payloads(options: argparse.Namespace, module: bool) -> dict[bool, state.Payload]:
    """The payloads for tests with and without the module."""
    found = {False: state.Payload()}
    if module:
        ko = options.module or first(TOP / "srlock.ko", TOP / "module" / "srlock.ko")
        tool = options.tool or first(TOP / "tools" / "srlock", TOP / "srlock")
        if not ko or not ko.is_file():
            raise SystemExit("run: no srlock.ko: build the module first (make)")
        found[True] = module_payload(ko, tool, bool(options.counts))
    return found


def try_command(command: str, payload: state.Payload, hardware: Hardware) -> int:
    """Run a shell command in the machine and say what it said and what reached the drives."""
    with Machine(payload, hardware=hardware) as machine:
        mark = machine.trace.mark()
        done = machine.sh(command, timeout=600, check=False)
        for command in machine.trace.since(mark):
            print("#", command)
        print("".join(f"# {line}\n" for line in machine.log().splitlines()), end="")
        print(done["stdout"] + done["stderr"], end="")
        return done["rc"]


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = arguments()
    patience.factor = options.patience or (state.PATIENCE if options.kernel else 1.0)
    base = {"series": options.series, "kernel": options.kernel}
    if options.command:
        have = payloads(options, not options.plain)
        return try_command(options.command, have[not options.plain], state.hardware(**base))
    cases = find(options.files, options.k)
    if options.list:
        print("\n".join(case.name for case in cases))
        return 0
    have = payloads(options, any(case.module for case in cases))
    jobs = [case for case in cases for _ in range(options.repeat)]
    print(f"KTAP version 1\n1..{len(jobs)}", flush=True)
    count = dict.fromkeys(("passed", "failed", "skipped"), 0)
    pool = concurrent.futures.ThreadPoolExecutor(options.j)
    try:
        outcomes = pool.map(lambda case: run_case(case, have[case.module], base, options), jobs)
        for number, outcome in enumerate(outcomes, start=1):
            count[outcome.result] += 1
            report(number, outcome)
    except BaseException:  # Ctrl-C, SIGTERM: end the machines, then their tests end by themselves
        pool.shutdown(wait=False, cancel_futures=True)
        kill_all()
        raise
    finally:
        pool.shutdown()
    print(", ".join(f"{number} {word}" for word, number in count.items()))
    return 1 if count["failed"] or not jobs else 0
