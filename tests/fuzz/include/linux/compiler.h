/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Accesses that the compiler leaves whole
 */
#ifndef SRLOCK_FUZZ_COMPILER_H
#define SRLOCK_FUZZ_COMPILER_H

#define WRITE_ONCE(place, value) \
	(*(volatile __typeof__(place) *)&(place) = (value))

#endif /* SRLOCK_FUZZ_COMPILER_H */
