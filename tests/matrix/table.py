# SPDX-License-Identifier: GPL-2.0-or-later
"""What is expected: the tables of docs/matrix.md and docs/ioctls.md, and the ioctls that the headers have.

Imported in the machine too, so nothing here is done at import.
"""

from __future__ import annotations

import fnmatch
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

MATRIX, IOCTLS = "docs/matrix.md", "docs/ioctls.md"
COLUMNS = ("holder, before", "holder, during", "foreigner, before", "foreigner, during", "ex-holder")

# header: what the names of ioctls in it look like.
HEADERS = {
    "linux/cdrom.h": r"CDROM\w*|DVD_\w+",
    "scsi/sg.h": r"SG_\w+",
    "scsi/scsi.h": r"SCSI_IOCTL_\w+",
    "scsi/scsi_ioctl.h": r"SCSI_IOCTL_\w+",
    "linux/fs.h": r"BLK\w+",
    "linux/blkpg.h": r"BLKPG",
    "linux/blkzoned.h": r"BLK\w+",
    "linux/hdreg.h": r"HDIO_\w+",
    "linux/pr.h": r"IOC_PR_\w+",
}
# By value and not by name: an ioctl's number has its driver's letter in the second byte.
LETTERS = {0x00, 0x03, 0x12, 0x22, 0x53, ord("p")}
# In no header of user space (include/scsi/scsi.h, include/scsi/sg.h)
HIDDEN = {"SCSI_IOCTL_GET_PCI": 0x5387, "SG_GET_ACCESS_COUNT": 0x2289}
# A pattern in the table is no word on an ioctl of these.
EXACT = ("CDROM", "DVD_", "SG_", "SCSI_IOCTL_", "BLK")

_DEFINE = re.compile(r"^\s*#\s*define\s+(\w+)[ \t]+(.+)$", re.MULTILINE)


def rows(text: str, first: str) -> list[list[str]]:
    """The rows of the Markdown table whose heading begins with that word."""
    found: list[list[str]] = []
    inside = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            inside = False
        elif inside:
            found.append(cells)
        elif cells[0] == first:
            inside = True
    if len(found) < 2:
        raise ValueError(f"no table of {first}")
    return found[1:]


@dataclass
class Table:
    """Both tables, read."""

    outcomes: dict[str, dict[str, str]]     # way: column: outcome
    verdicts: dict[str, str]                # name or pattern of an ioctl: "allowed" or "refused"
    people: dict[str, str]                  # who: "holder" or "foreigner" or "ex-holder"

    def verdict(self, name: str) -> str | None:
        """The verdict on an ioctl; None if it is not in the table."""
        if name in self.verdicts:
            return self.verdicts[name]
        if name.startswith(EXACT):
            return None
        return next((verdict for pattern, verdict in self.verdicts.items() if "*" in pattern
                     and fnmatch.fnmatchcase(name, pattern)), None)

    def outcome(self, way: str, kind: str, when: str) -> str:
        """What is expected of a way: `kind` as in people, `when` "before" or "during"."""
        return self.outcomes[way][kind if kind == "ex-holder" else f"{kind}, {when}"]


def read(top: Path) -> Table:
    """Read the documents of this checkout."""
    matrix, ioctls = ((top / name).read_text() for name in (MATRIX, IOCTLS))
    outcomes = {}
    for way, _, *cells in rows(matrix, "way"):
        if way in outcomes or len(cells) != len(COLUMNS):
            raise ValueError(f"{MATRIX}: the row of {way}")
        outcomes[way] = dict(zip(COLUMNS, cells))
    verdicts: dict[str, str] = {}
    for names, verdict, _ in rows(ioctls, "ioctl"):
        for name in names.split(", "):
            if name in verdicts or verdict not in ("allowed", "refused"):
                raise ValueError(f"{IOCTLS}: the row of {name}")
            verdicts[name] = verdict
    people = {who: kind for who, kind, _ in rows(matrix, "who")}
    return Table(outcomes, verdicts, people)


def names_in_headers() -> dict[str, list[str]]:
    """What each header defines that may be an ioctl, by its name."""
    found = {}
    for header, pattern in HEADERS.items():
        text = subprocess.run(["gcc", "-E", "-dM", "-include", header, "-x", "c", "/dev/null"], check=True,
                              capture_output=True, text=True).stdout
        own = header_text(header)
        found[header] = sorted(name for name, _ in _DEFINE.findall(text)
                               if re.fullmatch(pattern, name) and re.search(rf"\b{name}\b", own))
    return found


def header_text(header: str) -> str:
    """The header as it is installed."""
    listed = subprocess.run(["gcc", "-M", "-include", header, "-x", "c", "/dev/null"], check=True,
                            capture_output=True, text=True).stdout
    path = next(word for word in listed.split() if word.endswith(f"/{header}"))
    return Path(path).read_text(errors="replace")


def ioctls_of_headers() -> dict[str, int]:
    """Every ioctl of the headers: its name and number."""
    names = sorted({name for names in names_in_headers().values() for name in names})
    numbers = evaluate(names)
    found = {name: number for name, number in numbers.items() if is_ioctl(name, number)}
    return found | HIDDEN


def is_ioctl(name: str, number: int) -> bool:
    """Whether a constant of these headers is an ioctl's number. Other constants are small or flags."""
    letter = number >> 8 & 0xFF
    if name.startswith("SCSI_IOCTL_"):
        return number < 8 or letter == 0x53
    return bool(letter) and letter in LETTERS and (number >> 16 == 0 or number >> 30 in (1, 2, 3))


def evaluate(names: list[str]) -> dict[str, int]:
    """The values of those macros that are constants."""
    includes = "".join(f"#include <{header}>\n" for header in ("stdio.h", "linux/blktrace_api.h", *HEADERS))
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder) / "names.c", Path(folder) / "names"
        for _ in range(2):
            lines = [f'printf("{name} %lu\\n", (unsigned long)({name}));' for name in names]
            head = includes + "int main(void) {\n"
            source.write_text(head + "\n".join([*lines, "}"]))
            done = subprocess.run(["gcc", "-w", "-fmax-errors=0", "-o", program, source],
                                  capture_output=True, text=True)
            first = head.count("\n") + 1
            bad = {int(line) - first for line in re.findall(r"names\.c:(\d+):", done.stderr)}
            names = [name for number, name in enumerate(names) if number not in bad]
        if done.returncode:
            raise RuntimeError(f"the ioctls' numbers do not compile:\n{done.stderr}")
        out = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    return {name: int(number) for name, number in (line.split() for line in out.splitlines())}


def missing(table: Table, numbers: dict[str, int]) -> list[str]:
    """Ioctls of the headers that the table lacks."""
    return sorted(name for name in numbers if table.verdict(name) is None)


def unknown(table: Table, numbers: dict[str, int]) -> list[str]:
    """Names in the table that no header has."""
    return sorted(name for name in table.verdicts if "*" not in name and name not in numbers
                  and name != "anything else")
