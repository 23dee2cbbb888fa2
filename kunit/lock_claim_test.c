// SPDX-License-Identifier: GPL-2.0-only
/*
 * The lock: a drive that is mounted or open with O_EXCL, which only time can tell the
 * end of, and FORCE, which does not mind
 */
#include <linux/errno.h>

#include "lock_fake.h"

/* Nobody tells when a mount ends, so whoever waits is tried again and again. */
static void claimed_drive_is_tried_again(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct fake_call *a, *b;
	int i;

	a = fake_acquire(drive, 0, 'a');
	b = fake_acquire(drive, 1, 'b');
	fake_take_log(drive);
	for (i = 0; i < 3; i++) {
		fake_acquired(drive, -EBUSY);
		FAKE_EXPECT_LOG(drive, "back:a retry free");
		FAKE_EXPECT_STATE(drive, SRLOCK_STATE_FREE);
		KUNIT_EXPECT_EQ(test, fake_waiters(drive), 2);
		fake_retry(drive);
		FAKE_EXPECT_LOG(drive, "acquire served:a");
	}
	fake_acquired(drive, 0);
	FAKE_EXPECT_DONE(a, 0);
	FAKE_EXPECT_WAITS(b);
	KUNIT_EXPECT_FALSE(test, drive->lock.claimed);
}

static void claimed_drive_is_busy_for_who_does_not_wait(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct fake_call *call;

	call = fake_acquire_flags(drive, 0, 'a', 0, false);
	FAKE_EXPECT_WAITS(call);
	fake_take_log(drive);
	fake_acquired(drive, -EBUSY);
	FAKE_EXPECT_DONE(call, -EBUSY);
	KUNIT_EXPECT_EQ(test, call->waiter.reason, SRLOCK_BUSY_CLAIMED);
	KUNIT_EXPECT_EQ(test, call->waiter.count, 0);
	/* Nobody waits, so nothing is to be tried again, and nothing is remembered. */
	FAKE_EXPECT_LOG(drive, "done:a free");
	call = fake_acquire_flags(drive, 1, 'b', 0, false);
	FAKE_EXPECT_WAITS(call);
	FAKE_EXPECT_LOG(drive, "acquire served:b");
}

/* The mount that blocked one who has left is looked for anew by the next. */
static void claim_is_forgotten_with_its_last_waiter(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct fake_call *call;

	call = fake_enter(drive, FAKE_CLAIMED);
	fake_cancel(call, -EBUSY);
	KUNIT_EXPECT_EQ(test, call->waiter.reason, SRLOCK_BUSY_CLAIMED);
	fake_take_log(drive);
	call = fake_acquire_flags(drive, 1, 'b', 0, false);
	FAKE_EXPECT_WAITS(call);
	FAKE_EXPECT_LOG(drive, "acquire served:b");
	/* The retry that is still to come finds nothing to do. */
	fake_retry(drive);
	FAKE_EXPECT_LOG(drive, "");
}

/* The one who was blocked leaves; who stood behind waits for the same retry. */
static void next_in_line_of_a_claimed_drive(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct fake_call *a, *b;

	a = fake_enter(drive, FAKE_CLAIMED);
	b = fake_acquire(drive, 1, 'b');
	FAKE_EXPECT_LOG(drive, "");
	fake_cancel(a, -ERESTARTSYS);
	FAKE_EXPECT_LOG(drive, "done:a");
	fake_retry(drive);
	FAKE_EXPECT_LOG(drive, "acquire served:b");
	fake_acquired(drive, 0);
	FAKE_EXPECT_DONE(b, 0);
}

