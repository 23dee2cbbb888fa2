// SPDX-License-Identifier: GPL-2.0-only
/*
 * The calls that may wait: acquire, release, break, close
 *
 * Each wait ends: at the deadline, by a signal, or when the drive has had the time
 * that its commands are given. Whatever is still under way then goes on without the
 * caller.
 */
#include <linux/capability.h>
#include <linux/ktime.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/wait.h>

#include "drive.h"

/* What the works get on top of the drive's time before a caller gives up on them. */
#define SRLOCK_SLACK		(HZ / 2)

/* For so long only death interrupts an ACQUIRE whose turn it is. */
#define SRLOCK_UNDISTURBED	(HZ / 10)

/* How long BREAK waits for a tray to be unlocked; the drive is taken before that. */
#define SRLOCK_BREAK_WAIT	(HZ / 2)

static void srlock_wait_init(struct srlock_wait *wait)
{
	memset(wait, 0, sizeof(*wait));
	init_waitqueue_head(&wait->wake);
}

static bool srlock_wait_is_done(struct srlock_wait *wait)
{
	return READ_ONCE(wait->waiter.done);
}

/* Whether the drive is being acquired for this very call. */
static bool srlock_wait_is_served(struct srlock_wait *wait)
{
	return READ_ONCE(wait->waiter.client->lock->acquirer) == &wait->waiter;
}

/*
 * In line: up to the deadline. 0: something has changed.
 *
 * This wait and the next one are freezable. The freezer interrupts others, and a call
 * that begins again after a system sleep begins at the end of the line.
 */
static int srlock_wait_in_line(struct srlock_wait *wait, u64 deadline_ns)
{
	u64 now = ktime_get_ns();
	ktime_t left;

	if (deadline_ns == SRLOCK_DEADLINE_NONE)
		return wait_event_freezable(wait->wake,
					    srlock_wait_is_done(wait) ||
					    srlock_wait_is_served(wait));
	if (deadline_ns <= now)
		return -ETIME;

	left = ns_to_ktime(min_t(u64, deadline_ns - now, KTIME_MAX));

	return __wait_event_hrtimeout(wait->wake,
				      srlock_wait_is_done(wait) ||
				      srlock_wait_is_served(wait), left,
				      (TASK_INTERRUPTIBLE | TASK_FREEZABLE));
}

/*
 * Being served: for as long as the drive may take, whatever the deadline is. That is a
 * matter of milliseconds as a rule. A signal that came in these would have the call begin
 * again, and find the drive busy with the undoing of what it had begun; so for a moment
 * this is neither interruptible nor freezable.
 */
static int srlock_wait_served(struct srlock_wait *wait)
{
	struct srlock_drive *drive = srlock_lock_to_drive(wait->waiter.client->lock);
	unsigned int stage;
	long left;

	left = wait_event_killable_timeout(wait->wake,
					   srlock_wait_is_done(wait) ||
					   !srlock_wait_is_served(wait),
					   SRLOCK_UNDISTURBED);
	if (left < 0)
		return left;
	if (left > 0)
		return 0;

	/* One time for the commands in flight, another one for our own. */
	for (stage = 0; stage < 2; stage++) {
		left = wait_event_freezable_timeout(wait->wake,
						    srlock_wait_is_done(wait) ||
						    !srlock_wait_is_served(wait),
						    srlock_drive_timeout(drive) +
						    SRLOCK_SLACK);
		if (left < 0)
			return left;
		if (left > 0)
			return 0;
		if (!READ_ONCE(drive->fenced))
			break;
	}

	return -ETIMEDOUT;
}

static int srlock_wait_acquired(struct srlock_wait *wait, u64 deadline_ns)
{
	int ret;

	do {
		if (srlock_wait_is_served(wait))
			ret = srlock_wait_served(wait);
		else
			ret = srlock_wait_in_line(wait, deadline_ns);
		/* The turn may have come in the last moment. */
		if (ret == -ETIME && srlock_wait_is_served(wait))
			ret = 0;
	} while (!ret && !srlock_wait_is_done(wait));

	/* To begin again would be to find the drive busy with being given back. */
	if (ret == -ERESTARTSYS && !wait->waiter.may_wait)
		ret = -EINTR;
	if (ret)
		return srlock_lock_cancel(&wait->waiter, ret == -ETIME ? -EBUSY : ret);

	return srlock_lock_finish(&wait->waiter);
}

