// SPDX-License-Identifier: GPL-2.0-only
/*
 * A drive that writes down what the lock asks of it; see lock_fake.h
 */
#include <linux/lockdep.h>
#include <linux/string.h>

#include "lock_fake.h"

static struct fake_drive *fake_of(struct srlock_lock *lock)
{
	lockdep_assert_held(&lock->spin);

	return container_of(lock, struct fake_drive, lock);
}

static void fake_log(struct fake_drive *drive, const char *word, char tag)
{
	size_t length = strlen(drive->log);

	scnprintf(drive->log + length, sizeof(drive->log) - length, "%s%s%s%.1s",
		  length ? " " : "", word, tag ? ":" : "", &tag);
}

static void fake_op_acquire(struct srlock_lock *lock)
{
	struct fake_drive *drive = fake_of(lock);

	KUNIT_EXPECT_FALSE(drive->test, drive->acquiring);
	KUNIT_EXPECT_FALSE(drive->test, drive->releasing);
	KUNIT_EXPECT_EQ(drive->test, lock->state, SRLOCK_STATE_ACQUIRING);
	drive->acquiring = true;
	fake_log(drive, "acquire", 0);
}

static void fake_op_abandon(struct srlock_lock *lock)
{
	struct fake_drive *drive = fake_of(lock);

	KUNIT_EXPECT_TRUE(drive->test, drive->acquiring);
	fake_log(drive, "abandon", 0);
}

static void fake_op_release(struct srlock_lock *lock)
{
	struct fake_drive *drive = fake_of(lock);

	KUNIT_EXPECT_FALSE(drive->test, drive->acquiring);
	KUNIT_EXPECT_FALSE(drive->test, drive->releasing);
	KUNIT_EXPECT_EQ(drive->test, lock->state, SRLOCK_STATE_RELEASING);
	drive->releasing = true;
	fake_log(drive, "release", 0);
}

static void fake_op_revoke(struct srlock_lock *lock)
{
	struct fake_drive *drive = fake_of(lock);

	/* Nobody may be found to be the owner after this. */
	KUNIT_EXPECT_NULL(drive->test, lock->owner);
	fake_log(drive, "revoke", 0);
}

static int fake_op_join(struct srlock_lock *lock, struct srlock_waiter *waiter)
{
	struct fake_drive *drive = fake_of(lock);
	struct fake_call *call = container_of(waiter, struct fake_call, waiter);

	KUNIT_EXPECT_PTR_EQ(drive->test, lock->owner, waiter->client);
	if (drive->join_error)
		return drive->join_error;
	call->joined++;
	fake_log(drive, "join", call->tag);

	return 0;
}

static bool fake_op_is_member(struct srlock_lock *lock)
{
	return fake_of(lock)->member;
}

static void fake_op_retry(struct srlock_lock *lock)
{
	struct fake_drive *drive = fake_of(lock);

	drive->retry = true;
	fake_log(drive, "retry", 0);
}

static void fake_op_wake(struct srlock_waiter *waiter)
{
	struct fake_drive *drive = fake_of(waiter->client->lock);
	struct fake_call *call = container_of(waiter, struct fake_call, waiter);

	KUNIT_EXPECT_EQ(drive->test, call->done, 0);
	if (waiter->done) {
		/* It may vanish, so nothing may lead to it. */
		KUNIT_EXPECT_TRUE(drive->test, list_empty(&waiter->node));
		KUNIT_EXPECT_PTR_NE(drive->test, drive->lock.acquirer, waiter);
		KUNIT_EXPECT_PTR_NE(drive->test, drive->lock.releaser, waiter);
		call->done++;
		fake_log(drive, "done", call->tag);
	} else if (drive->lock.acquirer == waiter) {
		fake_log(drive, "served", call->tag);
	} else {
		fake_log(drive, "back", call->tag);
	}
}

static void fake_op_changed(struct srlock_lock *lock, enum srlock_change change)
{
	static const char * const words[] = {
		[SRLOCK_CHANGE_HELD]		= "held",
		[SRLOCK_CHANGE_RELEASED]	= "released",
		[SRLOCK_CHANGE_BROKEN]		= "broken",
		[SRLOCK_CHANGE_GONE]		= "gone",
		[SRLOCK_CHANGE_FREE]		= "free",
	};
	struct fake_drive *drive = fake_of(lock);

	if (change == SRLOCK_CHANGE_QUEUE)
		drive->queue_changes++;
	else
		fake_log(drive, words[change], 0);
}

