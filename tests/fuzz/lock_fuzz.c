// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A libFuzzer target: module/lock.c against the model, compared after each step
 *
 * The input is a row of pairs of bytes, what happens and to whom. A call that is
 * over is freed at once, so that AddressSanitizer sees it if the lock comes back to
 * it; a file is freed when it is closed.
 */
#include <linux/errno.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lock.h"
#include "model.h"

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))

#define EXPECT(condition) do { \
	if (!(condition)) { \
		fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, \
			#condition); \
		abort(); \
	} \
} while (0)

/**
 * struct fuzz_call - a call that may have to wait
 * @waiter: what the lock knows of it
 * @slot: its number
 */
struct fuzz_call {
	struct srlock_waiter waiter;
	int slot;
};

/**
 * struct fuzz - one run
 * @lock: the lock under test
 * @model: what it has to be like
 * @clients: open files
 * @closing: the call by which a file is being closed, or NOBODY
 * @calls: calls that are not over
 * @asked: what the lock has asked for in this step
 * @serial: number of the latest call, for its name
 * @owner: name of the owner
 * @member: what is_member tells
 * @acquiring: the drive was asked for that, and has not answered
 * @releasing: the same
 */
struct fuzz {
	struct srlock_lock lock;
	struct model model;
	struct srlock_client *clients[MODEL_CLIENTS];
	int closing[MODEL_CLIENTS];
	struct fuzz_call *calls[MODEL_CALLS];
	struct model_asked asked;
	unsigned int serial;
	char owner[SRLOCK_CLIENT_SIZE];
	bool member;
	bool acquiring;
	bool releasing;
};

static struct fuzz *fuzz_of(struct srlock_lock *lock)
{
	EXPECT(lock->spin.held);

	return container_of(lock, struct fuzz, lock);
}

static void fuzz_op_acquire(struct srlock_lock *lock)
{
	struct fuzz *fuzz = fuzz_of(lock);

	EXPECT(!fuzz->acquiring && !fuzz->releasing);
	fuzz->acquiring = true;
	fuzz->asked.acquire++;
}

static void fuzz_op_abandon(struct srlock_lock *lock)
{
	struct fuzz *fuzz = fuzz_of(lock);

	EXPECT(fuzz->acquiring);
	fuzz->asked.abandon++;
}

static void fuzz_op_release(struct srlock_lock *lock)
{
	struct fuzz *fuzz = fuzz_of(lock);

	EXPECT(!fuzz->acquiring && !fuzz->releasing);
	/* Whoever held it is out before the tray is unlocked. */
	EXPECT(!lock->owner);
	EXPECT(fuzz->asked.revoke ==
	       fuzz->asked.released + fuzz->asked.broken);
	fuzz->releasing = true;
	fuzz->asked.release++;
}

static void fuzz_op_revoke(struct srlock_lock *lock)
{
	struct fuzz *fuzz = fuzz_of(lock);

	EXPECT(!lock->owner);
	EXPECT(fuzz->asked.released + fuzz->asked.broken + fuzz->asked.gone == 1);
	fuzz->asked.revoke++;
}

static int fuzz_op_join(struct srlock_lock *lock, struct srlock_waiter *waiter)
{
	struct fuzz_call *call = container_of(waiter, struct fuzz_call, waiter);
	struct fuzz *fuzz = fuzz_of(lock);

	EXPECT(lock->owner == waiter->client);
	fuzz->asked.joined[call->slot]++;

	return 0;
}

static bool fuzz_op_is_member(struct srlock_lock *lock)
{
	return fuzz_of(lock)->member;
}

static void fuzz_op_retry(struct srlock_lock *lock)
{
	fuzz_of(lock)->asked.retry++;
}

static void fuzz_op_wake(struct srlock_waiter *waiter)
{
	struct fuzz_call *call = container_of(waiter, struct fuzz_call, waiter);
	struct srlock_lock *lock = waiter->client->lock;
	struct fuzz *fuzz = fuzz_of(lock);

	if (waiter->done)
		fuzz->asked.done[call->slot]++;
	else if (lock->acquirer == waiter)
		fuzz->asked.served[call->slot]++;
	else
		fuzz->asked.back[call->slot]++;
}

