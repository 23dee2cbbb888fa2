// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * hold_options.c - the options that run and hold share
 */
#include <getopt.h>
#include <stdlib.h>

#include "hold.h"

enum long_option {
	OPTION_FORCE = 0x100,
	OPTION_NO_PREVENT,
};

/* The first is for hold alone. */
static const struct option long_options[] = {
	{ "seconds", required_argument, NULL, 's' },
	{ "nonblock", no_argument, NULL, 'n' },
	{ "wait", required_argument, NULL, 'w' },
	{ "timeout", required_argument, NULL, 'w' },
	{ "name", required_argument, NULL, 'N' },
	{ "conflict-exit-code", required_argument, NULL, 'E' },
	{ "force", no_argument, NULL, OPTION_FORCE },
	{ "no-prevent", no_argument, NULL, OPTION_NO_PREVENT },
	{ "quiet", no_argument, NULL, 'q' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 }
};

static int option_wait(const struct verb *verb, struct hold_options *options, int option)
{
	if (options->wait_given)
		return usage_error(verb, "-n and -w exclude each other and stand once only");
	options->wait_given = true;
	options->wait_ns = 0;
	if (option == 'w' && !parse_seconds(optarg, &options->wait_ns))
		return usage_error(verb, "'%s' is not a time in seconds", optarg);
	return 0;
}

static int option_name(const struct verb *verb, struct hold_options *options)
{
	if (!client_name_valid(optarg))
		return usage_error(verb, "'%s' is not a client name: up to 63 of A-Za-z0-9 .,:;_-",
				   optarg);
	options->client = optarg;
	return 0;
}

static int option_seconds(const struct verb *verb, struct hold_options *options)
{
	if (!parse_seconds(optarg, &options->limit_ns))
		return usage_error(verb, "'%s' is not a time in seconds", optarg);
	options->limit_given = true;
	return 0;
}

static int option_conflict(const struct verb *verb, struct hold_options *options)
{
	if (!parse_status(optarg, &options->conflict))
		return usage_error(verb, "'%s' is not an exit status, 0 to 255", optarg);
	return 0;
}

static int take_option(const struct verb *verb, struct hold_options *options, int option)
{
	switch (option) {
	case 's':
		return option_seconds(verb, options);
	case 'n':
	case 'w':
		return option_wait(verb, options, option);
	case 'N':
		return option_name(verb, options);
	case 'E':
		return option_conflict(verb, options);
	case OPTION_FORCE:
		options->flags |= SRLOCK_ACQUIRE_FORCE;
		return 0;
	case OPTION_NO_PREVENT:
		options->flags |= SRLOCK_ACQUIRE_NO_PREVENT;
		return 0;
	case 'q':
		options->quiet = true;
		return 0;
	case 'v':
		options->verbose = true;
		return 0;
	case 'h':
		exit(verb_help(verb));
	default:
		return bad_option(verb);
	}
}

/**
 * hold_parse() - the options of run and hold; leaves optind at the first drive
 * @verb: run or hold
 * @argc: of the verb
 * @argv: of the verb
 * @command_follows: stop at the first drive: what follows are a command's options
 * @options: filled in; without options wait without limit, as flock(1) does
 *
 * Return: an exit status.
 */
int hold_parse(const struct verb *verb, int argc, char **argv, bool command_follows,
	       struct hold_options *options)
{
	const char *shorts = command_follows ? "+nw:N:E:qvh" : "s:nw:N:E:qvh";
	const struct option *longs = command_follows ? long_options + 1 : long_options;
	int option, status = 0;

	*options = (struct hold_options){
		.wait_ns = SRLOCK_DEADLINE_NONE,
		.conflict = EXIT_CONFLICT,
	};
	while (!status && (option = getopt_long(argc, argv, shorts, longs, NULL)) >= 0)
		status = take_option(verb, options, option);
	if (!status && optind >= argc)
		status = usage_error(verb, "no drive is named");
	return status;
}
