// SPDX-License-Identifier: GPL-2.0-only
/*
 * The lock: counts, who may do what in which situation, and the order of things
 */
#include <linux/limits.h>
#include <linux/string.h>

#include "lock_fake.h"

/* The order in which a drive is taken and given back is a promise to the drive. */
static void first_acquire_and_final_release_in_order(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct fake_call *call;

	call = fake_acquire(drive, 0, 'a');
	FAKE_EXPECT_WAITS(call);
	FAKE_EXPECT_LOG(drive, "acquire served:a");
	FAKE_EXPECT_STATE(drive, SRLOCK_STATE_ACQUIRING);
	KUNIT_EXPECT_EQ(test, drive->clients[0].count, 0);

	fake_acquired(drive, 0);
	FAKE_EXPECT_LOG(drive, "join:a held done:a");
	FAKE_EXPECT_STATE(drive, SRLOCK_STATE_HELD);
	FAKE_EXPECT_DONE(call, 0);
	KUNIT_EXPECT_EQ(test, call->waiter.count, 1);
	KUNIT_EXPECT_EQ(test, call->waiter.reason, SRLOCK_BUSY_NOT);

	call = fake_release(drive, 0);
	FAKE_EXPECT_WAITS(call);
	/* Told while it can be seen whose it was, and void before ALLOW is sent. */
	FAKE_EXPECT_LOG(drive, "released revoke release");
	FAKE_EXPECT_STATE(drive, SRLOCK_STATE_RELEASING);
	KUNIT_EXPECT_EQ(test, drive->clients[0].count, 0);
	KUNIT_EXPECT_STREQ(test, drive->lock.name, "");

	fake_released(drive, 0);
	FAKE_EXPECT_LOG(drive, "free done:r");
	FAKE_EXPECT_STATE(drive, SRLOCK_STATE_FREE);
	FAKE_EXPECT_DONE(call, 0);
	KUNIT_EXPECT_EQ(test, call->waiter.count, 0);
}

/* Those that watch hear of each change of the state and of the queue. */
static void each_change_is_told(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct fake_call *call;
	unsigned int before;

	before = drive->queue_changes;
	fake_acquire(drive, 0, 'a');
	KUNIT_EXPECT_GT(test, drive->queue_changes, before);

	before = drive->queue_changes;
	call = fake_acquire(drive, 1, 'b');
	KUNIT_EXPECT_GT(test, drive->queue_changes, before);

	before = drive->queue_changes;
	fake_cancel(call, -EBUSY);
	KUNIT_EXPECT_GT(test, drive->queue_changes, before);

	before = drive->queue_changes;
	fake_acquired(drive, 0);
	KUNIT_EXPECT_GT(test, drive->queue_changes, before);
}

static void equal_numbers_of_acquires_and_releases(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct fake_call *call;
	u32 i, count;

	fake_hold(drive, 0);
	fake_take_log(drive);
	for (i = 2; i <= 50; i++) {
		call = fake_acquire(drive, 0, 'n');
		KUNIT_EXPECT_EQ(test, call->ret, 0);
		KUNIT_EXPECT_EQ(test, call->waiter.count, i);
		KUNIT_EXPECT_EQ(test, call->joined, 1);
		FAKE_EXPECT_LOG(drive, "join:n");
	}
	drive->member = true;
	for (; i <= 100; i++) {
		KUNIT_EXPECT_EQ(test, srlock_lock_nest(&drive->clients[0], &count), 0);
		KUNIT_EXPECT_EQ(test, count, i);
	}
	for (i = 99; i >= 1; i--) {
		call = fake_release(drive, 0);
		KUNIT_EXPECT_EQ(test, call->ret, 0);
		KUNIT_EXPECT_EQ(test, call->waiter.count, i);
		FAKE_EXPECT_STATE(drive, SRLOCK_STATE_HELD);
	}
	FAKE_EXPECT_LOG(drive, "");
	KUNIT_EXPECT_EQ(test, fake_release(drive, 0)->ret, -EINPROGRESS);
	FAKE_EXPECT_LOG(drive, "released revoke release");
	KUNIT_EXPECT_EQ(test, fake_release(drive, 0)->ret, -EPERM);
	fake_released(drive, 0);
	KUNIT_EXPECT_EQ(test, fake_release(drive, 0)->ret, -EPERM);
	FAKE_EXPECT_STATE(drive, SRLOCK_STATE_FREE);
}