/* FORCE passes whom only a mount blocks, and finds out itself. */
static void force_passes_whom_a_mount_blocks(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct fake_call *a, *f;

	a = fake_enter(drive, FAKE_CLAIMED);
	f = fake_acquire_flags(drive, 1, 'f', SRLOCK_ACQUIRE_FORCE, true);
	FAKE_EXPECT_LOG(drive, "acquire served:f");
	KUNIT_EXPECT_EQ(test, drive->lock.acquire_flags, SRLOCK_ACQUIRE_FORCE);
	fake_acquired(drive, 0);
	FAKE_EXPECT_DONE(f, 0);
	FAKE_EXPECT_WAITS(a);

	fake_close(drive, 1);
	fake_released(drive, 0);
	KUNIT_EXPECT_PTR_EQ(test, drive->lock.acquirer, &a->waiter);
	KUNIT_EXPECT_EQ(test, drive->lock.acquire_flags, 0);
}

static void force_without_waiting_passes_too(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct fake_call *f;

	fake_enter(drive, FAKE_CLAIMED);
	f = fake_acquire_flags(drive, 1, 'f', SRLOCK_ACQUIRE_FORCE, false);
	FAKE_EXPECT_WAITS(f);
	fake_acquired(drive, -EBUSY);
	FAKE_EXPECT_DONE(f, -EBUSY);
	KUNIT_EXPECT_EQ(test, f->waiter.reason, SRLOCK_BUSY_CLAIMED);
	KUNIT_EXPECT_EQ(test, fake_waiters(drive), 1);
}

/* It stands in line where nobody is blocked by a mount. */
static void force_waits_in_line(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct fake_call *b, *f;

	fake_hold(drive, 0);
	b = fake_acquire(drive, 1, 'b');
	f = fake_acquire_flags(drive, 2, 'f', SRLOCK_ACQUIRE_FORCE, true);
	fake_close(drive, 0);
	fake_released(drive, 0);
	KUNIT_EXPECT_PTR_EQ(test, drive->lock.acquirer, &b->waiter);
	fake_take_log(drive);
	/* A mount came first: now there is someone to be passed. */
	fake_acquired(drive, -EBUSY);
	FAKE_EXPECT_LOG(drive, "back:b retry free acquire served:f");
	fake_acquired(drive, 0);
	FAKE_EXPECT_DONE(f, 0);
	FAKE_EXPECT_WAITS(b);
}

/* A writable mount stops FORCE, too: each is tried once between two retries. */
static void force_is_tried_once_a_retry(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct fake_call *f, *g;
	int i;

	fake_enter(drive, FAKE_CLAIMED);
	f = fake_acquire_flags(drive, 1, 'f', SRLOCK_ACQUIRE_FORCE, true);
	g = fake_acquire_flags(drive, 2, 'g', SRLOCK_ACQUIRE_FORCE, true);
	fake_take_log(drive);
	for (i = 0; i < 3; i++) {
		fake_acquired(drive, -EBUSY);
		FAKE_EXPECT_LOG(drive, "back:f retry free acquire served:g");
		fake_acquired(drive, -EBUSY);
		FAKE_EXPECT_LOG(drive, "back:g retry free");
		FAKE_EXPECT_STATE(drive, SRLOCK_STATE_FREE);
		fake_retry(drive);
		FAKE_EXPECT_LOG(drive, "acquire served:a");
		fake_acquired(drive, -EBUSY);
		FAKE_EXPECT_LOG(drive, "back:a retry free acquire served:f");
	}
	FAKE_EXPECT_WAITS(f);
	FAKE_EXPECT_WAITS(g);

	/* Its own try has shown that the mount is in its way. */
	fake_acquired(drive, -EIO);
	fake_acquired(drive, -EBUSY);
	fake_cancel(g, -EBUSY);
	KUNIT_EXPECT_EQ(test, g->waiter.reason, SRLOCK_BUSY_CLAIMED);
}

