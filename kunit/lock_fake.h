/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A drive that does nothing but write down what the lock asks of it
 *
 * The test plays the drive: it decides when an acquire or a release ends, and how.
 * At each op and after each call the fake checks what has to be true always.
 */
#ifndef SRLOCK_LOCK_FAKE_H
#define SRLOCK_LOCK_FAKE_H

#include <kunit/test.h>

#include "lock.h"

#define FAKE_LOG_SIZE	512
#define FAKE_CLIENTS	4

/**
 * struct fake_drive - the fixture of all tests of the lock
 * @lock: the lock under test
 * @test: whom to tell
 * @clients: open files
 * @member: what is_member tells
 * @join_error: what join returns
 * @acquiring: acquire was asked for, and its end was not told yet
 * @releasing: the same of release
 * @retry: retry was asked for
 * @queue_changes: how often SRLOCK_CHANGE_QUEUE was told
 * @log: the other ops, in order, as words
 * @taken: what FAKE_EXPECT_LOG() has taken out of @log
 */
struct fake_drive {
	struct srlock_lock lock;
	struct kunit *test;
	struct srlock_client clients[FAKE_CLIENTS];
	bool member;
	int join_error;
	bool acquiring;
	bool releasing;
	bool retry;
	unsigned int queue_changes;
	char log[FAKE_LOG_SIZE];
	char taken[FAKE_LOG_SIZE];
};

/**
 * struct fake_call - a call that may have to wait
 * @waiter: what the lock knows of it
 * @drive: the fixture
 * @ret: what the call returned
 * @done: how often it was woken because it was over
 * @joined: how often its process was made one of the holder's
 * @tag: its name in the log
 */
struct fake_call {
	struct srlock_waiter waiter;
	struct fake_drive *drive;
	int ret;
	unsigned int done;
	unsigned int joined;
	char tag;
};

/**
 * enum fake_situation - where a lock can be
 * @FAKE_FREE: free
 * @FAKE_CLAIMED: free, but a waiter is blocked by a mount
 * @FAKE_ACQUIRING: being acquired for client 0
 * @FAKE_ABANDONED: the same, and the caller has given up
 * @FAKE_HELD: held by client 0, three times
 * @FAKE_RELEASING: being released by client 0, which waits for that
 * @FAKE_RELEASING_ALONE: the same, and the caller has given up
 * @FAKE_GONE: the drive is gone
 */
enum fake_situation {
	FAKE_FREE,
	FAKE_CLAIMED,
	FAKE_ACQUIRING,
	FAKE_ABANDONED,
	FAKE_HELD,
	FAKE_RELEASING,
	FAKE_RELEASING_ALONE,
	FAKE_GONE,
};

int fake_init(struct kunit *test);
struct fake_call *fake_enter(struct fake_drive *drive, enum fake_situation situation);

struct fake_call *fake_acquire(struct fake_drive *drive, unsigned int client,
			       char tag);
struct fake_call *fake_acquire_flags(struct fake_drive *drive, unsigned int client,
				     char tag, u32 flags, bool may_wait);
void fake_start(struct fake_call *call);
struct fake_call *fake_release(struct fake_drive *drive, unsigned int client);
struct fake_call *fake_break(struct fake_drive *drive, unsigned int client);
struct fake_call *fake_close(struct fake_drive *drive, unsigned int client);
int fake_cancel(struct fake_call *call, int error);
void fake_hold(struct fake_drive *drive, unsigned int client);

void fake_acquired(struct fake_drive *drive, int error);
void fake_released(struct fake_drive *drive, int error);
void fake_retry(struct fake_drive *drive);
void fake_gone(struct fake_drive *drive);

void fake_check(struct fake_drive *drive);
const char *fake_take_log(struct fake_drive *drive);
u32 fake_waiters(struct fake_drive *drive);

/* What the lock has asked of the drive since the last time. */
#define FAKE_EXPECT_LOG(drive, words) do { \
	struct fake_drive *__drive = (drive); \
	KUNIT_EXPECT_STREQ(__drive->test, fake_take_log(__drive), words); \
} while (0)

#define FAKE_EXPECT_STATE(drive, wanted) do { \
	struct fake_drive *__drive = (drive); \
	KUNIT_EXPECT_EQ(__drive->test, __drive->lock.state, wanted); \
} while (0)

/* The call is over, once, with this result. */
#define FAKE_EXPECT_DONE(call, error) do { \
	struct fake_call *__call = (call); \
	KUNIT_EXPECT_EQ(__call->drive->test, __call->done, 1); \
	KUNIT_EXPECT_TRUE(__call->drive->test, __call->waiter.done); \
	KUNIT_EXPECT_EQ(__call->drive->test, srlock_lock_finish(&__call->waiter), error); \
} while (0)

#define FAKE_EXPECT_WAITS(call) do { \
	struct fake_call *__call = (call); \
	KUNIT_EXPECT_EQ(__call->drive->test, __call->ret, -EINPROGRESS); \
	KUNIT_EXPECT_EQ(__call->drive->test, __call->done, 0); \
	KUNIT_EXPECT_FALSE(__call->drive->test, __call->waiter.done); \
} while (0)

#endif /* SRLOCK_LOCK_FAKE_H */
