// SPDX-License-Identifier: GPL-2.0-only
/*
 * The lock as a state machine; see lock.h for the picture and the locking.
 *
 * Promises: nested counts per client, first come first served without barging,
 * each waiter is finished exactly once, and the drive is asked to acquire and to
 * release strictly in turns. It does not know time: deadlines and signals arrive
 * as srlock_lock_cancel().
 */
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/lockdep.h>
#include <linux/string.h>

#include "lock.h"

/**
 * srlock_lock_init() - make a free lock
 * @lock: to be initialised
 * @ops: what its drive does
 *
 * Context: Any.
 */
void srlock_lock_init(struct srlock_lock *lock, const struct srlock_lock_ops *ops)
{
	memset(lock, 0, sizeof(*lock));
	spin_lock_init(&lock->spin);
	INIT_LIST_HEAD(&lock->queue);
	lock->ops = ops;
	lock->state = SRLOCK_STATE_FREE;
}

/**
 * srlock_client_init() - make a client that holds nothing
 * @client: to be initialised
 * @lock: its lock
 *
 * Context: Any.
 */
void srlock_client_init(struct srlock_client *client, struct srlock_lock *lock)
{
	memset(client, 0, sizeof(*client));
	client->lock = lock;
}

static bool srlock_name_char_is_valid(unsigned char c)
{
	if (c >= 'a' && c <= 'z')
		return true;
	if (c >= 'A' && c <= 'Z')
		return true;
	if (c >= '0' && c <= '9')
		return true;

	return c == ' ' || c == '.' || c == ',' || c == ':' || c == ';' ||
	       c == '_' || c == '-';
}

/**
 * srlock_name_is_valid() - whether a client may be called so
 * @name: 1 to 63 characters and a NUL; what follows that does not matter
 *
 * The alphabet is that of IDiscRecorder2::AcquireExclusiveAccess in IMAPI2.
 *
 * Context: Any.
 * Return: true if it is a valid name.
 */
bool srlock_name_is_valid(const char name[SRLOCK_CLIENT_SIZE])
{
	unsigned int i;

	for (i = 0; i < SRLOCK_CLIENT_SIZE && name[i]; i++)
		if (!srlock_name_char_is_valid(name[i]))
			return false;

	return i > 0 && i < SRLOCK_CLIENT_SIZE;
}

/**
 * srlock_lock_waiters() - how many calls stand in line
 * @lock: the lock
 *
 * Context: srlock_lock.spin is held.
 * Return: the number of ACQUIRE calls that wait; the one that the drive is being
 * acquired for is not among them.
 */
u32 srlock_lock_waiters(const struct srlock_lock *lock)
{
	lockdep_assert_held(&lock->spin);

	return lock->waiters - (lock->acquirer ? 1 : 0);
}

static void srlock_set_state(struct srlock_lock *lock, enum srlock_state state,
			     enum srlock_change change)
{
	WRITE_ONCE(lock->state, state);
	lock->ops->changed(lock, change);
}

static u32 srlock_hold_count(const struct srlock_lock *lock)
{
	return lock->owner ? lock->owner->count : 0;
}

static enum srlock_busy srlock_busy_reason(const struct srlock_lock *lock,
					   const struct srlock_waiter *waiter)
{
	switch (lock->state) {
	case SRLOCK_STATE_FREE:
		/* The claim is what it waits for, unless FORCE would pass that. */
		if (waiter->flags & SRLOCK_ACQUIRE_FORCE && waiter->epoch != lock->epoch)
			return SRLOCK_BUSY_QUEUED;
		return SRLOCK_BUSY_CLAIMED;
	case SRLOCK_STATE_RELEASING:
		return SRLOCK_BUSY_RELEASING;
	default:
		return SRLOCK_BUSY_HELD;
	}
}

/* End a call that may or may not stand in line. */
static void srlock_finish(struct srlock_waiter *waiter, int result)
{
	struct srlock_lock *lock = waiter->client->lock;

	lockdep_assert_held(&lock->spin);

	if (!list_empty(&waiter->node)) {
		list_del_init(&waiter->node);
		lock->waiters--;
		waiter->client->waiting--;
		lock->ops->changed(lock, SRLOCK_CHANGE_QUEUE);
	}
	waiter->result = result;
	waiter->count = srlock_hold_count(lock);
	WRITE_ONCE(waiter->done, true);
	lock->ops->wake(waiter);
}

