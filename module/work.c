// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the state machine asks of the drive: take it, give it back, tell others
 *
 * The ops are called under a spinlock and only queue work; the work may sleep. Each
 * queued work holds a reference to the drive.
 */
#include <linux/ktime.h>

#include "compat.h"
#include "drive.h"
#include "trace.h"

/* A mount and an O_EXCL opener wake nobody when they go, nor does memory that comes. */
#define SRLOCK_RETRY_MS	250

/* How often a held drive is looked at. */
#define SRLOCK_WATCH_MS	1000

/* Who is told of a change has time, so that nobody has to wait for the telling. */
#define SRLOCK_NOTIFY_JIFFIES	1

static void srlock_queue(struct srlock_drive *drive, struct work_struct *work)
{
	get_device(&drive->dev);
	if (!queue_work(srlock_workqueue, work))
		put_device(&drive->dev);
}

static void srlock_queue_delayed(struct srlock_drive *drive, struct delayed_work *work,
				 unsigned long delay)
{
	get_device(&drive->dev);
	if (!queue_delayed_work(srlock_workqueue, work, delay))
		put_device(&drive->dev);
}

static void srlock_op_acquire(struct srlock_lock *lock)
{
	struct srlock_drive *drive = srlock_lock_to_drive(lock);

	WRITE_ONCE(drive->gate.abandoned, false);
	WRITE_ONCE(drive->fenced, false);
	srlock_queue(drive, &drive->acquire_work);
}

static void srlock_op_abandon(struct srlock_lock *lock)
{
	WRITE_ONCE(srlock_lock_to_drive(lock)->gate.abandoned, true);
}

static void srlock_op_release(struct srlock_lock *lock)
{
	struct srlock_drive *drive = srlock_lock_to_drive(lock);

	srlock_queue(drive, &drive->release_work);
}

/* In this order: who is found admitted after the passes are void gets no pass. */
static void srlock_op_revoke(struct srlock_lock *lock)
{
	struct srlock_drive *drive = srlock_lock_to_drive(lock);

	srlock_holders_clear(&drive->holders);
	if (srlock_passes_revoke(&drive->gate.passes))
		set_bit(SRLOCK_DRIVE_CUT_SHORT, &drive->flags);
}

static int srlock_op_join(struct srlock_lock *lock, struct srlock_waiter *waiter)
{
	struct srlock_drive *drive = srlock_lock_to_drive(lock);
	int ret = srlock_holders_add(&drive->holders, waiter->member);

	if (!ret)
		waiter->member = NULL;

	return ret == -EEXIST ? 0 : ret;
}

static bool srlock_op_is_member(struct srlock_lock *lock)
{
	return srlock_holders_is_member(&srlock_lock_to_drive(lock)->holders);
}

static void srlock_op_retry(struct srlock_lock *lock)
{
	struct srlock_drive *drive = srlock_lock_to_drive(lock);

	srlock_queue_delayed(drive, &drive->retry_work, msecs_to_jiffies(SRLOCK_RETRY_MS));
}

static void srlock_op_wake(struct srlock_waiter *waiter)
{
	struct srlock_wait *wait = container_of(waiter, struct srlock_wait, waiter);

	wake_up(&wait->wake);
}

static void srlock_record_change(struct srlock_drive *drive, enum srlock_event_type type)
{
	const struct srlock_member *first = srlock_holders_first(&drive->holders);

	trace_srlock_state(drive, type, drive->lock.name);
	srlock_events_state(&drive->events, type, first ? first->pid : NULL,
			    first ? first->uid : INVALID_UID, drive->lock.name);
}

