/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One thread: no access needs a mark
 */
#ifndef SRLOCK_FUZZ_COMPILER_H
#define SRLOCK_FUZZ_COMPILER_H

#define WRITE_ONCE(place, value)	((place) = (value))

#endif /* SRLOCK_FUZZ_COMPILER_H */