/* The quick way is for members of the holder only; others have to join. */
static void nest_is_for_members_of_the_owner(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	u32 count;

	drive->member = true;
	KUNIT_EXPECT_EQ(test, srlock_lock_nest(&drive->clients[0], &count), -EAGAIN);
	fake_acquire(drive, 0, 'a');
	KUNIT_EXPECT_EQ(test, srlock_lock_nest(&drive->clients[0], &count), -EAGAIN);
	fake_acquired(drive, 0);
	KUNIT_EXPECT_EQ(test, srlock_lock_nest(&drive->clients[1], &count), -EAGAIN);
	KUNIT_EXPECT_EQ(test, drive->clients[0].count, 1);
	KUNIT_EXPECT_EQ(test, drive->clients[1].count, 0);
	drive->member = false;
	KUNIT_EXPECT_EQ(test, srlock_lock_nest(&drive->clients[0], &count), -EAGAIN);
	KUNIT_EXPECT_EQ(test, drive->clients[0].count, 1);
	drive->member = true;
	KUNIT_EXPECT_EQ(test, srlock_lock_nest(&drive->clients[0], &count), 0);
	KUNIT_EXPECT_EQ(test, drive->clients[0].count, 2);
	fake_check(drive);
}

/* The quick way down never ends a hold. */
static void unnest_leaves_the_last_one(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	u32 count;

	KUNIT_EXPECT_EQ(test, srlock_lock_unnest(&drive->clients[0], &count), -EAGAIN);
	fake_enter(drive, FAKE_HELD);
	KUNIT_EXPECT_EQ(test, srlock_lock_unnest(&drive->clients[1], &count), -EAGAIN);
	KUNIT_EXPECT_EQ(test, srlock_lock_unnest(&drive->clients[0], &count), 0);
	KUNIT_EXPECT_EQ(test, count, 2);
	KUNIT_EXPECT_EQ(test, srlock_lock_unnest(&drive->clients[0], &count), 0);
	KUNIT_EXPECT_EQ(test, count, 1);
	KUNIT_EXPECT_EQ(test, srlock_lock_unnest(&drive->clients[0], &count), -EAGAIN);
	KUNIT_EXPECT_EQ(test, drive->clients[0].count, 1);
	FAKE_EXPECT_LOG(drive, "");
	FAKE_EXPECT_STATE(drive, SRLOCK_STATE_HELD);

	fake_acquire(drive, 0, 'a');
	fake_break(drive, 1);
	KUNIT_EXPECT_EQ(test, srlock_lock_unnest(&drive->clients[0], &count), -EAGAIN);
	fake_gone(drive);
	KUNIT_EXPECT_EQ(test, srlock_lock_unnest(&drive->clients[0], &count), -EAGAIN);
}

static void count_does_not_overflow(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct fake_call *call;
	u32 count = 0;

	fake_hold(drive, 0);
	drive->member = true;
	drive->clients[0].count = U32_MAX - 2;
	KUNIT_EXPECT_EQ(test, fake_acquire(drive, 0, 'a')->ret, 0);
	KUNIT_EXPECT_EQ(test, srlock_lock_nest(&drive->clients[0], &count), 0);
	KUNIT_EXPECT_EQ(test, count, U32_MAX);
	fake_take_log(drive);

	call = fake_acquire(drive, 0, 'b');
	KUNIT_EXPECT_EQ(test, call->ret, -EOVERFLOW);
	KUNIT_EXPECT_EQ(test, call->joined, 0);
	KUNIT_EXPECT_EQ(test, srlock_lock_nest(&drive->clients[0], &count), -EOVERFLOW);
	KUNIT_EXPECT_EQ(test, drive->clients[0].count, U32_MAX);
	FAKE_EXPECT_LOG(drive, "");

	KUNIT_EXPECT_EQ(test, fake_release(drive, 0)->waiter.count, U32_MAX - 1);
}

