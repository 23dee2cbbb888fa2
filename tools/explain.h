/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * explain.h - what a failed call means, who is in the way and what to do
 */
#ifndef SRLOCK_EXPLAIN_H
#define SRLOCK_EXPLAIN_H

#include "lock.h"

char *explain_busy(const struct drive *drive, const struct srlock_acquire *acquire,
		   const struct srlock_info *info);
char *explain_holder(const struct lock_status *status);
int explain_open(const struct drive *drive, int error);
int explain_acquire(const struct drive *drive, const struct srlock_acquire *acquire,
		    const struct srlock_info *info, int error);
int explain_release(const struct drive *drive, int error);
int explain_break(const struct drive *drive, int error);
void explain_prior_opens(const struct drive *drive, const struct srlock_info *info);

#endif