static void srlock_finish_busy(struct srlock_waiter *waiter, enum srlock_busy reason)
{
	waiter->reason = reason;
	srlock_finish(waiter, -EBUSY);
}

static int srlock_nest_one(struct srlock_client *client)
{
	if (client->count == U32_MAX)
		return -EOVERFLOW;

	client->count++;
	return 0;
}

static int srlock_nest_and_join(struct srlock_lock *lock, struct srlock_waiter *waiter)
{
	int ret = srlock_nest_one(lock->owner);

	if (ret)
		return ret;
	ret = lock->ops->join(lock, waiter);
	if (ret)
		lock->owner->count--;

	return ret;
}

/* Waiters of the file that holds by now do not have to wait. */
static void srlock_nest_waiters(struct srlock_lock *lock)
{
	struct srlock_waiter *waiter, *next;

	list_for_each_entry_safe(waiter, next, &lock->queue, node) {
		if (!lock->owner->waiting)
			return;
		if (waiter->client != lock->owner)
			continue;
		srlock_finish(waiter, srlock_nest_and_join(lock, waiter));
	}
}

/* FORCE passes those that only a claim blocks, and nobody else. */
static struct srlock_waiter *srlock_next_waiter(struct srlock_lock *lock)
{
	struct srlock_waiter *waiter;

	list_for_each_entry(waiter, &lock->queue, node) {
		if (!lock->claimed)
			return waiter;
		if (waiter->flags & SRLOCK_ACQUIRE_FORCE &&
		    waiter->epoch != lock->epoch)
			return waiter;
	}

	return NULL;
}

static void srlock_advance(struct srlock_lock *lock)
{
	struct srlock_waiter *waiter;

	if (lock->state != SRLOCK_STATE_FREE)
		return;
	if (list_empty(&lock->queue)) {
		lock->claimed = false;
		return;
	}
	waiter = srlock_next_waiter(lock);
	if (!waiter)
		return;

	WRITE_ONCE(lock->acquirer, waiter);
	lock->acquire_flags = waiter->flags;
	srlock_set_state(lock, SRLOCK_STATE_ACQUIRING, SRLOCK_CHANGE_QUEUE);
	lock->ops->acquire(lock);
	lock->ops->wake(waiter);
}

static int srlock_client_error(const struct srlock_client *client)
{
	if (client->broken)
		return -EOWNERDEAD;
	if (client->lock->state == SRLOCK_STATE_GONE)
		return -ENODEV;

	return 0;
}

static bool srlock_owns(const struct srlock_client *client)
{
	return client->lock->owner == client;
}

/**
 * srlock_lock_nest() - the quick way to acquire what is held already
 * @client: the file
 * @count: set to how often the drive is held, on success
 *
 * Context: Process context. Takes srlock_lock.spin.
 * Return: 0; -EAGAIN if it takes more than that: call srlock_lock_acquire(), with
 * a member; -EOVERFLOW; -EOWNERDEAD; -ENODEV.
 */
int srlock_lock_nest(struct srlock_client *client, u32 *count)
{
	struct srlock_lock *lock = client->lock;
	int ret;

	spin_lock(&lock->spin);
	ret = srlock_client_error(client);
	if (!ret) {
		if (srlock_owns(client) && lock->ops->is_member(lock))
			ret = srlock_nest_one(client);
		else
			ret = -EAGAIN;
	}
	*count = client->count;
	spin_unlock(&lock->spin);

	return ret;
}

/**
 * srlock_lock_unnest() - the quick way to take one off a count that is not the last
 * @client: the file
 * @count: set to the count that is left, on success
 *
 * Context: Process context. Takes srlock_lock.spin.
 * Return: 0; -EAGAIN if it takes more than that: call srlock_lock_release().
 */
int srlock_lock_unnest(struct srlock_client *client, u32 *count)
{
	struct srlock_lock *lock = client->lock;
	int ret = -EAGAIN;

	spin_lock(&lock->spin);
	/* Only an owner has a count. */
	if (client->count > 1) {
		*count = --client->count;
		ret = 0;
	}
	spin_unlock(&lock->spin);

	return ret;
}

