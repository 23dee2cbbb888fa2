#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether reports.py sees what it has to: a filter that misses reports makes every other test green."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from machine.reports import complaints  # noqa: E402

RULE = "=" * 66


def race(headline: str, *stacks: list[str], kinds: tuple[str, str] = ("write to", "read to")) -> list[str]:
    """A data race as KCSAN reports it."""
    lines = [RULE, f"BUG: KCSAN: data-race in {headline}", ""]
    for number, stack in enumerate(stacks):
        lines += [f"{kinds[number % 2]} 0xffff8880045d0a10 of 4 bytes by task {200 + number} on cpu {number}:",
                  *(f" {frame}" for frame in stack), ""]
    return [*lines, "Reported by Kernel Concurrency Sanitizer on:",
            "CPU: 1 PID: 201 Comm: stress Tainted: G           O       6.1.192 #1",
            "Hardware name: QEMU Standard PC (i440FX + PIIX, 1996)", RULE]


OURS, OTHER = "srlock_lock_acquire+0x1c/0x90 [srlock]", "vfs_read+0x12/0x340"
GATE = "srlock_queue_rq+0x90/0x210 [srlock]"
FENCE = ["blk_mq_tagset_busy_iter+0x4b/0x68", "srlock_gate_fence+0x8c/0x16a [srlock]"]
COMMAND = ["srlock_execute+0x13f/0x1d9 [srlock]", "srlock_gate_close+0x31/0x52 [srlock]"]
TICK = ["hrtimer_active+0x80/0xe1", "hrtimer_interrupt+0x11d/0x27b", "sysvec_apic_timer_interrupt+0x81/0xab",
        "asm_sysvec_apic_timer_interrupt+0x1b/0x20"]
SWAP = ["srlock_restore_queue_ops+0xb3/0xc6 [srlock]", "srlock_gate_open+0x77/0x91 [srlock]"]
DISPATCH = ["blk_mq_dispatch_rq_list+0x6b4/0x8b3", "blk_execute_rq_nowait+0x96/0xa4"]
MARKED = "write (marked) to", "read to"
KERNEL = ["ktime_get+0x10/0x90", "tick_sched_timer+0x30/0x90"]