static void fuzz_op_changed(struct srlock_lock *lock, enum srlock_change change)
{
	struct fuzz *fuzz = fuzz_of(lock);

	switch (change) {
	case SRLOCK_CHANGE_HELD:
		/* Who it is told of must be in place. */
		EXPECT(lock->owner && lock->name[0]);
		fuzz->asked.held++;
		break;
	case SRLOCK_CHANGE_RELEASED:
		fuzz->asked.released++;
		break;
	case SRLOCK_CHANGE_BROKEN:
		fuzz->asked.broken++;
		break;
	case SRLOCK_CHANGE_GONE:
		fuzz->asked.gone++;
		break;
	case SRLOCK_CHANGE_FREE:
		fuzz->asked.free++;
		break;
	case SRLOCK_CHANGE_QUEUE:
		break;
	}
}

static const struct srlock_lock_ops fuzz_ops = {
	.acquire	= fuzz_op_acquire,
	.abandon	= fuzz_op_abandon,
	.release	= fuzz_op_release,
	.revoke		= fuzz_op_revoke,
	.join		= fuzz_op_join,
	.is_member	= fuzz_op_is_member,
	.retry		= fuzz_op_retry,
	.wake		= fuzz_op_wake,
	.changed	= fuzz_op_changed,
};

static void fuzz_step(struct fuzz *fuzz)
{
	memset(&fuzz->asked, 0, sizeof(fuzz->asked));
	model_step(&fuzz->model);
}

static void fuzz_open_client(struct fuzz *fuzz, int client)
{
	fuzz->clients[client] = malloc(sizeof(*fuzz->clients[client]));
	EXPECT(fuzz->clients[client]);
	srlock_client_init(fuzz->clients[client], &fuzz->lock);
	fuzz->closing[client] = NOBODY;
	memset(&fuzz->model.clients[client], 0, sizeof(fuzz->model.clients[client]));
}

static int fuzz_slot(const struct srlock_waiter *waiter)
{
	return waiter ? container_of(waiter, const struct fuzz_call, waiter)->slot : NOBODY;
}

static void fuzz_compare_line(const struct fuzz *fuzz)
{
	const struct srlock_lock *lock = &fuzz->lock;
	const struct model *model = &fuzz->model;
	u32 waiting[MODEL_CLIENTS] = {};
	const struct srlock_waiter *waiter;
	int place = 0, client;

	list_for_each_entry(waiter, &lock->queue, node) {
		EXPECT(place < model->length);
		EXPECT(fuzz_slot(waiter) == model->line[place]);
		waiting[model->calls[model->line[place]].client]++;
		place++;
	}
	EXPECT(place == model->length);
	EXPECT(lock->waiters == (u32)model->length);
	for (client = 0; client < MODEL_CLIENTS; client++)
		EXPECT(fuzz->clients[client]->waiting == waiting[client]);
}

static void fuzz_compare_clients(const struct fuzz *fuzz)
{
	const struct srlock_lock *lock = &fuzz->lock;
	const struct model *model = &fuzz->model;
	int client;

	for (client = 0; client < MODEL_CLIENTS; client++) {
		const struct srlock_client *actual = fuzz->clients[client];

		EXPECT(actual->count == model->clients[client].count);
		EXPECT(actual->broken == model->clients[client].broken);
		EXPECT((lock->owner == actual) == (model->owner == client));
	}
	EXPECT(!lock->owner == (model->owner == NOBODY));
}

static void fuzz_compare(struct fuzz *fuzz)
{
	static const char no_name[SRLOCK_CLIENT_SIZE];
	struct srlock_lock *lock = &fuzz->lock;
	const struct model *model = &fuzz->model;

	EXPECT(!lock->spin.held);
	EXPECT(lock->state == model->state);
	EXPECT(lock->claimed == model->claimed || lock->state == SRLOCK_STATE_GONE);
	EXPECT(fuzz_slot(lock->acquirer) == model->served);
	EXPECT(fuzz_slot(lock->releaser) == model->releaser);
	fuzz_compare_line(fuzz);
	fuzz_compare_clients(fuzz);
	EXPECT(!memcmp(&fuzz->asked, &model->asked, sizeof(fuzz->asked)));

	if (lock->state == SRLOCK_STATE_ACQUIRING || lock->state == SRLOCK_STATE_HELD)
		EXPECT(lock->acquire_flags == model->flags);
	if (lock->state == SRLOCK_STATE_HELD)
		EXPECT(!memcmp(lock->name, fuzz->owner, sizeof(fuzz->owner)));
	else
		EXPECT(!memcmp(lock->name, no_name, sizeof(no_name)));

	spin_lock(&lock->spin);
	EXPECT(srlock_lock_waiters(lock) ==
	       (u32)model->length - (model->served != NOBODY));
	spin_unlock(&lock->spin);
}

