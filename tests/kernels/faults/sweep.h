/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One thing done again and again, each time with another fault
 */
#ifndef SWEEP_H
#define SWEEP_H

#include <stdbool.h>

/* One time. */
struct round {
	const char *address;
	unsigned int nth;
	/* counted from where the module gets its turn */
	bool inside;
	/* out: how many more it would have taken; some of those that failed were the module's */
	unsigned int left;
	bool ours;
	const char *wrong;
};

typedef void round_fn(struct round *round);

/* What the module has that can fail in it. */
enum ours { NOTHING_OF_OURS, SOMETHING_OF_OURS, FIRST_OF_OURS };

/*
 * What is swept. FIRST_OF_OURS: the module begins with one of its calls that more_faults.h
 * knows as such, so nothing before that matters. And what of its calls has to fail, if it
 * can do so elsewhere, too.
 */
struct part {
	const char *name;
	round_fn *try;
	enum ours ours;
	const char *callee;
};

/* Around what is to fail; by round_fn. */
void sweep_begin(const struct round *round);
void sweep_end(struct round *round);

/*
 * Each part of a list, which ends with a nameless one, that has the word in its name, with the
 * drive at that address, until there is nothing left to fail.
 */
void sweep_all(const struct part *parts, const char *address, const char *only);

#endif
