// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tally.c - what was refused during a hold, per process
 *
 * A lock node tells everything since it was opened. When this process had to wait
 * that includes somebody else's hold, which is no concern of ours: only what
 * stands between our own "held" and our own "released" counts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "event.h"
#include "tally.h"
#include "tool.h"

/* More processes than anybody reads; a hold can be long and udev's workers short. */
#define MOST_ROWS	100

/** tally_clear() - forget all refusals */
void tally_clear(struct tally *tally)
{
	size_t i;

	for (i = 0; i < tally->count; i++)
		free(tally->rows[i].process);
	free(tally->rows);
	tally->rows = NULL;
	tally->count = 0;
	tally->lost = 0;
}

static struct tally_row *row_of(struct tally *tally, const struct srlock_event *event)
{
	char *process = event_process(event);
	struct tally_row *rows;
	size_t i;

	for (i = 0; i < tally->count; i++) {
		if (!strcmp(tally->rows[i].process, process) || i == MOST_ROWS) {
			free(process);
			return &tally->rows[i];
		}
	}
	if (i == MOST_ROWS) {
		free(process);
		process = format_text("others");
	}
	rows = need_memory(reallocarray(tally->rows, tally->count + 1, sizeof(*rows)));
	tally->rows = rows;
	rows[tally->count] = (struct tally_row){ .process = process };
	return &rows[tally->count++];
}

static void add_refusal(struct tally *tally, const struct srlock_event *event)
{
	unsigned int way = event->way <= SRLOCK_WAY_COMMAND ? event->way : SRLOCK_WAY_NONE;
	struct tally_row *row = row_of(tally, event);

	if (row->refused[way] && row->operation[way] != event->code)
		row->mixed[way] = true;
	row->refused[way] += event->repeats;
	row->operation[way] = event->code;
}

static void end_of_hold(struct tally *tally, bool ours)
{
	if (ours)
		tally->ended = true;
	else
		tally_clear(tally);
}

/**
 * tally_add() - take one record into account
 * @tally: of the hold
 * @event: the record; they come in order
 * @given_back: this process has released the drive, so an end is its own
 */
void tally_add(struct tally *tally, const struct srlock_event *event, bool given_back)
{
	bool ours = tally->started || given_back;

	if (tally->ended && event->type != SRLOCK_EVENT_UNPLUGGED)
		return;
	tally->lost += event->lost;
	switch (event->type) {
	case SRLOCK_EVENT_HELD:
		if (event->pid == getpid())
			tally->started = true;
		break;
	case SRLOCK_EVENT_BROKEN:
		tally->broken = ours;
		end_of_hold(tally, ours);
		break;
	case SRLOCK_EVENT_RELEASED:
		end_of_hold(tally, ours);
		break;
	case SRLOCK_EVENT_REFUSED:
		add_refusal(tally, event);
		break;
	case SRLOCK_EVENT_UNPLUGGED:
		tally->unplugged = true;
		break;
	}
}

static unsigned long long row_total(const struct tally_row *row)
{
	unsigned long long total = 0;
	unsigned int way;

	for (way = 0; way <= SRLOCK_WAY_COMMAND; way++)
		total += row->refused[way];
	return total;
}

static int most_first(const void *a, const void *b)
{
	unsigned long long left = row_total(a), right = row_total(b);

	return left > right ? -1 : left < right;
}

/* "3 opens", or "12 commands (TEST UNIT READY)" when all were the same */
static void put_way(FILE *to, const struct tally_row *row, unsigned int way, const char *comma)
{
	static const char * const words[] = { "attempt", "open", "ioctl", "command" };
	const char *plural = row->refused[way] == 1 ? "" : "s";
	char *operation;

	fprintf(to, "%s%llu %s%s", comma, row->refused[way], words[way], plural);
	if (way < SRLOCK_WAY_IOCTL || row->mixed[way])
		return;
	operation = event_operation(way, row->operation[way]);
	fprintf(to, " (%s)", operation);
	free(operation);
}

static void print_row(const struct tally_row *row)
{
	const char *comma = "";
	char *text = NULL;
	unsigned int way;
	size_t size = 0;
	FILE *to = need_memory(open_memstream(&text, &size));

	for (way = 0; way <= SRLOCK_WAY_COMMAND; way++) {
		if (!row->refused[way])
			continue;
		put_way(to, row, way, comma);
		comma = ", ";
	}
	fclose(to);
	hint("%s: %s", row->process, text);
	free(text);
}

/**
 * tally_print() - report on standard error what was refused, and to whom
 * @tally: of the hold
 * @drive: what to call the drive
 *
 * Says nothing when nothing was refused.
 */
void tally_print(struct tally *tally, const char *drive)
{
	unsigned long long total = 0;
	size_t i;

	for (i = 0; i < tally->count; i++)
		total += row_total(&tally->rows[i]);
	if (total)
		say("%s: refused %llu foreign access%s during the hold:", drive, total,
		    total == 1 ? "" : "es");
	if (tally->count)
		qsort(tally->rows, tally->count, sizeof(*tally->rows), most_first);
	for (i = 0; i < tally->count; i++)
		print_row(&tally->rows[i]);
	if (tally->lost)
		say("%s: %llu more records were lost", drive, tally->lost);
}
