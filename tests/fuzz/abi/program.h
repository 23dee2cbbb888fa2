/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Programs: short sequences of calls, made at random, changed at random, as text
 *
 * A call is an operation of the table in ops.c with some small numbers. What they
 * mean is the operation's business; any numbers below the limits are good, so that
 * programs can be made and changed without knowing it.
 */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))

enum {
	MAX_CALLS = 20,
	MAX_ARGS = 6,
	MAX_TEXT = 4096,
	SLOTS = 8,		/* files that a process can have open */
};

struct call {
	__u32 op;
	__u32 arg[MAX_ARGS];
};

struct program {
	__u32 length;
	struct call calls[MAX_CALLS];
};

/* xorshift64*; every decision comes from one of these, thus from the seed. */
struct random {
	__u64 state;
};

void random_seed(struct random *random, __u64 seed, __u64 stream);
__u32 random_below(struct random *random, __u32 limit);

void program_generate(struct program *program, struct random *random);
/* other gives calls to splice in; NULL if there is none. */
void program_mutate(struct program *program, const struct program *other,
		    struct random *random);
/* One line: calls separated by semicolons. */
void program_print(const struct program *program, char *text, size_t size);
bool program_parse(struct program *program, const char *text);

#endif
