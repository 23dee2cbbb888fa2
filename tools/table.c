// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * table.c - drives as a table or as JSON, by libsmartcols
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <libsmartcols.h>

#include "table.h"
#include "tool.h"

static bool find_column(const char *name, size_t length, size_t *index)
{
	for (*index = 0; *index < column_count; (*index)++)
		if (!strncasecmp(columns[*index].name, name, length) &&
		    !columns[*index].name[length])
			return true;
	return false;
}

static bool select_names(struct table_options *options, const char *names, const char **unknown)
{
	size_t most = sizeof(options->columns) / sizeof(*options->columns);
	size_t length, index;

	for (;; names += length + 1) {
		length = strcspn(names, ",");
		if (options->count == most || !find_column(names, length, &index)) {
			*unknown = names;
			return false;
		}
		options->columns[options->count++] = index;
		if (!names[length])
			return true;
	}
}

/**
 * table_select() - choose the columns
 * @options: where the choice goes
 * @names: COL[,COL...], with a + in front to be added to the standard ones
 * @standard: the standard ones
 * @unknown: set to the first name that is not known
 */
bool table_select(struct table_options *options, const char *names, const char *standard,
		  const char **unknown)
{
	options->count = 0;
	if (*names == '+') {
		names++;
		if (!select_names(options, standard, unknown))
			return false;
	}
	return select_names(options, names, unknown);
}

/** table_select_all() - choose all columns */
void table_select_all(struct table_options *options)
{
	for (options->count = 0; options->count < column_count; options->count++)
		options->columns[options->count] = options->count;
}

static void add_column(struct libscols_table *table, const struct column *column)
{
	struct libscols_column *made;

	made = need_memory(scols_table_new_column(table, column->name, 0, column->flags));
	scols_column_set_json_type(made, column->json);
	if (column->flags & SCOLS_FL_WRAP) {
		scols_column_set_wrapfunc(made, scols_wrapnl_chunksize, scols_wrapnl_nextchunk,
					  NULL);
		scols_column_set_safechars(made, "\n");
	}
}

static void add_row(struct libscols_table *table, const struct table_options *options,
		    const struct table_row *row)
{
	struct libscols_line *line = need_memory(scols_table_new_line(table, NULL));
	char *cell;
	size_t i;

	for (i = 0; i < options->count; i++) {
		cell = columns[options->columns[i]].value(row, options->json);
		if (options->json)
			make_utf8(cell);
		if (cell && scols_line_refer_data(line, i, cell))
			exit(fail(EX_OSERR, "out of memory"));
	}
}

/**
 * table_print() - print rows on standard output
 *
 * Return: an exit status.
 */
int table_print(const struct table_options *options, const struct table_row *rows, size_t count)
{
	struct libscols_table *table;
	int error;
	size_t i;

	scols_init_debug(0);
	table = need_memory(scols_new_table());
	scols_table_set_name(table, "drives");
	scols_table_enable_json(table, options->json);
	scols_table_enable_raw(table, options->raw);
	scols_table_enable_noheadings(table, options->no_headings);
	for (i = 0; i < options->count; i++)
		add_column(table, &columns[options->columns[i]]);
	for (i = 0; i < count; i++)
		add_row(table, options, &rows[i]);
	error = scols_print_table(table);
	scols_unref_table(table);
	if (error)
		return fail(EX_IOERR, "cannot write the table: %s", strerror(-error));
	return flush_output(EXIT_SUCCESS);
}

/** table_help() - list the columns on standard output */
void table_help(void)
{
	size_t i;

	printf("\nColumns:\n");
	for (i = 0; i < column_count; i++)
		printf("  %-17s %s\n", columns[i].name, columns[i].help);
}
