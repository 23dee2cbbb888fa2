// SPDX-License-Identifier: GPL-2.0-only
/*
 * Drives: discovery, lifetime, and what the driver core tells of them; see drive.h
 */
#include <linux/idr.h>
#include <linux/module.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/suspend.h>
#include <scsi/scsi.h>
#include <scsi/scsi_driver.h>

#include "compat.h"
#include "drive.h"

static DEFINE_SPINLOCK(srlock_drives_lock);
static LIST_HEAD(srlock_drives);
static DEFINE_IDA(srlock_minors);
static dev_t srlock_first_devt;

/* Drives that are not freed yet, and who waits for there to be none. */
static atomic_t srlock_drives_alive = ATOMIC_INIT(0);
static DECLARE_WAIT_QUEUE_HEAD(srlock_drives_wait);

/**
 * srlock_drive_holder() - who holds a drive
 * @drive: the drive
 * @client: the file that asks; NULL if none does
 * @info: output, of one moment; the caller puts its pid
 *
 * Context: Process context. Takes srlock_lock.spin.
 */
void srlock_drive_holder(struct srlock_drive *drive, const struct srlock_client *client,
			 struct srlock_holder_info *info)
{
	const struct srlock_member *member;
	struct srlock_lock *lock = &drive->lock;

	memset(info, 0, sizeof(*info));
	spin_lock(&lock->spin);
	info->state = lock->state;
	info->waiters = srlock_lock_waiters(lock);
	if (lock->owner) {
		member = srlock_holders_alive(&drive->holders);
		info->count = lock->owner->count;
		if (member)
			info->pid = get_pid(member->pid);
		else
			member = srlock_holders_first(&drive->holders);
		info->uid = member->uid;
		info->since = drive->since;
		info->flags = lock->acquire_flags;
		memcpy(info->name, lock->name, sizeof(info->name));
	}
	if (client) {
		info->my_count = client->count;
		info->broken = client->broken;
	}
	spin_unlock(&lock->spin);
}

/**
 * srlock_drive_is_gone() - whether the drive was detached
 * @drive: the drive
 *
 * Context: Any.
 * Return: true if so; it does not come back.
 */
bool srlock_drive_is_gone(const struct srlock_drive *drive)
{
	return READ_ONCE(drive->lock.state) == SRLOCK_STATE_GONE;
}

/**
 * srlock_drive_use() - begin to use the drive's SCSI device
 * @drive: the drive
 *
 * Context: Any.
 * Return: true, then srlock_drive_unuse() has to follow; false if it was detached.
 */
bool srlock_drive_use(struct srlock_drive *drive)
{
	return atomic_inc_not_zero(&drive->users);
}

/**
 * srlock_drive_unuse() - end to use it
 * @drive: the drive; the caller has another reference to it
 *
 * Context: Any but hard interrupts.
 */
void srlock_drive_unuse(struct srlock_drive *drive)
{
	if (atomic_dec_and_test(&drive->users))
		wake_up(&drive->unused);
}

/**
 * srlock_drive_timeout() - how long commands may take
 * @drive: the drive
 *
 * Context: Any.
 * Return: the time in jiffies.
 */
unsigned long srlock_drive_timeout(const struct srlock_drive *drive)
{
	return msecs_to_jiffies(READ_ONCE(drive->command_timeout_ms));
}

static void srlock_drive_free_work(struct work_struct *work)
{
	struct srlock_drive *drive = container_of(work, struct srlock_drive, free_work);

	srlock_gate_wait_unused(&drive->gate);
	srlock_gate_destroy(&drive->gate);
	srlock_events_destroy(&drive->events);
	ida_free(&srlock_minors, MINOR(drive->dev.devt) - MINOR(srlock_first_devt));
	kfree(drive);

	if (atomic_dec_and_test(&srlock_drives_alive))
		wake_up(&srlock_drives_wait);
}

/* The last reference may be put anywhere, and freeing sleeps. */
static void srlock_drive_release(struct device *dev)
{
	queue_work(srlock_workqueue, &srlock_dev_to_drive(dev)->free_work);
}

/* Everything in it that needs no other subsystem; put_device() undoes it. */
static struct srlock_drive *srlock_drive_create(struct scsi_device *sdev)
{
	struct srlock_drive *drive;
	int minor;

	drive = kzalloc(sizeof(*drive), GFP_KERNEL);
	if (!drive)
		return NULL;
	if (srlock_gate_init(&drive->gate, sdev->request_queue))
		goto out_free_drive;
	if (srlock_events_init(&drive->events))
		goto out_destroy_gate;
	minor = ida_alloc_max(&srlock_minors, SRLOCK_MINORS - 1, GFP_KERNEL);
	if (minor < 0)
		goto out_destroy_events;

