/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the lock is meant to do, said a second time
 *
 * A model of module/lock.c that knows neither lists nor ops: it has a row of calls,
 * a line of those that wait, and a rule for each thing that can happen. What the
 * lock has to ask of the drive, and whom it has to wake, it counts in
 * struct model_asked, which starts from zero with each step.
 */
#ifndef SRLOCK_FUZZ_MODEL_H
#define SRLOCK_FUZZ_MODEL_H

#include <linux/srlock.h>
#include <linux/types.h>

#define MODEL_CLIENTS	4
#define MODEL_CALLS	24
#define NOBODY		(-1)

/**
 * struct model_client - an open file
 * @count: how often it holds the drive
 * @broken: BREAK has taken the drive from it
 */
struct model_client {
	u32 count;
	bool broken;
};

/**
 * struct model_call - a call that has to wait
 * @client: on which file
 * @flags: SRLOCK_ACQUIRE_*
 * @may_wait: it stays in line when the drive is busy
 * @blocked: a claim was in its way since the last retry
 * @waits: it is not over
 * @result: of a call that is over
 * @count: the same
 * @reason: the same, of one that ended with -EBUSY
 */
struct model_call {
	int client;
	u32 flags;
	bool may_wait;
	bool blocked;
	bool waits;
	int result;
	u32 count;
	u32 reason;
};

/**
 * struct model_asked - what is asked of the drive in one step
 * @acquire: to be acquired
 * @abandon: to make an end of it
 * @release: to be released
 * @revoke: that nobody is admitted any more
 * @retry: to be reminded
 * @held: that it is told that it is held; and so on
 * @joined: whose process becomes one of the holder's, by call
 * @done: who is woken because its call is over, by call
 * @served: who is woken because it is its turn, by call
 * @back: who is woken because it is not any more, by call
 */
struct model_asked {
	u8 acquire, abandon, release, revoke, retry;
	u8 held, released, broken, gone, free;
	u8 joined[MODEL_CALLS], done[MODEL_CALLS], served[MODEL_CALLS], back[MODEL_CALLS];
};

/**
 * struct model - the lock of one drive
 * @state: what it is doing
 * @owner: the client that holds, or NOBODY
 * @owner_call: the call that it got the drive by
 * @served: the call that the drive is acquired for, or NOBODY
 * @releaser: the call that waits for a release, or NOBODY
 * @line: calls that wait, first come first
 * @length: of @line
 * @claimed: the drive is known to be mounted or open with O_EXCL
 * @flags: of the call that is or was served
 * @clients: the files
 * @calls: the calls; the index is the caller's choice
 * @asked: see there
 */
struct model {
	enum srlock_state state;
	int owner;
	int owner_call;
	int served;
	int releaser;
	int line[MODEL_CALLS];
	int length;
	bool claimed;
	u32 flags;
	struct model_client clients[MODEL_CLIENTS];
	struct model_call calls[MODEL_CALLS];
	struct model_asked asked;
};

void model_init(struct model *model);
void model_step(struct model *model);

int model_acquire(struct model *model, int call);
int model_nest(struct model *model, int client, bool member, u32 *count);
int model_unnest(struct model *model, int client, u32 *count);
int model_release(struct model *model, int call);
int model_break(struct model *model, int call);
int model_close(struct model *model, int call);
int model_cancel(struct model *model, int call, int error);
void model_acquired(struct model *model, int error);
void model_released(struct model *model, int error);
void model_retry(struct model *model);
void model_gone(struct model *model);

#endif /* SRLOCK_FUZZ_MODEL_H */
