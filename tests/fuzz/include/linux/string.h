/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * String functions: those of the C library
 */
#ifndef SRLOCK_FUZZ_STRING_H
#define SRLOCK_FUZZ_STRING_H

#include <string.h>

#endif /* SRLOCK_FUZZ_STRING_H */
