/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * signals.h - signals taken in turn with everything else
 */
#ifndef SRLOCK_SIGNALS_H
#define SRLOCK_SIGNALS_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

/**
 * struct signals - the signals that a process takes from a file
 * @fd: the signalfd
 * @before: the mask that was in force before, for the command that is run
 */
struct signals {
	int fd;
	sigset_t before;
};

int signals_take(struct signals *signals, const int *numbers);
bool signals_next(const struct signals *signals, int *number, bool *from_kernel);

#endif
