/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One attached drive
 *
 * Lifetime
 *   struct srlock_drive is a device of class srlock. References are held by the
 *   driver core from attach to detach, by open lock files, by work that is queued,
 *   and by commands of the module's own. The last one to go queues the freeing,
 *   which first waits until nobody is inside one of its gate's functions.
 *   The drive holds its scsi_device from attach to detach, not longer: its release
 *   looks into the host's module. Whoever uses it in between without a reference of
 *   its own is counted as a user, and detach waits for all users. The gendisk is
 *   held only between BOUND and UNBIND of sr.
 *
 * Locking, outer first
 *   device_lock(sdev_gendev)	the driver core's, around BIND .. BOUND and UNBIND
 *   gendisk.open_mutex		the block layer's, around open and release; taken by
 *				the acquire work and at BOUND, to count openers, and
				tried by the release work, to see a claim
 *   srlock_gate.mutex		what is swapped and what not; never held across a
 *				command, never taken by the functions that are
 *				swapped in
 *   srlock_lock.spin		state, clients, waiters, members; see lock.h
 *   srlock_events.lock, srlock_passes.lock	leaves, interrupts off
 *
 *   The list of drives is changed under srlock_drives_lock and read under RCU.
 *
 * Who does what
 *   ioctl, close		state machine only; they wait, killably and not for long
 *   acquire_work,
 *   release_work		all that may sleep; never both at once, the state
 *				machine sees to that
 *   command works		one command to the drive each; nobody has to wait for
 *				one that hangs
 */
#ifndef SRLOCK_DRIVE_H
#define SRLOCK_DRIVE_H

#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/workqueue.h>
#include <scsi/scsi_device.h>

#include "admit.h"
#include "door.h"
#include "events.h"
#include "gate.h"
#include "lock.h"

/* Limits of srlock_drive.command_timeout_ms, the parameter and the attribute. */
#define SRLOCK_COMMAND_TIMEOUT_MIN_MS	100
#define SRLOCK_COMMAND_TIMEOUT_MAX_MS	600000

/* Minor numbers, and thus drives: sr has room for 256. */
#define SRLOCK_MINORS		1024

/**
 * struct srlock_drive - an attached drive
 * @dev: the device of class srlock; owns the struct
 * @cdev: the node /dev/srlockN
 * @node: place in the list of drives
 * @sdev: the SCSI device; a reference until @users is 0
 * @users: who uses @sdev, and one until detach
 * @unused: woken when @users gets 0
 * @lock: who holds it
 * @holders: the holder's processes; changed under lock.spin
 * @gate: keeps everybody else out
 * @door: the tray
 * @events: what happened
 * @since: ktime_get_ns() of the first acquire; under lock.spin
 * @owner: the client's name of the latest hold; under lock.spin
 * @changes: how often the drive was held and freed, both counted; under lock.spin
 * @changes_told: how many of those udev was told of; by notify_work alone
 * @fenced: no foreign command is in flight, of the acquire that is under way
 * @command_timeout_ms: how long commands may take, and those in flight at an
 *	acquire, in milliseconds
 * @flags: SRLOCK_DRIVE_*
 * @wait: sleepers for the state: poll
 * @acquire_work: takes the drive
 * @release_work: gives it back
 * @restore_work: sends PREVENT again after a resume or a reset
 * @wake_work: wakes @wait
 * @watch_work: looks for a reset, again and again during a hold
 * @retry_work: tries again what a mount has blocked
 * @notify_work: tells sysfs and udev of changes
 * @free_work: frees the struct
 */
