/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Results in TAP
 */
#ifndef TAP_H
#define TAP_H

#include <stdbool.h>

/* What stands in front of every name from here on. */
void tap_scope(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* One result; got and wanted are shown when they differ. */
void tap_equal(const char *name, long got, long wanted);
void tap_true(const char *name, bool holds);
void tap_skip(const char *name, const char *why);
/* Print the plan; return the exit status. */
int tap_end(void);

#endif
