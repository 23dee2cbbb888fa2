# SPDX-License-Identifier: GPL-2.0-or-later
"""The pages say what the code says: layouts, values, errors, options, attributes."""
import re
import subprocess
from pathlib import Path

from bench import BUILD, ROOT, Bench, test

HEADER = ROOT / "include/uapi/linux/srlock.h"
ABI = ROOT / "docs/abi.md"
MAN4 = ROOT / "tools/man/srlock.4"
COMMANDS = ("ACQUIRE", "RELEASE", "GET_INFO", "BREAK")


def compiled(expressions: list[str], *flags: str) -> list[int]:
    """The values of C expressions, by the compiler."""
    lines = "\n".join(f'printf("%llu\\n", (unsigned long long)({each}));' for each in expressions)
    source = BUILD / "abi.c"
    source.write_text("#include <stddef.h>\n#include <stdio.h>\n#include <linux/srlock.h>\n"
                      f"int main(void)\n{{\n{lines}\nreturn 0;\n}}\n", encoding="ascii")
    subprocess.run(["gcc", "-Wall", "-Werror", *flags, f"-I{ROOT}/include/uapi", "-o", BUILD / "abi", source],
                   check=True)
    out = subprocess.run([BUILD / "abi"], check=True, capture_output=True, text=True).stdout
    return [int(line) for line in out.split()]