	srlock_lock_init(&drive->lock, &srlock_drive_lock_ops);
	srlock_holders_init(&drive->holders);
	srlock_drive_works_init(drive);
	INIT_WORK(&drive->free_work, srlock_drive_free_work);
	init_waitqueue_head(&drive->wait);
	drive->command_timeout_ms = srlock_default_command_timeout_ms;
	get_device(&sdev->sdev_gendev);
	drive->sdev = sdev;
	atomic_set(&drive->users, 1);
	init_waitqueue_head(&drive->unused);

	atomic_inc(&srlock_drives_alive);
	device_initialize(&drive->dev);
	drive->dev.class = &srlock_class;
	drive->dev.parent = &sdev->sdev_gendev;
	drive->dev.release = srlock_drive_release;
	drive->dev.devt = srlock_first_devt + minor;

	return drive;

out_destroy_events:
	srlock_events_destroy(&drive->events);
out_destroy_gate:
	srlock_gate_destroy(&drive->gate);
out_free_drive:
	kfree(drive);
	return NULL;
}

static void srlock_drive_list(struct srlock_drive *drive)
{
	spin_lock(&srlock_drives_lock);
	list_add_tail_rcu(&drive->node, &srlock_drives);
	spin_unlock(&srlock_drives_lock);
}

static void srlock_drive_unlist(struct srlock_drive *drive)
{
	spin_lock(&srlock_drives_lock);
	list_del_rcu(&drive->node);
	spin_unlock(&srlock_drives_lock);
}

/* The caller puts the device. */
static struct srlock_drive *srlock_drive_find(const struct device *gendev)
{
	struct srlock_drive *drive, *found = NULL;

	rcu_read_lock();
	list_for_each_entry_rcu(drive, &srlock_drives, node) {
		if (&drive->sdev->sdev_gendev != gendev)
			continue;
		if (kobject_get_unless_zero(&drive->dev.kobj))
			found = drive;
		break;
	}
	rcu_read_unlock();

	return found;
}

/*
 * Context of the notifier: device_lock(dev) is held, and the notifier chain's
 * semaphore, so nothing is taken here that is ever held around registering it.
 */
static int srlock_bus_notify(struct notifier_block *nb, unsigned long action, void *data)
{
	struct device *dev = data;
	struct srlock_drive *drive = srlock_drive_find(dev);

	if (!drive)
		return NOTIFY_DONE;

	switch (action) {
	case BUS_NOTIFY_BIND_DRIVER:
		srlock_gate_probing(&drive->gate);
		break;
	case BUS_NOTIFY_BOUND_DRIVER:
		srlock_gate_bind(&drive->gate);
		srlock_gate_probed(&drive->gate);
		break;
	case BUS_NOTIFY_DRIVER_NOT_BOUND:
		srlock_gate_probed(&drive->gate);
		break;
	case BUS_NOTIFY_UNBIND_DRIVER:
		srlock_gate_unbind(&drive->gate);
		break;
	}
	put_device(&drive->dev);

	return NOTIFY_OK;
}

static struct notifier_block srlock_bus_notifier = {
	.notifier_call = srlock_bus_notify,
};

/* The SCSI bus, once a device of it was seen: its bus_type is not exported. */
static typeof_member(struct device, bus) srlock_bus;

/* Called with the mutex of the SCSI device class held, like all of the interface. */
static int srlock_watch_bus(struct scsi_device *sdev)
{
	int ret;

	if (srlock_bus)
		return 0;

	ret = bus_register_notifier(sdev->sdev_gendev.bus, &srlock_bus_notifier);
	if (!ret)
		srlock_bus = sdev->sdev_gendev.bus;

	return ret;
}

/* From when the drive is listed the notifier keeps track; this is what was before. */
static void srlock_drive_look_for_disk(struct srlock_drive *drive)
{
	struct device *gendev = &drive->sdev->sdev_gendev;

	/* Nobody probes meanwhile, so a driver that is set is bound. */
	device_lock(gendev);
	if (gendev->driver)
		srlock_gate_bind(&drive->gate);
	device_unlock(gendev);
}

/*
 * The gate is dead, so nothing new begins, and what is under way ends: a removal waits
 * for all commands anyway.
 */
static void srlock_drive_drop_sdev(struct srlock_drive *drive)
{
	srlock_drive_unuse(drive);
	wait_event(drive->unused, !atomic_read(&drive->users));
	srlock_gate_wait_dispatch(&drive->gate);
	put_device(&drive->sdev->sdev_gendev);
}

