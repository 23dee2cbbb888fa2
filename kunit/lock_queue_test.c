// SPDX-License-Identifier: GPL-2.0-only
/*
 * The lock: who waits, in which order they are served, and what ends a wait
 */
#include <linux/errno.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "lock_fake.h"

/* Many more than any machine has burners. */
#define CROWD	10000

/* Each is served in turn, at once when the drive is free again. */
static void first_come_first_served(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct fake_call *b, *c, *d;

	fake_hold(drive, 0);
	b = fake_acquire(drive, 1, 'b');
	c = fake_acquire(drive, 2, 'c');
	d = fake_acquire(drive, 3, 'd');
	KUNIT_EXPECT_EQ(test, fake_waiters(drive), 3);
	fake_take_log(drive);

	fake_release(drive, 0);
	fake_released(drive, 0);
	FAKE_EXPECT_LOG(drive, "released revoke release free done:r acquire served:b");
	KUNIT_EXPECT_EQ(test, fake_waiters(drive), 2);
	fake_acquired(drive, 0);
	FAKE_EXPECT_DONE(b, 0);
	fake_close(drive, 1);
	fake_released(drive, 0);
	fake_acquired(drive, 0);
	FAKE_EXPECT_DONE(c, 0);
	FAKE_EXPECT_WAITS(d);
	fake_break(drive, 0);
	fake_released(drive, 0);
	fake_acquired(drive, 0);
	FAKE_EXPECT_DONE(d, 0);
	KUNIT_EXPECT_EQ(test, fake_waiters(drive), 0);
}

