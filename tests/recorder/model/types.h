/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's names for integers of a fixed size, and big-endian access to them. */
#ifndef RECORDER_TYPES_H
#define RECORDER_TYPES_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;

static inline u16 get_be16(const u8 *p)
{
	return (u16)(p[0] << 8 | p[1]);
}

static inline u32 get_be32(const u8 *p)
{
	return (u32)get_be16(p) << 16 | get_be16(p + 2);
}

static inline void put_be16(u8 *p, u16 value)
{
	p[0] = (u8)(value >> 8);
	p[1] = (u8)value;
}

static inline void put_be24(u8 *p, u32 value)
{
	p[0] = (u8)(value >> 16);
	put_be16(p + 1, (u16)value);
}

static inline void put_be32(u8 *p, u32 value)
{
	put_be16(p, (u16)(value >> 16));
	put_be16(p + 2, (u16)value);
}

#endif
