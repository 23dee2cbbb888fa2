/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Included before main.c of a counting srlock.ko: end.c calls its init and exit. */
#include "../counts/counts.h"

#undef module_init
#define module_init(function)	initcall_t srlock_counted_init __initdata = function

#undef module_exit
#define module_exit(function)	exitcall_t srlock_counted_exit __exitdata = function
