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
 * one on the way.
 *
 * Return: an exit status.
 */
int signals_take(struct signals *signals, const int *numbers)
{
	sigset_t set;

	sigemptyset(&set);
	for (; *numbers; numbers++)
		sigaddset(&set, *numbers);
	signals->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals->fd < 0 || sigprocmask(SIG_BLOCK, &set, &signals->before))
		return fail(EX_OSERR, "cannot take signals: %s", strerror(errno));
	return 0;
}

/**
 * signals_next() - the next signal that came
 * @signals: where from
 * @number: which
 * @from_terminal: the terminal sent it, and so to the whole foreground job
 *
 * Return: false if there is none now.
 */
bool signals_next(const struct signals *signals, int *number, bool *from_terminal)
{
	struct signalfd_siginfo info;

	if (read(signals->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return false;
	*number = (int)info.ssi_signo;
	*from_terminal = info.ssi_code == SI_KERNEL;
	return true;
}
