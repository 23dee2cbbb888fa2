/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lock of a drive, and whether all is well with it
 */
#ifndef LOCK_H
#define LOCK_H

#include <stdbool.h>

#include "drives.h"

enum { COUNT_UNKNOWN = -1 };

int lock_open(const struct drive *drive);
/* 0 or the negative errno */
int lock_acquire(int lock, bool wait);
int lock_release(int lock);
/* How often the file holds its drive, or COUNT_UNKNOWN. */
int lock_count(int lock);
/* How many wait for its drive. */
int lock_waiters(int lock);

/*
 * Whether the file holds the drive so often, commands get through it and a stranger
 * gets nowhere; NULL if so, else what is wrong.
 */
const char *lock_is_held(const struct drive *drive, int lock, int count);
/* Whether nobody holds the drive, after a moment, and strangers get through. */
const char *lock_is_free(const struct drive *drive);
/* Whether it can be held and released. */
const char *lock_can_be_held(const struct drive *drive);
/* Whether it is free afterwards, too. */
const char *lock_works(const struct drive *drive);

#endif
