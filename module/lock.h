/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The lock as a state machine: clients, counts, waiters in line
 *
 * It knows nothing of SCSI and of the block layer. What has to be done with the
 * drive it asks for through struct srlock_lock_ops, and it is told of the end by
 * srlock_lock_acquired() and srlock_lock_released(). Nothing in it sleeps: a call
 * that has to wait leaves a struct srlock_waiter behind, and whoever called waits
 * for srlock_lock_ops.wake.
 *
 *                 acquire              acquired(0)            last release,
 *	FREE ----------------> ACQUIRING -------------> HELD ---- close, break
 *	 ^ ^                      |  | abandoned                      |
 *	 | '--- acquired(error) --'  v                                |
 *	 '------ released() ----- RELEASING <-------------------------'
 *
 *	and from each of them to GONE, where it ends.
 *
 * Locking: struct srlock_lock.spin protects all fields of struct srlock_lock and,
 * of the structs that point to it, struct srlock_client and struct srlock_waiter.
 * It nests inside every mutex and inside no other spinlock; process context only.
 * srlock_lock.state and acquirer and srlock_waiter.done are written with WRITE_ONCE(),
 * as they are also looked at without it.
 * All ops are called with it held.
 */
#ifndef SRLOCK_LOCK_H
#define SRLOCK_LOCK_H

#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/srlock.h>

struct srlock_lock;
struct srlock_member;
struct srlock_waiter;

/**
 * enum srlock_change - what the rest of the world is told of
 * @SRLOCK_CHANGE_HELD: a first acquire has succeeded
 * @SRLOCK_CHANGE_RELEASED: ownership has ended by release or close
 * @SRLOCK_CHANGE_BROKEN: ownership has ended by BREAK
 * @SRLOCK_CHANGE_GONE: the drive is gone
 * @SRLOCK_CHANGE_FREE: the drive can be acquired again
 * @SRLOCK_CHANGE_QUEUE: the queue or the state has changed otherwise
 */
enum srlock_change {
	SRLOCK_CHANGE_HELD,
	SRLOCK_CHANGE_RELEASED,
	SRLOCK_CHANGE_BROKEN,
	SRLOCK_CHANGE_GONE,
	SRLOCK_CHANGE_FREE,
	SRLOCK_CHANGE_QUEUE,
};

/**
 * struct srlock_lock_ops - what a lock needs of its drive
 * @acquire: start to take the drive for the client, with the lock's acquire_flags;
 *	ends in one call of srlock_lock_acquired()
 * @abandon: nobody waits for the outcome of @acquire any more; end it soon
 * @release: start to give the drive back; ends in one call of
 *	srlock_lock_released()
 * @revoke: the hold ends now: who was admitted is not, from here
 * @join: make the waiter's member one of the holder's processes; takes over
 *	what it needs of the member. 0, or a negative errno if it cannot be one more
 * @is_member: whether the calling process is one of those
 * @retry: call srlock_lock_retry() in a while
 * @wake: the waiter is done, or the drive is being acquired for it, or no more; if
 *	it is done it may vanish as soon as the spinlock is dropped
 * @changed: something that others may watch has changed. When a hold ends this
 *	comes before @revoke, so that it can still be told whose it was
 *
 * Context: all are called with srlock_lock.spin held and do not sleep.
 */
struct srlock_lock_ops {
	void (*acquire)(struct srlock_lock *lock);
	void (*abandon)(struct srlock_lock *lock);
	void (*release)(struct srlock_lock *lock);
	void (*revoke)(struct srlock_lock *lock);
	int (*join)(struct srlock_lock *lock, struct srlock_waiter *waiter);
	bool (*is_member)(struct srlock_lock *lock);
	void (*retry)(struct srlock_lock *lock);
	void (*wake)(struct srlock_waiter *waiter);
	void (*changed)(struct srlock_lock *lock, enum srlock_change change);
};

/**
 * struct srlock_client - an open file of a lock node
 * @lock: its lock
 * @count: how often it holds the drive
 * @waiting: how many of its waiters are in line
 * @broken: its hold was taken away by BREAK; stays so
 */
struct srlock_client {
	struct srlock_lock *lock;
	u32 count;
	u32 waiting;
	bool broken;
};

/**
 * struct srlock_waiter - a call that is not over yet
 * @node: place in srlock_lock.queue
 * @client: the file that the call was made on
 * @member: the calling process, for srlock_lock_ops.join
 * @flags: SRLOCK_ACQUIRE_*
 * @epoch: the srlock_lock.epoch of its last try
 * @may_wait: it stays in line when the drive is busy
 * @done: it is over, the outputs are valid
 * @result: 0 or a negative errno
 * @count: how often the drive is held
 * @reason: with -EBUSY, why
 * @name: the client's name, filled up with NUL
 */
struct srlock_waiter {
	struct list_head node;
	struct srlock_client *client;
	struct srlock_member *member;
	u32 flags;
	u32 epoch;
	bool may_wait;
	bool done;
	int result;
	u32 count;
	enum srlock_busy reason;
	char name[SRLOCK_CLIENT_SIZE];
};

/**
 * struct srlock_lock - the lock of one drive
 * @spin: protects the rest
 * @ops: what the drive does for it
 * @state: see above
 * @owner: the client that holds; NULL unless HELD
 * @acquirer: the waiter that ACQUIRING is for; NULL otherwise and once it is
 *	abandoned. It stays in @queue
 * @acquire_flags: SRLOCK_ACQUIRE_* of that one, then of the hold
 * @releaser: the call that waits for RELEASING to end; may be NULL
 * @queue: waiters, first come first
 * @waiters: how many are in @queue
 * @epoch: counts the retries; a waiter that was found blocked by a claim is not
 *	tried twice in one epoch
 * @claimed: the drive was found mounted or open with O_EXCL in this epoch
 * @name: the owner's name
 */
struct srlock_lock {
	spinlock_t spin;
	const struct srlock_lock_ops *ops;
	enum srlock_state state;
	struct srlock_client *owner;
	struct srlock_waiter *acquirer;
	u32 acquire_flags;
	struct srlock_waiter *releaser;
	struct list_head queue;
	u32 waiters;
	u32 epoch;
	bool claimed;
	char name[SRLOCK_CLIENT_SIZE];
};

void srlock_lock_init(struct srlock_lock *lock, const struct srlock_lock_ops *ops);
void srlock_client_init(struct srlock_client *client, struct srlock_lock *lock);
bool srlock_name_is_valid(const char name[SRLOCK_CLIENT_SIZE]);

int srlock_lock_nest(struct srlock_client *client, u32 *count);
int srlock_lock_unnest(struct srlock_client *client, u32 *count);
int srlock_lock_acquire(struct srlock_waiter *waiter);
int srlock_lock_cancel(struct srlock_waiter *waiter, int error);
int srlock_lock_release(struct srlock_client *client, struct srlock_waiter *waiter);
int srlock_lock_break(struct srlock_client *client, struct srlock_waiter *waiter);
int srlock_lock_close(struct srlock_client *client, struct srlock_waiter *waiter);
int srlock_lock_finish(struct srlock_waiter *waiter);

void srlock_lock_acquired(struct srlock_lock *lock, int error);
void srlock_lock_released(struct srlock_lock *lock, int error);
void srlock_lock_retry(struct srlock_lock *lock);
void srlock_lock_gone(struct srlock_lock *lock);

u32 srlock_lock_waiters(const struct srlock_lock *lock);

#endif /* SRLOCK_LOCK_H */