/* FORCE without waiting does not pass another FORCE that waits. */
static void force_does_not_pass_force(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct fake_call *late;

	fake_enter(drive, FAKE_CLAIMED);
	fake_acquire_flags(drive, 1, 'f', SRLOCK_ACQUIRE_FORCE, true);
	fake_acquired(drive, -EBUSY);
	fake_take_log(drive);
	late = fake_acquire_flags(drive, 2, 'g', SRLOCK_ACQUIRE_FORCE, false);
	KUNIT_EXPECT_EQ(test, late->ret, -EBUSY);
	/* Not the mount is its reason, but who stands before it. */
	KUNIT_EXPECT_EQ(test, late->waiter.reason, SRLOCK_BUSY_QUEUED);
	KUNIT_EXPECT_EQ(test, late->waiter.count, 0);
	late = fake_acquire_flags(drive, 2, 'n', SRLOCK_ACQUIRE_NO_PREVENT, false);
	KUNIT_EXPECT_EQ(test, late->ret, -EBUSY);
	KUNIT_EXPECT_EQ(test, late->waiter.reason, SRLOCK_BUSY_CLAIMED);
	FAKE_EXPECT_LOG(drive, "");
}

/* One of FORCE fails for another reason; the blocked one is still waited for. */
static void force_that_fails_leaves_the_line_alone(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct fake_call *a, *f;

	a = fake_enter(drive, FAKE_CLAIMED);
	f = fake_acquire_flags(drive, 1, 'f', SRLOCK_ACQUIRE_FORCE, true);
	fake_take_log(drive);
	fake_acquired(drive, -EIO);
	FAKE_EXPECT_DONE(f, -EIO);
	FAKE_EXPECT_WAITS(a);
	FAKE_EXPECT_LOG(drive, "done:f free");
	fake_retry(drive);
	FAKE_EXPECT_LOG(drive, "acquire served:a");
}

/* The retry's time comes while FORCE is being served. */
static void retry_while_force_is_served(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct fake_call *a;

	a = fake_enter(drive, FAKE_CLAIMED);
	fake_acquire_flags(drive, 1, 'f', SRLOCK_ACQUIRE_FORCE, true);
	fake_take_log(drive);
	fake_retry(drive);
	FAKE_EXPECT_LOG(drive, "");
	fake_acquired(drive, -EIO);
	FAKE_EXPECT_LOG(drive, "done:f free acquire served:a");
	fake_acquired(drive, 0);
	FAKE_EXPECT_DONE(a, 0);
}

/* A file that waits for a mount to end gets the drive by its own FORCE. */
static void force_serves_the_other_waiters_of_its_file(struct kunit *test)
{
	struct fake_drive *drive = test->priv;
	struct fake_call *a, *f;

	a = fake_enter(drive, FAKE_CLAIMED);
	f = fake_acquire_flags(drive, 0, 'f', SRLOCK_ACQUIRE_FORCE, true);
	fake_acquired(drive, 0);
	FAKE_EXPECT_DONE(f, 0);
	FAKE_EXPECT_DONE(a, 0);
	KUNIT_EXPECT_EQ(test, a->waiter.count, 2);
}

static struct kunit_case claim_cases[] = {
	KUNIT_CASE(claimed_drive_is_tried_again),
	KUNIT_CASE(claimed_drive_is_busy_for_who_does_not_wait),
	KUNIT_CASE(claim_is_forgotten_with_its_last_waiter),
	KUNIT_CASE(next_in_line_of_a_claimed_drive),
	KUNIT_CASE(force_passes_whom_a_mount_blocks),
	KUNIT_CASE(force_without_waiting_passes_too),
	KUNIT_CASE(force_waits_in_line),
	KUNIT_CASE(force_is_tried_once_a_retry),
	KUNIT_CASE(force_does_not_pass_force),
	KUNIT_CASE(force_that_fails_leaves_the_line_alone),
	KUNIT_CASE(retry_while_force_is_served),
	KUNIT_CASE(force_serves_the_other_waiters_of_its_file),
	{}
};

static struct kunit_suite claim_suite = {
	.name		= "srlock-claim",
	.init		= fake_init,
	.test_cases	= claim_cases,
};

kunit_test_suite(claim_suite);
