/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a function says of the locks it needs is checked
 */
#ifndef SRLOCK_FUZZ_LOCKDEP_H
#define SRLOCK_FUZZ_LOCKDEP_H

#include <stdlib.h>

#define lockdep_assert_held(lock) do { \
	if (!(lock)->held) \
		abort(); \
} while (0)

#endif /* SRLOCK_FUZZ_LOCKDEP_H */
