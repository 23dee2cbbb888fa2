// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How often each stage was hit, so that the spread of the instants shows
 */
#include <stdio.h>
#include <string.h>

#include "torture.h"

enum { MAX_KINDS = 64 };

static struct {
	char what[32];
	unsigned long hits;
} table[MAX_KINDS];

void hit_note(const char *what)
{
	for (int i = 0; i < MAX_KINDS; i++) {
		if (!table[i].hits)
			snprintf(table[i].what, sizeof(table[i].what), "%s", what);
		if (!strcmp(table[i].what, what)) {
			table[i].hits++;
			return;
		}
	}
}

int hits_kinds(void)
{
	int kinds = 0;

	while (kinds < MAX_KINDS && table[kinds].hits)
		kinds++;
	return kinds;
}

void hits_print(const char *title)
{
	printf("    # %s:", title);
	for (int i = 0; i < hits_kinds(); i++)
		printf(" %s %lu%s", table[i].what, table[i].hits, i + 1 < hits_kinds() ? "," : "");
	printf("\n");
}

void hits_clear(void)
{
	memset(table, 0, sizeof(table));
}
