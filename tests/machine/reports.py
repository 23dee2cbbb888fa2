# SPDX-License-Identifier: GPL-2.0-or-later
"""What in a kernel's log is a report of a mistake: of KASAN, lockdep, kmemleak, KCSAN, a WARN and the like.

Of data races (KCSAN), of which the kernel has many that nobody minds, those count in which the module has
a part. The headline names two functions, but not the module where the access is in a function of the
kernel that the module called: then it stands further down in one of the stacks. It also stands in the stacks
of all that sr and SCSI do while a drive is held, as the gate calls them; those do not count, and neither do
those that some functions of the kernel's have by design.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_COMPLAINT = re.compile(
    r"WARNING: |\bBUG: |KASAN|UBSAN|ODEBUG|Kernel panic|Oops|general protection|"
    r"INFO: (task|rcu|possible|suspicious|trying|rcu_)|DEBUG_LOCKS_WARN|refcount_t: |"
    r"kernel BUG|unable to handle|unreferenced object|possible (circular|recursive) locking|"
    r"suspicious RCU usage|soft lockup|hard LOCKUP|sleeping function called|scheduling while atomic|"
    r"double free|list_(add|del) corruption|use-after-free(?! debug)|out-of-bounds|Segfault with no mm|cut here|"
    r"Call Trace")
_RACE = re.compile(r"BUG: KCSAN: ")
_RULE = re.compile(r"={60,}\s*$")
_OURS = re.compile(r"\[srlock\w*\]")
_FRAME = re.compile(r"(?:^|\s)(?:\? )?([\w.]+)\+0x[0-9a-f]+/0x[0-9a-f]+(?: \[(\w+)\])?\s*$")

# What the gate calls in place of what it stands for.
_ORIGINAL = re.compile(r"(scsi_queue_rq|sr_block_(open|release|ioctl|compat_ioctl|check_events))(\.|$)")
# Functions of the kernel's that use what is its own without a lock: the clock that may be read in an NMI, a sleeper
# whose timer may just have run out, the hint where the next free bit may be.
_LOCKLESS = re.compile(r"(ktime_get_mono_fast_ns|hrtimer_wakeup|schedule_hrtimeout_range_clock|sbitmap_put)(\.|$)")
_LONGEST_RACE = 200


def _race_is_ours(report: list[str]) -> bool:
    """Whether the module has a part in a data race."""
    if _OURS.search(report[0]):
        return True
    callee = ""     # the frame above, which the one at hand called; none where a stack begins
    judged = False  # what is further down in this stack does not matter any more
    for line in report[1:]:
        frame = _FRAME.search(line)
        if not frame:
            callee, judged = "", False
        elif not callee and _LOCKLESS.match(frame[1]):
            judged = True
        elif not judged and (frame[2] or "").startswith("srlock"):
            if not _ORIGINAL.match(callee):
                return True
            judged = True
        callee = frame[1] if frame else ""
    return False


def complaints(lines: list[str]) -> Iterator[int]:
    """The numbers of the lines that complain."""
    number = 0
    while number < len(lines):
        if _RACE.search(lines[number]):
            end = number + 1
            last = min(len(lines), number + _LONGEST_RACE)
            while end < last and not _RULE.search(lines[end]) and not _RACE.search(lines[end]):
                end += 1
            if _race_is_ours(lines[number:end]):
                yield number
            number = end
        else:
            if _COMPLAINT.search(lines[number]):
                yield number
            number += 1
