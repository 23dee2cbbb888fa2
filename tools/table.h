/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * table.h - drives as a table or as JSON, in the columns that are wanted
 */
#ifndef SRLOCK_TABLE_H
#define SRLOCK_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "drive.h"
#include "lock.h"

/**
 * struct table_row - what the columns are made from
 * @drive: the drive
 * @status: of its lock
 */
struct table_row {
	const struct drive *drive;
	const struct lock_status *status;
};

/**
 * struct column - a column of the table
 * @name: its heading; in lower case its key in JSON
 * @help: what is in it
 * @json: SCOLS_JSON_*
 * @flags: SCOLS_FL_*
 * @value: the text of a cell, to be freed; NULL where there is nothing to say. For
 *	JSON, numbers without unit
 */
struct column {
	const char *name;
	const char *help;
	int json;
	int flags;
	char *(*value)(const struct table_row *row, bool json);
};

extern const struct column columns[];
extern const size_t column_count;

/**
 * struct table_options - how to print
 * @json: as JSON
 * @no_headings: leave out the line of headings
 * @raw: cells separated by one blank, for programs
 * @columns: which, by index
 * @count: how many of them
 */
struct table_options {
	bool json;
	bool no_headings;
	bool raw;
	size_t columns[64];
	size_t count;
};

bool table_select(struct table_options *options, const char *names, const char *standard,
		  const char **unknown);
void table_select_all(struct table_options *options);
int table_print(const struct table_options *options, const struct table_row *rows,
		size_t count);
void table_help(void);

#endif