/* What the caller of a call that is over gets to see. */
static void fuzz_compare_outcome(const struct fuzz_call *call,
				 const struct model_call *expected, int ret)
{
	EXPECT(call->waiter.count == expected->count);
	if (ret == -EBUSY)
		EXPECT(call->waiter.reason == expected->reason);
}

static void fuzz_forget(struct fuzz *fuzz, int slot)
{
	int client = fuzz->model.calls[slot].client;

	free(fuzz->calls[slot]);
	fuzz->calls[slot] = NULL;
	if (fuzz->closing[client] == slot) {
		free(fuzz->clients[client]);
		fuzz_open_client(fuzz, client);
	}
}

/* The end of each step: compare all, and free what is over. */
static void fuzz_end_step(struct fuzz *fuzz)
{
	int slot;

	if (fuzz->model.asked.held)
		memcpy(fuzz->owner, fuzz->calls[fuzz->model.owner_call]->waiter.name,
		       sizeof(fuzz->owner));
	fuzz_compare(fuzz);
	for (slot = 0; slot < MODEL_CALLS; slot++) {
		struct fuzz_call *call = fuzz->calls[slot];
		struct model_call *expected = &fuzz->model.calls[slot];

		if (!call || expected->waits)
			continue;
		EXPECT(call->waiter.done);
		EXPECT(srlock_lock_finish(&call->waiter) == expected->result);
		/* Too late to give up. */
		EXPECT(srlock_lock_cancel(&call->waiter, -EINTR) == expected->result);
		fuzz_compare_outcome(call, expected, expected->result);
		fuzz_forget(fuzz, slot);
	}
}

/* A new call, its inputs set; NULL if there are enough. */
static struct fuzz_call *fuzz_call(struct fuzz *fuzz, u8 arg)
{
	int slot = 0, client = arg % MODEL_CLIENTS;
	struct fuzz_call *call;

	while (slot < MODEL_CALLS && fuzz->calls[slot])
		slot++;
	if (slot == MODEL_CALLS || fuzz->closing[client] != NOBODY)
		return NULL;

	call = malloc(sizeof(*call));
	EXPECT(call);
	/* What the lock does not set may be anything. */
	memset(call, 0x5a, sizeof(*call));
	call->waiter.epoch = fuzz->lock.epoch;
	call->slot = slot;
	call->waiter.client = fuzz->clients[client];
	call->waiter.member = NULL;
	call->waiter.flags = arg >> 2 & 3;
	call->waiter.may_wait = arg >> 4 & 1;
	memset(call->waiter.name, 0, sizeof(call->waiter.name));
	snprintf(call->waiter.name, sizeof(call->waiter.name), "%u", ++fuzz->serial);
	fuzz->calls[slot] = call;
	fuzz->model.calls[slot].client = client;
	fuzz->model.calls[slot].flags = call->waiter.flags;
	fuzz->model.calls[slot].may_wait = call->waiter.may_wait;

	return call;
}

/* The call has returned; it goes on only if it says so. */
static void fuzz_returned(struct fuzz *fuzz, struct fuzz_call *call, int ret,
			  int expected)
{
	EXPECT(ret == expected);
	if (ret == -EINPROGRESS) {
		fuzz_end_step(fuzz);
		return;
	}
	fuzz_compare_outcome(call, &fuzz->model.calls[call->slot], ret);
	fuzz_compare(fuzz);
	fuzz_forget(fuzz, call->slot);
}

static void fuzz_acquire(struct fuzz *fuzz, u8 arg)
{
	struct fuzz_call *call = fuzz_call(fuzz, arg);

	if (call)
		fuzz_returned(fuzz, call, srlock_lock_acquire(&call->waiter),
			      model_acquire(&fuzz->model, call->slot));
}