/* In place of fake_acquire(), which leaves its memory in use up to the test's end. */
static struct fake_call *join_crowd(struct fake_drive *drive,
				    struct srlock_client *client)
{
	struct fake_call *call = kzalloc(sizeof(*call), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(drive->test, call);
	call->drive = drive;
	call->tag = 'q';
	call->waiter.client = client;
	call->waiter.may_wait = true;
	call->ret = srlock_lock_acquire(&call->waiter);
	KUNIT_ASSERT_EQ(drive->test, call->ret, -EINPROGRESS);

	return call;
}

/* The order is kept for any number; who is served may vanish at once. */
static void a_crowd_is_served_in_order(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct srlock_client *clients;
	struct srlock_waiter release;
	struct fake_call **calls;
	unsigned int i;

	calls = kunit_kcalloc(test, CROWD, sizeof(*calls), GFP_KERNEL);
	clients = kunit_kcalloc(test, CROWD, sizeof(*clients), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, calls);
	KUNIT_ASSERT_NOT_NULL(test, clients);

	fake_hold(drive, 0);
	for (i = 0; i < CROWD; i++) {
		srlock_client_init(&clients[i], &drive->lock);
		calls[i] = join_crowd(drive, &clients[i]);
	}
	KUNIT_EXPECT_EQ(test, fake_waiters(drive), CROWD);

	srlock_lock_close(&drive->clients[0], &release);
	srlock_lock_cancel(&release, 0);
	for (i = 0; i < CROWD; i++) {
		drive->releasing = false;
		srlock_lock_released(&drive->lock, 0);
		KUNIT_ASSERT_PTR_EQ(test, drive->lock.acquirer, &calls[i]->waiter);
		drive->acquiring = false;
		srlock_lock_acquired(&drive->lock, 0);
		KUNIT_ASSERT_PTR_EQ(test, drive->lock.owner, &clients[i]);
		KUNIT_ASSERT_EQ(test, calls[i]->done, 1);
		kfree(calls[i]);
		fake_take_log(drive);
		KUNIT_ASSERT_EQ(test, srlock_lock_close(&clients[i], &release),
				-EINPROGRESS);
		KUNIT_ASSERT_EQ(test, srlock_lock_cancel(&release, 0), 0);
	}
	drive->releasing = false;
	srlock_lock_released(&drive->lock, 0);
	FAKE_EXPECT_STATE(drive, SRLOCK_STATE_FREE);
}

/* A crowd of threads that share one file needs the drive only once. */
static void a_crowd_of_one_file_is_served_at_once(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct fake_call **calls;
	unsigned int i;

	calls = kunit_kcalloc(test, CROWD, sizeof(*calls), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, calls);

	fake_hold(drive, 0);
	for (i = 0; i < CROWD; i++)
		calls[i] = join_crowd(drive, &drive->clients[1]);
	fake_close(drive, 0);
	fake_released(drive, 0);
	fake_acquired(drive, 0);
	KUNIT_EXPECT_EQ(test, drive->clients[1].count, CROWD);
	KUNIT_EXPECT_EQ(test, drive->clients[1].waiting, 0);
	for (i = 0; i < CROWD; i++) {
		KUNIT_EXPECT_EQ(test, calls[i]->done, 1);
		KUNIT_EXPECT_EQ(test, calls[i]->waiter.count, i + 1);
		kfree(calls[i]);
	}
}

/* A call that does not wait comes at any time of a hand-over, and gets nothing. */
static void no_barging(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct fake_call *b;
	int i;

	fake_hold(drive, 0);
	b = fake_acquire(drive, 1, 'b');
	for (i = 0; i < 4; i++) {
		struct fake_call *late;

		fake_take_log(drive);
		late = fake_acquire_flags(drive, 2, 'l', SRLOCK_ACQUIRE_FORCE, false);
		KUNIT_EXPECT_EQ(test, late->ret, -EBUSY);
		late = fake_acquire_flags(drive, 3, 'l', 0, false);
		KUNIT_EXPECT_EQ(test, late->ret, -EBUSY);
		FAKE_EXPECT_LOG(drive, "");
		switch (i) {
		case 0:
			fake_release(drive, 0);
			break;
		case 1:
			fake_released(drive, 0);
			break;
		case 2:
			fake_acquired(drive, 0);
			break;
		}
	}
	FAKE_EXPECT_DONE(b, 0);
	KUNIT_EXPECT_PTR_EQ(test, drive->lock.owner, &drive->clients[1]);
}

/* The former holder has to stand in line like everybody. */
static void former_holder_goes_to_the_end(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct fake_call *a, *b;

	fake_hold(drive, 0);
	b = fake_acquire(drive, 1, 'b');
	fake_release(drive, 0);
	a = fake_acquire(drive, 0, 'a');
	fake_released(drive, 0);
	fake_acquired(drive, 0);
	FAKE_EXPECT_DONE(b, 0);
	FAKE_EXPECT_WAITS(a);
}

/* Two waiters on one file: when the first is served, the second nests. */
static void second_waiter_of_a_file_nests(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct fake_call *b, *c, *b2;

	fake_hold(drive, 0);
	b = fake_acquire(drive, 1, 'b');
	c = fake_acquire(drive, 2, 'c');
	b2 = fake_acquire(drive, 1, 'B');
	KUNIT_EXPECT_EQ(test, drive->clients[1].waiting, 2);
	fake_close(drive, 0);
	fake_released(drive, 0);
	fake_take_log(drive);

	fake_acquired(drive, 0);
	FAKE_EXPECT_LOG(drive, "join:b held done:b join:B done:B");
	FAKE_EXPECT_DONE(b, 0);
	FAKE_EXPECT_DONE(b2, 0);
	KUNIT_EXPECT_EQ(test, b->waiter.count, 1);
	KUNIT_EXPECT_EQ(test, b2->waiter.count, 2);
	KUNIT_EXPECT_EQ(test, drive->clients[1].count, 2);
	KUNIT_EXPECT_STREQ(test, drive->lock.name, "b");
	FAKE_EXPECT_WAITS(c);
	KUNIT_EXPECT_EQ(test, fake_waiters(drive), 1);
}

/* The first gives up; the second keeps its own place. */
static void second_waiter_of_a_file_outlives_the_first(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct fake_call *b, *c, *b2;

	b = fake_acquire(drive, 1, 'b');
	c = fake_acquire(drive, 2, 'c');
	b2 = fake_acquire(drive, 1, 'B');
	KUNIT_EXPECT_EQ(test, fake_cancel(b, -ERESTARTSYS), -ERESTARTSYS);
	fake_acquired(drive, 0);
	fake_released(drive, 0);
	fake_acquired(drive, 0);
	FAKE_EXPECT_DONE(c, 0);
	FAKE_EXPECT_WAITS(b2);
	fake_close(drive, 2);
	fake_released(drive, 0);
	fake_acquired(drive, 0);
	FAKE_EXPECT_DONE(b2, 0);
	KUNIT_EXPECT_EQ(test, b2->waiter.count, 1);
}

struct wait_param {
	const char *desc;
	enum fake_situation situation;
	enum srlock_busy reason;
	u32 count;
};

/* Everywhere a second call stands in line. */
static const struct wait_param wait_params[] = {
	{ "behind one that a mount blocks", FAKE_CLAIMED, SRLOCK_BUSY_CLAIMED, 0 },
	{ "while another is served", FAKE_ACQUIRING, SRLOCK_BUSY_HELD, 0 },
	{ "while an acquire is undone", FAKE_ABANDONED, SRLOCK_BUSY_RELEASING, 0 },
	{ "while held", FAKE_HELD, SRLOCK_BUSY_HELD, 3 },
	{ "while released", FAKE_RELEASING, SRLOCK_BUSY_RELEASING, 0 },
	{ "while released, nobody waits", FAKE_RELEASING_ALONE, SRLOCK_BUSY_RELEASING, 0 },
};

static void wait_get_desc(const struct wait_param *param, char *desc)
{
	strscpy(desc, param->desc, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(wait, wait_params, wait_get_desc);

/* A deadline that is over is EBUSY, with the reason of that moment. */
static void deadline_ends_a_wait(struct kunit *test)
{
	const struct wait_param *param = test->param_value;
	struct fake_drive *drive = test->priv;
	enum srlock_state state;
	struct fake_call *call;
	u32 waiters;

	fake_enter(drive, param->situation);
	state = drive->lock.state;
	waiters = fake_waiters(drive);
	call = fake_acquire(drive, 1, 'b');
	FAKE_EXPECT_WAITS(call);
	KUNIT_EXPECT_EQ(test, fake_waiters(drive), waiters + 1);

	KUNIT_EXPECT_EQ(test, fake_cancel(call, -EBUSY), -EBUSY);
	FAKE_EXPECT_DONE(call, -EBUSY);
	KUNIT_EXPECT_EQ(test, call->waiter.reason, param->reason);
	KUNIT_EXPECT_EQ(test, call->waiter.count, param->count);
	FAKE_EXPECT_LOG(drive, "done:b");
	FAKE_EXPECT_STATE(drive, state);
	KUNIT_EXPECT_EQ(test, fake_waiters(drive), waiters);
	/* It is over; that it ends twice changes nothing. */
	KUNIT_EXPECT_EQ(test, fake_cancel(call, -EINTR), -EBUSY);
	FAKE_EXPECT_LOG(drive, "");
}

static void signal_ends_a_wait(struct kunit *test)
{
	const struct wait_param *param = test->param_value;
	struct fake_drive *drive = test->priv;
	enum srlock_state state;
	struct fake_call *call;

	fake_enter(drive, param->situation);
	state = drive->lock.state;
	call = fake_acquire(drive, 1, 'b');
	KUNIT_EXPECT_EQ(test, fake_cancel(call, -ERESTARTSYS), -ERESTARTSYS);
	FAKE_EXPECT_DONE(call, -ERESTARTSYS);
	KUNIT_EXPECT_EQ(test, call->waiter.reason, SRLOCK_BUSY_NOT);
	FAKE_EXPECT_LOG(drive, "done:b");
	FAKE_EXPECT_STATE(drive, state);
	KUNIT_EXPECT_EQ(test, drive->clients[1].count, 0);
	KUNIT_EXPECT_EQ(test, drive->clients[1].waiting, 0);

	/* Restarted, it is a new call at the end of the line. */
	fake_start(call);
	FAKE_EXPECT_WAITS(call);
}

/* A wait that ended in the last moment has succeeded. */
static void cancel_comes_too_late(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct fake_call *call;

	call = fake_acquire(drive, 0, 'a');
	fake_acquired(drive, 0);
	KUNIT_EXPECT_EQ(test, fake_cancel(call, -ERESTARTSYS), 0);
	KUNIT_EXPECT_EQ(test, fake_cancel(call, -EBUSY), 0);
	KUNIT_EXPECT_EQ(test, call->waiter.reason, SRLOCK_BUSY_NOT);
	FAKE_EXPECT_STATE(drive, SRLOCK_STATE_HELD);
	KUNIT_EXPECT_EQ(test, drive->clients[0].count, 1);
}

/* Leaving from the middle of the line does not disturb the others. */
static void leaving_the_line_keeps_the_order(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct fake_call *b, *c, *d;

	fake_hold(drive, 0);
	b = fake_acquire(drive, 1, 'b');
	c = fake_acquire(drive, 2, 'c');
	d = fake_acquire(drive, 3, 'd');
	fake_cancel(c, -EBUSY);
	KUNIT_EXPECT_EQ(test, fake_waiters(drive), 2);
	fake_close(drive, 0);
	fake_released(drive, 0);
	fake_acquired(drive, 0);
	FAKE_EXPECT_DONE(b, 0);
	fake_close(drive, 1);
	fake_released(drive, 0);
	fake_acquired(drive, 0);
	FAKE_EXPECT_DONE(d, 0);
}

/* A retry that comes at any other time does nothing. */
static void stray_retry_changes_nothing(struct kunit *test)
{
	const struct wait_param *param = test->param_value;
	struct fake_drive *drive = test->priv;
	enum srlock_state state;

	if (param->situation == FAKE_CLAIMED)
		fake_enter(drive, FAKE_GONE);
	else
		fake_enter(drive, param->situation);
	state = drive->lock.state;
	fake_retry(drive);
	fake_retry(drive);
	FAKE_EXPECT_LOG(drive, "");
	FAKE_EXPECT_STATE(drive, state);
}

static struct kunit_case queue_cases[] = {
	KUNIT_CASE(first_come_first_served),
	KUNIT_CASE(a_crowd_is_served_in_order),
	KUNIT_CASE(a_crowd_of_one_file_is_served_at_once),
	KUNIT_CASE(no_barging),
	KUNIT_CASE(former_holder_goes_to_the_end),
	KUNIT_CASE(second_waiter_of_a_file_nests),
	KUNIT_CASE(second_waiter_of_a_file_outlives_the_first),
	KUNIT_CASE_PARAM(deadline_ends_a_wait, wait_gen_params),
	KUNIT_CASE_PARAM(signal_ends_a_wait, wait_gen_params),
	KUNIT_CASE(cancel_comes_too_late),
	KUNIT_CASE(leaving_the_line_keeps_the_order),
	KUNIT_CASE_PARAM(stray_retry_changes_nothing, wait_gen_params),
	{}
};

static struct kunit_suite queue_suite = {
	.name		= "srlock-queue",
	.init		= fake_init,
	.test_cases	= queue_cases,
};

kunit_test_suite(queue_suite);