static const struct srlock_lock_ops fake_ops = {
	.acquire	= fake_op_acquire,
	.abandon	= fake_op_abandon,
	.release	= fake_op_release,
	.revoke		= fake_op_revoke,
	.join		= fake_op_join,
	.is_member	= fake_op_is_member,
	.retry		= fake_op_retry,
	.wake		= fake_op_wake,
	.changed	= fake_op_changed,
};

int fake_init(struct kunit *test)
{
	struct fake_drive *drive;
	unsigned int i;

	drive = kunit_kzalloc(test, sizeof(*drive), GFP_KERNEL);
	if (!drive)
		return -ENOMEM;

	drive->test = test;
	srlock_lock_init(&drive->lock, &fake_ops);
	for (i = 0; i < FAKE_CLIENTS; i++)
		srlock_client_init(&drive->clients[i], &drive->lock);
	test->priv = drive;

	return 0;
}

static void fake_check_state(struct fake_drive *drive)
{
	const struct srlock_lock *lock = &drive->lock;
	struct kunit *test = drive->test;
	bool held = lock->state == SRLOCK_STATE_HELD;
	bool acquiring = lock->state == SRLOCK_STATE_ACQUIRING;

	KUNIT_EXPECT_EQ(test, !!lock->owner, held);
	KUNIT_EXPECT_EQ(test, !!lock->acquirer, acquiring);
	if (held)
		KUNIT_EXPECT_GT(test, lock->owner->count, 0);
	if (acquiring)
		KUNIT_EXPECT_TRUE(test, drive->acquiring);
	/* Whoever waits must have something to wait for. */
	if (lock->state == SRLOCK_STATE_FREE && !list_empty(&lock->queue))
		KUNIT_EXPECT_TRUE(test, lock->claimed && drive->retry);
	if (lock->state == SRLOCK_STATE_RELEASING)
		KUNIT_EXPECT_TRUE(test, drive->acquiring || drive->releasing);
	if (lock->releaser)
		KUNIT_EXPECT_TRUE(test, drive->releasing);
	if (lock->state == SRLOCK_STATE_GONE)
		KUNIT_EXPECT_TRUE(test, list_empty(&lock->queue));
}

/**
 * fake_check() - what has to be true between any two calls
 * @drive: the fixture
 */
void fake_check(struct fake_drive *drive)
{
	const struct srlock_lock *lock = &drive->lock;
	unsigned int i, holding = 0, waiting = 0;
	const struct srlock_waiter *waiter;

	fake_check_state(drive);
	list_for_each_entry(waiter, &lock->queue, node)
		waiting++;
	KUNIT_EXPECT_EQ(drive->test, lock->waiters, waiting);
	for (i = 0; i < FAKE_CLIENTS; i++) {
		holding += drive->clients[i].count > 0;
		waiting -= drive->clients[i].waiting;
		if (drive->clients[i].count)
			KUNIT_EXPECT_PTR_EQ(drive->test, lock->owner, &drive->clients[i]);
	}
	KUNIT_EXPECT_EQ(drive->test, waiting, 0);
	KUNIT_EXPECT_LE(drive->test, holding, 1);
}

const char *fake_take_log(struct fake_drive *drive)
{
	strscpy(drive->taken, drive->log, sizeof(drive->taken));
	drive->log[0] = 0;

	return drive->taken;
}

u32 fake_waiters(struct fake_drive *drive)
{
	u32 waiters;

	spin_lock(&drive->lock.spin);
	waiters = srlock_lock_waiters(&drive->lock);
	spin_unlock(&drive->lock.spin);

	return waiters;
}

static struct fake_call *fake_call(struct fake_drive *drive, char tag)
{
	struct fake_call *call;

