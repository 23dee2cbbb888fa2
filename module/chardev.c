// SPDX-License-Identifier: GPL-2.0-only
/*
 * The lock node: ioctl, read, poll, close
 *
 * Copies in, validates everything, acts, copies out.
 */
#include <linux/cdrom.h>
#include <linux/compat.h>
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/user_namespace.h>
#include <scsi/scsi_eh.h>
#include <scsi/scsi_ioctl.h>
#include <scsi/sg.h>

#include "compat.h"
#include "drive.h"

#define SRLOCK_ACQUIRE_FLAGS	(SRLOCK_ACQUIRE_FORCE | SRLOCK_ACQUIRE_NO_PREVENT)

#define SRLOCK_FEATURES		(SRLOCK_FEATURE_FORCE | SRLOCK_FEATURE_NO_PREVENT | \
				 SRLOCK_FEATURE_BREAK | SRLOCK_FEATURE_COMMANDS | \
				 SRLOCK_FEATURE_EVENTS)

/**
 * struct srlock_file - an open lock file
 * @client: what the lock knows of it
 * @drive: a reference
 * @read_mutex: protects @next
 * @next: number of the event record that comes next
 */
struct srlock_file {
	struct srlock_client client;
	struct srlock_drive *drive;
	struct mutex read_mutex;	/* see above */
	u64 next;
};

static int srlock_file_open(struct inode *inode, struct file *filp)
{
	struct srlock_drive *drive = container_of(inode->i_cdev, struct srlock_drive, cdev);
	struct srlock_file *file;

	file = kzalloc(sizeof(*file), GFP_KERNEL_ACCOUNT);
	if (!file)
		return -ENOMEM;

	get_device(&drive->dev);
	file->drive = drive;
	srlock_client_init(&file->client, &drive->lock);
	mutex_init(&file->read_mutex);
	file->next = srlock_events_end(&drive->events);
	filp->private_data = file;

	return stream_open(inode, filp);
}

static int srlock_file_release(struct inode *inode, struct file *filp)
{
	struct srlock_file *file = filp->private_data;
	struct srlock_drive *drive = file->drive;

	srlock_call_close(&file->client);
	mutex_destroy(&file->read_mutex);
	kfree(file);
	put_device(&drive->dev);

	return 0;
}

/* Read an argument of any size from the first version's up. */
static int srlock_copy_in(void *args, size_t known, const void __user *argp, size_t size,
			  size_t size_ver0)
{
	if (size < size_ver0)
		return -EINVAL;

	return copy_struct_from_user(args, known, argp, size);
}

static int srlock_copy_out(void __user *argp, const void *args, size_t known, size_t size)
{
	return copy_to_user(argp, args, min(size, known)) ? -EFAULT : 0;
}

static int srlock_check_acquire(const struct srlock_acquire *args)
{
	if (args->flags & ~SRLOCK_ACQUIRE_FLAGS || args->pad || args->pad2)
		return -EINVAL;
	if (!srlock_name_is_valid((const char *)args->client))
		return -EINVAL;
	if (is_global_init(current))
		return -EPERM;
	if (args->flags & SRLOCK_ACQUIRE_FORCE && !capable(CAP_SYS_ADMIN))
		return -EPERM;

	return 0;
}

static pid_t srlock_holder_pid(struct srlock_drive *drive)
{
	const struct srlock_member *member;
	pid_t pid = 0;

	spin_lock(&drive->lock.spin);
	member = srlock_holders_alive(&drive->holders);
	if (member)
		pid = pid_vnr(member->pid);
	spin_unlock(&drive->lock.spin);

	return pid;
}

/* The outputs are the end of the struct. */
static int srlock_copy_out_acquire(struct srlock_acquire __user *argp,
				   const struct srlock_acquire *args)
{
	const size_t at = offsetof(struct srlock_acquire, count);

	return copy_to_user(&argp->count, &args->count, sizeof(*args) - at) ? -EFAULT : 0;
}

