// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * srlock.c - the srlock command: which verb is meant
 */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

static const struct verb * const verbs[] = {
	&verb_list, &verb_status, &verb_run, &verb_hold, &verb_wait, &verb_watch, &verb_break,
};

#define VERBS	(sizeof(verbs) / sizeof(*verbs))

static void put_usage(FILE *to)
{
	size_t i;

	fprintf(to, "Usage: srlock VERB [OPTIONS] [DRIVE...]\n"
		"Exclusive access to optical drives, one client at a time.\n\n");
	for (i = 0; i < VERBS; i++)
		fprintf(to, "  %-8s %s\n", verbs[i]->name, verbs[i]->summary);
	fprintf(to, "\n'srlock VERB --help' tells more of a verb, srlock(1) all.\n");
}

/* A lock node must not become standard input, output or error. */
static void keep_standard_files(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

static const struct verb *find_verb(const char *name)
{
	size_t i;

	for (i = 0; i < VERBS; i++)
		if (!strcmp(verbs[i]->name, name))
			return verbs[i];
	return NULL;
}

static int no_verb(const char *name)
{
	say("'%s' is not a verb of srlock", name);
	put_usage(stderr);
	return EX_USAGE;
}

static int help(const char *name)
{
	const struct verb *verb = name ? find_verb(name) : NULL;

	if (verb)
		return verb_help(verb);
	if (name)
		return no_verb(name);
	put_usage(stdout);
	return flush_output(EXIT_SUCCESS);
}

int main(int argc, char **argv)
{
	const struct verb *verb;

	keep_standard_files();
	/* Not LC_NUMERIC: seconds have a decimal point everywhere. */
	setlocale(LC_CTYPE, "");
	if (argc < 2) {
		put_usage(stderr);
		return EX_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
		return help(argv[2]);
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		printf("srlock %s\n", SRLOCK_VERSION);
		return flush_output(EXIT_SUCCESS);
	}
	verb = find_verb(argv[1]);
	if (verb) {
		/* The name with which getopt_long() complains. */
		argv[1] = program_invocation_short_name;
		return verb->run(verb, argc - 1, argv + 1);
	}
	return no_verb(argv[1]);
}