static void a_process_too_many_does_not_count(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct fake_call *call;

	fake_hold(drive, 0);
	fake_take_log(drive);
	drive->join_error = -EOVERFLOW;
	call = fake_acquire(drive, 0, 'a');
	KUNIT_EXPECT_EQ(test, call->ret, -EOVERFLOW);
	KUNIT_EXPECT_EQ(test, call->waiter.count, 1);
	KUNIT_EXPECT_EQ(test, drive->clients[0].count, 1);
	FAKE_EXPECT_LOG(drive, "");
	FAKE_EXPECT_STATE(drive, SRLOCK_STATE_HELD);

	drive->join_error = 0;
	KUNIT_EXPECT_EQ(test, fake_acquire(drive, 0, 'b')->ret, 0);
	KUNIT_EXPECT_EQ(test, drive->clients[0].count, 2);
}

/* First name and flags stay; nested ones do not matter. */
static void name_and_flags_are_the_first_ones(struct kunit *test)
{
	struct fake_drive *drive = test->priv;

	fake_acquire_flags(drive, 0, 'a', SRLOCK_ACQUIRE_NO_PREVENT, true);
	KUNIT_EXPECT_EQ(test, drive->lock.acquire_flags, SRLOCK_ACQUIRE_NO_PREVENT);
	fake_acquired(drive, 0);
	KUNIT_EXPECT_STREQ(test, drive->lock.name, "a");
	fake_acquire_flags(drive, 0, 'b', SRLOCK_ACQUIRE_FORCE, true);
	fake_acquire_flags(drive, 1, 'c', SRLOCK_ACQUIRE_FORCE, true);
	KUNIT_EXPECT_STREQ(test, drive->lock.name, "a");
	KUNIT_EXPECT_EQ(test, drive->lock.acquire_flags, SRLOCK_ACQUIRE_NO_PREVENT);

	fake_break(drive, 2);
	fake_released(drive, 0);
	KUNIT_EXPECT_EQ(test, drive->lock.acquire_flags, SRLOCK_ACQUIRE_FORCE);
	KUNIT_EXPECT_STREQ(test, drive->lock.name, "");
	fake_acquired(drive, 0);
	KUNIT_EXPECT_STREQ(test, drive->lock.name, "c");
	fake_gone(drive);
	KUNIT_EXPECT_STREQ(test, drive->lock.name, "");
}

/* The name has its full length, and nothing of a longer one before it is left. */
static void name_is_copied_as_a_whole(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct fake_call *call = fake_acquire(drive, 0, 'a');

	memset(call->waiter.name, 'n', SRLOCK_CLIENT_SIZE - 1);
	fake_acquired(drive, 0);
	KUNIT_EXPECT_EQ(test, strlen(drive->lock.name), SRLOCK_CLIENT_SIZE - 1);
	fake_close(drive, 0);
	fake_released(drive, 0);
	KUNIT_EXPECT_NULL(test, memchr_inv(drive->lock.name, 0, SRLOCK_CLIENT_SIZE));
	fake_hold(drive, 1);
	KUNIT_EXPECT_NULL(test, memchr_inv(drive->lock.name + 1, 0,
					   SRLOCK_CLIENT_SIZE - 1));
}

struct situation_param {
	const char *desc;
	enum fake_situation situation;
	enum srlock_state state;
	int acquire;		/* by another client that does not wait */
	enum srlock_busy reason;
	u32 count;
	u32 waiters;
	int release;		/* by another client */
	int brk;
};

