/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A call of the lock with a structure
 */
#ifndef LOCK_CALL_H
#define LOCK_CALL_H

#include <unistd.h>

#include "runner.h"

/**
 * struct lock_call - such a call
 * @file: it is made on
 * @size_kind: of the structure
 * @pointer: where that lies
 * @needs_write: the file has to be open for writing
 * @known: size of the structure as it is known
 * @size: as the call says
 * @bytes: what was in memory before
 * @at: its address
 * @signals: as seen before
 * @interrupted: a signal came
 * @result: or minus the errno
 */
struct lock_call {
	struct file *file;
	enum size size_kind;
	enum pointer pointer;
	bool needs_write;
	size_t known;
	size_t size;
	unsigned char bytes[LARGEST_SIZE + 1];
	void *at;
	unsigned int signals;
	bool interrupted;
	long result;
};

/* Make it; false if it is not a lock file, then it was judged, too. */
bool call_make(struct lock_call *call, struct runner *runner, unsigned int nr,
	       const void *args, size_t known);
/*
 * Whether it had to fail because of its arguments; judged if so. content: what is
 * in the structure deserves that error, negative; or 0.
 */
bool call_judge_arguments(const struct lock_call *call, struct runner *runner, int content);
void call_check_unchanged(const struct lock_call *call, struct runner *runner);

#endif