static void fuzz_nest(struct fuzz *fuzz, u8 arg)
{
	int ret, client = arg % MODEL_CLIENTS;
	u32 count, expected;

	if (fuzz->closing[client] != NOBODY)
		return;
	fuzz->member = arg >> 2 & 1;
	ret = srlock_lock_nest(fuzz->clients[client], &count);
	EXPECT(ret == model_nest(&fuzz->model, client, fuzz->member, &expected));
	EXPECT(count == expected);
	fuzz_end_step(fuzz);
}

static void fuzz_unnest(struct fuzz *fuzz, u8 arg)
{
	int client = arg % MODEL_CLIENTS;
	u32 count = 0, expected = 0;
	int ret;

	if (fuzz->closing[client] != NOBODY)
		return;
	ret = srlock_lock_unnest(fuzz->clients[client], &count);
	EXPECT(ret == model_unnest(&fuzz->model, client, &expected));
	EXPECT(count == expected);
	fuzz_end_step(fuzz);
}

static void fuzz_release(struct fuzz *fuzz, u8 arg)
{
	struct fuzz_call *call = fuzz_call(fuzz, arg);

	if (call)
		fuzz_returned(fuzz, call,
			      srlock_lock_release(call->waiter.client, &call->waiter),
			      model_release(&fuzz->model, call->slot));
}

static void fuzz_break(struct fuzz *fuzz, u8 arg)
{
	struct fuzz_call *call = fuzz_call(fuzz, arg);

	if (call)
		fuzz_returned(fuzz, call,
			      srlock_lock_break(call->waiter.client, &call->waiter),
			      model_break(&fuzz->model, call->slot));
}

static void fuzz_cancel_call(struct fuzz *fuzz, int slot, int error)
{
	struct fuzz_call *call = fuzz->calls[slot];
	bool releases = fuzz->model.releaser == slot;
	int ret, expected;

	fuzz_step(fuzz);
	ret = srlock_lock_cancel(&call->waiter, error);
	expected = model_cancel(&fuzz->model, slot, error);
	EXPECT(ret == expected);
	if (!releases) {
		fuzz_end_step(fuzz);
		return;
	}
	EXPECT(!call->waiter.done);
	fuzz_compare(fuzz);
	fuzz_forget(fuzz, slot);
}

static void fuzz_cancel(struct fuzz *fuzz, u8 arg)
{
	static const int errors[] = { -EBUSY, -ERESTARTSYS, -ETIMEDOUT, 0 };
	int error = errors[arg & 3];
	int slot = (arg >> 2) % MODEL_CALLS, i;

	for (i = 0; i < MODEL_CALLS; i++, slot = (slot + 1) % MODEL_CALLS) {
		if (!fuzz->calls[slot])
			continue;
		/* Only who waits for a release may want to hear nothing of it. */
		if (!error && fuzz->model.releaser != slot)
			error = -ERESTARTSYS;
		fuzz_cancel_call(fuzz, slot, error);
		return;
	}
}

/* The last close: no call on the file is under way any more. */
static void fuzz_close(struct fuzz *fuzz, u8 arg)
{
	int slot, ret, client = arg % MODEL_CLIENTS;
	struct fuzz_call *call;

	if (fuzz->closing[client] != NOBODY)
		return;
	for (slot = 0; slot < MODEL_CALLS; slot++)
		if (fuzz->calls[slot] && fuzz->model.calls[slot].client == client)
			fuzz_cancel_call(fuzz, slot, -ERESTARTSYS);
	call = fuzz_call(fuzz, arg);
	if (!call)
		return;

	fuzz_step(fuzz);
	slot = call->slot;
	fuzz->closing[client] = slot;
	ret = srlock_lock_close(call->waiter.client, &call->waiter);
	fuzz_returned(fuzz, call, ret, model_close(&fuzz->model, slot));
	/* Who exits does not wait. */
	if (ret == -EINPROGRESS && arg & 0x80)
		fuzz_cancel_call(fuzz, slot, 0);
}

