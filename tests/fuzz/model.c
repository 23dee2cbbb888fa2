// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the lock is meant to do, said a second time; see model.h
 */
#include <linux/errno.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

void model_init(struct model *model)
{
	memset(model, 0, sizeof(*model));
	model->state = SRLOCK_STATE_FREE;
	model->owner = NOBODY;
	model->owner_call = NOBODY;
	model->served = NOBODY;
	model->releaser = NOBODY;
}

/* Something is about to happen: whatever was asked before is history. */
void model_step(struct model *model)
{
	memset(&model->asked, 0, sizeof(model->asked));
}

static u32 model_hold_count(const struct model *model)
{
	return model->owner == NOBODY ? 0 : model->clients[model->owner].count;
}

/* Why a call does not get the drive now. */
static u32 model_reason(const struct model *model, const struct model_call *call)
{
	if (model->state == SRLOCK_STATE_RELEASING)
		return SRLOCK_BUSY_RELEASING;
	if (model->state != SRLOCK_STATE_FREE)
		return SRLOCK_BUSY_HELD;
	/* A free drive that is not claimed goes to the first in line at once. */
	if (!model->claimed)
		abort();
	/* To FORCE a claim is no reason, unless its own try has ended at one. */
	if (call->flags & SRLOCK_ACQUIRE_FORCE && !call->blocked)
		return SRLOCK_BUSY_QUEUED;

	return SRLOCK_BUSY_CLAIMED;
}

static int model_place(const struct model *model, int call)
{
	int place;

	for (place = 0; place < model->length; place++)
		if (model->line[place] == call)
			return place;

	return NOBODY;
}

static void model_leave_line(struct model *model, int call)
{
	int place = model_place(model, call);

	if (place == NOBODY)
		return;
	model->length--;
	memmove(&model->line[place], &model->line[place + 1],
		(model->length - place) * sizeof(model->line[0]));
}

static void model_done(struct model *model, int call, int result)
{
	struct model_call *what = &model->calls[call];

	if (!what->waits)
		abort();
	model_leave_line(model, call);
	what->waits = false;
	what->result = result;
	what->count = model_hold_count(model);
	model->asked.done[call]++;
}

/* FORCE passes those that a claim blocks, in its own order. */
static int model_whose_turn(const struct model *model)
{
	int place;

	if (!model->claimed)
		return model->line[0];

	for (place = 0; place < model->length; place++) {
		const struct model_call *call = &model->calls[model->line[place]];

		if (call->flags & SRLOCK_ACQUIRE_FORCE && !call->blocked)
			return model->line[place];
	}

	return NOBODY;
}

/* A free drive goes to whose turn it is. */
static void model_settle(struct model *model)
{
	int call;

	if (model->state != SRLOCK_STATE_FREE)
		return;
	if (!model->length) {
		/* Nobody is left to remember it for. */
		model->claimed = false;
		return;
	}
	call = model_whose_turn(model);
	if (call == NOBODY)
		return;

	model->state = SRLOCK_STATE_ACQUIRING;
	model->served = call;
	model->flags = model->calls[call].flags;
	model->asked.acquire++;
	model->asked.served[call]++;
}

static void model_free(struct model *model)
{
	model->state = SRLOCK_STATE_FREE;
	model->asked.free++;
	model_settle(model);
}

static int model_usable(const struct model *model, int client)
{
	if (model->clients[client].broken)
		return -EOWNERDEAD;

	return model->state == SRLOCK_STATE_GONE ? -ENODEV : 0;
}

static int model_nest_one(struct model *model, int client)
{
	if (model->clients[client].count == U32_MAX)
		return -EOVERFLOW;
	model->clients[client].count++;

	return 0;
}

/* A call that does not wait must be the only one that could have the drive now. */
static bool model_may_start(const struct model *model, const struct model_call *call)
{
	int place;

	if (model->state != SRLOCK_STATE_FREE)
		return false;
	for (place = 0; place < model->length; place++) {
		if (!(call->flags & SRLOCK_ACQUIRE_FORCE) ||
		    model->calls[model->line[place]].flags & SRLOCK_ACQUIRE_FORCE)
			return false;
	}

	return true;
}

/* The call's inputs are set. */
int model_acquire(struct model *model, int call)
{
	struct model_call *what = &model->calls[call];
	int ret = model_usable(model, what->client);

	what->count = 0;
	what->reason = SRLOCK_BUSY_NOT;
	what->blocked = false;
	if (ret)
		return ret;
	if (model->owner == what->client) {
		ret = model_nest_one(model, what->client);
		what->count = model_hold_count(model);
		model->asked.joined[call] += !ret;
		return ret;
	}
	if (!what->may_wait && !model_may_start(model, what)) {
		what->reason = model_reason(model, what);
		what->count = model_hold_count(model);
		return -EBUSY;
	}

	what->waits = true;
	model->line[model->length++] = call;
	model_settle(model);

	return -EINPROGRESS;
}

int model_nest(struct model *model, int client, bool member, u32 *count)
{
	int ret = model_usable(model, client);

	if (!ret)
		ret = model->owner == client && member ?
		      model_nest_one(model, client) : -EAGAIN;
	*count = model->clients[client].count;

	return ret;
}

