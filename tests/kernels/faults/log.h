/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's log: what was made to fail, and where
 *
 * Every fault is in it with a stack. Those are read here and nothing else is done
 * with them; all else that the kernel says goes to the console as usual.
 */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>

enum { LOG_SITE_SIZE = 96 };

/* What the log has of some time. */
struct log_seen {
	unsigned int faults;
	/* with the module's functions on the stack */
	unsigned int ours;
	/* in one of the module's works */
	unsigned int in_works;
	/* the module's function that was called last, FUNCTION+OFFSET */
	char site[LOG_SITE_SIZE];
};

/* All of it together. */
extern struct log_seen log_total;

bool log_start(void);
/* What has come since the last time; each site is told to sites.h. */
struct log_seen log_take(void);

#endif
