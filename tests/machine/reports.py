# SPDX-License-Identifier: GPL-2.0-or-later
"""What in a kernel's log is a report of a mistake: of KASAN, lockdep, kmemleak, KCSAN, a WARN and the like.

Of data races (KCSAN), of which the kernel has many that nobody minds, those count in which the module has
a part. The headline names two functions, but not the module where the access is in a function of the
kernel that the module called: then it stands further down in one of the stacks. It also stands in the stacks
of all that sr and SCSI do while a drive is held, as the gate calls them; those do not count. Neither do races with
a function of the kernel's that has them by design, unless the other access is the module's own.
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
# Functions of the kernel's that use without a lock what others may be changing, by design:
#   - the clock that may be read in an NMI; a sleeper whose timer may just have run out; how often a queue was run,
#     which is shown in debugfs only;
#   - bitmaps of tags, which look for a bit that seems free and then take it with an atomic operation, if it still is;
#   - the walk over a tag set. What it finds it holds by a reference that it takes only if there still is one, and may
#     find to have changed before that. So it is not sure of a request that is being started or ends meanwhile. The
#     module does not need that: those it must not miss were dispatched before a grace period that it waited for, and
#     what comes later the gate refuses.
_LOCKLESS = re.compile(
    r"(ktime_get_mono_fast_ns|hrtimer_wakeup|schedule_hrtimeout_range_clock|blk_mq_sched_dispatch_requests|"
    r"(__)?sbitmap_\w+|blk_mq_find_and_get_req|is_flush_rq)(\.|$)")
# What such functions call for the access itself.
_HELPER = re.compile(r"_find_(next|first)_(zero_)?bit(\.|$)")
_LONGEST_RACE = 200


def _stacks(report: list[str]) -> Iterator[list[re.Match[str]]]:
    """The stacks in a report, the innermost frame first."""
    stack: list[re.Match[str]] = []
    for line in report:
        frame = _FRAME.search(line)
        if frame:
            stack.append(frame)
        elif stack:
            yield stack
            stack = []
    if stack:
        yield stack


def _is_of_module(frame: re.Match[str]) -> bool:
    return (frame[2] or "").startswith("srlock")


def _race_is_ours(report: list[str]) -> bool:
    """Whether the module has a part in a data race."""
    if _OURS.search(report[0]):
        return True
    ours = by_design = False
    for stack in _stacks(report[1:]):
        accessor = next((frame for frame in stack if not _HELPER.match(frame[1])), stack[0])
        if _is_of_module(accessor):
            return True
        by_design = by_design or bool(_LOCKLESS.match(accessor[1]))
        inner = stack[0]
        for frame in stack[1:]:
            if _is_of_module(frame):
                ours = ours or not _ORIGINAL.match(inner[1])
                break
            inner = frame
    return ours and not by_design


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