def rows(text: str) -> list[list[str]]:
    """The cells of a table's rows, without its heading."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines[2:]]


def section(heading: str) -> str:
    return re.split(r"\n#+ ", ABI.read_text().split(f" {heading}\n", 1)[1])[0]


def header_fields(name: str) -> list[tuple[str, str]]:
    body = re.search(rf"struct {name} {{\n(.*?)}};", HEADER.read_text(), re.S)
    assert body, name
    found = re.findall(r"\t(__\w+)\s+(\w+)(\[\w+\])?;", body.group(1))
    return [(kind + array.replace("SRLOCK_CLIENT_SIZE", "64"), field) for kind, field, array in found]


@test("docs/abi.md: offset, size and type of every field, as the compiler has them")
def layouts(_: Bench) -> None:
    for name in re.findall(r"^struct (srlock_\w+) {", HEADER.read_text(), re.M):
        text = section(f"struct {name}")
        table = rows(text)
        assert [(row[1], row[0]) for row in table] == header_fields(name), name
        values = compiled([f"{what}" for row in table for what in
                           (f"offsetof(struct {name}, {row[0]})", f"sizeof(((struct {name} *)0)->{row[0]})")])
        assert values == [int(number) for row in table for number in row[2:4]], name
        size = int(re.search(r"^Size: (\d+)$", text, re.M).group(1))  # type: ignore[union-attr]
        short = name.removeprefix("srlock_").upper()
        assert compiled([f"sizeof(struct {name})", f"SRLOCK_{short}_SIZE_VER0"]) == [size, size], name
        assert sum(int(row[3]) for row in table) == size, f"{name} has a hole"


@test("docs/abi.md: every value, and none is missing")
def values(_: Bench) -> None:
    table = rows(section("Values"))
    assert compiled([row[0] for row in table]) == [int(row[1]) for row in table]
    text = HEADER.read_text()
    defined = set(re.findall(r"^#define (SRLOCK_\w+)\s", text, re.M)) | \
        set(re.findall(r"^\t(SRLOCK_\w+)\s*=", text, re.M))
    other = {name for name in defined if re.search("_IOC_[A-L]|_IOC_R|SIZE_VER0|BUSY_|DEADLINE", name)}
    assert {row[0] for row in table} == defined - other, {row[0] for row in table} ^ (defined - other)


@test("docs/abi.md: the commands' numbers")
def numbers(_: Bench) -> None:
    table = rows(section("Commands"))
    assert [row[0] for row in table] == [f"SRLOCK_IOC_{name}" for name in COMMANDS]
    for row in table:
        assert compiled([row[0], f"_IOC_NR({row[0]})"]) == [int(row[2], 16), int(row[1], 16)], row


@test("docs/abi.md: the reasons for EBUSY")
def reasons(_: Bench) -> None:
    table = rows(section("Reasons for EBUSY"))
    assert compiled([row[0] for row in table]) == [int(row[1]) for row in table]
    assert {row[0] for row in table} == set(re.findall(r"^\t(SRLOCK_BUSY_\w+)", HEADER.read_text(), re.M))


def header_errors(command: str) -> set[str]:
    text = HEADER.read_text().split(f" * SRLOCK_IOC_{command} - ", 1)[1].split("*/", 1)[0]
    return set(re.findall(r"\bE[A-Z0-9]{2,}\b", text.split("Errors:")[1]))


@test("the header, docs/abi.md and srlock(4) name the same errors for each command")
def errors(_: Bench) -> None:
    table = rows(section("Errors by command"))
    man = MAN4.read_text()
    for column, command in enumerate(COMMANDS, 1):
        in_header = header_errors(command)
        in_abi = {row[0] for row in table if row[column]}
        part = man.split(f".Ss SRLOCK_IOC_{command}\n", 1)[1].split(".Ss ", 1)[0].split(".Sh ", 1)[0]
        in_man = set(re.findall(r"^\.It Bq Er (\w+)", part, re.M))
        assert in_header == in_abi == in_man, (command, in_header ^ in_abi, in_abi ^ in_man)


@test("the manual pages are sound, and the structures in srlock(4) are the header's")
def manuals(_: Bench) -> None:
    for page in sorted((ROOT / "tools/man").glob("srlock.*")):
        result = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], capture_output=True, text=True,
                                check=False)
        # References to pages of packages that are not installed say nothing of ours.
        lines = [line for line in result.stdout.splitlines() if "referenced manual not found" not in line]
        assert not lines, lines
    text = MAN4.read_text()
    for name in ("srlock_acquire", "srlock_release", "srlock_event"):
        body = text.split(f"struct {name} {{\n", 1)[1].split("};", 1)[0]
        found = re.findall(r"^    (__\w+)\s+(\w+)(\[64\])?;", body, re.M)
        assert [(kind + array, field) for kind, field, array in found] == header_fields(name), name


@test("srlock(1) tells every verb's options, and no others")
def manual_options(b: Bench) -> None:
    text = (ROOT / "tools/man/srlock.1").read_text()
    for verb in ("list", "status", "run", "hold", "wait", "watch", "break"):
        part = text.split(f".Ss {verb}\n", 1)[1].split("\n.Ss ", 1)[0].split("\n.Sh ", 1)[0]
        told = {f"--{word}" for line in part.splitlines() if line.startswith(".It Fl ")
                for word in re.findall(r" -(\w[\w-]*)", line)}
        known = {word.rstrip(",") for word in b.run(verb, "--help").out.split("\nColumns:")[0].split()
                 if word.startswith("--")} - {"--help"}
        if verb == "hold":      # takes those of run besides
            known &= {"--seconds"}
        assert told - {"--timeout"} == known, (verb, told ^ known)


@test("srlock(1) tells every exit status that the code has")
def manual_statuses(_: Bench) -> None:
    text = (ROOT / "tools/man/srlock.1").read_text().split(".Sh EXIT STATUS")[1].split(".Sh ")[0]
    told = {int(word) for word in re.findall(r"^\.It (\d+)$", text, re.M)}
    names = set(re.findall(r"\bEX_[A-Z]+\b", "".join(path.read_text() for path in (ROOT / "tools").glob("*.c"))))
    sysexits = dict(re.findall(r"#define (EX_\w+)\s+(\d+)", Path("/usr/include/sysexits.h").read_text()))
    assert told == {int(sysexits[name]) for name in names} | {0, 1, 126, 127}, (told, names)


@test("docs/sysfs-class-srlock describes every attribute of the module, and no others")
def attributes(_: Bench) -> None:
    told = set(re.findall(r"^What:\t\t/sys/class/srlock/srlockN/(\w+)$",
                          (ROOT / "docs/sysfs-class-srlock").read_text(), re.M))
    made = set(re.findall(r"&dev_attr_(\w+)\.attr", (ROOT / "module/sysfs.c").read_text()))
    assert told == made and len(made) == 12, told ^ made
    for line in MAN4.read_text().splitlines():
        made -= set(re.findall(r"\w+", line)) if line.startswith(".Pa ") else set()
    assert not made, f"srlock(4) leaves out {made}"


@test("the code compiles as C without warnings under gcc's analyzer, and no file is too long")
def analyzer(_: Bench) -> None:
    flags = "-O2 -g -Werror -fanalyzer"
    subprocess.run(["make", "-s", "-C", ROOT / "tools", f"BUILD={BUILD}/analyzer", f"CFLAGS={flags}"], check=True)
    for path in [*(ROOT / "tools").glob("*.[ch]"), *(ROOT / "tests/tool").glob("*.*")]:
        assert len(path.read_text().splitlines()) <= 500, path
