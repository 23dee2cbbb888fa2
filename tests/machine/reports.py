# SPDX-License-Identifier: GPL-2.0-or-later
"""What in a kernel's log is a report of a mistake: of KASAN, lockdep, kmemleak, KCSAN, a WARN and the like.

Of data races (KCSAN), of which the kernel has many that nobody minds, those count in which the module has
a part. The headline names two functions, but not the module where the access is in a function of the
kernel that the module called: then it stands further down in one of the stacks. It also stands in the stacks
of all that sr and SCSI do while a drive is held, as the gate calls them; those do not count. Neither do races with
a function of the kernel's that has them by design, unless the other access is the module's own. Nor does that of
the kernel's plain read of the pointers that the module swaps with the swap itself: what may be read there, the old
and the new, is good for as long as whoever has read it may use it (docs/design.md), and the read is not the module's to mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

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
_ACCESS = re.compile(r"\b(read|write|read-write)( \(marked(?:, reordered)?\))? to 0x[0-9a-f]+ of \d+ bytes")
_FRAME = re.compile(r"(?:^|\s)(?:\? )?([\w.]+)\+0x[0-9a-f]+/0x[0-9a-f]+(?: \[(\w+)\])?\s*$")

# Where an interrupt came. What is further out in the stack was interrupted, and has no part in what the interrupt does.
_INTERRUPT = re.compile(r"asm_(sysvec_\w+|common_interrupt|exc_nmi)$")
# What puts other pointers into a disk and a queue, and puts theirs back.
_SWAP = re.compile(r"srlock_(swap|restore)_(fops|queue_ops)(\.|$)")
# What the gate calls in place of what it stands for.
_ORIGINAL = re.compile(r"(scsi_queue_rq|sr_block_(open|release|ioctl|compat_ioctl|check_events))(\.|$)")
# Functions of the kernel's that use without a lock what others may be changing, by design:
#   - the clock that may be read in an NMI; a sleeper whose timer may just have run out; how often a queue was run,
#     which is shown in debugfs only;
#   - bitmaps of tags, which look for a bit that seems free and then take it with an atomic operation, if it still is;
#   - the walk over a tag set. What it finds it holds by a reference that it takes only if there still is one, and may
#     find to have changed before that. So it is not sure of a request that is being started or ends meanwhile. The
#     module does not need that: those it must not miss were dispatched before a grace period that it waited for, and
#     what comes later the gate refuses;
#   - the look whether a queue has something to run. Whoever adds to it runs it afterwards.
_LOCKLESS = re.compile(
    r"(ktime_get_mono_fast_ns|hrtimer_wakeup|schedule_hrtimeout_range_clock|blk_mq_sched_dispatch_requests|"
    r"(__)?sbitmap_\w+|blk_mq_find_and_get_req|is_flush_rq|blk_mq_hctx_has_pending)(\.|$)")
# What such functions call for the access itself.
_HELPER = re.compile(r"(_find_(next|first)_(zero_)?bit|list_empty_careful)(\.|$)")
_LONGEST_RACE = 200


@dataclass
class _Access:
    """One of the two accesses of a race: what kind it is, and its stack, the innermost frame first."""

    kind: str = ""
    marked: bool = False
    stack: list[re.Match[str]] = field(default_factory=list)

    @property
    def accessor(self) -> re.Match[str]:
        return next((frame for frame in self.stack if not _HELPER.match(frame[1])), self.stack[0])


def _accesses(report: list[str]) -> Iterator[_Access]:
    access = _Access()
    interrupted = False
    for line in report:
        frame = _FRAME.search(line)
        if frame:
            interrupted = interrupted or bool(_INTERRUPT.match(frame[1]))
            if not interrupted:
                access.stack.append(frame)
            continue
        if access.stack:
            yield access
            access = _Access()
        interrupted = False
        kind = _ACCESS.search(line)
        if kind:
            access = _Access(kind[1], bool(kind[2]))
    if access.stack:
        yield access


def _is_of_module(frame: re.Match[str]) -> bool:
    return (frame[2] or "").startswith("srlock")


def _is_swap(accesses: list[_Access]) -> bool:
    """Whether it is the kernel's read of a pointer with the module's swap of it."""
    return len(accesses) == 2 and any(
        swap.kind == "write" and swap.marked and _is_of_module(swap.accessor) and _SWAP.match(swap.accessor[1])
        and other.kind == "read" and not _is_of_module(other.accessor)
        for swap, other in (accesses, accesses[::-1]))


def _race_is_ours(report: list[str]) -> bool:
    """Whether the module has a part in a data race."""
    accesses = list(_accesses(report[1:]))
    if _is_swap(accesses):
        return False
    if _OURS.search(report[0]):
        return True
    ours = by_design = False
    for access in accesses:
        if _is_of_module(access.accessor):
            return True
        by_design = by_design or bool(_LOCKLESS.match(access.accessor[1]))
        inner = access.stack[0]
        for frame in access.stack[1:]:
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
