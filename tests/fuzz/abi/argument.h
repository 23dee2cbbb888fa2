/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where an argument of a call lies: in good memory, at the end of it, partly or
 * wholly beyond it
 */
#ifndef ARGUMENT_H
#define ARGUMENT_H

#include <stdbool.h>
#include <stddef.h>

enum pointer {
	POINTER_GOOD,
	POINTER_GOOD_TOO,	/* good ones are more often wanted */
	POINTER_PAGE_END,	/* ends where the memory ends */
	POINTER_UNALIGNED,
	POINTER_ACROSS,		/* the last byte is beyond the end */
	POINTER_HALF,		/* the second half is */
	POINTER_BEYOND,		/* all of it is */
	POINTER_READ_ONLY,
	POINTER_NULL,
	POINTER_SMALL,
	POINTER_WILD,		/* no address at all */
	POINTER_KERNEL,
	POINTERS,
};

/* Sizes of a structure that a call may name. */
enum size {
	SIZE_EXACT,
	SIZE_EXACT_TOO,
	SIZE_NONE,
	SIZE_TOO_SMALL,		/* by one byte */
	SIZE_NEWER,		/* by 8 bytes, zero */
	SIZE_NEWER_SET,		/* the same, the last one not zero */
	SIZE_LARGEST,		/* what fits into the number of a call, zero */
	SIZE_LARGEST_SET,
	SIZES,
};

enum { MEMORY_PAGES = 12, LARGEST_SIZE = (1 << 14) - 1 };

/**
 * struct memory - where arguments are put
 * @start: first byte of the pages
 * @end: first byte beyond them, in a page that cannot be touched
 * @read_only: the same pages, as they cannot be written
 */
struct memory {
	char *start;
	char *end;
	char *read_only;
};

bool memory_init(struct memory *memory);
void memory_free(struct memory *memory);

bool pointer_is_readable(enum pointer pointer);
bool pointer_is_writable(enum pointer pointer);
/* The address for size bytes; filled with data, if any, as far as it can be. */
void *memory_place(const struct memory *memory, enum pointer pointer, const void *data,
		   size_t size);
/* The bytes that are at such an address now, as far as they can be read. */
bool memory_is(const struct memory *memory, enum pointer pointer, const void *data, size_t size);

size_t size_of(enum size size, size_t exact);
bool size_is_set(enum size size);

#endif