/* The lock is gone already, this is about the tray; so only death interrupts. */
static int srlock_wait_released(struct srlock_wait *wait, long timeout, int error)
{
	long left;

	left = wait_event_killable_timeout(wait->wake, srlock_wait_is_done(wait), timeout);

	return srlock_lock_cancel(&wait->waiter, left < 0 ? -EINTR : error);
}

static long srlock_release_timeout(struct srlock_client *client)
{
	struct srlock_drive *drive = srlock_lock_to_drive(client->lock);

	return srlock_drive_timeout(drive) + 3 * SRLOCK_SLACK;
}

static noinline int srlock_acquire_slow(struct srlock_client *client, struct srlock_acquire *args)
{
	struct srlock_wait wait;
	struct srlock_waiter *waiter = &wait.waiter;
	int ret;

	srlock_wait_init(&wait);
	waiter->client = client;
	waiter->flags = args->flags;
	waiter->may_wait = args->deadline_ns != 0;
	strscpy_pad(waiter->name, (const char *)args->client, sizeof(waiter->name));
	waiter->member = srlock_member_create();
	if (!waiter->member)
		return -ENOMEM;

	ret = srlock_lock_acquire(waiter);
	if (ret == -EINPROGRESS)
		ret = srlock_wait_acquired(&wait, args->deadline_ns);
	args->count = waiter->count;
	args->busy_reason = ret == -EBUSY ? waiter->reason : SRLOCK_BUSY_NOT;
	srlock_member_destroy(waiter->member);

	return ret;
}

/**
 * srlock_call_acquire() - SRLOCK_IOC_ACQUIRE
 * @client: the file
 * @args: valid; its count and busy_reason are set on success and with -EBUSY
 *
 * Context: Process context, sleeps.
 * Return: 0 or a negative errno, see the command.
 */
int srlock_call_acquire(struct srlock_client *client, struct srlock_acquire *args)
{
	int ret;

	args->busy_reason = SRLOCK_BUSY_NOT;
	ret = srlock_lock_nest(client, &args->count);
	if (ret == -EAGAIN)
		ret = srlock_acquire_slow(client, args);

	return ret;
}

static noinline int srlock_release_slow(struct srlock_client *client, u32 *count)
{
	struct srlock_wait wait;
	int ret;

	srlock_wait_init(&wait);
	ret = srlock_lock_release(client, &wait.waiter);
	if (ret == -EINPROGRESS)
		ret = srlock_wait_released(&wait, srlock_release_timeout(client), -ETIMEDOUT);
	*count = wait.waiter.count;

	return ret;
}

/**
 * srlock_call_release() - SRLOCK_IOC_RELEASE
 * @client: the file
 * @count: set to the count that is left
 *
 * Context: Process context, sleeps at the final release, not longer than the drive's
 * command timeout and a little.
 * Return: 0 or a negative errno, see the command.
 */
int srlock_call_release(struct srlock_client *client, u32 *count)
{
	int ret = srlock_lock_unnest(client, count);

	return ret == -EAGAIN ? srlock_release_slow(client, count) : ret;
}

/**
 * srlock_call_break() - SRLOCK_IOC_BREAK
 * @client: the file that it is called on
 *
 * Context: Process context, sleeps, for less than a second.
 * Return: 0 or a negative errno, see the command.
 */
int srlock_call_break(struct srlock_client *client)
{
	struct srlock_wait wait;
	int ret;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;

	srlock_wait_init(&wait);
	ret = srlock_lock_break(client, &wait.waiter);
	if (ret == -EINPROGRESS)
		ret = srlock_wait_released(&wait, SRLOCK_BREAK_WAIT, 0);

	return ret;
}

/**
 * srlock_call_close() - the last close of a file
 * @client: the file
 *
 * Context: Process context. Sleeps as a release does, but only if the process is one of
 * the holder's and goes on. Who exits has no time for a drive that is busy with something;
 * nor has a kernel thread, which closes files for many others, or who was sent a file
 * that he did not ask for.
 */
void srlock_call_close(struct srlock_client *client)
{
	struct srlock_drive *drive = srlock_lock_to_drive(client->lock);
	bool waits = !(current->flags & (PF_EXITING | PF_KTHREAD)) &&
		     srlock_holders_has(&drive->holders);
	struct srlock_wait wait;

	srlock_wait_init(&wait);
	if (srlock_lock_close(client, &wait.waiter) != -EINPROGRESS)
		return;

	if (!waits)
		srlock_lock_cancel(&wait.waiter, 0);
	else
		srlock_wait_released(&wait, srlock_release_timeout(client), 0);
}
