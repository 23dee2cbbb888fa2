/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Make allocations, and copies from and to callers, fail
 *
 * In a task that is armed with n, the nth of them from then on fails; if it is armed
 * for good, all further allocations do so, too, until it is disarmed. Nothing else
 * is affected.
 */
#ifndef INJECT_H
#define INJECT_H

#include <stdbool.h>

enum inject_mode { INJECT_ONE, INJECT_ALL_FROM };

/* Once, before anything else. */
bool inject_setup(void);
/* The calling thread. */
void inject_arm(unsigned int nth, enum inject_mode mode);
/* The calling thread; counted from where it first gets into the module on (more_faults.h). */
void inject_arm_inside(unsigned int nth);
/* How many were left to the nth; 0: it has failed. */
unsigned int inject_disarm(void);
/* All kernel workers, each on its own; for what is done by works. */
void inject_arm_works(unsigned int nth, enum inject_mode mode);
void inject_disarm_works(void);

#endif