struct srlock_drive {
	struct device dev;
	struct cdev cdev;
	struct list_head node;
	struct scsi_device *sdev;
	atomic_t users;
	wait_queue_head_t unused;
	struct srlock_lock lock;
	struct srlock_holders holders;
	struct srlock_gate gate;
	struct srlock_door door;
	struct srlock_events events;
	u64 since;
	char owner[SRLOCK_CLIENT_SIZE];
	u32 changes;
	u32 changes_told;
	bool fenced;
	unsigned int command_timeout_ms;
	unsigned long flags;
	wait_queue_head_t wait;
	struct work_struct acquire_work;
	struct work_struct release_work;
	struct work_struct restore_work;
	struct work_struct wake_work;
	struct delayed_work watch_work;
	struct delayed_work retry_work;
	struct delayed_work notify_work;
	struct work_struct free_work;
};

/* srlock_drive.flags */
#define SRLOCK_DRIVE_TAKEN	0	/* scsi_device_get() and runtime PM are held */
#define SRLOCK_DRIVE_RENEWED	1	/* udev is to be told of the medium */
#define SRLOCK_DRIVE_CUT_SHORT	2	/* a hold has ended inside an admitted call */

/* How long the end of such a hold waits for what is on its way. */
#define SRLOCK_CUT_SHORT_WAIT	(HZ / 10)

static inline struct srlock_drive *srlock_dev_to_drive(struct device *dev)
{
	return container_of(dev, struct srlock_drive, dev);
}

static inline struct srlock_drive *srlock_lock_to_drive(struct srlock_lock *lock)
{
	return container_of(lock, struct srlock_drive, lock);
}

static inline struct srlock_drive *srlock_gate_to_drive(struct srlock_gate *gate)
{
	return container_of(gate, struct srlock_drive, gate);
}

/**
 * struct srlock_wait - a call that waits for a lock
 * @waiter: what the state machine knows of it
 * @wake: woken when something has changed for it
 */
struct srlock_wait {
	struct srlock_waiter waiter;
	wait_queue_head_t wake;
};

/**
 * struct srlock_holder_info - who holds a drive
 * @state: of the lock
 * @count: how often it is held
 * @waiters: how many wait for it
 * @pid: the first one to acquire; a reference; NULL if nobody holds
 * @uid: its real user
 * @since: ktime_get_ns() of the first acquire
 * @flags: SRLOCK_ACQUIRE_* of the first acquire
 * @name: the client's name
 * @my_count: how often the asking file holds it
 * @broken: that file's hold was taken away
 */
struct srlock_holder_info {
	enum srlock_state state;
	u32 count;
	u32 waiters;
	struct pid *pid;
	kuid_t uid;
	u64 since;
	u32 flags;
	char name[SRLOCK_CLIENT_SIZE];
	u32 my_count;
	bool broken;
};

extern struct workqueue_struct *srlock_workqueue;
extern unsigned int srlock_default_command_timeout_ms;

int srlock_drives_init(void);
void srlock_drives_exit(void);

void srlock_drive_holder(struct srlock_drive *drive, const struct srlock_client *client,
			 struct srlock_holder_info *info);
bool srlock_drive_is_gone(const struct srlock_drive *drive);
bool srlock_drive_use(struct srlock_drive *drive);
void srlock_drive_unuse(struct srlock_drive *drive);
unsigned long srlock_drive_timeout(const struct srlock_drive *drive);

/* work.c: what the state machine asks for */
extern const struct srlock_lock_ops srlock_drive_lock_ops;
void srlock_drive_works_init(struct srlock_drive *drive);
void srlock_drive_put_device(struct srlock_drive *drive);
void srlock_drive_lock_door(struct srlock_drive *drive);
int srlock_send_change(struct kobject *kobj, char *envp[]);

/* call.c: the calls that may wait */
int srlock_call_acquire(struct srlock_client *client, struct srlock_acquire *args);
int srlock_call_release(struct srlock_client *client, u32 *count);
int srlock_call_break(struct srlock_client *client);
void srlock_call_close(struct srlock_client *client);

/* chardev.c */
extern const struct file_operations srlock_file_operations;

/* sysfs.c */
extern struct class srlock_class;

#endif /* SRLOCK_DRIVE_H */