static int srlock_ioctl_acquire(struct srlock_file *file, void __user *argp, size_t size)
{
	struct srlock_acquire args;
	u32 left;
	int ret;

	ret = srlock_copy_in(&args, sizeof(args), argp, size, SRLOCK_ACQUIRE_SIZE_VER0);
	if (ret)
		return ret;
	ret = srlock_check_acquire(&args);
	if (ret)
		return ret;
	/* Find a bad pointer before anything is done. */
	ret = srlock_copy_out_acquire(argp, &args);
	if (ret)
		return ret;

	ret = srlock_call_acquire(&file->client, &args);
	if (ret && ret != -EBUSY)
		return ret;

	args.holder_pid = srlock_holder_pid(file->drive);
	if (srlock_copy_out_acquire(argp, &args)) {
		/* It was writable a moment ago; the caller must not hold unawares. */
		if (!ret)
			srlock_call_release(&file->client, &left);
		return -EFAULT;
	}

	return ret;
}

static int srlock_ioctl_release(struct srlock_file *file, void __user *argp, size_t size)
{
	struct srlock_release __user *out = argp;
	struct srlock_release args;
	int ret;

	ret = srlock_copy_in(&args, sizeof(args), argp, size, SRLOCK_RELEASE_SIZE_VER0);
	if (ret)
		return ret;
	if (args.flags)
		return -EINVAL;
	/* Find a bad pointer before anything is done. */
	if (put_user(args.count, &out->count))
		return -EFAULT;

	ret = srlock_call_release(&file->client, &args.count);
	if (ret == -EPERM || ret == -EOWNERDEAD ||
	    (ret == -ENODEV && srlock_drive_is_gone(file->drive)))
		return ret;
	/* The lock is released; that this can be told was seen before. */
	if (put_user(args.count, &out->count))
		return -EFAULT;

	return ret;
}

static u32 srlock_info_status(struct srlock_file *file,
			      const struct srlock_holder_info *holder)
{
	struct srlock_drive *drive = file->drive;
	u32 status = 0;

	if (holder->broken)
		status |= SRLOCK_STATUS_BROKEN;
	if (holder->state != SRLOCK_STATE_HELD)
		return status;

	if (READ_ONCE(drive->door.prevented))
		status |= SRLOCK_STATUS_PREVENTED;
	if (READ_ONCE(drive->gate.forced))
		status |= SRLOCK_STATUS_FORCED;
	if (srlock_holders_has(&drive->holders))
		status |= SRLOCK_STATUS_MINE;

	return status;
}

static void srlock_fill_info(struct srlock_file *file, struct srlock_info *info)
{
	struct srlock_drive *drive = file->drive;
	u64 refused[SRLOCK_WAY_COMMAND + 1];
	struct srlock_holder_info holder;

	srlock_drive_holder(drive, &file->client, &holder);
	srlock_events_totals(&drive->events, refused);

	memset(info, 0, sizeof(*info));
	info->features = SRLOCK_FEATURES;
	info->state = holder.state;
	info->count = holder.count;
	info->my_count = holder.my_count;
	if (*holder.name) {
		info->pid = pid_vnr(holder.pid);
		info->uid = from_kuid_munged(current_user_ns(), holder.uid);
	}
	info->waiters = holder.waiters;
	info->prior_opens = READ_ONCE(drive->gate.prior_opens);
	info->since_ns = holder.since;
	info->refused_opens = refused[SRLOCK_WAY_OPEN];
	info->refused_ioctls = refused[SRLOCK_WAY_IOCTL];
	info->refused_commands = refused[SRLOCK_WAY_COMMAND];
	info->status = srlock_info_status(file, &holder);
	memcpy(info->client, holder.name, sizeof(info->client));
	put_pid(holder.pid);
}