int model_unnest(struct model *model, int client, u32 *count)
{
	if (model->owner != client || model->clients[client].count == 1)
		return -EAGAIN;
	*count = --model->clients[client].count;

	return 0;
}

static int model_end_hold(struct model *model, int call)
{
	model->clients[model->owner].count = 0;
	model->owner = NOBODY;
	model->state = SRLOCK_STATE_RELEASING;
	model->releaser = call;
	model->calls[call].waits = true;
	model->asked.revoke++;
	model->asked.release++;

	return -EINPROGRESS;
}

static void model_init_releaser(struct model *model, int call)
{
	model->calls[call].count = 0;
	model->calls[call].reason = SRLOCK_BUSY_NOT;
}

int model_release(struct model *model, int call)
{
	int client = model->calls[call].client;
	int ret = model_usable(model, client);

	model_init_releaser(model, call);
	if (ret)
		return ret;
	if (model->owner != client)
		return -EPERM;
	if (model->clients[client].count > 1) {
		model->calls[call].count = --model->clients[client].count;
		return 0;
	}
	model->asked.released++;

	return model_end_hold(model, call);
}

int model_break(struct model *model, int call)
{
	model_init_releaser(model, call);
	if (model->state == SRLOCK_STATE_GONE)
		return -ENODEV;
	if (model->owner == NOBODY)
		return -EPERM;
	model->clients[model->owner].broken = true;
	model->asked.broken++;

	return model_end_hold(model, call);
}

int model_close(struct model *model, int call)
{
	model_init_releaser(model, call);
	if (model->owner != model->calls[call].client)
		return 0;
	model->asked.released++;

	return model_end_hold(model, call);
}

int model_cancel(struct model *model, int call, int error)
{
	struct model_call *what = &model->calls[call];

	if (!what->waits)
		return what->result;
	if (model->releaser == call) {
		/* The release goes on without it, and without waking it. */
		model->releaser = NOBODY;
		what->waits = false;
		what->result = error;
		return error;
	}
	if (error == -EBUSY)
		what->reason = model_reason(model, what);
	if (model->served == call) {
		model->served = NOBODY;
		model->state = SRLOCK_STATE_RELEASING;
		model->asked.abandon++;
	}
	model_done(model, call, error);
	model_settle(model);

	return error;
}

static void model_begin_hold(struct model *model, int call)
{
	int client = model->calls[call].client;
	int place;

	model->state = SRLOCK_STATE_HELD;
	model->claimed = false;
	model->owner = client;
	model->owner_call = call;
	model->clients[client].count = 1;
	model->asked.held++;
	model->asked.joined[call]++;
	model_done(model, call, 0);
	/* Other calls on the same file nest, wherever in line they are. */
	for (place = 0; place < model->length;) {
		call = model->line[place];
		if (model->calls[call].client != client) {
			place++;
			continue;
		}
		model->clients[client].count++;
		model->asked.joined[call]++;
		model_done(model, call, 0);
	}
}

static void model_blocked(struct model *model, int call)
{
	model->claimed = true;
	model->calls[call].blocked = true;
	if (model->calls[call].may_wait) {
		model->asked.back[call]++;
	} else {
		model->calls[call].reason = SRLOCK_BUSY_CLAIMED;
		model_done(model, call, -EBUSY);
	}
	if (model->length)
		model->asked.retry++;
}

void model_acquired(struct model *model, int error)
{
	int call = model->served;

	model->served = NOBODY;
	if (model->state == SRLOCK_STATE_GONE)
		return;
	if (call == NOBODY) {
		if (error)
			model_free(model);
		else
			model->asked.release++;
		return;
	}
	if (!error) {
		model_begin_hold(model, call);
		return;
	}
	model->state = SRLOCK_STATE_FREE;
	if (error == -EBUSY)
		model_blocked(model, call);
	else
		model_done(model, call, error);
	model_free(model);
}

void model_released(struct model *model, int error)
{
	int call = model->releaser;

	if (model->state == SRLOCK_STATE_GONE)
		return;
	model->releaser = NOBODY;
	if (call != NOBODY)
		model_done(model, call, error);
	model_free(model);
}

void model_retry(struct model *model)
{
	int place;

	for (place = 0; place < model->length; place++)
		model->calls[model->line[place]].blocked = false;
	model->claimed = false;
	model_settle(model);
}

void model_gone(struct model *model)
{
	if (model->state == SRLOCK_STATE_GONE)
		return;
	if (model->owner != NOBODY)
		model->clients[model->owner].count = 0;
	model->owner = NOBODY;
	model->asked.abandon += model->state == SRLOCK_STATE_ACQUIRING;
	model->asked.gone++;
	model->asked.revoke++;
	model->state = SRLOCK_STATE_GONE;
	model->served = NOBODY;
	if (model->releaser != NOBODY)
		model_done(model, model->releaser, -ENODEV);
	model->releaser = NOBODY;
	while (model->length)
		model_done(model, model->line[0], -ENODEV);
}