static void srlock_op_changed(struct srlock_lock *lock, enum srlock_change change)
{
	struct srlock_drive *drive = srlock_lock_to_drive(lock);

	switch (change) {
	case SRLOCK_CHANGE_HELD:
		drive->since = ktime_get_ns();
		drive->changes++;
		memcpy(drive->owner, lock->name, sizeof(drive->owner));
		srlock_record_change(drive, SRLOCK_EVENT_HELD);
		srlock_queue_delayed(drive, &drive->watch_work,
				     msecs_to_jiffies(SRLOCK_WATCH_MS));
		break;
	case SRLOCK_CHANGE_RELEASED:
		srlock_record_change(drive, SRLOCK_EVENT_RELEASED);
		break;
	case SRLOCK_CHANGE_BROKEN:
		srlock_record_change(drive, SRLOCK_EVENT_BROKEN);
		break;
	case SRLOCK_CHANGE_GONE:
		srlock_record_change(drive, SRLOCK_EVENT_UNPLUGGED);
		break;
	case SRLOCK_CHANGE_FREE:
		/* Odd is held: an acquire that failed is no news. */
		drive->changes += drive->changes & 1;
		break;
	case SRLOCK_CHANGE_QUEUE:
		break;
	}

	/* There may be any number of pollers, and a spinlock is held. */
	if (wq_has_sleeper(&drive->wait))
		srlock_queue(drive, &drive->wake_work);
	if (change != SRLOCK_CHANGE_QUEUE)
		srlock_queue_delayed(drive, &drive->notify_work, SRLOCK_NOTIFY_JIFFIES);
}

const struct srlock_lock_ops srlock_drive_lock_ops = {
	.acquire	= srlock_op_acquire,
	.abandon	= srlock_op_abandon,
	.release	= srlock_op_release,
	.revoke		= srlock_op_revoke,
	.join		= srlock_op_join,
	.is_member	= srlock_op_is_member,
	.retry		= srlock_op_retry,
	.wake		= srlock_op_wake,
	.changed	= srlock_op_changed,
};

/* Keep the host's module and the device awake for the hold. */
static int srlock_get_device(struct srlock_drive *drive)
{
	if (scsi_device_get(drive->sdev))
		return -ENODEV;
	if (scsi_autopm_get_device(drive->sdev)) {
		scsi_device_put(drive->sdev);
		return -EIO;
	}
	set_bit(SRLOCK_DRIVE_TAKEN, &drive->flags);

	return 0;
}

/**
 * srlock_drive_put_device() - let the device sleep again
 * @drive: at the end of a hold, or at detach, whatever comes first
 *
 * Context: Process context, sleeps.
 */
void srlock_drive_put_device(struct srlock_drive *drive)
{
	if (!test_and_clear_bit(SRLOCK_DRIVE_TAKEN, &drive->flags))
		return;

	scsi_autopm_put_device(drive->sdev);
	scsi_device_put(drive->sdev);
}

static int srlock_close_and_lock(struct srlock_drive *drive, unsigned long deadline)
{
	bool prevent = !(drive->lock.acquire_flags & SRLOCK_ACQUIRE_NO_PREVENT);
	int ret;

	ret = srlock_gate_close_queue(&drive->gate, deadline);
	if (ret)
		return ret;

	WRITE_ONCE(drive->fenced, true);
	ret = srlock_door_begin(drive, prevent);
	if (ret == -EOPNOTSUPP)
		dev_err_once(&drive->dev,
			     "this kernel cannot be gated, drives cannot be held\n");

	return ret;
}

/* With the disk closed, and open again if the rest fails. */
static int srlock_take(struct srlock_drive *drive, unsigned long deadline)
{
	int ret;

	ret = srlock_get_device(drive);
	if (!ret)
		ret = srlock_close_and_lock(drive, deadline);
	if (ret) {
		srlock_gate_open(&drive->gate);
		srlock_drive_put_device(drive);
	}

	return ret;
}

static void srlock_acquire_work(struct work_struct *work)
{
	struct srlock_drive *drive = container_of(work, struct srlock_drive, acquire_work);
	unsigned long deadline = jiffies + srlock_drive_timeout(drive);
	int ret;

	/* Not as a user: a detach need not wait for what this waits for. */
	ret = srlock_gate_close_disk(&drive->gate,
				     drive->lock.acquire_flags & SRLOCK_ACQUIRE_FORCE);
	if (!ret && srlock_drive_use(drive)) {
		ret = srlock_take(drive, deadline);
		srlock_lock_acquired(&drive->lock, ret);
		/* A detach may have come too early to find what was just taken. */
		if (srlock_drive_is_gone(drive)) {
			srlock_door_detach(drive);
			srlock_drive_put_device(drive);
		}
		srlock_drive_unuse(drive);
	} else {
		/* A detach has opened the gate again. */
		srlock_lock_acquired(&drive->lock, ret ?: -ENODEV);
	}
	put_device(&drive->dev);
}