static void fuzz_answer(struct fuzz *fuzz, u8 arg)
{
	static const int errors[] = { 0, 0, 0, -EBUSY, -EBUSY, -EIO, -ETIMEDOUT, -ENODEV };
	int error = errors[arg % ARRAY_SIZE(errors)];

	if (fuzz->acquiring) {
		fuzz->acquiring = false;
		srlock_lock_acquired(&fuzz->lock, error);
		model_acquired(&fuzz->model, error);
	} else if (fuzz->releasing) {
		fuzz->releasing = false;
		srlock_lock_released(&fuzz->lock, error);
		model_released(&fuzz->model, error);
	}
	fuzz_end_step(fuzz);
}

static void fuzz_retry(struct fuzz *fuzz)
{
	srlock_lock_retry(&fuzz->lock);
	model_retry(&fuzz->model);
	fuzz_end_step(fuzz);
}

static void fuzz_gone(struct fuzz *fuzz)
{
	srlock_lock_gone(&fuzz->lock);
	model_gone(&fuzz->model);
	fuzz_end_step(fuzz);
}

/* As if the holder had nested for years. */
static void fuzz_count_high(struct fuzz *fuzz)
{
	if (!fuzz->lock.owner)
		return;
	fuzz->lock.owner->count = U32_MAX - 1;
	fuzz->model.clients[fuzz->model.owner].count = U32_MAX - 1;
}

static void fuzz_happens(struct fuzz *fuzz, u8 what, u8 arg)
{
	fuzz_step(fuzz);
	switch (what % 16) {
	case 0:
	case 1:
	case 2:
	case 3:
		fuzz_acquire(fuzz, arg);
		break;
	case 4:
		fuzz_nest(fuzz, arg);
		break;
	case 5:
		fuzz_unnest(fuzz, arg);
		break;
	case 6:
		fuzz_release(fuzz, arg);
		break;
	case 7:
		fuzz_break(fuzz, arg);
		break;
	case 8:
		fuzz_close(fuzz, arg);
		break;
	case 9:
		fuzz_cancel(fuzz, arg);
		break;
	case 10:
	case 11:
	case 12:
		fuzz_answer(fuzz, arg);
		break;
	case 13:
		fuzz_retry(fuzz);
		break;
	case 14:
		fuzz_count_high(fuzz);
		break;
	case 15:
		/* Not too often: little happens afterwards. */
		if (arg < 4)
			fuzz_gone(fuzz);
		break;
	}
}

/* The drive is detached, and nothing may be left. */
static void fuzz_end(struct fuzz *fuzz)
{
	int i;

	fuzz_step(fuzz);
	fuzz_gone(fuzz);
	fuzz_step(fuzz);
	fuzz_answer(fuzz, 0);
	fuzz_step(fuzz);
	fuzz_retry(fuzz);
	EXPECT(!fuzz->acquiring && !fuzz->releasing);
	for (i = 0; i < MODEL_CALLS; i++)
		EXPECT(!fuzz->calls[i]);
	for (i = 0; i < MODEL_CLIENTS; i++)
		free(fuzz->clients[i]);
}

/* Names have no state; the input is tried as one besides. */
static void fuzz_name(const u8 *data, size_t size)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .,:;_-";
	char name[SRLOCK_CLIENT_SIZE] = {};
	size_t length;

	memcpy(name, data, size < sizeof(name) ? size : sizeof(name));
	length = strnlen(name, sizeof(name));
	EXPECT(srlock_name_is_valid(name) ==
	       (length > 0 && length < sizeof(name) && strspn(name, alphabet) == length));
}

/* What libFuzzer calls; the build gives it the name that is wanted there. */
int fuzz_one_input(const u8 *data, size_t size)
{
	struct fuzz *fuzz = calloc(1, sizeof(*fuzz));
	size_t i;

	EXPECT(fuzz);
	fuzz_name(data, size);
	srlock_lock_init(&fuzz->lock, &fuzz_ops);
	model_init(&fuzz->model);
	for (i = 0; i < MODEL_CLIENTS; i++)
		fuzz_open_client(fuzz, i);
	for (i = 0; i + 1 < size; i += 2)
		fuzz_happens(fuzz, data[i], data[i + 1]);
	fuzz_end(fuzz);
	free(fuzz);

	return 0;
}
