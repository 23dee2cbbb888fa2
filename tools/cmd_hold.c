// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cmd_hold.c - srlock hold: hold a drive until told to stop
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hold.h"
#include "signals.h"

static const int taken[] = { SIGINT, SIGQUIT, SIGTERM, SIGHUP, 0 };

/* Nobody talks to a background job. */
static bool input_is_ours(void)
{
	return !isatty(STDIN_FILENO) || tcgetpgrp(STDIN_FILENO) == getpgrp();
}

/* Has standard input come to its end? What is in it is of no interest. */
static bool input_ended(struct pollfd *slot)
{
	char dump[4096];
	ssize_t got;

	if (slot->fd < 0 || !slot->revents)
		return false;
	got = read(slot->fd, dump, sizeof(dump));
	if (got < 0 && errno == EIO && !input_is_ours()) {
		slot->fd = -1;
		return false;
	}
	return got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN);
}

static void hold_until_told(struct hold *hold, const struct signals *signals, uint64_t deadline)
{
	bool from_kernel;
	int number, left;

	hold->poll[HOLD_SIGNALS].fd = signals->fd;
	while (!hold_lost(hold)) {
		left = milliseconds_to(deadline);
		if (!left)
			return;
		if (!hold_wait(hold, left))
			continue;
		if (signals_next(signals, &number, &from_kernel) ||
		    input_ended(&hold->poll[HOLD_INPUT]))
			return;
	}
}

static int announce(const struct hold *hold)
{
	size_t i;

	for (i = 0; i < hold->drives.count; i++)
		printf("held %s as \"%s\"\n", hold->drives.drives[i]->label,
		       hold->options.client);
	return flush_output(EXIT_SUCCESS);
}

static int hold_for_a_while(struct hold *hold)
{
	uint64_t deadline = SRLOCK_DEADLINE_NONE;
	struct signals signals;
	int status, ending;

	status = hold_take(hold);
	if (!hold->taken)
		return status;
	status = signals_take(&signals, taken);
	/* Who has become a background job is not stopped for a read, it gets EIO. */
	signal(SIGTTIN, SIG_IGN);
	if (hold->options.limit_given)
		deadline = monotonic_ns() + hold->options.limit_ns;
	else if (input_is_ours())
		hold->poll[HOLD_INPUT].fd = STDIN_FILENO;
	if (!status && !hold->options.quiet)
		status = announce(hold);
	if (!status)
		hold_until_told(hold, &signals, deadline);
	ending = hold_give_back(hold);
	if (!status && hold_lost(hold))
		status = EX_UNAVAILABLE;
	return status ? status : ending;
}

static int run(const struct verb *verb, int argc, char **argv)
{
	struct hold hold = { 0 };
	int status;

	status = hold_parse(verb, argc, argv, false, &hold.options);
	if (!hold.options.client)
		hold.options.client = "srlock hold";
	for (; !status && optind < argc; optind++)
		status = drive_list_named(&hold.drives, argv[optind]);
	if (!status)
		status = hold_for_a_while(&hold);
	hold_free(&hold);
	return status;
}

const struct verb verb_hold = {
	.name = "hold",
	.arguments = "[OPTIONS] DRIVE...",
	.summary = "Hold a drive until standard input ends or a signal comes",
	.options =
	"  -s, --seconds SECS       hold for that long, whatever standard input does\n"
	HOLD_OPTIONS_HELP,
	.run = run,
};