# what it is: the log, and how many reports there are to see
SAMPLES = {
    "a quiet log": (["random: crng init done", "sr 1:0:0:0: [sr0] scsi3-mmc drive"], 0),
    "KASAN": (["BUG: KASAN: use-after-free in srlock_x+0x1/0x2 [srlock]"], 1),
    "a WARN": (["WARNING: CPU: 0 PID: 1 at module/lock.c:1 srlock_x+0x1/0x2 [srlock]"], 1),
    "lockdep": (["WARNING: possible circular locking dependency detected"], 1),
    "lockdep, of contexts": (["[ BUG: Invalid wait context ]"], 1),
    "lockdep, of RCU": (["WARNING: suspicious RCU usage"], 1),
    "kmemleak": (["unreferenced object 0xffff888004 (size 64):"], 1),
    "a sleep in the wrong place": (["BUG: sleeping function called from invalid context at x.c:1"], 1),
    "a hung task": (["INFO: task rmmod:99 blocked for more than 20 seconds."], 1),
    "debug objects": (["ODEBUG: free active (active state 0) object type: timer_list"], 1),
    "a race of two functions of the module": (race(
        "srlock_lock_acquire [srlock] / srlock_lock_release [srlock]",
        [OURS, OTHER], ["srlock_lock_release+0x1/0x2 [srlock]", OTHER]), 1),
    "a race with the kernel, the module second": (race(
        "ktime_get / srlock_lock_acquire [srlock]", KERNEL, [OURS, OTHER]), 1),
    "a race in a function that the module called": (race(
        "memchr_inv / ktime_get", KERNEL, ["memchr_inv+0x10/0x90", OURS, OTHER]), 1),
    "the same, further down": (race(
        "rb_insert_color / ktime_get", ["rb_insert_color+0x1/0x2", "timerqueue_add+0x3/0x90", OURS], KERNEL), 1),
    "a race of unknown origin": (
        [RULE, "BUG: KCSAN: data-race in strscpy", "",
         "race at unknown origin, with read to 0xffff8880045d0a10 of 4 bytes by task 200 on cpu 0:",
         " strscpy+0x10/0x90", f" {OURS}", f" {OTHER}", "", RULE], 1),
    "a race of the kernel's": (race("ktime_get / tick_sched_timer", KERNEL, KERNEL), 0),
    "a race of SCSI's, called through the gate": (race(
        "scsi_dec_host_busy / scsi_queue_rq",
        ["scsi_queue_rq+0x33/0x90", GATE, "blk_mq_dispatch_rq_list+0x1/0x2"], KERNEL), 0),
    "a race of SCSI's further in, called through the gate": (race(
        "ata_qc_issue / ktime_get",
        ["ata_qc_issue+0x33/0x90", "ata_scsi_queuecmd+0x1/0x2", "scsi_queue_rq.part.0+0x33/0x90", GATE,
         "srlock_call+0x1/0x2 [srlock]"], KERNEL), 0),
    "a race of the block layer's, in what another module does through the gate": (race(
        "blk_mq_sched_dispatch_requests / blk_mq_sched_dispatch_requests",
        ["blk_mq_sched_dispatch_requests+0xde/0x10e", "sr_lock_door+0x3f/0x50 [sr_mod]",
         "sr_block_release+0x3f/0x64 [sr_mod]", "srlock_release+0x18a/0x22f [srlock]", "blkdev_put+0x2a7/0x2f4"],
        KERNEL), 0),
    "a race in a function of another module that the module called": (race(
        "sr_packet / ktime_get", ["sr_packet+0x10/0x90 [sr_mod]", OURS, OTHER], KERNEL), 1),
    "the clock's, which is read without a lock": (
        [RULE, "BUG: KCSAN: data-race in ktime_get_mono_fast_ns+0x92/0x10b", "",
         "race at unknown origin, with read to 0xffffffff822b42a8 of 8 bytes by task 54 on cpu 1:",
         " ktime_get_mono_fast_ns+0x92/0x10b", " blk_pm_mark_last_busy+0x4c/0x6e", f" {OURS}", "", RULE], 0),
    "a timer's with the sleeper that looks whether it is over": (race(
        "hrtimer_wakeup / schedule_hrtimeout_range_clock",
        ["hrtimer_wakeup+0x2d/0x4e", "__hrtimer_run_queues+0x16b/0x24e", "schedule_hrtimeout_range_clock+0xde/0x152",
         "usleep_range_state+0x91/0xa4", OURS],
        ["schedule_hrtimeout_range_clock+0xde/0x152", "usleep_range_state+0x91/0xa4", OURS]), 0),
    "the hint of where a free bit is": (race(
        "sbitmap_put / sbitmap_put", ["sbitmap_put+0xab/0xbd", "scsi_device_unbusy+0x98/0xba"],
        ["sbitmap_put+0xab/0xbd", "scsi_mq_put_budget+0x34/0x3d", "srlock_refuse_request+0x2b4/0x3b2 [srlock]"]), 0),
    "a bit that is free at first sight": (race(
        "_find_next_zero_bit / sbitmap_find_bit_in_word",
        ["sbitmap_find_bit_in_word+0xa1/0xe3", "__sbitmap_get+0x73/0xc3", "blk_mq_get_tag+0x10e/0x3a5",
         "scsi_alloc_request+0x15/0x3d", *COMMAND],
        ["_find_next_zero_bit+0x3c/0x83", "sbitmap_find_bit_in_word+0x70/0xe3", "blk_mq_get_tag+0x10e/0x3a5"]), 0),
    "the look whether a queue has something to run": (race(
        "list_empty_careful / list_splice_tail_init",
        ["list_splice_tail_init+0x7a/0xc1", "blk_mq_dispatch_rq_list+0x73d/0x8b3", "blk_execute_rq_nowait+0x96/0xa4"],
        ["list_empty_careful+0x1b/0x4a", "blk_mq_hctx_has_pending+0x1c/0x9f", "blk_mq_run_hw_queues+0xba/0xef",
         "srlock_refuse_request+0x478/0x48e [srlock]"]), 0),
    "a look of the module's at a list": (race(
        "list_empty_careful / list_splice_tail_init", ["list_splice_tail_init+0x7a/0xc1", "vfs_read+0x1/0x2"],
        ["list_empty_careful+0x1b/0x4a", OURS]), 1),
    "a request that gets its tag, and the walk over the tags": (race(
        "__blk_mq_get_driver_tag / blk_mq_find_and_get_req",
        ["__blk_mq_get_driver_tag+0x9a/0xe4", "blk_mq_dispatch_rq_list+0xe2/0x583", "blk_execute_rq+0xc6/0x13c", *COMMAND],
        ["blk_mq_find_and_get_req+0x4e/0x9b", "bt_tags_iter+0x9d/0xe1", *FENCE]), 0),
    "a request that is begun, and the walk over the tags": (race(
        "blk_execute_rq / is_flush_rq", ["blk_execute_rq+0x7f/0x13c", *COMMAND],
        ["is_flush_rq+0x1c/0x34", "blk_mq_put_rq_ref+0x1a/0x5c", "bt_tags_iter+0xbc/0xe1", *FENCE]), 0),
    "a request that is begun, and something else": (race(
        "blk_execute_rq / blk_end_sync_rq", ["blk_execute_rq+0x7f/0x13c", *COMMAND],
        ["blk_end_sync_rq+0x1c/0x34", "__blk_mq_end_request+0x1a/0x5c"]), 1),
    "a request that is begun, and the module in the walk": (race(
        "blk_execute_rq / blk_rq_is_passthrough", ["blk_execute_rq+0x7f/0x13c", *COMMAND],
        ["blk_rq_is_passthrough+0x1c/0x34", "srlock_check_busy+0x1a/0x5c [srlock]", "bt_tags_iter+0xaa/0xe1", *FENCE]), 1),
    "bits of the module's own": (race(
        "_find_next_zero_bit / ktime_get", KERNEL, ["_find_next_zero_bit+0x3c/0x83", OURS, OTHER]), 1),
    "one of such a function's with the module itself": (race(
        "schedule_hrtimeout_range_clock / srlock_x", ["schedule_hrtimeout_range_clock+0xde/0x152", OURS],
        [OURS, OTHER]), 1),
    "one through the gate, and the module itself in the other stack": (race(
        "scsi_queue_rq / list_del", ["scsi_queue_rq+0x33/0x90", GATE], ["list_del+0x1/0x2", OURS]), 1),
    "an interrupt's, in the midst of what the module called": (race(
        "__hrtimer_run_queues / hrtimer_active", [*TICK, "mutex_lock+0x1/0x2", OURS],
        ["__hrtimer_run_queues+0xb3/0x24e", *TICK[1:]]), 0),
    "what was interrupted, with the interrupt beside": (race(
        "memchr_inv / hrtimer_active", ["memchr_inv+0x1/0x2", OURS], [*TICK, OURS]), 1),
    "a function of the module's in an interrupt": (race(
        "list_del / hrtimer_active", ["list_del+0x1/0x2", "srlock_command_end_io+0x1/0x2 [srlock]", *TICK[2:]], TICK), 1),
    "a fault's, in the midst of the module": (race(
        "memchr_inv / ktime_get", ["memchr_inv+0x1/0x2", "asm_exc_page_fault+0x22/0x30", OURS], KERNEL), 1),
    "the swap of a queue's operations, and who just reads which they are": (race(
        "blk_mq_dispatch_rq_list / srlock_restore_queue_ops [srlock]", SWAP, DISPATCH, kinds=MARKED), 0),
    "the same, the read first": (race(
        "blk_mq_dispatch_rq_list / srlock_restore_queue_ops [srlock]", DISPATCH, SWAP, kinds=MARKED[::-1]), 0),
    "a swap without a mark": (race(
        "blk_mq_dispatch_rq_list / srlock_restore_queue_ops [srlock]", SWAP, DISPATCH), 1),
    "a swap, and who writes": (race(
        "blk_mq_dispatch_rq_list / srlock_restore_queue_ops [srlock]", SWAP, DISPATCH,
        kinds=("write (marked) to", "write to")), 1),
    "a swap, and the module's own read": (race(
        "srlock_restore_queue_ops [srlock] / srlock_lock_acquire [srlock]", SWAP, [OURS, OTHER], kinds=MARKED), 1),
    "another marked write of the module's": (race(
        "ktime_get / srlock_lock_acquire [srlock]", [OURS, OTHER], KERNEL, kinds=MARKED), 1),
    "what the module reads of a swapped pointer": (race(
        "blk_mq_dispatch_rq_list / srlock_restore_queue_ops [srlock]", DISPATCH, SWAP, kinds=MARKED), 1),
    "a race that ends with the log": (race("ktime_get / strscpy", KERNEL, ["strscpy+0x1/0x2", OURS])[:-4], 1),
    "a race and then a WARN": (race("ktime_get / tick_sched_timer", KERNEL, KERNEL) +
                               ["WARNING: CPU: 0 PID: 1 at module/lock.c:1"], 1),
    "two races": (race("a / b", KERNEL, KERNEL)[:-1] + race("x / srlock_y [srlock]", KERNEL, [OURS]), 1),
}


def stamped(lines: list[str]) -> list[str]:
    """The lines as a console has them."""
    return [f"[   12.{number:06}][  T201] {line}\r" for number, line in enumerate(lines)]


def main() -> int:
    passed = failed = 0
    print(f"1..{2 * len(SAMPLES)}")
    for name, (lines, count) in SAMPLES.items():
        for how, log in (("", lines), (", with times", stamped(lines))):
            seen = len(list(complaints(log)))
            word = "ok" if seen == count else "not ok"
            passed, failed = passed + (seen == count), failed + (seen != count)
            print(f"{word} {passed + failed} {name}{how}")
            if seen != count:
                print(f"# {seen} seen, {count} there")
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
