# SPDX-License-Identifier: GPL-2.0-or-later
"""All the ways there are, generated: from the ioctls of the headers, the nodes, and what can be set up on top."""

from __future__ import annotations

from . import stacked, ways
from .cells import Way
from .table import Table

MOVES = {
    "CDROMEJECT", "CDROMCLOSETRAY", "CDROMSTOP", "CDROMSTART", "SCSI_IOCTL_START_UNIT", "SCSI_IOCTL_STOP_UNIT",
    "CDROM_LOCKDOOR", "SCSI_IOCTL_DOORLOCK", "SCSI_IOCTL_DOORUNLOCK", "CDROMRESET", "CDROMEJECT_SW", "CDROMPAUSE",
    "CDROMPLAYMSF", "CDROMPLAYTRKIND", "CDROMPLAYBLK",
}
VARIANTS = {"sr": ["SG_IO, v4"], "sg": ["SG_IO, v4", "SG_IO, mmap"], "bsg": ["SG_IO, v4"]}
SG_IO = 0x2285
UNHEARD_OF = {"0x53fe": 0x53FE, "0x22fe": 0x22FE, "0x4008783f": 0x4008783F}     # ioctls that nobody knows
READS = {"pread": "buffered read", "splice": "buffered read", "io_uring": "buffered read", "mmap": "mapped read",
         "readahead": "read ahead", "O_DIRECT": "direct read", "aio": "direct read"}


def ioctls(table: Table, numbers: dict[str, int], node: str) -> list[Way]:
    """Every ioctl on one of the nodes."""
    found = []
    names = numbers | dict.fromkeys(VARIANTS[node], SG_IO) | UNHEARD_OF
    for name, number in sorted(names.items()):
        if name == "SG_IO, mmap":
            file = "sgmap"
        else:
            file = node
        row = f"ioctl on {node}"
        if node == "sr":
            verdict = table.verdict(name.partition(",")[0]) or table.verdicts["anything else"]
            row = WRITES if name in ("BLKZEROOUT", "BLKDISCARD", "BLKSECDISCARD") else f"{verdict} {row}"
        found.append(Way(row, name, "ioctl", (file, name, number), name in MOVES))
    return found


def commands(table: Table, numbers: dict[str, int]) -> list[Way]:
    """The ways that a process goes on files that it has."""
    return [
        *(way for node in ("sr", "sg", "bsg") for way in ioctls(table, numbers, node)),
        Way("write on sg", "struct sg_io_hdr", "write_read", ("sg",)),
        Way("write on sg", "struct sg_header", "write_read_old", ("sg",)),
        Way("io_uring on bsg", "", "bsg_io_uring", ("bsg",)),
    ]


def reads() -> list[Way]:
    """The ways to read, each from a place of its own."""
    found = []
    for place, (how, row) in enumerate(READS.items(), start=1):
        found.append(Way(row, how, "read", ("direct" if row == "direct read" else "data", how, place)))
    return found + [Way("direct read", "io_uring", "read", ("direct", "io_uring", len(READS) + 1))]


def opens(bus: str) -> list[Way]:
    return [Way("open", mode, "open_mode", (bus, mode)) for mode in ways.MODES]


UPPER = {"mount": "mount", "loop": "loop device", "loop, O_DIRECT": "loop device",
         "device mapper": "device-mapper device", "pktcdvd": "pktcdvd device"}
UPPER_READS = {"mount": "read of a file", "loop": "read of a loop device", "loop, O_DIRECT": "read of a loop device",
               "device mapper": "read of a device-mapper device", "pktcdvd": "read of a pktcdvd device"}
TOGETHER = (("mount", "loop", "loop, O_DIRECT"), ("device mapper",), ("pktcdvd",))   # each claims the drive for itself
WRITES = "write by ioctl on sr"
FIRST_PLACE = 10    # behind what was read through the page cache of sr itself
FORCED = ("mount", "device mapper")


def set_ups(bus: str) -> list[Way]:
    """What can be set up on the drive."""
    return [Way(row, kind, "set_up", (bus, kind)) for kind, row in UPPER.items()]


def upper_reads(kind: str) -> list[Way]:
    """What can be done with one of them; where it is read is added at the time."""
    path = stacked.PATHS[kind]
    found = [Way(UPPER_READS[kind], kind, "read_upper", (path,))]
    if kind == "device mapper":
        found.append(Way("SG_IO on a device-mapper device", "", "sg_io_upper", (path,)))
    return found


def lock_files() -> list[Way]:
    return [Way("lock file of the holder", "", "lock_file", ("lock",)),
            Way("lock file of one's own", "", "lock_file", ("own lock",))]


def by_sysfs(device: str, host: str) -> list[Way]:
    return [Way("sysfs", "rescan", "write_sysfs", (f"{device}/rescan", "1")),
            Way("sysfs", "scan of the host", "write_sysfs", (f"{host}/scan", "- - -")),
            Way("sysfs", "runtime suspend", "write_sysfs", (f"{device}/power/control", "auto"))]


def queries(bus: str) -> list[Way]:
    return [Way("query", "attributes", "look", (bus,)), Way("query", "GET_INFO", "info", ("own lock",))]


def all_ways(table: Table, numbers: dict[str, int], bus: str, sysfs: tuple[str, str]) -> list[Way]:
    """All there are."""
    return [*commands(table, numbers), *reads(), *opens(bus), *lock_files(), *set_ups(bus),
            *(way for kind in UPPER for way in upper_reads(kind)), *by_sysfs(*sysfs), *queries(bus), *KERNEL]


KERNEL = [Way("polling", "", "poll_for_a_second"), Way("uevent", "change", "trigger"), Way("uevent", "add", "trigger")]


def at(way: Way, place: int) -> Way:
    """A read of something on top, at a place that no other one has read."""
    if way.function != "read_upper":
        return way
    return Way(way.row, way.name, way.function, (*way.arguments, FIRST_PLACE + place))