static const struct situation_param situation_params[] = {
	{ "free", FAKE_FREE, SRLOCK_STATE_FREE,
	  -EINPROGRESS, SRLOCK_BUSY_NOT, 0, 0, -EPERM, -EPERM },
	{ "claimed", FAKE_CLAIMED, SRLOCK_STATE_FREE,
	  -EBUSY, SRLOCK_BUSY_CLAIMED, 0, 1, -EPERM, -EPERM },
	{ "acquiring", FAKE_ACQUIRING, SRLOCK_STATE_ACQUIRING,
	  -EBUSY, SRLOCK_BUSY_HELD, 0, 0, -EPERM, -EPERM },
	{ "abandoned", FAKE_ABANDONED, SRLOCK_STATE_RELEASING,
	  -EBUSY, SRLOCK_BUSY_RELEASING, 0, 0, -EPERM, -EPERM },
	{ "held", FAKE_HELD, SRLOCK_STATE_HELD,
	  -EBUSY, SRLOCK_BUSY_HELD, 3, 0, -EPERM, -EINPROGRESS },
	{ "releasing", FAKE_RELEASING, SRLOCK_STATE_RELEASING,
	  -EBUSY, SRLOCK_BUSY_RELEASING, 0, 0, -EPERM, -EPERM },
	{ "releasing, nobody waits", FAKE_RELEASING_ALONE, SRLOCK_STATE_RELEASING,
	  -EBUSY, SRLOCK_BUSY_RELEASING, 0, 0, -EPERM, -EPERM },
	{ "gone", FAKE_GONE, SRLOCK_STATE_GONE,
	  -ENODEV, SRLOCK_BUSY_NOT, 0, 0, -ENODEV, -ENODEV },
};

