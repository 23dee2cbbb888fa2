/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tally.h - what was refused during a hold, per process
 */
#ifndef SRLOCK_TALLY_H
#define SRLOCK_TALLY_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/srlock.h>

/**
 * struct tally_row - what one process was refused
 * @process: who, in words
 * @refused: how often, by enum srlock_way
 * @operation: the code of the last refusal of each way
 * @mixed: refusals of that way had different codes
 */
struct tally_row {
	char *process;
	unsigned long long refused[SRLOCK_WAY_COMMAND + 1];
	unsigned int operation[SRLOCK_WAY_COMMAND + 1];
	bool mixed[SRLOCK_WAY_COMMAND + 1];
};

/**
 * struct tally - the refusals of one hold
 * @rows: one for each process
 * @count: of them
 * @lost: records that were lost because they were not read in time
 * @started: the record of this hold's beginning was seen
 * @ended: so was that of its end; what follows belongs to somebody else
 * @broken: it ended by BREAK
 * @unplugged: the drive is gone
 */
struct tally {
	struct tally_row *rows;
	size_t count;
	unsigned long long lost;
	bool started;
	bool ended;
	bool broken;
	bool unplugged;
};

void tally_add(struct tally *tally, const struct srlock_event *event, bool given_back);
void tally_print(struct tally *tally, const char *drive);
void tally_clear(struct tally *tally);

#endif
