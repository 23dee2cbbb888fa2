// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Programs; see program.h
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops.h"
#include "program.h"

void random_seed(struct random *random, __u64 seed, __u64 stream)
{
	random->state = (seed + 1) * 0x9E3779B97F4A7C15ULL ^ (stream + 1) * 0xD1B54A32D192ED03ULL;
	for (int i = 0; i < 8; i++)
		random_below(random, 2);
}

static __u64 random_next(struct random *random)
{
	__u64 x = random->state ? random->state : 1;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	random->state = x;
	return x * 0x2545F4914F6CDD1DULL;
}

/* 0: any number. */
__u32 random_below(struct random *random, __u32 limit)
{
	__u32 number = random_next(random) >> 32;

	return limit ? number % limit : number;
}

static unsigned int pick_op(struct random *random)
{
	static unsigned int total;
	unsigned int pick;

	if (!total)
		for (unsigned int op = 0; op < op_count; op++)
			total += ops[op].weight;
	pick = random_below(random, total);
	for (unsigned int op = 0; op < op_count; op++) {
		if (pick < ops[op].weight)
			return op;
		pick -= ops[op].weight;
	}
	return 0;
}

/* Mostly 0, which is what is valid: one bad argument hides what the others would do. */
static __u32 pick_arg(const struct op *op, unsigned int arg, struct random *random)
{
	if (arg && random_below(random, 5))
		return 0;
	/* mostly the same few files, so that calls meet */
	if (!arg && op->limit[arg] == SLOTS)
		return random_below(random, 1 + random_below(random, SLOTS)) / 2;
	return random_below(random, op->limit[arg]);
}

static void make_call(struct call *call, struct random *random)
{
	const struct op *op;

	memset(call, 0, sizeof(*call));
	call->op = pick_op(random);
	op = &ops[call->op];
	for (unsigned int i = 0; i < op->args; i++)
		call->arg[i] = pick_arg(op, i, random);
}

/* Most programs begin with a lock file and some with a hold, or little would happen. */
static unsigned int make_beginning(struct program *program, struct random *random)
{
	program->calls[0] = (struct call) { .op = op_by_name("open_lock") };
	program->calls[0].arg[1] = random_below(random, 16);
	program->calls[1] = (struct call) { .op = op_by_name("acquire") };
	return random_below(random, 3);
}

void program_generate(struct program *program, struct random *random)
{
	unsigned int at;

	memset(program, 0, sizeof(*program));
	at = make_beginning(program, random);
	program->length = at + 1 + random_below(random, MAX_CALLS - at);
	for (; at < program->length; at++)
		make_call(&program->calls[at], random);
}

static void insert(struct program *program, const struct call *call, struct random *random)
{
	unsigned int at = random_below(random, program->length + 1);

	if (program->length == MAX_CALLS)
		return;
	memmove(&program->calls[at + 1], &program->calls[at],
		(program->length - at) * sizeof(*call));
	program->calls[at] = *call;
	program->length++;
}

static void delete(struct program *program, struct random *random)
{
	unsigned int at = random_below(random, program->length);

	if (program->length < 2)
		return;
	program->length--;
	memmove(&program->calls[at], &program->calls[at + 1],
		(program->length - at) * sizeof(program->calls[0]));
}

static void change(struct call *call, struct random *random)
{
	const struct op *op = &ops[call->op];
	unsigned int arg;

	if (!op->args)
		return;
	arg = random_below(random, op->args);
	call->arg[arg] = random_below(random, op->limit[arg]);
}

/* The end of another program in place of this one's. */
static void splice(struct program *program, const struct program *other, struct random *random)
{
	unsigned int at = random_below(random, program->length);
	unsigned int from = random_below(random, other->length);

	for (; at < MAX_CALLS && from < other->length; at++, from++)
		program->calls[at] = other->calls[from];
	program->length = at;
}

static void mutate_once(struct program *program, const struct program *other,
			struct random *random)
{
	struct call call;

	switch (random_below(random, 8)) {
	case 0:
		delete(program, random);
		break;
	case 1:
		make_call(&program->calls[random_below(random, program->length)], random);
		break;
	case 2:
	case 3:
		change(&program->calls[random_below(random, program->length)], random);
		break;
	case 4:
		call = program->calls[random_below(random, program->length)];
		insert(program, &call, random);
		break;
	case 5:
		if (other)
			splice(program, other, random);
		break;
	default:
		make_call(&call, random);
		insert(program, &call, random);
	}
}

void program_mutate(struct program *program, const struct program *other,
		    struct random *random)
{
	unsigned int times = 1 + random_below(random, 4);

	while (times--)
		mutate_once(program, other, random);
}

void program_print(const struct program *program, char *text, size_t size)
{
	size_t at = 0;

	text[0] = 0;
	for (unsigned int i = 0; i < program->length && at < size; i++) {
		const struct call *call = &program->calls[i];
		const struct op *op = &ops[call->op];

		at += snprintf(text + at, size - at, "%s%s", i ? "; " : "", op->name);
		for (unsigned int arg = 0; arg < op->args && at < size; arg++)
			at += snprintf(text + at, size - at, " %u", call->arg[arg]);
	}
}

static const char blanks[] = "\n\t ";

static bool parse_call(struct call *call, char *text)
{
	char *rest = NULL;
	char *word = strtok_r(text, blanks, &rest);
	int op = word ? op_by_name(word) : -1;

	if (op < 0)
		return false;
	memset(call, 0, sizeof(*call));
	call->op = op;
	for (unsigned int i = 0; i < ops[op].args; i++) {
		__u32 limit = ops[op].limit[i];

		word = strtok_r(NULL, blanks, &rest);
		if (!word)
			return false;
		call->arg[i] = strtoul(word, NULL, 0);
		if (limit)
			call->arg[i] %= limit;
	}
	return true;
}

bool program_parse(struct program *program, const char *text)
{
	char copy[MAX_TEXT];
	char *rest = NULL;

	memset(program, 0, sizeof(*program));
	snprintf(copy, sizeof(copy), "%s", text);
	for (char *word = strtok_r(copy, ";", &rest); word; word = strtok_r(NULL, ";", &rest)) {
		if (program->length == MAX_CALLS ||
		    !parse_call(&program->calls[program->length], word))
			return false;
		program->length++;
	}
	return program->length > 0;
}
