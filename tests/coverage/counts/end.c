// SPDX-License-Identifier: GPL-2.0-only
/* The last object of a counting srlock.ko; see counts.h. */
#include <linux/module.h>

#include "counts.h"

const struct gcov_info *const srlock_counts_end[1] COUNTS_SECTION = { NULL };
