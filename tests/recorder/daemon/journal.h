/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The journal: one line for every command and for everything else that happens
 *
 *	SECONDS command SEQ NAME cdb=HEX length=N returned=N status=HH sense=K/ASC/ASCQ
 *		took=SECONDS fault=WORD (all in one line)
 *	SECONDS held SEQ NAME cdb=HEX fault=WORD
 *	SECONDS event TEXT
 *
 * Seconds are those of CLOCK_MONOTONIC when the line was written; a command's line is
 * written when it is answered. "-" stands for nothing.
 */
#ifndef RECORDER_JOURNAL_H
#define RECORDER_JOURNAL_H

#include <stdio.h>

#include "../model/drive.h"

struct task;

struct journal {
	FILE *file;
	u64 (*clock_us)(void);
};

void journal_command(struct journal *journal, const struct task *task);
void journal_held(struct journal *journal, const struct task *task);
__printf(2, 3)
void journal_event(struct journal *journal, const char *format, ...);

#endif
