/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Included before main.c of a counting srlock.ko: its init and exit report to the
 * module that keeps the counts. Exit is counted, too, and so is an init that fails.
 */
#include <linux/module.h>

#include "../counts/counts.h"

#undef module_init
#define module_init(function)						\
	int __init init_module(void)					\
	{								\
		int ret;						\
									\
		srlock_counts_come(srlock_counts_begin, srlock_counts_end); \
		ret = function();					\
		if (ret)						\
			srlock_counts_go();				\
		return ret;						\
	}

#undef module_exit
#define module_exit(function)						\
	void __exit cleanup_module(void)				\
	{								\
		function();						\
		srlock_counts_go();					\
	}
