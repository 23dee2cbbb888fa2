// SPDX-License-Identifier: GPL-2.0-only
/*
 * The sources under test, as they are, but with a clock and an allocator that the
 * tests set
 */
#include <linux/cred.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "under_test.h"

struct srlock_under_test srlock_under_test;

static u64 srlock_under_test_now(void)
{
	return READ_ONCE(srlock_under_test.now);
}

static void *srlock_under_test_kmalloc(size_t size, gfp_t flags)
{
	return srlock_under_test.no_memory ? NULL : kmalloc(size, flags);
}

static void *srlock_under_test_kvcalloc(size_t n, size_t size, gfp_t flags)
{
	return srlock_under_test.no_memory ? NULL : kvcalloc(n, size, flags);
}

/* All headers that define these are included by now. */
#undef ktime_get_ns
#undef kmalloc
#undef kvcalloc
#define ktime_get_ns	srlock_under_test_now
#define kmalloc		srlock_under_test_kmalloc
#define kvcalloc	srlock_under_test_kvcalloc

#include "../module/lock.c"
#include "../module/admit.c"
#include "../module/pass.c"
#include "../module/events.c"

MODULE_DESCRIPTION("KUnit tests of srlock");
MODULE_LICENSE("GPL");
