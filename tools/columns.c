// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * columns.c - what can be told of a drive, one function a column
 */
#include <stdlib.h>
#include <string.h>

#include <libsmartcols.h>

#include "table.h"
#include "tool.h"
#include "who.h"

static char *text_or_nothing(const char *text)
{
	return text && *text ? format_text("%s", text) : NULL;
}

static char *number(unsigned long long value)
{
	return format_text("%llu", value);
}

/* Of a hold there is something to tell only while there is one. */
static bool held(const struct table_row *row)
{
	return *row->status->client;
}

static char *flag(const struct table_row *row, bool value, bool json)
{
	if (!row->status->asked)
		return NULL;
	if (json)	/* which libsmartcols turns into true and false */
		return format_text("%d", value);
	return format_text("%s", value ? "yes" : "no");
}

static char *value_name(const struct table_row *row, bool json)
{
	(void)json;
	return text_or_nothing(row->drive->name);
}

static char *value_path(const struct table_row *row, bool json)
{
	(void)json;
	return text_or_nothing(row->drive->node);
}

static char *value_lock(const struct table_row *row, bool json)
{
	(void)json;
	return text_or_nothing(row->drive->lock_name);
}

static char *value_lock_path(const struct table_row *row, bool json)
{
	(void)json;
	return text_or_nothing(row->drive->lock_node);
}

static char *value_state(const struct table_row *row, bool json)
{
	(void)json;
	return text_or_nothing(row->status->state);
}

static char *value_owner(const struct table_row *row, bool json)
{
	(void)json;
	return text_or_nothing(row->status->client);
}

static char *value_pid(const struct table_row *row, bool json)
{
	(void)json;
	return row->status->pid ? number((unsigned long long)row->status->pid) : NULL;
}

static char *value_command(const struct table_row *row, bool json)
{
	(void)json;
	return who_process(row->status->pid);
}

static char *value_uid(const struct table_row *row, bool json)
{
	(void)json;
	return held(row) ? number(row->status->uid) : NULL;
}

static char *value_user(const struct table_row *row, bool json)
{
	(void)json;
	return held(row) ? who_user(row->status->uid) : NULL;
}

static char *value_count(const struct table_row *row, bool json)
{
	(void)json;
	return number(row->status->count);
}

static char *value_since(const struct table_row *row, bool json)
{
	(void)json;
	return row->status->since_ns ? format_moment(row->status->since_ns) : NULL;
}

static char *value_held(const struct table_row *row, bool json)
{
	unsigned long long span = monotonic_ns() - row->status->since_ns;

	if (!row->status->since_ns)
		return NULL;
	return json ? format_text("%llu.%03llu", span / 1000000000, span / 1000000 % 1000) :
		      format_span(span);
}

static char *value_waiters(const struct table_row *row, bool json)
{
	(void)json;
	return number(row->status->waiters);
}

static char *value_refused(const struct table_row *row, bool json)
{
	(void)json;
	return number(row->status->refused_opens + row->status->refused_ioctls +
		      row->status->refused_commands);
}

static char *value_refused_opens(const struct table_row *row, bool json)
{
	(void)json;
	return number(row->status->refused_opens);
}

static char *value_refused_ioctls(const struct table_row *row, bool json)
{
	(void)json;
	return number(row->status->refused_ioctls);
}

static char *value_refused_commands(const struct table_row *row, bool json)
{
	(void)json;
	return number(row->status->refused_commands);
}

static char *value_last_refused(const struct table_row *row, bool json)
{
	(void)json;
	return text_or_nothing(row->status->last_refused);
}

static char *value_prior_opens(const struct table_row *row, bool json)
{
	(void)json;
	return row->status->asked ? number(row->status->prior_opens) : NULL;
}

static char *value_prevented(const struct table_row *row, bool json)
{
	return flag(row, row->status->prevented, json);
}

static char *value_forced(const struct table_row *row, bool json)
{
	return flag(row, row->status->forced, json);
}

static char *value_mountpoints(const struct table_row *row, bool json)
{
	(void)json;
	return who_mounts(row->drive, "\n", false);
}

static char *value_vendor(const struct table_row *row, bool json)
{
	(void)json;
	return text_or_nothing(row->drive->vendor);
}

static char *value_model(const struct table_row *row, bool json)
{
	(void)json;
	return text_or_nothing(row->drive->model);
}

static char *value_revision(const struct table_row *row, bool json)
{
	(void)json;
	return text_or_nothing(row->drive->revision);
}

static char *value_address(const struct table_row *row, bool json)
{
	(void)json;
	return text_or_nothing(row->drive->address);
}

#define TEXT	SCOLS_JSON_STRING
#define NUMBER	SCOLS_JSON_NUMBER
#define BOOLEAN	SCOLS_JSON_BOOLEAN_OPTIONAL
#define ARRAY	SCOLS_JSON_ARRAY_STRING
#define RIGHT	SCOLS_FL_RIGHT
#define CUT	SCOLS_FL_TRUNC
#define WRAP	SCOLS_FL_WRAP

const struct column columns[] = {
	{ "NAME", "the drive's name", TEXT, 0, value_name },
	{ "PATH", "the drive's node", TEXT, 0, value_path },
	{ "LOCK", "the lock's name", TEXT, 0, value_lock },
	{ "LOCK-PATH", "the lock's node", TEXT, 0, value_lock_path },
	{ "STATE", "free, acquiring, held, releasing or gone", TEXT, 0, value_state },
	{ "OWNER", "name of the client that holds the drive", TEXT, CUT, value_owner },
	{ "PID", "its process", NUMBER, RIGHT, value_pid },
	{ "COMMAND", "that process's command", TEXT, 0, value_command },
	{ "UID", "that process's user id", NUMBER, RIGHT, value_uid },
	{ "USER", "that process's user", TEXT, 0, value_user },
	{ "COUNT", "how often the drive is held, nested", NUMBER, RIGHT, value_count },
	{ "SINCE", "when the hold began", TEXT, 0, value_since },
	{ "HELD", "for how long it is held; in JSON in seconds", NUMBER, RIGHT, value_held },
	{ "WAITERS", "how many wait for the drive", NUMBER, RIGHT, value_waiters },
	{ "REFUSED", "accesses refused since the drive was attached", NUMBER, RIGHT,
	  value_refused },
	{ "REFUSED-OPENS", "opens among these", NUMBER, RIGHT, value_refused_opens },
	{ "REFUSED-IOCTLS", "ioctls among these", NUMBER, RIGHT, value_refused_ioctls },
	{ "REFUSED-COMMANDS", "commands among these", NUMBER, RIGHT, value_refused_commands },
	{ "LAST-REFUSED", "the last one: way, code, pid, command", TEXT, 0, value_last_refused },
	{ "PRIOR-OPENS", "files from before the hold that are open", NUMBER, RIGHT,
	  value_prior_opens },
	{ "PREVENTED", "the hold locks the tray", BOOLEAN, 0, value_prevented },
	{ "FORCED", "taken over a mount or an O_EXCL opener", BOOLEAN, 0, value_forced },
	{ "MOUNTPOINTS", "where the disc is mounted", ARRAY, WRAP, value_mountpoints },
	{ "VENDOR", "the drive's vendor", TEXT, CUT, value_vendor },
	{ "MODEL", "the drive's model", TEXT, CUT, value_model },
	{ "REV", "the drive's firmware revision", TEXT, 0, value_revision },
	{ "HCTL", "the drive's SCSI address", TEXT, 0, value_address },
};

const size_t column_count = sizeof(columns) / sizeof(*columns);
