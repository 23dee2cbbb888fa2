// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Where an argument lies; see argument.h
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "argument.h"

enum { PAGE = 4096, BYTES = MEMORY_PAGES * PAGE, OFFSET = 64, SMALL = 8 };

static const unsigned long wild = 0xdead4eadbeef0000UL;
static const unsigned long in_kernel = 0xffffffff81000000UL;

bool memory_init(struct memory *memory)
{
	/* shared, so that it can be mapped twice */
	memory->start = mmap(NULL, BYTES + PAGE, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory->start == MAP_FAILED)
		return false;
	memory->end = memory->start + BYTES;
	memory->read_only = mremap(memory->start, 0, BYTES, MREMAP_MAYMOVE);
	if (memory->read_only == MAP_FAILED)
		return false;
	return !mprotect(memory->end, PAGE, PROT_NONE) &&
	       !mprotect(memory->read_only, BYTES, PROT_READ);
}

void memory_free(struct memory *memory)
{
	munmap(memory->start, BYTES + PAGE);
	munmap(memory->read_only, BYTES);
}

bool pointer_is_readable(enum pointer pointer)
{
	return pointer <= POINTER_UNALIGNED || pointer == POINTER_READ_ONLY;
}

bool pointer_is_writable(enum pointer pointer)
{
	return pointer <= POINTER_UNALIGNED;
}

/* Where the bytes can be written by ourselves; how many of them in *room. */
static char *backing(const struct memory *memory, enum pointer pointer, size_t size, size_t *room)
{
	char *at;

	*room = 0;
	if (!size)
		return memory->start;
	switch (pointer) {
	case POINTER_PAGE_END:
		at = memory->end - size;
		break;
	case POINTER_UNALIGNED:
		at = memory->start + OFFSET + 1;
		break;
	case POINTER_ACROSS:
		at = memory->end - size + 1;
		break;
	case POINTER_HALF:
		at = memory->end - size / 2;
		break;
	case POINTER_GOOD:
	case POINTER_GOOD_TOO:
	case POINTER_READ_ONLY:
		at = memory->start + OFFSET;
		break;
	default:
		at = memory->end;
	}
	*room = memory->end - at;
	if (*room > size)
		*room = size;
	return at;
}

void *memory_place(const struct memory *memory, enum pointer pointer, const void *data,
		   size_t size)
{
	size_t room;
	char *at = backing(memory, pointer, size, &room);

	if (data)
		memcpy(at, data, room);
	switch (pointer) {
	case POINTER_READ_ONLY:
		return memory->read_only + (at - memory->start);
	case POINTER_NULL:
		return NULL;
	case POINTER_SMALL:
		return (void *)SMALL;
	case POINTER_WILD:
		return (void *)wild;
	case POINTER_KERNEL:
		return (void *)in_kernel;
	default:
		return at;
	}
}

bool memory_is(const struct memory *memory, enum pointer pointer, const void *data, size_t size)
{
	size_t room;
	char *at = backing(memory, pointer, size, &room);

	return !memcmp(at, data, room);
}

size_t size_of(enum size size, size_t exact)
{
	switch (size) {
	case SIZE_NONE:
		return 0;
	case SIZE_TOO_SMALL:
		return exact - 1;
	case SIZE_NEWER:
	case SIZE_NEWER_SET:
		return exact + 8;
	case SIZE_LARGEST:
	case SIZE_LARGEST_SET:
		return LARGEST_SIZE;
	default:
		return exact;
	}
}

bool size_is_set(enum size size)
{
	return size == SIZE_NEWER_SET || size == SIZE_LARGEST_SET;
}