static void situation_get_desc(const struct situation_param *param, char *desc)
{
	strscpy(desc, param->desc, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(situation, situation_params, situation_get_desc);

static void another_client_in_each_situation(struct kunit *test)
{
	const struct situation_param *param = test->param_value;
	struct fake_drive *drive = test->priv;
	struct fake_call *call;
	u32 count;

	fake_enter(drive, param->situation);
	FAKE_EXPECT_STATE(drive, param->state);
	KUNIT_EXPECT_EQ(test, fake_waiters(drive), param->waiters);

	KUNIT_EXPECT_EQ(test, fake_release(drive, 1)->ret, param->release);
	KUNIT_EXPECT_EQ(test, fake_close(drive, 1)->ret, 0);
	drive->member = true;
	KUNIT_EXPECT_EQ(test, srlock_lock_nest(&drive->clients[1], &count),
			param->state == SRLOCK_STATE_GONE ? -ENODEV : -EAGAIN);
	FAKE_EXPECT_LOG(drive, "");
	FAKE_EXPECT_STATE(drive, param->state);

	call = fake_acquire_flags(drive, 1, 'b', 0, false);
	KUNIT_EXPECT_EQ(test, call->ret, param->acquire);
	KUNIT_EXPECT_EQ(test, call->waiter.reason, param->reason);
	KUNIT_EXPECT_EQ(test, call->waiter.count, param->count);
	FAKE_EXPECT_LOG(drive, param->acquire == -EINPROGRESS ? "acquire served:b" : "");
}

static void break_in_each_situation(struct kunit *test)
{
	const struct situation_param *param = test->param_value;
	struct fake_drive *drive = test->priv;
	struct fake_call *call;

	fake_enter(drive, param->situation);
	call = fake_break(drive, 1);
	KUNIT_EXPECT_EQ(test, call->ret, param->brk);
	KUNIT_EXPECT_EQ(test, drive->clients[0].broken, param->brk == -EINPROGRESS);
	FAKE_EXPECT_LOG(drive, param->brk == -EINPROGRESS ? "broken revoke release" : "");
	if (param->brk != -EINPROGRESS) {
		FAKE_EXPECT_STATE(drive, param->state);
		return;
	}

	KUNIT_EXPECT_EQ(test, drive->clients[0].count, 0);
	FAKE_EXPECT_WAITS(call);
	FAKE_EXPECT_STATE(drive, SRLOCK_STATE_RELEASING);
	fake_released(drive, -EIO);
	FAKE_EXPECT_DONE(call, -EIO);
	FAKE_EXPECT_STATE(drive, SRLOCK_STATE_FREE);
}

/* The last close is a full release, however deep the nesting was. */
static void holder_closes_in_each_situation(struct kunit *test)
{
	const struct situation_param *param = test->param_value;
	bool holds = param->situation == FAKE_HELD;
	struct fake_drive *drive = test->priv;
	enum srlock_state before;
	struct fake_call *call;

	/* A call that is under way keeps its file open, so a signal ends it first. */
	call = fake_enter(drive, param->situation);
	if (call)
		fake_cancel(call, -ERESTARTSYS);
	fake_take_log(drive);
	before = drive->lock.state;
	call = fake_close(drive, 0);
	KUNIT_EXPECT_EQ(test, call->ret, holds ? -EINPROGRESS : 0);
	FAKE_EXPECT_LOG(drive, holds ? "released revoke release" : "");
	if (!holds) {
		FAKE_EXPECT_STATE(drive, before);
		return;
	}

	KUNIT_EXPECT_EQ(test, drive->clients[0].count, 0);
	KUNIT_EXPECT_FALSE(test, drive->clients[0].broken);
	KUNIT_EXPECT_EQ(test, fake_cancel(call, 0), 0);
	fake_released(drive, 0);
	FAKE_EXPECT_LOG(drive, "free");
	KUNIT_EXPECT_EQ(test, call->done, 0);
}

/* Of a broken file nothing works any more, of the others everything. */
static void broken_file_stays_broken(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	u32 count;
	int i;

	fake_hold(drive, 0);
	fake_break(drive, 1);
	drive->member = true;
	for (i = 0; i < 3; i++) {
		if (i == 1)
			fake_released(drive, 0);
		if (i == 2)
			fake_gone(drive);
		fake_take_log(drive);
		KUNIT_EXPECT_EQ(test, fake_acquire(drive, 0, 'a')->ret, -EOWNERDEAD);
		KUNIT_EXPECT_EQ(test, srlock_lock_nest(&drive->clients[0], &count),
				-EOWNERDEAD);
		KUNIT_EXPECT_EQ(test, fake_release(drive, 0)->ret, -EOWNERDEAD);
		FAKE_EXPECT_LOG(drive, "");
	}
	KUNIT_EXPECT_EQ(test, fake_close(drive, 0)->ret, 0);
}

static void breaker_may_hold_next(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct fake_call *call;

	fake_hold(drive, 0);
	fake_break(drive, 1);
	call = fake_acquire(drive, 1, 'b');
	FAKE_EXPECT_WAITS(call);
	fake_released(drive, 0);
	fake_acquired(drive, 0);
	FAKE_EXPECT_DONE(call, 0);
	KUNIT_EXPECT_PTR_EQ(test, drive->lock.owner, &drive->clients[1]);
	/* The broken one can be no danger to the new holder. */
	KUNIT_EXPECT_EQ(test, fake_close(drive, 0)->ret, 0);
	FAKE_EXPECT_STATE(drive, SRLOCK_STATE_HELD);
}

static void holder_may_break_itself(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct fake_call *call;

	fake_hold(drive, 0);
	call = fake_break(drive, 0);
	FAKE_EXPECT_WAITS(call);
	KUNIT_EXPECT_TRUE(test, drive->clients[0].broken);
	fake_released(drive, 0);
	FAKE_EXPECT_DONE(call, 0);
	KUNIT_EXPECT_EQ(test, fake_break(drive, 0)->ret, -EPERM);
}

static struct kunit_case lock_cases[] = {
	KUNIT_CASE(first_acquire_and_final_release_in_order),
	KUNIT_CASE(each_change_is_told),
	KUNIT_CASE(equal_numbers_of_acquires_and_releases),
	KUNIT_CASE(nest_is_for_members_of_the_owner),
	KUNIT_CASE(unnest_leaves_the_last_one),
	KUNIT_CASE(count_does_not_overflow),
	KUNIT_CASE(a_process_too_many_does_not_count),
	KUNIT_CASE(name_and_flags_are_the_first_ones),
	KUNIT_CASE(name_is_copied_as_a_whole),
	KUNIT_CASE_PARAM(another_client_in_each_situation, situation_gen_params),
	KUNIT_CASE_PARAM(break_in_each_situation, situation_gen_params),
	KUNIT_CASE_PARAM(holder_closes_in_each_situation, situation_gen_params),
	KUNIT_CASE(broken_file_stays_broken),
	KUNIT_CASE(breaker_may_hold_next),
	KUNIT_CASE(holder_may_break_itself),
	{}
};

static struct kunit_suite lock_suite = {
	.name		= "srlock-lock",
	.init		= fake_init,
	.test_cases	= lock_cases,
};

kunit_test_suite(lock_suite);