/* A call that does not wait must not pass those that do. */
static bool srlock_may_start(const struct srlock_lock *lock,
			     const struct srlock_waiter *waiter)
{
	const struct srlock_waiter *other;

	if (lock->state != SRLOCK_STATE_FREE)
		return false;
	if (list_empty(&lock->queue))
		return true;
	if (!lock->claimed || !(waiter->flags & SRLOCK_ACQUIRE_FORCE))
		return false;
	list_for_each_entry(other, &lock->queue, node)
		if (other->flags & SRLOCK_ACQUIRE_FORCE)
			return false;

	return true;
}

static int srlock_acquire_locked(struct srlock_lock *lock,
				 struct srlock_waiter *waiter)
{
	struct srlock_client *client = waiter->client;
	int ret;

	lockdep_assert_held(&lock->spin);

	ret = srlock_client_error(client);
	if (ret)
		return ret;

	if (srlock_owns(client)) {
		ret = srlock_nest_and_join(lock, waiter);
		waiter->count = client->count;
		return ret;
	}

	waiter->epoch = lock->epoch - 1;
	if (!waiter->may_wait && !srlock_may_start(lock, waiter)) {
		waiter->reason = srlock_busy_reason(lock, waiter);
		waiter->count = srlock_hold_count(lock);
		return -EBUSY;
	}

	list_add_tail(&waiter->node, &lock->queue);
	lock->waiters++;
	client->waiting++;
	lock->ops->changed(lock, SRLOCK_CHANGE_QUEUE);
	srlock_advance(lock);

	return -EINPROGRESS;
}

/**
 * srlock_lock_acquire() - take the drive, nest, or stand in line for it
 * @waiter: client, member, flags, name and may_wait are set; the rest is output
 *
 * Context: Process context. Takes srlock_lock.spin.
 * Return: 0; -EINPROGRESS: wait for the waiter to be woken, then call
 * srlock_lock_finish(), or give up with srlock_lock_cancel(); -EBUSY, see the
 * waiter's reason and count; -ENODEV; -EOWNERDEAD; -EOVERFLOW. The waiter is in
 * use up to the end of one of those calls only after -EINPROGRESS.
 */
int srlock_lock_acquire(struct srlock_waiter *waiter)
{
	struct srlock_lock *lock = waiter->client->lock;
	int ret;

	INIT_LIST_HEAD(&waiter->node);
	waiter->done = false;
	waiter->result = 0;
	waiter->count = 0;
	waiter->reason = SRLOCK_BUSY_NOT;

	spin_lock(&lock->spin);
	ret = srlock_acquire_locked(lock, waiter);
	spin_unlock(&lock->spin);

	return ret;
}

/**
 * srlock_lock_cancel() - stop waiting
 * @waiter: as left by a call that returned -EINPROGRESS
 * @error: what the call shall end with; with -EBUSY the reason is filled in
 *
 * A release that is not waited for goes on. An acquire that the drive has begun
 * is undone.
 *
 * Context: Process context. Takes srlock_lock.spin.
 * Return: the waiter's own result if it was done before, else @error.
 */
int srlock_lock_cancel(struct srlock_waiter *waiter, int error)
{
	struct srlock_lock *lock = waiter->client->lock;

	spin_lock(&lock->spin);
	if (waiter->done)
		goto out_unlock;

	if (lock->releaser == waiter) {
		lock->releaser = NULL;
		waiter->result = error;
		goto out_unlock;
	}

	if (error == -EBUSY)
		waiter->reason = srlock_busy_reason(lock, waiter);
	if (lock->acquirer == waiter) {
		WRITE_ONCE(lock->acquirer, NULL);
		srlock_set_state(lock, SRLOCK_STATE_RELEASING, SRLOCK_CHANGE_QUEUE);
		lock->ops->abandon(lock);
	}
	srlock_finish(waiter, error);
	srlock_advance(lock);
out_unlock:
	spin_unlock(&lock->spin);

	return waiter->result;
}

/**
 * srlock_lock_finish() - the result of a waiter that was woken
 * @waiter: as left by a call that returned -EINPROGRESS; it is done
 *
 * Context: Process context. Takes srlock_lock.spin, so that the waiter is out of
 * everybody's hands when it returns.
 * Return: 0 or a negative errno.
 */
int srlock_lock_finish(struct srlock_waiter *waiter)
{
	struct srlock_lock *lock = waiter->client->lock;
	int ret;

	spin_lock(&lock->spin);
	ret = waiter->result;
	spin_unlock(&lock->spin);

	return ret;
}

