// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cmd_list.c - srlock list: all drives, or some, one a line
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"
#include "tool.h"

#define STANDARD_COLUMNS	"NAME,LOCK,STATE,OWNER,PID,COMMAND,HELD,WAITERS,REFUSED,MODEL"

static int print_drives(const struct table_options *options, const struct drive_list *list)
{
	struct lock_status *status;
	struct table_row *rows;
	size_t i, count = 0;
	int result;

	/* One more than needed: calloc() may return NULL for none. */
	status = need_memory(calloc(list->count + 1, sizeof(*status)));
	rows = need_memory(calloc(list->count + 1, sizeof(*rows)));
	for (i = 0; i < list->count; i++) {
		if (!lock_status_read(list->drives[i], &status[count]))
			continue;	/* unplugged meanwhile */
		rows[count] = (struct table_row){ list->drives[i], &status[count] };
		count++;
	}
	result = table_print(options, rows, count);
	free(rows);
	free(status);
	return result;
}

static int parse(const struct verb *verb, int argc, char **argv, struct table_options *options)
{
	static const struct option longs[] = {
		{ "json", no_argument, NULL, 'J' },
		{ "noheadings", no_argument, NULL, 'n' },
		{ "output", required_argument, NULL, 'o' },
		{ "output-all", no_argument, NULL, 'O' },
		{ "raw", no_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	const char *unknown;
	int option;

	table_select(options, STANDARD_COLUMNS, "", &unknown);
	while ((option = getopt_long(argc, argv, "Jno:Orh", longs, NULL)) >= 0) {
		switch (option) {
		case 'J':
			options->json = true;
			break;
		case 'n':
			options->no_headings = true;
			break;
		case 'o':
			if (table_select(options, optarg, STANDARD_COLUMNS, &unknown))
				break;
			return usage_error(verb, "no such column: %.*s",
					   (int)strcspn(unknown, ","), unknown);
		case 'O':
			table_select_all(options);
			break;
		case 'r':
			options->raw = true;
			break;
		case 'h':
			verb_help(verb);
			table_help();
			exit(flush_output(EXIT_SUCCESS));
		default:
			return bad_option(verb);
		}
	}
	return 0;
}

static int run(const struct verb *verb, int argc, char **argv)
{
	struct table_options options = { 0 };
	struct drive_list list = { 0 };
	int status = parse(verb, argc, argv, &options);

	if (!status && options.json && options.raw)
		status = usage_error(verb, "--json and --raw exclude each other");
	if (!status)
		status = drive_list_arguments(&list, argc - optind, argv + optind);
	if (!status)
		status = print_drives(&options, &list);
	drive_list_free(&list);
	return status;
}

const struct verb verb_list = {
	.name = "list",
	.arguments = "[-J | -r] [-n] [-O | -o COL[,COL...]] [DRIVE...]",
	.summary = "List the drives and who holds them",
	.options =
	"  -J, --json               as JSON\n"
	"  -r, --raw                one blank between the cells, for programs\n"
	"  -n, --noheadings         without the line of headings\n"
	"  -o, --output [+]COLS     which columns; with + in front in addition\n"
	"  -O, --output-all         all columns\n",
	.run = run,
};
