/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The limits of the kernel's types
 */
#ifndef SRLOCK_FUZZ_LIMITS_H
#define SRLOCK_FUZZ_LIMITS_H

#include_next <linux/limits.h>

#include <stdint.h>

#define U32_MAX		UINT32_MAX

#endif /* SRLOCK_FUZZ_LIMITS_H */
