// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Where the module can fail; see sites.h
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sites.h"
#include "tap.h"

enum { MAX_SITES = 256, NAME_SIZE = 96 };

struct site {
	char where[NAME_SIZE];
	char callee[NAME_SIZE];
	char never[NAME_SIZE];
	unsigned int reached;
};

static struct site sites[MAX_SITES];
static int count;
/* below calls of functions that were not looked for, sr's by pointer mostly */
static unsigned int elsewhere;

bool sites_load(const char *path)
{
	FILE *file = fopen(path, "r");
	char line[3 * NAME_SIZE];

	while (file && count < MAX_SITES && fgets(line, sizeof(line), file)) {
		struct site *site = &sites[count];

		if (sscanf(line, "%95s %95s %95s", site->where, site->callee, site->never) >= 2)
			count++;
	}
	if (file)
		fclose(file);
	return count > 0 && count < MAX_SITES;
}

static struct site *find(const char *where)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(sites[i].where, where))
			return &sites[i];
	return NULL;
}

void sites_reached(const char *where)
{
	struct site *site = find(where);

	if (site)
		site->reached++;
	else
		elsewhere++;
}

const char *sites_callee(const char *where)
{
	const struct site *site = find(where);

	return site ? site->callee : NULL;
}

unsigned int sites_reached_at(const char *callee)
{
	unsigned int sum = 0;

	for (int i = 0; i < count; i++)
		if (!strcmp(sites[i].callee, callee))
			sum += sites[i].reached;
	return sum;
}

void sites_judge(void)
{
	char text[3 * NAME_SIZE];

	for (int i = 0; i < count; i++) {
		const struct site *site = &sites[i];

		snprintf(text, sizeof(text), "%s: %s has failed, %u times", site->where,
			 site->callee, site->reached);
		if (site->never[0])
			tap_skip(text, site->never);
		else
			tap_true(text, site->reached > 0);
	}
	printf("    # below calls by pointer, sr's own allocations: %u times\n", elsewhere);
}
