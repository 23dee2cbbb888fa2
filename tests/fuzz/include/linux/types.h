/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's types, for user space
 */
#ifndef SRLOCK_FUZZ_TYPES_H
#define SRLOCK_FUZZ_TYPES_H

#include_next <linux/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;

#endif /* SRLOCK_FUZZ_TYPES_H */