static int srlock_drive_attach(struct scsi_device *sdev)
{
	struct srlock_drive *drive;
	int ret;

	ret = srlock_watch_bus(sdev);
	if (ret)
		return ret;

	drive = srlock_drive_create(sdev);
	if (!drive)
		return -ENOMEM;

	cdev_init(&drive->cdev, &srlock_file_operations);
	drive->cdev.owner = THIS_MODULE;
	ret = dev_set_name(&drive->dev, "srlock%u", MINOR(drive->dev.devt));
	if (ret)
		goto out_put_device;

	srlock_drive_list(drive);
	srlock_drive_look_for_disk(drive);
	ret = cdev_device_add(&drive->cdev, &drive->dev);
	if (ret)
		goto out_unlist;

	return 0;

out_unlist:
	srlock_drive_unlist(drive);
	srlock_gate_die(&drive->gate);
out_put_device:
	srlock_drive_drop_sdev(drive);
	put_device(&drive->dev);
	return ret;
}

/*
 * The drive may be there (a delete, or this module goes) or not (it was unplugged).
 * When this returns, everything in other hands is as it was before the hold.
 */
static void srlock_drive_detach(struct srlock_drive *drive)
{
	srlock_drive_unlist(drive);
	srlock_lock_gone(&drive->lock);
	flush_delayed_work(&drive->notify_work);
	if (cancel_delayed_work_sync(&drive->retry_work))
		put_device(&drive->dev);
	if (cancel_delayed_work_sync(&drive->watch_work))
		put_device(&drive->dev);

	/* What the holder has on its way must not be answered after our ALLOW. */
	if (test_and_clear_bit(SRLOCK_DRIVE_CUT_SHORT, &drive->flags))
		srlock_gate_fence(&drive->gate, jiffies + SRLOCK_CUT_SHORT_WAIT);
	srlock_door_detach(drive);
	srlock_gate_die(&drive->gate);
	srlock_drive_put_device(drive);
	srlock_drive_drop_sdev(drive);
	cdev_device_del(&drive->cdev, &drive->dev);
	put_device(&drive->dev);
}

static int srlock_interface_add(SRLOCK_INTERFACE_PARAMS)
{
	struct scsi_device *sdev = to_scsi_device(dev->parent);
	int ret;

	if (sdev->type != TYPE_ROM && sdev->type != TYPE_WORM)
		return -ENODEV;

	ret = srlock_drive_attach(sdev);
	if (ret)
		sdev_printk(KERN_ERR, sdev, "srlock: cannot attach: %d\n", ret);

	return ret;
}

static void srlock_interface_remove(SRLOCK_INTERFACE_PARAMS)
{
	struct srlock_drive *drive = srlock_drive_find(dev->parent);

	if (!drive)
		return;

	srlock_drive_detach(drive);
	put_device(&drive->dev);
}

static struct class_interface srlock_interface = {
	.add_dev	= srlock_interface_add,
	.remove_dev	= srlock_interface_remove,
};

static int srlock_pm_notify(struct notifier_block *nb, unsigned long action, void *data)
{
	struct srlock_drive *drive;

	if (action != PM_POST_SUSPEND && action != PM_POST_HIBERNATION &&
	    action != PM_POST_RESTORE)
		return NOTIFY_DONE;

	rcu_read_lock();
	list_for_each_entry_rcu(drive, &srlock_drives, node)
		srlock_drive_lock_door(drive);
	rcu_read_unlock();

	return NOTIFY_OK;
}

static struct notifier_block srlock_pm_notifier = {
	.notifier_call = srlock_pm_notify,
};

/**
 * srlock_drives_init() - attach to all drives, present and future
 *
 * Context: Module init.
 * Return: 0 or a negative errno.
 */
int srlock_drives_init(void)
{
	int ret;

	ret = alloc_chrdev_region(&srlock_first_devt, 0, SRLOCK_MINORS, "srlock");
	if (ret)
		return ret;
	ret = class_register(&srlock_class);
	if (ret)
		goto out_unregister_region;
	ret = register_pm_notifier(&srlock_pm_notifier);
	if (ret)
		goto out_unregister_class;
	ret = scsi_register_interface(&srlock_interface);
	if (ret)
		goto out_unregister_pm_notifier;

	return 0;

out_unregister_pm_notifier:
	unregister_pm_notifier(&srlock_pm_notifier);
out_unregister_class:
	class_unregister(&srlock_class);
out_unregister_region:
	unregister_chrdev_region(srlock_first_devt, SRLOCK_MINORS);
	return ret;
}

/**
 * srlock_drives_exit() - detach from all drives
 *
 * When it returns all of them are freed and no pointer leads into the module.
 *
 * Context: Module exit; no lock file is open.
 */
void srlock_drives_exit(void)
{
	scsi_unregister_interface(&srlock_interface);
	if (srlock_bus)
		bus_unregister_notifier(srlock_bus, &srlock_bus_notifier);
	unregister_pm_notifier(&srlock_pm_notifier);
	wait_event(srlock_drives_wait, !atomic_read(&srlock_drives_alive));
	srlock_gate_wait_late();
	class_unregister(&srlock_class);
	unregister_chrdev_region(srlock_first_devt, SRLOCK_MINORS);
	ida_destroy(&srlock_minors);
}
