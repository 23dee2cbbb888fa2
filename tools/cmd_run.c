// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cmd_run.c - srlock run: run a command while it has the drive for itself
 *
 * The drive's own node is not opened here: a file from before the hold would
 * stand in the command's way.
 */
#include <getopt.h>
#include <stdlib.h>

#include "hold.h"
#include "process.h"

/* DRIVE [--] COMMAND... */
static int parse_words(const struct verb *verb, char **words, char **drives, char ***command)
{
	*drives = *words;
	*command = words + 1;
	if (**command && (**command)[0] == '-' && (**command)[1] == '-' && !(**command)[2])
		(*command)++;
	if (!**command)
		return usage_error(verb, "no command is given");
	return 0;
}

static int run_held(struct hold *hold, char **command)
{
	int status, ending;
	bool leftover;

	status = hold_take(hold);
	if (!hold->taken)
		return status;
	status = process_run(hold, command, &leftover);
	ending = hold_give_back(hold);
	if (leftover && !hold->options.quiet)
		say("processes of the command still run; they hold nothing any more");
	if (status)
		return status;
	/* The command is content, but it was not alone with the drive to the end. */
	return hold_lost(hold) ? EX_UNAVAILABLE : ending;
}

static int run(const struct verb *verb, int argc, char **argv)
{
	char name[SRLOCK_CLIENT_SIZE], *drives = NULL, **command = NULL;
	struct hold hold = { 0 };
	int status;

	status = hold_parse(verb, argc, argv, true, &hold.options);
	if (!status)
		status = parse_words(verb, argv + optind, &drives, &command);
	if (status)
		return status;
	if (!hold.options.client) {
		client_name_from_command(*command, name, sizeof(name));
		hold.options.client = name;
	}
	status = drive_list_named(&hold.drives, drives);
	if (!status)
		status = run_held(&hold, command);
	hold_free(&hold);
	return status;
}

const struct verb verb_run = {
	.name = "run",
	.arguments = "[OPTIONS] DRIVE[,DRIVE...] [--] COMMAND [ARGUMENT...]",
	.summary = "Run a command while it has the drive for itself",
	.options = HOLD_OPTIONS_HELP,
	.run = run,
};