/* Ownership ends here and now, what is left is between us and the drive. */
static void srlock_end_hold(struct srlock_lock *lock, struct srlock_waiter *waiter,
			    enum srlock_change change)
{
	lock->owner->count = 0;
	lock->owner = NULL;
	lock->releaser = waiter;
	srlock_set_state(lock, SRLOCK_STATE_RELEASING, change);
	lock->ops->revoke(lock);
	memset(lock->name, 0, sizeof(lock->name));
	lock->ops->release(lock);
}

static void srlock_init_releaser(struct srlock_waiter *waiter,
				 struct srlock_client *client)
{
	memset(waiter, 0, sizeof(*waiter));
	INIT_LIST_HEAD(&waiter->node);
	waiter->client = client;
}

static int srlock_release_locked(struct srlock_client *client,
				 struct srlock_waiter *waiter)
{
	struct srlock_lock *lock = client->lock;
	int ret;

	lockdep_assert_held(&lock->spin);

	ret = srlock_client_error(client);
	if (ret)
		return ret;
	if (!srlock_owns(client))
		return -EPERM;

	if (client->count > 1) {
		waiter->count = --client->count;
		return 0;
	}
	srlock_end_hold(lock, waiter, SRLOCK_CHANGE_RELEASED);

	return -EINPROGRESS;
}

/**
 * srlock_lock_release() - take one off the client's count
 * @client: the file
 * @waiter: output: the count that is left
 *
 * Context: Process context. Takes srlock_lock.spin.
 * Return: 0; -EINPROGRESS: it was the final release, @waiter waits for its end as
 * after srlock_lock_acquire(); -EPERM the client holds nothing; -ENODEV;
 * -EOWNERDEAD.
 */
int srlock_lock_release(struct srlock_client *client, struct srlock_waiter *waiter)
{
	int ret;

	srlock_init_releaser(waiter, client);
	spin_lock(&client->lock->spin);
	ret = srlock_release_locked(client, waiter);
	spin_unlock(&client->lock->spin);

	return ret;
}

/**
 * srlock_lock_break() - take the drive from whoever holds it
 * @client: the file that the call was made on
 * @waiter: waits for the end of the release
 *
 * Context: Process context. Takes srlock_lock.spin.
 * Return: -EINPROGRESS as srlock_lock_release(); -EPERM nobody holds the drive;
 * -ENODEV.
 */
int srlock_lock_break(struct srlock_client *client, struct srlock_waiter *waiter)
{
	struct srlock_lock *lock = client->lock;
	int ret = -EINPROGRESS;

	srlock_init_releaser(waiter, client);
	spin_lock(&lock->spin);
	if (lock->state == SRLOCK_STATE_GONE) {
		ret = -ENODEV;
	} else if (!lock->owner) {
		ret = -EPERM;
	} else {
		lock->owner->broken = true;
		srlock_end_hold(lock, waiter, SRLOCK_CHANGE_BROKEN);
	}
	spin_unlock(&lock->spin);

	return ret;
}

/**
 * srlock_lock_close() - the client goes
 * @client: the file; no call on it is under way
 * @waiter: waits for the end of the release
 *
 * Context: Process context. Takes srlock_lock.spin.
 * Return: 0 if it held nothing; -EINPROGRESS as srlock_lock_release().
 */
int srlock_lock_close(struct srlock_client *client, struct srlock_waiter *waiter)
{
	struct srlock_lock *lock = client->lock;
	int ret = 0;

	srlock_init_releaser(waiter, client);
	spin_lock(&lock->spin);
	if (srlock_owns(client)) {
		srlock_end_hold(lock, waiter, SRLOCK_CHANGE_RELEASED);
		ret = -EINPROGRESS;
	}
	spin_unlock(&lock->spin);

	return ret;
}

static void srlock_begin_hold(struct srlock_lock *lock, struct srlock_waiter *waiter)
{
	lock->owner = waiter->client;
	lock->owner->count = 1;
	lock->claimed = false;
	memcpy(lock->name, waiter->name, sizeof(lock->name));
	/* The first one is never one too many. */
	lock->ops->join(lock, waiter);
	srlock_set_state(lock, SRLOCK_STATE_HELD, SRLOCK_CHANGE_HELD);
	srlock_finish(waiter, 0);
	srlock_nest_waiters(lock);
}

