// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cmd_break.c - srlock break: take a drive from its holder
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>

#include "explain.h"
#include "lock.h"
#include "tool.h"

static int break_open(const struct drive *drive, int fd, bool quiet)
{
	struct lock_status before;
	char *holder;
	int error;

	if (!lock_status_read(drive, &before))
		return explain_open(drive, ENODEV);
	error = -lock_break(fd);
	/* EPERM has two meanings; who holds nothing has nothing to lose. */
	if (error == EPERM && !*before.client)
		return fail(EXIT_CONFLICT, "%s: nobody holds it", drive->label);
	if (error)
		return explain_break(drive, error);
	if (quiet)
		return 0;
	holder = explain_holder(&before);
	say("%s: taken from %s", drive->label, holder);
	hint("its processes were not ended, but are refused as soon as somebody else holds it");
	free(holder);
	return 0;
}

static int break_drive(const struct drive *drive, bool quiet)
{
	int fd = lock_open(drive, O_RDWR), status;

	if (fd < 0)
		return explain_open(drive, -fd);
	status = break_open(drive, fd, quiet);
	close(fd);
	return status;
}

static int break_drives(const struct drive_list *list, bool quiet)
{
	int status = 0, one;
	size_t i;

	for (i = 0; i < list->count; i++) {
		one = break_drive(list->drives[i], quiet);
		status = status ? status : one;
	}
	return status;
}

static int run(const struct verb *verb, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	struct drive_list list = { 0 };
	bool quiet = false;
	int option, status;

	while ((option = getopt_long(argc, argv, "qh", longs, NULL)) >= 0) {
		if (option == 'h')
			return verb_help(verb);
		if (option != 'q')
			return bad_option(verb);
		quiet = true;
	}
	if (optind >= argc)
		return usage_error(verb, "no drive is named");
	status = drive_list_arguments(&list, argc - optind, argv + optind);
	if (!status)
		status = break_drives(&list, quiet);
	drive_list_free(&list);
	return status;
}

const struct verb verb_break = {
	.name = "break",
	.arguments = "[-q] DRIVE...",
	.summary = "Take a drive from its holder (root only)",
	.options =
	"  -q, --quiet              do not say whose hold it was\n",
	.run = run,
};
