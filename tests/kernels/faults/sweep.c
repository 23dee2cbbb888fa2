// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Sweeping; see sweep.h
 */
#include <stdio.h>
#include <string.h>

#include "inject.h"
#include "log.h"
#include "sites.h"
#include "sweep.h"
#include "tap.h"

/*
 * What happens before the module gets its turn is not of interest and may be a
 * thousand allocations: these steps are made until the first fault in it, or until
 * so many are left. After the last one in it the sweep goes on for a while.
 */
enum { STEP = 16, END = 64, AFTER = 8, MAX_FAULTS = 100000, MAX_INSIDE = 1000 };

/* What a sweep has seen. */
struct seen {
	int faults;
	int ours;
	int bad;
};

void sweep_begin(const struct round *round)
{
	log_take();
	if (round->inside)
		inject_arm_inside(round->nth);
	else
		inject_arm(round->nth, INJECT_ONE);
}

void sweep_end(struct round *round)
{
	round->left = inject_disarm();
	round->ours = log_take().ours;
}

/* At once, as the rest may take a while. */
static void tell(const char *name, const struct round *round)
{
	printf("    # %s: after fault %u: %s\n", name, round->nth, round->wrong);
}

static void judge(const struct part *part, const struct seen *seen, unsigned int callees)
{
	char text[128];

	printf("    # %s: %d faults, %d of them in the module\n", part->name, seen->faults,
	       seen->ours);
	snprintf(text, sizeof(text), "%s: right after each fault", part->name);
	tap_equal(text, seen->bad, 0);
	snprintf(text, sizeof(text), "%s: something failed", part->name);
	tap_true(text, part->ours == NOTHING_OF_OURS ? seen->faults > 0 : seen->ours > 0);
	if (!part->callee)
		return;
	snprintf(text, sizeof(text), "%s: %s of the module failed", part->name, part->callee);
	tap_true(text, sites_reached_at(part->callee) > callees);
}

static void try(const struct part *part, struct round *round, struct seen *seen)
{
	part->try(round);
	if (round->wrong && !seen->bad++)
		tell(part->name, round);
}

static void count(struct seen *seen, const struct round *round)
{
	seen->faults++;
	seen->ours += round->ours;
}

/* From where the module gets its turn. */
static void sweep_inside(const struct part *part, const char *address, struct seen *seen)
{
	for (unsigned int nth = 1; nth <= MAX_INSIDE; nth++) {
		struct round round = { .address = address, .nth = nth, .inside = true };

		try(part, &round, seen);
		if (round.left)
			return;
		count(seen, &round);
	}
}

static void sweep_all_of_it(const struct part *part, const char *address, struct seen *seen)
{
	struct round most = { .address = address, .nth = MAX_FAULTS };
	int after = 0, step = STEP;
	unsigned int nth = 1;

	part->try(&most);
	while (nth < MAX_FAULTS && after < AFTER) {
		struct round round = { .address = address, .nth = nth };

		/* The last ones, and those in the module, one by one. */
		if (step > 1 && nth + END + most.left >= MAX_FAULTS)
			step = 1;
		try(part, &round, seen);
		if (step > 1 && round.ours) {
			nth = nth > STEP ? nth - STEP + 1 : 1;
			step = 1;
			continue;
		}
		if (round.left)
			return;
		count(seen, &round);
		after = round.ours || !seen->ours ? 0 : after + 1;
		nth += step;
	}
}

static void sweep(const struct part *part, const char *address)
{
	unsigned int callees = part->callee ? sites_reached_at(part->callee) : 0;
	struct round first = { .address = address, .nth = MAX_FAULTS };
	struct seen seen = { 0 };

	/* The first time there are more, for what is kept. */
	part->try(&first);
	if (part->ours == FIRST_OF_OURS)
		sweep_inside(part, address, &seen);
	else
		sweep_all_of_it(part, address, &seen);
	judge(part, &seen, callees);
}

void sweep_all(const struct part *parts, const char *address, const char *only)
{
	for (const struct part *part = parts; part->name; part++)
		if (!only || strstr(part->name, only))
			sweep(part, address);
}
