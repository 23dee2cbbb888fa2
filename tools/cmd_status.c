// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cmd_status.c - srlock status: all that is known of a drive's lock
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event.h"
#include "explain.h"
#include "table.h"
#include "tool.h"
#include "who.h"

struct options {
	bool quiet;
	struct table_options table;
};

static void put_title(const struct drive *drive, const struct lock_status *status)
{
	printf("%s (%s", drive->label, drive->lock_name);
	if (drive->vendor || drive->model)
		printf(", %s%s%s", drive->vendor ? drive->vendor : "",
		       drive->vendor && drive->model ? " " : "",
		       drive->model ? drive->model : "");
	printf("): %s\n", status->state);
}

static void put_holder(const struct lock_status *status)
{
	char *holder, *since;

	if (!*status->client)
		return;
	holder = explain_holder(status);
	since = format_moment(status->since_ns);
	printf("  holder:       %s\n", make_printable(holder));
	printf("  since:        %s\n", since);
	printf("  count:        %u\n", status->count);
	free(holder);
	free(since);
	if (status->asked)
		printf("  tray locked:  %s\n", status->prevented ? "yes" : "no");
	if (status->forced)
		printf("  forced:       taken over a mount or an O_EXCL opener\n");
}

static void put_last_refused(struct lock_status *status)
{
	unsigned int code, way;
	char word[16], pid[16], *operation;
	int rest = 0;

	if (sscanf(status->last_refused, "%15s %x %15s %n", word, &code, pid, &rest) < 3)
		return;
	for (way = SRLOCK_WAY_OPEN; way < SRLOCK_WAY_COMMAND; way++)
		if (!strcmp(word, event_way(way)))
			break;
	operation = event_operation(way, code);
	printf("  last refused: %s %s of ", word, operation);
	if (*pid != '0')
		printf("pid %s (%s)\n", pid, make_printable(status->last_refused + rest));
	else if (status->last_refused[rest])
		printf("%s (process not visible from here)\n",
		       make_printable(status->last_refused + rest));
	else
		printf("an unknown process\n");
	free(operation);
}

static void put_refusals(struct lock_status *status)
{
	printf("  refused:      %llu opens, %llu ioctls, %llu commands\n", status->refused_opens,
	       status->refused_ioctls, status->refused_commands);
	put_last_refused(status);
}

static void put_others(const struct drive *drive, const struct lock_status *status)
{
	char *mounts = who_mounts(drive, ", ", true), *opened;
	bool all_seen;

	opened = who_opened(drive, &all_seen);
	if (mounts)
		printf("  mounted on:   %s\n", make_printable(mounts));
	if (opened)
		printf("  open in:      %s%s\n", make_printable(opened),
		       all_seen ? "" : ", and perhaps others");
	if (status->prior_opens)
		printf("  prior opens:  %u from before the hold: mounts and plain reads fail\n",
		       status->prior_opens);
	free(mounts);
	free(opened);
}

static void put_status(const struct drive *drive, struct lock_status *status)
{
	put_title(drive, status);
	put_holder(status);
	printf("  waiters:      %u\n", status->waiters);
	put_refusals(status);
	put_others(drive, status);
}

static int show(const struct options *options, const struct drive *drive)
{
	struct lock_status status;

	if (!lock_status_read(drive, &status))
		return fail(EX_UNAVAILABLE, "%s: the drive is gone", drive->label);
	if (options->quiet)
		return lock_status_held(&status) ? EXIT_CONFLICT : EXIT_SUCCESS;
	put_status(drive, &status);
	return EXIT_SUCCESS;
}

static int show_all(const struct options *options, const struct drive_list *list)
{
	int status = EXIT_SUCCESS;
	size_t i;

	for (i = 0; !status && i < list->count; i++) {
		if (i && !options->quiet)
			printf("\n");
		status = show(options, list->drives[i]);
	}
	return status ? status : flush_output(EXIT_SUCCESS);
}

static int show_json(const struct options *options, const struct drive_list *list)
{
	struct lock_status *status = need_memory(calloc(list->count + 1, sizeof(*status)));
	struct table_row *rows = need_memory(calloc(list->count + 1, sizeof(*rows)));
	int result = EXIT_SUCCESS;
	size_t i;

	for (i = 0; !result && i < list->count; i++) {
		rows[i] = (struct table_row){ list->drives[i], &status[i] };
		if (!lock_status_read(list->drives[i], &status[i]))
			result = fail(EX_UNAVAILABLE, "%s: the drive is gone",
				      list->drives[i]->label);
	}
	if (!result)
		result = table_print(&options->table, rows, list->count);
	free(rows);
	free(status);
	return result;
}

static int parse(const struct verb *verb, int argc, char **argv, struct options *options)
{
	static const struct option longs[] = {
		{ "json", no_argument, NULL, 'J' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	int option;

	while ((option = getopt_long(argc, argv, "Jqh", longs, NULL)) >= 0) {
		switch (option) {
		case 'J':
			options->table.json = true;
			table_select_all(&options->table);
			break;
		case 'q':
			options->quiet = true;
			break;
		case 'h':
			exit(verb_help(verb));
		default:
			return bad_option(verb);
		}
	}
	if (options->quiet && options->table.json)
		return usage_error(verb, "-J and -q exclude each other");
	return 0;
}

static int run(const struct verb *verb, int argc, char **argv)
{
	struct drive_list list = { 0 };
	struct options options = { 0 };
	int status = parse(verb, argc, argv, &options);

	if (!status)
		status = drive_list_arguments(&list, argc - optind, argv + optind);
	if (!status && options.table.json)
		status = show_json(&options, &list);
	else if (!status)
		status = show_all(&options, &list);
	drive_list_free(&list);
	return status;
}

const struct verb verb_status = {
	.name = "status",
	.arguments = "[-J | -q] [DRIVE...]",
	.summary = "Show all that is known of a drive's lock, who is in the way included",
	.options =
	"  -J, --json               as JSON\n"
	"  -q, --quiet              say nothing: exit status 0 if all are free, 1 if not\n",
	.run = run,
};
