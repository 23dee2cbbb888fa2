/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Spinlocks for a single thread: nobody to wait for, but each misuse is fatal
 */
#ifndef SRLOCK_FUZZ_SPINLOCK_H
#define SRLOCK_FUZZ_SPINLOCK_H

#include <stdbool.h>
#include <stdlib.h>

struct fuzz_spinlock {
	bool held;
};

#define spinlock_t	struct fuzz_spinlock

static inline void spin_lock_init(spinlock_t *lock)
{
	lock->held = false;
}

static inline void spin_lock(spinlock_t *lock)
{
	if (lock->held)
		abort();
	lock->held = true;
}

static inline void spin_unlock(spinlock_t *lock)
{
	if (!lock->held)
		abort();
	lock->held = false;
}

#endif /* SRLOCK_FUZZ_SPINLOCK_H */
