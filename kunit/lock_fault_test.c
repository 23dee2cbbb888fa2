// SPDX-License-Identifier: GPL-2.0-only
/*
 * The lock: a drive that fails, callers that give up, a drive that goes away
 */
#include <linux/errno.h>
#include <linux/string.h>

#include "lock_fake.h"

struct error_param {
	const char *desc;
	int error;
};

static const struct error_param error_params[] = {
	{ "EIO: the drive refuses", -EIO },
	{ "ETIMEDOUT: it does not answer", -ETIMEDOUT },
	{ "ENODEV: it is gone", -ENODEV },
	{ "ENOMEM", -ENOMEM },
	{ "EOPNOTSUPP: this kernel cannot be gated", -EOPNOTSUPP },
	{ "EINTR: its work was interrupted", -EINTR },
};

static void error_get_desc(const struct error_param *param, char *desc)
{
	strscpy(desc, param->desc, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(error, error_params, error_get_desc);

/* It fails for the one it was for, and the next one gets its own try. */
static void failed_acquire_is_its_callers(struct kunit *test)
{
	const struct error_param *param = test->param_value;
	struct fake_drive *drive = test->priv;
	struct fake_call *a, *b;

	a = fake_acquire(drive, 0, 'a');
	b = fake_acquire(drive, 1, 'b');
	fake_take_log(drive);
	fake_acquired(drive, param->error);
	FAKE_EXPECT_DONE(a, param->error);
	KUNIT_EXPECT_EQ(test, a->joined, 0);
	KUNIT_EXPECT_EQ(test, a->waiter.count, 0);
	KUNIT_EXPECT_EQ(test, a->waiter.reason, SRLOCK_BUSY_NOT);
	KUNIT_EXPECT_EQ(test, drive->clients[0].count, 0);
	FAKE_EXPECT_LOG(drive, "done:a free acquire served:b");
	fake_acquired(drive, 0);
	FAKE_EXPECT_DONE(b, 0);
}

static void failed_acquire_leaves_the_drive_free(struct kunit *test)
{
	const struct error_param *param = test->param_value;
	struct fake_drive *drive = test->priv;

	fake_enter(drive, FAKE_ACQUIRING);
	fake_acquired(drive, param->error);
	FAKE_EXPECT_LOG(drive, "done:a free");
	FAKE_EXPECT_STATE(drive, SRLOCK_STATE_FREE);
	KUNIT_EXPECT_EQ(test, fake_release(drive, 0)->ret, -EPERM);
	fake_hold(drive, 0);
}

/* The lock is gone in any case; that ALLOW failed is told. */
static void failed_release_is_told(struct kunit *test)
{
	const struct error_param *param = test->param_value;
	struct fake_drive *drive = test->priv;
	struct fake_call *r, *b;

	r = fake_enter(drive, FAKE_RELEASING);
	b = fake_acquire(drive, 1, 'b');
	fake_released(drive, param->error);
	FAKE_EXPECT_LOG(drive, "free done:r acquire served:b");
	FAKE_EXPECT_DONE(r, param->error);
	KUNIT_EXPECT_EQ(test, r->waiter.count, 0);
	fake_acquired(drive, 0);
	FAKE_EXPECT_DONE(b, 0);
}

/* Whoever waits for a release may go; the release goes on. */
static void release_goes_on_alone(struct kunit *test)
{
	const struct error_param *param = test->param_value;
	struct fake_drive *drive = test->priv;
	struct fake_call *r, *b;

	r = fake_enter(drive, FAKE_RELEASING);
	b = fake_acquire(drive, 1, 'b');
	KUNIT_EXPECT_EQ(test, fake_cancel(r, param->error), param->error);
	FAKE_EXPECT_STATE(drive, SRLOCK_STATE_RELEASING);
	FAKE_EXPECT_LOG(drive, "");
	/* The caller's memory is gone by now. */
	memset(&r->waiter, 0x6b, sizeof(r->waiter));
	fake_released(drive, -EIO);
	FAKE_EXPECT_LOG(drive, "free acquire served:b");
	KUNIT_EXPECT_EQ(test, r->done, 0);
	FAKE_EXPECT_WAITS(b);
}

static const struct error_param give_up_params[] = {
	{ "a signal", -ERESTARTSYS },
	{ "a deadline", -EBUSY },
	{ "a time-out", -ETIMEDOUT },
	{ "death", -EINTR },
};

KUNIT_ARRAY_PARAM(give_up, give_up_params, error_get_desc);

/* The caller gives up while the drive is being acquired; it succeeds all the same. */
static void abandoned_acquire_that_succeeds_is_undone(struct kunit *test)
{
	const struct error_param *param = test->param_value;
	struct fake_drive *drive = test->priv;
	struct fake_call *a, *b;

	a = fake_enter(drive, FAKE_ACQUIRING);
	b = fake_acquire(drive, 1, 'b');
	KUNIT_EXPECT_EQ(test, fake_cancel(a, param->error), param->error);
	FAKE_EXPECT_LOG(drive, "abandon done:a");
	FAKE_EXPECT_DONE(a, param->error);
	FAKE_EXPECT_STATE(drive, SRLOCK_STATE_RELEASING);
	memset(&a->waiter, 0x6b, sizeof(a->waiter));

	/* Nobody was the holder, so nobody is told of a hold. */
	fake_acquired(drive, 0);
	FAKE_EXPECT_LOG(drive, "release");
	FAKE_EXPECT_STATE(drive, SRLOCK_STATE_RELEASING);
	KUNIT_EXPECT_STREQ(test, drive->lock.name, "");
	fake_released(drive, 0);
	FAKE_EXPECT_LOG(drive, "free acquire served:b");
	fake_acquired(drive, 0);
	FAKE_EXPECT_DONE(b, 0);
	KUNIT_EXPECT_EQ(test, a->done, 1);
}

static void abandoned_acquire_that_fails_is_over(struct kunit *test)
{
	const struct error_param *param = test->param_value;
	struct fake_drive *drive = test->priv;
	struct fake_call *a, *b;

	a = fake_enter(drive, FAKE_ACQUIRING);
	b = fake_acquire(drive, 1, 'b');
	fake_cancel(a, param->error);
	fake_take_log(drive);
	/* Whatever it failed with, that a claim was in the way included. */
	fake_acquired(drive, param->error);
	FAKE_EXPECT_LOG(drive, "free acquire served:b");
	FAKE_EXPECT_WAITS(b);
	KUNIT_EXPECT_EQ(test, a->done, 1);
}

/* Whoever waited behind may leave meanwhile, and then the drive is free. */
static void abandoned_acquire_with_nobody_behind(struct kunit *test)
{
	struct fake_drive *drive = test->priv;

	fake_enter(drive, FAKE_ABANDONED);
	fake_cancel(fake_acquire(drive, 1, 'b'), -EBUSY);
	fake_acquired(drive, -EINTR);
	FAKE_EXPECT_LOG(drive, "done:b free");
	FAKE_EXPECT_STATE(drive, SRLOCK_STATE_FREE);
	fake_hold(drive, 2);
}

/* The same file comes again before its first try is undone. */
static void abandoned_acquire_and_the_same_file_again(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct fake_call *again;

	fake_enter(drive, FAKE_ABANDONED);
	again = fake_acquire(drive, 0, 'A');
	FAKE_EXPECT_WAITS(again);
	FAKE_EXPECT_LOG(drive, "");
	fake_acquired(drive, 0);
	fake_released(drive, 0);
	FAKE_EXPECT_LOG(drive, "release free acquire served:A");
	fake_acquired(drive, 0);
	FAKE_EXPECT_DONE(again, 0);
}

struct gone_param {
	const char *desc;
	enum fake_situation situation;
	const char *log;
};

static const struct gone_param gone_params[] = {
	{ "free", FAKE_FREE, "gone revoke" },
	{ "claimed", FAKE_CLAIMED, "gone revoke done:a done:1 done:2" },
	{ "acquiring", FAKE_ACQUIRING, "abandon gone revoke done:a done:1 done:2" },
	{ "abandoned", FAKE_ABANDONED, "gone revoke done:1 done:2" },
	{ "held", FAKE_HELD, "gone revoke done:1 done:2" },
	{ "releasing", FAKE_RELEASING, "gone revoke done:r done:1 done:2" },
	{ "releasing, nobody waits", FAKE_RELEASING_ALONE, "gone revoke done:1 done:2" },
};

static void gone_get_desc(const struct gone_param *param, char *desc)
{
	strscpy(desc, param->desc, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(gone, gone_params, gone_get_desc);

/* Every wait ends with ENODEV, every hold ends, and nothing begins any more. */
static void gone_ends_everything(struct kunit *test)
{
	const struct gone_param *param = test->param_value;
	struct fake_call *call, *first = NULL, *second = NULL;
	struct fake_drive *drive = test->priv;

	call = fake_enter(drive, param->situation);
	if (param->situation != FAKE_FREE) {
		first = fake_acquire(drive, 1, '1');
		second = fake_acquire(drive, 2, '2');
	}
	fake_take_log(drive);
	fake_gone(drive);
	FAKE_EXPECT_LOG(drive, param->log);
	FAKE_EXPECT_STATE(drive, SRLOCK_STATE_GONE);
	if (call)
		FAKE_EXPECT_DONE(call, -ENODEV);
	if (first) {
		FAKE_EXPECT_DONE(first, -ENODEV);
		FAKE_EXPECT_DONE(second, -ENODEV);
		KUNIT_EXPECT_EQ(test, first->waiter.count, 0);
	}
	KUNIT_EXPECT_EQ(test, drive->clients[0].count, 0);
	KUNIT_EXPECT_FALSE(test, drive->clients[0].broken);
	KUNIT_EXPECT_EQ(test, fake_waiters(drive), 0);
	KUNIT_EXPECT_STREQ(test, drive->lock.name, "");
	fake_gone(drive);
	FAKE_EXPECT_LOG(drive, "");
}

static void after_it_is_gone_nothing_begins(struct kunit *test)
{
	const struct gone_param *param = test->param_value;
	struct fake_drive *drive = test->priv;
	unsigned int client;
	u32 count;

	fake_enter(drive, param->situation);
	fake_gone(drive);
	fake_take_log(drive);
	for (client = 0; client < 2; client++) {
		KUNIT_EXPECT_EQ(test, fake_acquire(drive, client, 'z')->ret, -ENODEV);
		KUNIT_EXPECT_EQ(test, srlock_lock_nest(&drive->clients[client], &count),
				-ENODEV);
		KUNIT_EXPECT_EQ(test, fake_release(drive, client)->ret, -ENODEV);
		KUNIT_EXPECT_EQ(test, fake_break(drive, client)->ret, -ENODEV);
		KUNIT_EXPECT_EQ(test, fake_close(drive, client)->ret, 0);
	}
	FAKE_EXPECT_LOG(drive, "");
}

/* What the drive was asked for before ends after it is gone. */
static void late_answers_of_a_drive_that_is_gone(struct kunit *test)
{
	const struct gone_param *param = test->param_value;
	struct fake_drive *drive = test->priv;
	enum fake_situation situation = param->situation;
	unsigned int answers = 0, expected;
	struct fake_call *call;

	call = fake_enter(drive, param->situation);
	fake_gone(drive);
	fake_take_log(drive);
	/* The caller has seen ENODEV and gone. */
	if (call)
		memset(&call->waiter, 0x6b, sizeof(call->waiter));
	if (drive->acquiring) {
		fake_acquired(drive, 0);
		answers++;
	}
	if (drive->releasing) {
		fake_released(drive, -ENODEV);
		answers++;
	}
	fake_retry(drive);
	FAKE_EXPECT_LOG(drive, "");
	FAKE_EXPECT_STATE(drive, SRLOCK_STATE_GONE);
	expected = situation == FAKE_ACQUIRING || situation == FAKE_ABANDONED ||
		   situation == FAKE_RELEASING || situation == FAKE_RELEASING_ALONE;
	KUNIT_EXPECT_EQ(test, answers, expected);
	if (call)
		KUNIT_EXPECT_EQ(test, call->done, 1);
}

/* Giving up and the drive's end may come at the same time. */
static void cancel_after_it_is_gone(struct kunit *test)
{
	const struct gone_param *param = test->param_value;
	struct fake_drive *drive = test->priv;
	struct fake_call *call;

	call = fake_enter(drive, param->situation);
	if (!call)
		call = fake_acquire(drive, 1, 'b');
	fake_gone(drive);
	fake_take_log(drive);
	KUNIT_EXPECT_EQ(test, fake_cancel(call, -EBUSY), -ENODEV);
	KUNIT_EXPECT_EQ(test, fake_cancel(call, -ERESTARTSYS), -ENODEV);
	FAKE_EXPECT_DONE(call, -ENODEV);
	FAKE_EXPECT_LOG(drive, "");
}

static struct kunit_case fault_cases[] = {
	KUNIT_CASE_PARAM(failed_acquire_is_its_callers, error_gen_params),
	KUNIT_CASE_PARAM(failed_acquire_leaves_the_drive_free, error_gen_params),
	KUNIT_CASE_PARAM(failed_release_is_told, error_gen_params),
	KUNIT_CASE_PARAM(release_goes_on_alone, error_gen_params),
	KUNIT_CASE_PARAM(abandoned_acquire_that_succeeds_is_undone, give_up_gen_params),
	KUNIT_CASE_PARAM(abandoned_acquire_that_fails_is_over, give_up_gen_params),
	KUNIT_CASE(abandoned_acquire_with_nobody_behind),
	KUNIT_CASE(abandoned_acquire_and_the_same_file_again),
	KUNIT_CASE_PARAM(gone_ends_everything, gone_gen_params),
	KUNIT_CASE_PARAM(after_it_is_gone_nothing_begins, gone_gen_params),
	KUNIT_CASE_PARAM(late_answers_of_a_drive_that_is_gone, gone_gen_params),
	KUNIT_CASE_PARAM(cancel_after_it_is_gone, gone_gen_params),
	{}
};

static struct kunit_suite fault_suite = {
	.name		= "srlock-fault",
	.init		= fake_init,
	.test_cases	= fault_cases,
};

kunit_test_suite(fault_suite);