static int srlock_unlock_and_open(struct srlock_drive *drive)
{
	struct srlock_gate *gate = &drive->gate;
	bool claimed = srlock_gate_is_claimed(gate);
	bool keep;
	int ret;

	/* What the holder has on its way must not be answered after our ALLOW. */
	if (test_and_clear_bit(SRLOCK_DRIVE_CUT_SHORT, &drive->flags))
		srlock_gate_fence(gate, jiffies + SRLOCK_CUT_SHORT_WAIT);
	/* Whoever had the drive before a forced hold still relies on the door. */
	keep = gate->forced && claimed && drive->door.locked_before;
	ret = srlock_door_end(drive, keep);
	if (!claimed && !srlock_gate_is_dirty(gate)) {
		srlock_gate_renew(gate);
		set_bit(SRLOCK_DRIVE_RENEWED, &drive->flags);
	}
	srlock_gate_open(gate);

	return ret;
}

static void srlock_release_work(struct work_struct *work)
{
	struct srlock_drive *drive = container_of(work, struct srlock_drive, release_work);
	int ret = -ENODEV;

	if (srlock_drive_use(drive)) {
		ret = srlock_unlock_and_open(drive);
		srlock_drive_put_device(drive);
		srlock_drive_unuse(drive);
	}
	srlock_lock_released(&drive->lock, ret);
	put_device(&drive->dev);
}

static void srlock_retry_work(struct work_struct *work)
{
	struct srlock_drive *drive = container_of(to_delayed_work(work),
						  struct srlock_drive, retry_work);

	srlock_lock_retry(&drive->lock);
	put_device(&drive->dev);
}

static void srlock_restore_work(struct work_struct *work)
{
	struct srlock_drive *drive = container_of(work, struct srlock_drive, restore_work);
	struct srlock_passes *passes = &drive->gate.passes;
	unsigned int generation;
	struct srlock_pass pass;
	bool held;

	spin_lock(&drive->lock.spin);
	held = drive->lock.state == SRLOCK_STATE_HELD;
	generation = srlock_passes_generation(passes);
	spin_unlock(&drive->lock.spin);

	if (held && srlock_drive_use(drive)) {
		if (srlock_pass_take(passes, &pass, generation, SRLOCK_PASS_KERNEL)) {
			srlock_door_restore(drive, generation);
			srlock_pass_drop(passes, &pass);
		}
		srlock_drive_unuse(drive);
	}
	put_device(&drive->dev);
}

/**
 * srlock_drive_lock_door() - send PREVENT again, the drive may have forgotten it
 * @drive: held or not; being detached or not
 *
 * What is sent while the host recovers from an error waits until it has.
 *
 * Context: Any but hard interrupts.
 */
void srlock_drive_lock_door(struct srlock_drive *drive)
{
	if (!kobject_get_unless_zero(&drive->dev.kobj))
		return;

	srlock_queue(drive, &drive->restore_work);
	put_device(&drive->dev);
}

/*
 * After a reset by the error handler the door is locked again, but SG_SCSI_RESET goes
 * past that. Nobody tells of it, and what it leaves is this mark. And a drive that was
 * not ready for a PREVENT, as after a load, gets another one.
 */
static void srlock_look_at_door(struct srlock_drive *drive)
{
	struct scsi_device *sdev = drive->sdev;

	/* The mark is the error handler's: who takes it away locks the door in its place. */
	if (!READ_ONCE(drive->door.wanted))
		return;
	if (!sdev->was_reset && !srlock_door_is_unlocked(&drive->door))
		return;

	sdev->was_reset = 0;
	srlock_drive_lock_door(drive);
}

static void srlock_watch_work(struct work_struct *work)
{
	struct srlock_drive *drive = container_of(to_delayed_work(work),
						  struct srlock_drive, watch_work);
	bool held;

	spin_lock(&drive->lock.spin);
	held = drive->lock.state == SRLOCK_STATE_HELD;
	spin_unlock(&drive->lock.spin);

	if (held && srlock_drive_use(drive)) {
		srlock_look_at_door(drive);
		srlock_queue_delayed(drive, &drive->watch_work,
				     msecs_to_jiffies(SRLOCK_WATCH_MS));
		srlock_drive_unuse(drive);
	}
	put_device(&drive->dev);
}

