/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's error numbers, with the one that user space never sees
 */
#ifndef SRLOCK_FUZZ_ERRNO_H
#define SRLOCK_FUZZ_ERRNO_H

#include_next <linux/errno.h>

#define ERESTARTSYS	512

#endif /* SRLOCK_FUZZ_ERRNO_H */
