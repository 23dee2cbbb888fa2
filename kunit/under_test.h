/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests may set in the sources under test
 */
#ifndef SRLOCK_UNDER_TEST_H
#define SRLOCK_UNDER_TEST_H

#include <linux/types.h>

/**
 * struct srlock_under_test - the surroundings of the sources under test
 * @now: what ktime_get_ns() tells them
 * @no_memory: their allocations fail
 */
struct srlock_under_test {
	u64 now;
	bool no_memory;
};

extern struct srlock_under_test srlock_under_test;

#endif /* SRLOCK_UNDER_TEST_H */
