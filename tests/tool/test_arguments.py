# SPDX-License-Identifier: GPL-2.0-or-later
"""What the command makes of its arguments: verbs, options, drives, names."""
from bench import ROOT, Bench, disk, drive, drive_without_lock, lock_without_driver, node, test

USAGE, NO_INPUT, UNAVAILABLE = 64, 66, 69
VERBS = ["list", "status", "run", "hold", "wait", "watch", "break"]


@test("without a verb the usage is shown and the status is 64")
def no_verb(b: Bench) -> None:
    result = b.run()
    assert result.status == USAGE and result.err.startswith("Usage: srlock VERB"), result
    assert not result.out


@test("an unknown verb is named")
def unknown_verb(b: Bench) -> None:
    result = b.run("lock")
    assert result.status == USAGE and "'lock' is not a verb" in result.err, result


@test("--help names every verb, and every verb explains itself")
def helps(b: Bench) -> None:
    for arguments in (["--help"], ["-h"], ["help"]):
        result = b.run(*arguments)
        assert result.status == 0 and all(f"\n  {verb} " in result.out for verb in VERBS), result
    for verb in VERBS:
        result = b.run(verb, "--help")
        assert result.status == 0 and result.out.startswith(f"Usage: srlock {verb} "), result
        assert b.run("help", verb).out.split("\nColumns:")[0].strip() == \
            result.out.split("\nColumns:")[0].strip()


@test("--version tells the version of the Makefile")
def version(b: Bench) -> None:
    makefile = (ROOT / "tools/Makefile").read_text()
    number = makefile.split("VERSION\t\t:= ")[1].split()[0]
    assert b.run("--version").out == f"srlock {number}\n"


@test("an unknown option of a verb shows that verb's usage, status 64")
def unknown_option(b: Bench) -> None:
    for verb in VERBS:
        result = b.run(verb, "--frobnicate", "sr0")
        assert result.status == USAGE, (verb, result)
        assert "'--frobnicate'" in result.err and f"Usage: srlock {verb}" in result.err, result
        assert not b.log(0)


@test("an option without its argument, and a drive that is missing, are status 64")
def missing(b: Bench) -> None:
    for arguments in (["run"], ["run", "sr0"], ["run", "sr0", "--"], ["hold"], ["wait"], ["break"],
                      ["run", "-w"], ["list", "-o"], ["run", "sr0,", "true"], ["run", "", "true"]):
        assert b.run(*arguments).status == USAGE, arguments
    assert not b.log(0)


@test("seconds: decimals are taken, everything else is refused")
def seconds(b: Bench) -> None:
    for text in ("1", "0", "0.5", ".5", "2.", "86400"):
        assert b.run("run", "-w", text, "sr0", "true").status == 0, text
    for text in ("", "x", "-1", "+1", "1e3", "0x10", "inf", "nan", "1,5", "1.2.3", " 1", "1 ", ".",
                 "99999999999999999999"):
        result = b.run("run", "-w", text, "sr0", "true")
        assert result.status == USAGE and "not a time in seconds" in result.err, (text, result)


@test("-n and -w exclude each other, for run, hold and wait")
def exclusive(b: Bench) -> None:
    for verb in ("run", "hold", "wait"):
        result = b.run(verb, "-n", "-w", "1", "sr0", "true")
        assert result.status == USAGE and "exclude each other" in result.err, result


@test("list does not take --json and --raw together; help does not take a word that is no verb")
def contradictions(b: Bench) -> None:
    for arguments, text in ((["list", "-J", "-r"], "exclude each other"), (["help", "burn"], "'burn' is not a verb")):
        result = b.run(*arguments)
        assert result.status == 64 and text in result.err and not result.out, (arguments, result)


@test("-E takes 0 to 255 and nothing else")
def conflict_status(b: Bench) -> None:
    for text in ("-1", "256", "x", "", "1x", "99999999999999999999999"):
        assert b.run("run", "-E", text, "sr0", "true").status == USAGE, text
    for text in ("0", "7", "255"):
        result = b.run("run", "-n", "-E", text, "sr0", "true", acquire=16, busy=1)
        assert result.status == int(text), (text, result)


@test("options after the drive belong to the command, with and without --")
def command_options(b: Bench) -> None:
    for separator in ([], ["--"]):
        result = b.run("run", "sr0", *separator, "echo", "-n", "--name", "x")
        assert (result.status, result.out) == (0, "--name x"), result
    assert b.run("run", "--", "sr0", "--", "echo", "--").out == "--\n"