static void srlock_acquire_failed(struct srlock_lock *lock,
				  struct srlock_waiter *waiter, int error)
{
	WRITE_ONCE(lock->state, SRLOCK_STATE_FREE);
	if (error != -EBUSY) {
		srlock_finish(waiter, error);
	} else {
		/* Nobody tells when a claim ends, so look again in a while. */
		lock->claimed = true;
		waiter->epoch = lock->epoch;
		if (waiter->may_wait)
			lock->ops->wake(waiter);
		else
			srlock_finish_busy(waiter, SRLOCK_BUSY_CLAIMED);
		if (!list_empty(&lock->queue))
			lock->ops->retry(lock);
	}
	lock->ops->changed(lock, SRLOCK_CHANGE_FREE);
	srlock_advance(lock);
}

/**
 * srlock_lock_acquired() - the outcome of srlock_lock_ops.acquire
 * @lock: the lock
 * @error: 0; -EBUSY the drive is claimed by a mount or an O_EXCL opener; or
 *	another negative errno. After an error everything is as it was before
 *
 * Context: Process context. Takes srlock_lock.spin.
 */
void srlock_lock_acquired(struct srlock_lock *lock, int error)
{
	struct srlock_waiter *waiter;

	spin_lock(&lock->spin);
	waiter = lock->acquirer;
	WRITE_ONCE(lock->acquirer, NULL);
	if (lock->state == SRLOCK_STATE_GONE) {
		;	/* all waiters were finished then */
	} else if (waiter && !error) {
		srlock_begin_hold(lock, waiter);
	} else if (waiter) {
		srlock_acquire_failed(lock, waiter, error);
	} else if (!error) {
		lock->ops->release(lock);
	} else {
		srlock_set_state(lock, SRLOCK_STATE_FREE, SRLOCK_CHANGE_FREE);
		srlock_advance(lock);
	}
	spin_unlock(&lock->spin);
}

/**
 * srlock_lock_released() - the outcome of srlock_lock_ops.release
 * @lock: the lock
 * @error: 0 or what went wrong; the drive is free in any case
 *
 * Context: Process context. Takes srlock_lock.spin.
 */
void srlock_lock_released(struct srlock_lock *lock, int error)
{
	struct srlock_waiter *waiter;

	spin_lock(&lock->spin);
	if (lock->state != SRLOCK_STATE_GONE) {
		waiter = lock->releaser;
		lock->releaser = NULL;
		srlock_set_state(lock, SRLOCK_STATE_FREE, SRLOCK_CHANGE_FREE);
		if (waiter)
			srlock_finish(waiter, error);
		srlock_advance(lock);
	}
	spin_unlock(&lock->spin);
}

/**
 * srlock_lock_retry() - try again those that a claim has blocked
 * @lock: the lock
 *
 * Context: Process context. Takes srlock_lock.spin.
 */
void srlock_lock_retry(struct srlock_lock *lock)
{
	spin_lock(&lock->spin);
	lock->epoch++;
	lock->claimed = false;
	srlock_advance(lock);
	spin_unlock(&lock->spin);
}

/**
 * srlock_lock_gone() - the drive is gone for good
 * @lock: the lock
 *
 * Every waiter is finished with -ENODEV, the hold is over.
 *
 * Context: Process context. Takes srlock_lock.spin.
 */
void srlock_lock_gone(struct srlock_lock *lock)
{
	struct srlock_waiter *waiter, *next;

	spin_lock(&lock->spin);
	if (lock->state == SRLOCK_STATE_GONE)
		goto out_unlock;

	if (lock->owner)
		lock->owner->count = 0;
	lock->owner = NULL;
	if (lock->state == SRLOCK_STATE_ACQUIRING)
		lock->ops->abandon(lock);
	WRITE_ONCE(lock->acquirer, NULL);
	srlock_set_state(lock, SRLOCK_STATE_GONE, SRLOCK_CHANGE_GONE);
	lock->ops->revoke(lock);
	memset(lock->name, 0, sizeof(lock->name));

	waiter = lock->releaser;
	lock->releaser = NULL;
	if (waiter)
		srlock_finish(waiter, -ENODEV);
	list_for_each_entry_safe(waiter, next, &lock->queue, node)
		srlock_finish(waiter, -ENODEV);
out_unlock:
	spin_unlock(&lock->spin);
}