static int srlock_ioctl_get_info(struct srlock_file *file, void __user *argp, size_t size)
{
	struct srlock_info info;
	int ret;

	ret = srlock_copy_in(&info, sizeof(info), argp, size, SRLOCK_INFO_SIZE_VER0);
	if (ret)
		return ret;
	if (info.flags || info.pad)
		return -EINVAL;

	srlock_fill_info(file, &info);

	return srlock_copy_out(argp, &info, sizeof(info), size);
}

static int srlock_may_command(struct srlock_file *file)
{
	struct srlock_lock *lock = file->client.lock;
	int ret = 0;

	spin_lock(&lock->spin);
	if (file->client.broken)
		ret = -EOWNERDEAD;
	else if (lock->state == SRLOCK_STATE_GONE)
		ret = -ENODEV;
	else if (lock->owner != &file->client)
		ret = -EPERM;
	spin_unlock(&lock->spin);

	return ret;
}

/* The caller has seen that the file holds the drive since the generation was read. */
static int srlock_command_with_pass(struct srlock_drive *drive, unsigned int generation,
				    unsigned int cmd, void __user *argp)
{
	struct srlock_passes *passes = &drive->gate.passes;
	struct srlock_pass pass;
	bool ejecting;
	int ret;

	if (!srlock_pass_take(passes, &pass, generation, 0))
		return -EPERM;
	ejecting = cmd == CDROMEJECT && srlock_door_eject_begin(drive, generation);
	ret = srlock_scsi_ioctl(drive->sdev, true, cmd, argp);
	if (ejecting)
		srlock_door_eject_end(drive, generation);
	if (READ_ONCE(drive->door.undone))
		srlock_door_restore(drive, generation);
	srlock_pass_drop(passes, &pass);

	return ret;
}

/* As sr_block_ioctl() does it, for those ioctls that need no sr. */
static int srlock_ioctl_command(struct srlock_file *file, unsigned int cmd,
				void __user *argp)
{
	struct srlock_drive *drive = file->drive;
	struct scsi_device *sdev = drive->sdev;
	unsigned int generation;
	int ret;

	generation = srlock_passes_generation(&drive->gate.passes);
	ret = srlock_may_command(file);
	if (ret)
		return ret;

	/* From then on the call has a reference of its own. */
	if (!srlock_drive_use(drive))
		return -ENODEV;
	ret = scsi_device_get(sdev);
	srlock_drive_unuse(drive);
	if (ret)
		return -ENODEV;
	ret = -ENODEV;
	if (!scsi_block_when_processing_errors(sdev))
		goto out_put_device;
	ret = scsi_autopm_get_device(sdev);
	if (ret)
		goto out_put_device;
	ret = srlock_command_with_pass(drive, generation, cmd, argp);
	/* Taken away in between: say so. */
	if (ret == -EPERM)
		ret = srlock_may_command(file) ?: ret;
	scsi_autopm_put_device(sdev);
out_put_device:
	scsi_device_put(sdev);
	return ret;
}

static bool srlock_is_command(unsigned int cmd)
{
	return cmd == SG_IO || cmd == CDROM_SEND_PACKET || cmd == CDROMEJECT ||
	       cmd == CDROMCLOSETRAY || cmd == SG_GET_VERSION_NUM;
}

static bool srlock_is_call(unsigned int cmd, unsigned int known)
{
	return _IOC_TYPE(cmd) == _IOC_TYPE(known) && _IOC_NR(cmd) == _IOC_NR(known) &&
	       _IOC_DIR(cmd) == _IOC_DIR(known);
}