@test("a client name outside of the alphabet or of 1 to 63 characters is refused")
def bad_names(b: Bench) -> None:
    for name in ("", "a" * 64, "a/b", "\x7f", "a\tb", "a\nb", "(x)", "100%"):
        result = b.run("run", "--name", name, "sr0", "true")
        assert result.status == USAGE and "not a client name" in result.err, (name, result)
    assert not b.log(0)


@test("a client name of the alphabet arrives as it is, 63 characters included")
def good_names(b: Bench) -> None:
    for name in ("a", "Z9 .,:;_-", "n" * 63):
        assert b.run("run", "--name", name, "sr0", "true").status == 0
        assert f"acquire {name} 0 1" not in b.log(0) and f"acquire {name} 0 0" in b.log(0)


@test("without --name the command's own name is used, made to fit")
def default_names(b: Bench) -> None:
    for command, name in (("/bin/true", "true"), ("./a+b%c", "a_b_c"), ("a b\t", "a b_"),
                          ("x" * 70, "x" * 63), ("dir/", "srlock")):
        b.run("run", "sr0", command)
        assert f"acquire {name} 0 0" in b.log(0), (command, b.log(0))


@test("--force and --no-prevent arrive as flags")
def flags(b: Bench) -> None:
    b.run("run", "--name", "x", "--force", "sr0", "true")
    b.run("run", "--name", "y", "--no-prevent", "sr0", "true")
    b.run("run", "--name", "z", "--no-prevent", "--force", "sr0", "true")
    assert {"acquire x 1 0", "acquire y 2 0", "acquire z 3 0"} <= set(b.log(0)), b.log(0)


@test("a drive may be called by its node, its name, its lock's node and its lock's name")
def drive_names(b: Bench) -> None:
    for name in ("/dev/sr1", "sr1", "/dev/srlock1", "srlock1"):
        result = b.run("list", "-n", "-o", "NAME,LOCK", name)
        assert (result.status, result.out.split()) == (0, ["sr1", "srlock1"]), (name, result)


@test("several drives: with commas or blanks, each once, in the order of the locks")
def several(b: Bench) -> None:
    b.drives(drive(0) + drive(2) + drive(10))
    for arguments in (["sr10,sr2,sr0"], ["sr2", "sr10", "srlock0,sr2"], []):
        result = b.run("list", "-n", "-o", "LOCK", *arguments)
        assert result.out.split() == ["srlock0", "srlock2", "srlock10"], (arguments, result)


@test("run takes several drives in the order of the locks, whatever order they are named in")
def ordered(b: Bench) -> None:
    result = b.run("run", "-v", "sr1,sr0", "true")
    held = [line for line in result.err.splitlines() if "held as" in line]
    assert ["/dev/sr0" in held[0], "/dev/sr1" in held[1]] == [True, True], result


@test("a drive that is not there is status 66 and named")
def no_such(b: Bench) -> None:
    for name in ("sr7", "/dev/sr7", "/dev/disk/by-id/nothing", "srlock7"):
        result = b.run("run", name, "true")
        assert result.status == NO_INPUT and f"there is no drive {name}" in result.err, result
        assert "srlock list" in result.err


@test("what is no optical drive is status 66 and named")
def not_optical(b: Bench) -> None:
    b.drives(drive(0) + disk() + node("/devices/platform/serial", "tty", "ttyS0", 4, 64))
    for name in ("sda", "/dev/sda", "ttyS0", "/etc/passwd", "/"):
        result = b.run("run", name, "true")
        assert result.status == NO_INPUT, result
        assert f"{name} is not an optical drive" in result.err, result


@test("without the module every verb says how to load it, status 69")
def no_module(b: Bench) -> None:
    b.drives(drive_without_lock(0))
    for verb in VERBS:
        result = b.run(verb, "sr0", "true")
        assert result.status == UNAVAILABLE, (verb, result)
        assert "module is not loaded" in result.err and "modprobe srlock" in result.err, result
    assert b.run("list").status == UNAVAILABLE
    assert "module is not loaded" in b.run("status", "srlock0").err


@test("a drive that the module did not attach to is not taken for a missing module")
def not_attached(b: Bench) -> None:
    b.drives(drive(0) + drive_without_lock(1))
    result = b.run("status", "sr1")
    assert result.status == UNAVAILABLE and "sr1 has no lock" in result.err, result
    assert b.run("list", "-n", "-o", "LOCK").out.split() == ["srlock0"]


@test("a lock whose drive has no driver is listed, and called by its own name")
def no_driver(b: Bench) -> None:
    b.drives(lock_without_driver(3))
    assert b.run("list", "-n", "-o", "LOCK,HCTL").out.split() == ["srlock3", "3:0:0:0"]
    assert b.run("status").out.startswith("/dev/srlock3 (srlock3, ACME BD-RE): free")
