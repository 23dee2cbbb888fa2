# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo: whom its witness puts a command down to, and what its table calls a failure."""
import importlib.machinery
import importlib.util
import sys
from collections import Counter
from dataclasses import replace

from bench import ROOT, Bench, test

sys.path += [str(ROOT / "tests/demo"), str(ROOT / "tests")]

# pylint: disable=wrong-import-position # these come from the folders above
import story
import witness

TRACE = """\
# tracer: nop
#
         early-9     [000] .....     1.000000: submit: (blk_execute_rq+0x0/0x210) rq=0xa0
         early-9     [000] .....     1.000001: issue: (scsi_queue_rq+0x0/0xbc0 [scsi_mod]) rq=0xa0
         early-9     [000] .....     1.000002: scsi_dispatch_cmd_start: host_no=4 cmnd=(INQUIRY - raw=12 00)
            sh-10    [000] .....     2.000000: tracing_mark_write: demo begin
       xorriso-11    [000] .....     2.100000: submit: (blk_execute_rq+0x0/0x210) rq=0xa0
  kworker/0:1H-12    [001] .....     2.100001: issue: (scsi_queue_rq+0x0/0xbc0 [scsi_mod]) rq=0xa0
     sg-reader-13    [000] .....     2.100002: submit_async: (blk_execute_rq_nowait+0x0/0xf0) rq=0xb0
  kworker/0:1H-12    [001] .....     2.100003: scsi_dispatch_cmd_start: host_no=4 cmnd=(WRITE_10 raw=2a 00)
     sg-reader-13    [000] .....     2.200000: issue: (scsi_queue_rq+0x0/0xbc0 [scsi_mod]) rq=0xb0
  kworker/0:1H-12    [001] .....     2.200001: issue: (scsi_queue_rq+0x0/0xbc0 [scsi_mod]) rq=0xb0
  kworker/0:1H-12    [001] .....     2.200002: scsi_dispatch_cmd_start: host_no=4 cmnd=(INQUIRY - raw=12 00)
 (udev-worker)-14    [000] .....     2.300000: submit: (blk_execute_rq+0x0/0x210) rq=0xc0
            dd-15    [000] .....     2.400000: issue: (scsi_queue_rq+0x0/0xbc0 [scsi_mod]) rq=0xd0
            dd-15    [000] .....     2.400001: scsi_dispatch_cmd_start: host_no=4 cmnd=(READ_10 raw=28 00)
            sh-10    [000] .....     3.000000: tracing_mark_write: demo end
       xorriso-11    [000] .....     3.100000: submit: (blk_execute_rq+0x0/0x210) rq=0xa0
       xorriso-11    [000] .....     3.100001: issue: (scsi_queue_rq+0x0/0xbc0 [scsi_mod]) rq=0xa0
       xorriso-11    [000] .....     3.100002: scsi_dispatch_cmd_start: host_no=4 cmnd=(INQUIRY - raw=12 00)
"""


@test("demo: a command is its submitter's, whichever task hands it to the drive, once, and between the marks")
def attribution(_: Bench) -> None:
    assert witness.attribute(TRACE.splitlines()) == {"xorriso": {"2a": 1}, "sg-reader": {"12": 1},
                                                     "page cache": {"28": 1}}


def failures(without: tuple, with_lock: tuple) -> list[str]:
    """The rows of the demo's table that are not as promised."""
    loader = importlib.machinery.SourceFileLoader("demo_run", str(ROOT / "tests/demo/run"))
    spec = importlib.util.spec_from_loader("demo_run", loader)
    assert spec
    demo = importlib.util.module_from_spec(spec)
    loader.exec_module(demo)
    return [row[0] for row in demo.compare(without, with_lock) if not row[3]]


@test("demo: everything that is not as promised is a failure")
def judgement(_: Bench) -> None:
    bad = story.Burn(0, "", 400, Counter(udev=5), 0, 1 << 20, 2048, "EOF")
    good = story.Burn(0, "", 400, Counter(), 5, 1 << 20, 1 << 20, "")
    without = (bad, bad, story.Vandalism(5, [True, True]), True)
    with_lock = (good, good, story.Vandalism(0, [False, False]), False)
    assert not failures(without, with_lock)
    for change in ({"foreign": Counter(udev=1)}, {"refused": 0}, {"status": 1}, {"compare": "differ"}):
        assert len(failures(without, (replace(good, **change), *with_lock[1:]))) == 1, change
    for place, value in ((2, story.Vandalism(5, [False, False])), (2, story.Vandalism(0, [True, False])), (3, True)):
        worse = (*with_lock[:place], value, *with_lock[place + 1:])
        assert len(failures(without, worse)) == 1, worse
    assert len(failures((good, *without[1:]), with_lock)) == 2      # no difference to show