	call = kunit_kzalloc(drive->test, sizeof(*call), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(drive->test, call);
	/* Outputs must be set, not left over. */
	memset(&call->waiter, 0x5a, sizeof(call->waiter));
	call->waiter.epoch = drive->lock.epoch;
	call->drive = drive;
	call->tag = tag;

	return call;
}

/**
 * fake_start() - ACQUIRE, or ACQUIRE again
 * @call: its inputs are set
 */
void fake_start(struct fake_call *call)
{
	call->done = 0;
	call->joined = 0;
	call->ret = srlock_lock_acquire(&call->waiter);
	fake_check(call->drive);
}

/**
 * fake_acquire_flags() - ACQUIRE
 * @drive: the fixture
 * @client: number of the file
 * @tag: the call in the log, and the client's name
 * @flags: SRLOCK_ACQUIRE_*
 * @may_wait: the deadline is not 0
 */
struct fake_call *fake_acquire_flags(struct fake_drive *drive, unsigned int client,
				     char tag, u32 flags, bool may_wait)
{
	struct fake_call *call = fake_call(drive, tag);

	call->waiter.client = &drive->clients[client];
	call->waiter.member = NULL;
	call->waiter.flags = flags;
	call->waiter.may_wait = may_wait;
	memset(call->waiter.name, 0, sizeof(call->waiter.name));
	call->waiter.name[0] = tag;
	fake_start(call);

	return call;
}

/* ACQUIRE that waits if need be. */
struct fake_call *fake_acquire(struct fake_drive *drive, unsigned int client, char tag)
{
	return fake_acquire_flags(drive, client, tag, 0, true);
}

struct fake_call *fake_release(struct fake_drive *drive, unsigned int client)
{
	struct fake_call *call = fake_call(drive, 'r');

	call->ret = srlock_lock_release(&drive->clients[client], &call->waiter);
	fake_check(drive);

	return call;
}

struct fake_call *fake_break(struct fake_drive *drive, unsigned int client)
{
	struct fake_call *call = fake_call(drive, 'x');

	call->ret = srlock_lock_break(&drive->clients[client], &call->waiter);
	fake_check(drive);

	return call;
}

struct fake_call *fake_close(struct fake_drive *drive, unsigned int client)
{
	struct fake_call *call = fake_call(drive, 'c');

	call->ret = srlock_lock_close(&drive->clients[client], &call->waiter);
	fake_check(drive);

	return call;
}

int fake_cancel(struct fake_call *call, int error)
{
	int ret = srlock_lock_cancel(&call->waiter, error);

	fake_check(call->drive);

	return ret;
}

/* The acquire that was asked for has ended. */
void fake_acquired(struct fake_drive *drive, int error)
{
	KUNIT_ASSERT_TRUE(drive->test, drive->acquiring);
	drive->acquiring = false;
	srlock_lock_acquired(&drive->lock, error);
	fake_check(drive);
}

/* The release that was asked for has ended. */
void fake_released(struct fake_drive *drive, int error)
{
	KUNIT_ASSERT_TRUE(drive->test, drive->releasing);
	drive->releasing = false;
	srlock_lock_released(&drive->lock, error);
	fake_check(drive);
}

/* The while is over after which to try again. */
void fake_retry(struct fake_drive *drive)
{
	drive->retry = false;
	srlock_lock_retry(&drive->lock);
	fake_check(drive);
}

void fake_gone(struct fake_drive *drive)
{
	srlock_lock_gone(&drive->lock);
	fake_check(drive);
}

/* A first acquire from call to success. */
void fake_hold(struct fake_drive *drive, unsigned int client)
{
	struct fake_call *call = fake_acquire(drive, client, 'h');

	FAKE_EXPECT_WAITS(call);
	fake_acquired(drive, 0);
	FAKE_EXPECT_DONE(call, 0);
	KUNIT_ASSERT_EQ(drive->test, drive->clients[client].count, 1);
}

/**
 * fake_enter() - bring a free lock into a situation
 * @drive: the fixture
 * @situation: the one that is wanted
 *
 * Return: the call that waits there, NULL if there is none.
 */
struct fake_call *fake_enter(struct fake_drive *drive, enum fake_situation situation)
{
	struct fake_call *call = NULL;

	switch (situation) {
	case FAKE_FREE:
		break;
	case FAKE_CLAIMED:
		call = fake_acquire(drive, 0, 'a');
		fake_acquired(drive, -EBUSY);
		break;
	case FAKE_ACQUIRING:
		call = fake_acquire(drive, 0, 'a');
		break;
	case FAKE_ABANDONED:
		fake_cancel(fake_acquire(drive, 0, 'a'), -ERESTARTSYS);
		break;
	case FAKE_HELD:
		fake_hold(drive, 0);
		fake_acquire(drive, 0, 'a');
		fake_acquire(drive, 0, 'a');
		KUNIT_ASSERT_EQ(drive->test, drive->clients[0].count, 3);
		break;
	case FAKE_RELEASING:
		fake_hold(drive, 0);
		call = fake_release(drive, 0);
		break;
	case FAKE_RELEASING_ALONE:
		fake_hold(drive, 0);
		fake_cancel(fake_release(drive, 0), -ETIMEDOUT);
		break;
	case FAKE_GONE:
		fake_gone(drive);
		break;
	}
	fake_take_log(drive);

	return call;
}