static void srlock_wake_work(struct work_struct *work)
{
	struct srlock_drive *drive = container_of(work, struct srlock_drive, wake_work);

	wake_up(&drive->wait);
	put_device(&drive->dev);
}

/**
 * srlock_send_change() - tell udev of a change
 * @kobj: what has changed; it has a name, and so have all above it
 * @envp: what is said of it, with a NULL at the end
 *
 * Context: Process context, sleeps.
 * Return: 0, or a negative errno: -ENOMEM if it may be tried again.
 */
int srlock_send_change(struct kobject *kobj, char *envp[])
{
	int ret = kobject_uevent_env(kobj, KOBJ_CHANGE, envp);

	/* That is what it says when it has no memory for the path of what has a name. */
	return ret == -ENOENT ? -ENOMEM : ret;
}

static int srlock_send_uevent(struct srlock_drive *drive, bool held)
{
	char owner[sizeof("SRLOCK_OWNER=") + SRLOCK_CLIENT_SIZE];
	char *envp[3] = { };
	char name[SRLOCK_CLIENT_SIZE] = "";

	if (held) {
		spin_lock(&drive->lock.spin);
		memcpy(name, drive->owner, sizeof(name));
		spin_unlock(&drive->lock.spin);
	}
	snprintf(owner, sizeof(owner), "SRLOCK_OWNER=%s", name);
	envp[0] = held ? "SRLOCK_STATE=held" : "SRLOCK_STATE=free";
	envp[1] = owner;

	return srlock_send_change(&drive->dev.kobj, envp);
}

/* Each change is told once, in order: -ENOMEM if that is not possible just now. */
static int srlock_tell_udev(struct srlock_drive *drive, u32 changes, bool free)
{
	while (drive->changes_told != changes) {
		if (srlock_send_uevent(drive, ~drive->changes_told & 1) == -ENOMEM)
			return -ENOMEM;
		drive->changes_told++;
	}
	/* If it is held again by now, udev would be refused. */
	if (!free || !test_and_clear_bit(SRLOCK_DRIVE_RENEWED, &drive->flags))
		return 0;
	if (srlock_gate_announce(&drive->gate) != -ENOMEM)
		return 0;
	set_bit(SRLOCK_DRIVE_RENEWED, &drive->flags);

	return -ENOMEM;
}

static void srlock_notify_work(struct work_struct *work)
{
	struct srlock_drive *drive = container_of(to_delayed_work(work),
						  struct srlock_drive, notify_work);
	struct kobject *kobj = &drive->dev.kobj;
	bool free;
	u32 changes;

	spin_lock(&drive->lock.spin);
	changes = drive->changes;
	free = drive->lock.state == SRLOCK_STATE_FREE;
	spin_unlock(&drive->lock.spin);

	if (!srlock_drive_is_gone(drive)) {
		sysfs_notify(kobj, NULL, "state");
		sysfs_notify(kobj, NULL, "owner");
		sysfs_notify(kobj, NULL, "pid");
		if (srlock_tell_udev(drive, changes, free))
			srlock_queue_delayed(drive, &drive->notify_work,
					     msecs_to_jiffies(SRLOCK_RETRY_MS));
	}
	put_device(&drive->dev);
}

/**
 * srlock_drive_works_init() - make the drive's works ready to be queued
 * @drive: the drive
 *
 * Context: Any.
 */
void srlock_drive_works_init(struct srlock_drive *drive)
{
	INIT_WORK(&drive->acquire_work, srlock_acquire_work);
	INIT_WORK(&drive->release_work, srlock_release_work);
	INIT_WORK(&drive->restore_work, srlock_restore_work);
	INIT_WORK(&drive->wake_work, srlock_wake_work);
	INIT_DELAYED_WORK(&drive->watch_work, srlock_watch_work);
	INIT_DELAYED_WORK(&drive->retry_work, srlock_retry_work);
	INIT_DELAYED_WORK(&drive->notify_work, srlock_notify_work);
}
