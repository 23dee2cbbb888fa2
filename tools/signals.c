// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * signals.c - signals taken in turn with everything else
 */
#include <errno.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "signals.h"
#include "tool.h"

/**
 * signals_take() - take signals from a file instead of being interrupted
 * @signals: filled in
 * @numbers: which, ended by 0
 *
 * For good: who has taken them to end in good order is not to be killed by a second
 * one on the way. What is ignored, as a hangup under nohup(1), stays so.
 *
 * Return: an exit status.
 */
int signals_take(struct signals *signals, const int *numbers)
{
	struct sigaction action;
	sigset_t set;

	sigemptyset(&set);
	for (; *numbers; numbers++) {
		if (sigaction(*numbers, NULL, &action) || action.sa_handler != SIG_IGN)
			sigaddset(&set, *numbers);
	}
	signals->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals->fd < 0 || sigprocmask(SIG_BLOCK, &set, &signals->before))
		return fail(EX_OSERR, "cannot take signals: %s", strerror(errno));
	return 0;
}

/**
 * signals_next() - the next signal that came
 * @signals: where from
 * @number: which
 * @from_kernel: no process sent it
 *
 * Return: false if there is none now.
 */
bool signals_next(const struct signals *signals, int *number, bool *from_kernel)
{
	struct signalfd_siginfo info;

	if (read(signals->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return false;
	*number = (int)info.ssi_signo;
	*from_kernel = info.ssi_code == SI_KERNEL;
	return true;
}