static long srlock_file_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	struct srlock_file *file = filp->private_data;
	void __user *argp = (void __user *)arg;
	bool writable = filp->f_mode & FMODE_WRITE;

	if (srlock_is_call(cmd, SRLOCK_IOC_ACQUIRE))
		return writable ? srlock_ioctl_acquire(file, argp, _IOC_SIZE(cmd)) : -EBADF;
	if (srlock_is_call(cmd, SRLOCK_IOC_RELEASE))
		return writable ? srlock_ioctl_release(file, argp, _IOC_SIZE(cmd)) : -EBADF;
	if (srlock_is_call(cmd, SRLOCK_IOC_GET_INFO))
		return srlock_ioctl_get_info(file, argp, _IOC_SIZE(cmd));
	if (cmd == SRLOCK_IOC_BREAK)
		return writable ? srlock_call_break(&file->client) : -EBADF;
	if (srlock_is_command(cmd))
		return writable ? srlock_ioctl_command(file, cmd, argp) : -EBADF;

	return -ENOTTY;
}

/* -ENODATA: none that can be read yet. */
static int srlock_read_one(struct srlock_file *file, char __user *buf)
{
	struct srlock_event event;
	u64 next = file->next;

	if (!srlock_events_next(&file->drive->events, &next, &event))
		return -ENODATA;
	if (copy_to_user(buf, &event, sizeof(event)))
		return -EFAULT;
	WRITE_ONCE(file->next, next);

	return 0;
}

/* As many records as fit and are there. */
static ssize_t srlock_read_some(struct srlock_file *file, char __user *buf, size_t size)
{
	size_t done = 0;
	int ret = 0;

	/* Who has it may be stuck in a page fault for as long as it likes. */
	if (mutex_lock_interruptible(&file->read_mutex))
		return -ERESTARTSYS;
	while (size - done >= sizeof(struct srlock_event)) {
		ret = srlock_read_one(file, buf + done);
		if (ret)
			break;
		done += sizeof(struct srlock_event);
	}
	mutex_unlock(&file->read_mutex);

	return done ?: ret;
}

static bool srlock_file_readable(struct srlock_file *file)
{
	return srlock_events_readable(&file->drive->events, READ_ONCE(file->next));
}

static ssize_t srlock_file_read(struct file *filp, char __user *buf, size_t size,
				loff_t *pos)
{
	struct srlock_file *file = filp->private_data;
	struct srlock_drive *drive = file->drive;
	ssize_t ret;

	if (size < sizeof(struct srlock_event))
		return -EINVAL;

	for (;;) {
		ret = srlock_read_some(file, buf, size);
		if (ret != -ENODATA)
			return ret;
		/* Of a drive that is gone there is no more to come. */
		if (srlock_events_over(&drive->events, READ_ONCE(file->next)))
			return 0;
		if (filp->f_flags & O_NONBLOCK)
			return -EAGAIN;
		ret = wait_event_interruptible(drive->events.wait,
					       srlock_file_readable(file) ||
					       srlock_events_over(&drive->events,
								  READ_ONCE(file->next)));
		if (ret)
			return ret;
	}
}

static __poll_t srlock_file_poll(struct file *filp, poll_table *table)
{
	struct srlock_file *file = filp->private_data;
	struct srlock_drive *drive = file->drive;
	struct srlock_lock *lock = &drive->lock;
	__poll_t mask = 0;

	poll_wait(filp, &drive->wait, table);
	poll_wait(filp, &drive->events.wait, table);

	if (srlock_file_readable(file))
		mask |= EPOLLIN | EPOLLRDNORM;

	spin_lock(&lock->spin);
	if (lock->state == SRLOCK_STATE_GONE)
		mask |= EPOLLHUP;
	else if ((lock->state == SRLOCK_STATE_FREE || lock->owner == &file->client) &&
		 !lock->waiters)
		mask |= EPOLLOUT | EPOLLWRNORM;
	if (file->client.broken)
		mask |= EPOLLERR;
	spin_unlock(&lock->spin);

	return mask;
}

const struct file_operations srlock_file_operations = {
	.owner		= THIS_MODULE,
	.open		= srlock_file_open,
	.release	= srlock_file_release,
	.read		= srlock_file_read,
	.poll		= srlock_file_poll,
	.unlocked_ioctl	= srlock_file_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
};
