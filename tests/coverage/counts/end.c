// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The last object of a counting srlock.ko; see counts.h. Its init and exit report to
 * the module that keeps the counts. Exit is counted, too, and so is an init that fails.
 */
#include "counts.h"

const struct gcov_info *const srlock_counts_end[1] COUNTS_SECTION = { NULL };

int __init init_module(void)
{
	int ret;

	srlock_counts_come(srlock_counts_begin, srlock_counts_end);
	ret = srlock_counted_init();
	if (ret)
		srlock_counts_go();

	return ret;
}

void __exit cleanup_module(void)
{
	srlock_counted_exit();
	srlock_counts_go();
}
