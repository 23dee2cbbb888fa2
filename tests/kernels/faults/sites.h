/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the module can fail: the list that `sites` makes of it, and what of that
 * has been made to
 */
#ifndef SITES_H
#define SITES_H

#include <stdbool.h>

bool sites_load(const char *path);
/* where: FUNCTION+OFFSET, as in a stack trace */
void sites_reached(const char *where);
/* What is called there; NULL if it is not in the list. */
const char *sites_callee(const char *where);
/* How often a call of that function has failed so far, wherever. */
unsigned int sites_reached_at(const char *callee);
/* A result for each. */
void sites_judge(void);

#endif
