// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * event_json.c - an event record as JSON, by libsmartcols
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libsmartcols.h>

#include "event.h"
#include "event_json.h"
#include "tool.h"

static char *text_or_nothing(const char *text)
{
	return *text ? format_text("%s", text) : NULL;
}

static char *value_time(const struct srlock_event *event)
{
	return format_moment(event->time_ns);
}

static char *value_monotonic(const struct srlock_event *event)
{
	return format_text("%llu", (unsigned long long)event->time_ns);
}

static char *value_event(const struct srlock_event *event)
{
	return format_text("%s", event_type(event));
}

static char *value_repeats(const struct srlock_event *event)
{
	return format_text("%u", event->repeats);
}

static char *value_lost(const struct srlock_event *event)
{
	return format_text("%u", event->lost);
}

static char *value_pid(const struct srlock_event *event)
{
	return event->pid ? format_text("%d", event->pid) : NULL;
}

static char *value_guess(const struct srlock_event *event)
{
	return format_text("%d", event->flags & SRLOCK_EVENT_GUESS ? 1 : 0);
}

static char *value_uid(const struct srlock_event *event)
{
	return event->uid != ~0U ? format_text("%u", event->uid) : NULL;
}

static char *value_name(const struct srlock_event *event)
{
	return text_or_nothing((const char *)event->name);
}

static char *value_way(const struct srlock_event *event)
{
	return text_or_nothing(event_way(event->way));
}

static char *value_code(const struct srlock_event *event)
{
	return event->way ? format_text("%u", event->code) : NULL;
}

static char *value_operation(const struct srlock_event *event)
{
	return event->way ? event_operation(event->way, event->code) : NULL;
}

static const struct field {
	const char *name;
	int type;
	char *(*value)(const struct srlock_event *event);
} fields[] = {
	{ "time", SCOLS_JSON_STRING, value_time },
	{ "monotonic_ns", SCOLS_JSON_NUMBER, value_monotonic },
	{ "event", SCOLS_JSON_STRING, value_event },
	{ "name", SCOLS_JSON_STRING, value_name },
	{ "pid", SCOLS_JSON_NUMBER, value_pid },
	{ "guess", SCOLS_JSON_BOOLEAN, value_guess },
	{ "uid", SCOLS_JSON_NUMBER, value_uid },
	{ "way", SCOLS_JSON_STRING, value_way },
	{ "code", SCOLS_JSON_NUMBER, value_code },
	{ "operation", SCOLS_JSON_STRING, value_operation },
	{ "repeats", SCOLS_JSON_NUMBER, value_repeats },
	{ "lost", SCOLS_JSON_NUMBER, value_lost },
};

#define FIELDS	(sizeof(fields) / sizeof(*fields))

static void put_cell(struct libscols_line *line, size_t index, char *cell)
{
	if (cell && scols_line_refer_data(line, index, make_utf8(cell)))
		exit(fail(EX_OSERR, "out of memory"));
}

static struct libscols_table *make_table(const struct drive *drive,
					 const struct srlock_event *event)
{
	struct libscols_table *table;
	struct libscols_line *line;
	size_t i;

	scols_init_debug(0);
	table = need_memory(scols_new_table());
	scols_table_enable_json(table, 1);
	scols_table_set_name(table, "event");
	need_memory(scols_table_new_column(table, "drive", 0, 0));
	for (i = 0; i < FIELDS; i++)
		scols_column_set_json_type(need_memory(scols_table_new_column(table,
									      fields[i].name,
									      0, 0)),
					   fields[i].type);
	line = need_memory(scols_table_new_line(table, NULL));
	put_cell(line, 0, format_text("%s", drive->label));
	for (i = 0; i < FIELDS; i++)
		put_cell(line, i + 1, fields[i].value(event));
	return table;
}

/*
 * libsmartcols prints { "event": [ {...} ] } over several lines. A stream wants
 * the inner object, on one line; line breaks inside of strings are escaped.
 */
static char *inner_object(const char *document)
{
	const char *from = strchr(document, '['), *to = strrchr(document, ']');
	char *object, *end;

	if (!from || !to)
		return format_text("{}");
	object = need_memory(malloc((size_t)(to - from) + 1));
	end = object;
	for (from++; from < to; from++) {
		if (*from == '\n')
			from += strspn(from, "\n ") - 1;
		else
			*end++ = *from;
	}
	*end = '\0';
	return object;
}

/** event_json() - a record as a JSON object on one line, to be freed */
char *event_json(const struct drive *drive, const struct srlock_event *event)
{
	struct libscols_table *table = make_table(drive, event);
	char *document = NULL, *object;

	if (scols_print_table_to_string(table, &document))
		exit(fail(EX_OSERR, "out of memory"));
	object = inner_object(document);
	free(document);
	scols_unref_table(table);
	return object;
}
