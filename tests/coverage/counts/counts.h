/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a counting srlock.ko and the module that keeps its counts share.
 *
 * gcc gives each object of srlock.ko a struct gcov_info, and a pointer to it in a
 * section (-fprofile-info-section); begin.c and end.c are linked around the objects
 * and so mark where the pointers begin and end.
 */
#ifndef COUNTS_H
#define COUNTS_H

#include <linux/module.h>

struct gcov_info;

#define COUNTS_SECTION __section(".gcov_info")

extern const struct gcov_info *const srlock_counts_begin[];
extern const struct gcov_info *const srlock_counts_end[];

void srlock_counts_come(const struct gcov_info *const *begin,
			const struct gcov_info *const *end);
void srlock_counts_go(void);

void __gcov_merge_add(s64 *counters, unsigned int n);

/* The module's own init and exit, which wrap.h and end.c wrap. */
extern initcall_t srlock_counted_init;
extern exitcall_t srlock_counted_exit;

#endif
