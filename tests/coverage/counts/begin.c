// SPDX-License-Identifier: GPL-2.0-or-later
/* The first object of a counting srlock.ko; see counts.h. */
#include "counts.h"

const struct gcov_info *const srlock_counts_begin[1] COUNTS_SECTION = { NULL };

/* Named by each struct gcov_info, to say what kind its counters are. */
void __gcov_merge_add(s64 *counters, unsigned int n)
{
}
