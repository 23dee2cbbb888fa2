// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * lock.c - the calls of a lock node, and what is known of a lock
 *
 * The calls return 0 or a file, or a negative errno; they say nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <libudev.h>

#include "lock.h"
#include "tool.h"

/**
 * lock_open() - open the lock node of a drive
 * @drive: the drive
 * @mode: O_RDONLY or O_RDWR
 *
 * O_NONBLOCK concerns read() only: events are read when poll() says so.
 */
int lock_open(const struct drive *drive, int mode)
{
	int fd = open(drive->lock_node, mode | O_CLOEXEC | O_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

static int call(int fd, unsigned long command, void *argument)
{
	return ioctl(fd, command, argument) < 0 ? -errno : 0;
}

/** lock_acquire() - SRLOCK_IOC_ACQUIRE */
int lock_acquire(int fd, struct srlock_acquire *acquire)
{
	return call(fd, SRLOCK_IOC_ACQUIRE, acquire);
}

/** lock_release() - SRLOCK_IOC_RELEASE; @count: how often the drive is still held */
int lock_release(int fd, unsigned int *count)
{
	struct srlock_release release = { 0 };
	int error = call(fd, SRLOCK_IOC_RELEASE, &release);

	*count = release.count;
	return error;
}

/** lock_info() - SRLOCK_IOC_GET_INFO */
int lock_info(int fd, struct srlock_info *info)
{
	*info = (struct srlock_info){ 0 };
	return call(fd, SRLOCK_IOC_GET_INFO, info);
}

/** lock_break() - SRLOCK_IOC_BREAK */
int lock_break(int fd)
{
	return call(fd, SRLOCK_IOC_BREAK, NULL);
}

static unsigned long long number(struct udev_device *lock, const char *attribute)
{
	const char *text = udev_device_get_sysattr_value(lock, attribute);

	return text ? strtoull(text, NULL, 10) : 0;
}

static void text(struct udev_device *lock, const char *attribute, char *to, size_t size)
{
	const char *value = udev_device_get_sysattr_value(lock, attribute);

	snprintf(to, size, "%s", value ? value : "");
}

static void read_attributes(struct udev_device *lock, struct lock_status *status)
{
	text(lock, "state", status->state, sizeof(status->state));
	text(lock, "owner", status->client, sizeof(status->client));
	status->count = (unsigned int)number(lock, "count");
	status->pid = (pid_t)number(lock, "pid");
	status->uid = (uid_t)number(lock, "uid");
	status->since_ns = number(lock, "since");
	status->waiters = (unsigned int)number(lock, "waiters");
	status->refused_opens = number(lock, "refused_opens");
	status->refused_ioctls = number(lock, "refused_ioctls");
	status->refused_commands = number(lock, "refused_commands");
	text(lock, "last_refused", status->last_refused, sizeof(status->last_refused));
}

static const char *state_name(unsigned int state)
{
	static const char * const names[] = {
		[SRLOCK_STATE_FREE]	 = "free",
		[SRLOCK_STATE_ACQUIRING] = "acquiring",
		[SRLOCK_STATE_HELD]	 = "held",
		[SRLOCK_STATE_RELEASING] = "releasing",
		[SRLOCK_STATE_GONE]	 = "gone",
	};

	return state < sizeof(names) / sizeof(*names) ? names[state] : "unknown";
}

/* One call tells all at one moment, the attributes tell one after the other. */
static void take_info(const struct srlock_info *info, struct lock_status *status)
{
	snprintf(status->state, sizeof(status->state), "%s", state_name(info->state));
	snprintf(status->client, sizeof(status->client), "%.*s",
		 SRLOCK_CLIENT_SIZE - 1, (const char *)info->client);
	status->count = info->count;
	status->pid = info->pid;
	status->uid = info->uid;
	status->since_ns = info->since_ns;
	status->waiters = info->waiters;
	status->refused_opens = info->refused_opens;
	status->refused_ioctls = info->refused_ioctls;
	status->refused_commands = info->refused_commands;
	status->prior_opens = info->prior_opens;
	status->prevented = info->status & SRLOCK_STATUS_PREVENTED;
	status->forced = info->status & SRLOCK_STATUS_FORCED;
	status->asked = true;
}

/**
 * lock_status_read() - what anybody may know of a lock, and more where allowed
 * @drive: the drive
 * @status: filled in
 *
 * Reads sysfs, and asks the lock node too if this process may open it. The drive
 * is not opened and is sent nothing.
 *
 * Return: false if the lock is gone.
 */
bool lock_status_read(const struct drive *drive, struct lock_status *status)
{
	struct udev *udev = need_memory(udev_new());
	struct udev_device *lock = udev_device_new_from_syspath(udev, drive->lock_path);
	struct srlock_info info;
	int fd;

	*status = (struct lock_status){ 0 };
	if (lock)
		read_attributes(lock, status);
	udev_device_unref(lock);
	udev_unref(udev);
	if (!lock || !*status->state)
		return false;
	fd = lock_open(drive, O_RDONLY);
	if (fd >= 0) {
		if (!lock_info(fd, &info))
			take_info(&info, status);
		close(fd);
	}
	return true;
}

/** lock_status_held() - is the drive in somebody's hands? */
bool lock_status_held(const struct lock_status *status)
{
	return strcmp(status->state, "free") != 0;
}
