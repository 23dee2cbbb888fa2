// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * At most one holder; see runner.h
 */
#include "runner.h"

enum { SHIFT = 32 };

static atomic_uint last;

static bool ends(const struct watch *watch, unsigned int drive)
{
	return watch->ending == 1 + drive || watch->ending == 1 + MAX_NUMBERS;
}

/* Whether somebody is about to end holds of this drive. */
static bool is_ending(const struct shared *shared, unsigned int drive)
{
	bool ending = ends(&shared->mover, drive) || ends(&shared->killer, drive);

	for (int i = 0; i < MAX_WORKERS; i++)
		for (int j = 0; j < WATCHES; j++)
			ending = ending || ends(&shared->workers[i].watches[j], drive);
	return ending;
}

static unsigned long ends_now(const struct shared *shared, const struct file *file)
{
	return shared->ends[file->drive] << SHIFT;
}

/* Who is about to end a hold now may end the one that is about to begin. */
unsigned long witness_before(struct runner *runner, const struct file *file)
{
	unsigned long before = ends_now(runner->shared, file);

	return is_ending(runner->shared, file->drive) ? ~0UL : before;
}

void witness_held(struct runner *runner, struct file *file, unsigned long before)
{
	struct shared *shared = runner->shared;
	unsigned long other;

	if (!file->lone || runner->is_child || runner->is_thread)
		return;
	/* in this order: who ends holds says so, and counts, before it does */
	file->token = is_ending(shared, file->drive) ||
		      before != ends_now(shared, file) ? 0 :
		      before | (unsigned int)(runner->worker - shared->workers) << 28 |
		      (++last & 0xfffffff);
	other = atomic_exchange(&shared->witness[file->drive], file->token);
	/* Who was broken before it got here accuses nobody: the other one came after that. */
	if (file->token && other && before == ends_now(shared, file) &&
	    other >> SHIFT == before >> SHIFT)
		wrong(runner, "another client, of process %lu, holds srlock%u, too",
		      other >> 28 & 0xf, file->drive);
}

void witness_give_up(struct runner *runner, struct file *file)
{
	unsigned long token = file->token;

	if (token)
		atomic_compare_exchange_strong(&runner->shared->witness[file->drive], &token, 0);
	file->token = 0;
}

void witness_share_all(struct runner *runner)
{
	for (int i = 0; i < SLOTS; i++) {
		witness_give_up(runner, &runner->files[i]);
		runner->files[i].lone = false;
	}
}

void witness_end(struct shared *shared, struct watch *watch, unsigned int number)
{
	watch->ending = 1 + number;
	for (unsigned int i = 0; i < MAX_NUMBERS; i++)
		if (i == number || number == MAX_NUMBERS)
			shared->ends[i]++;
}

void witness_end_over(struct watch *watch)
{
	watch->ending = 0;
}
