// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The lock of a drive; see lock.h
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/srlock.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lock.h"
#include "stranger.h"
#include "ways.h"

enum { POLL_US = 20000, POLLS = 500 };

int lock_open(const struct drive *drive)
{
	return open(drive->lock, O_RDWR | O_NONBLOCK);
}

int lock_acquire(int lock, bool wait)
{
	struct srlock_acquire arg = { .client = "faults" };

	if (wait)
		arg.deadline_ns = SRLOCK_DEADLINE_NONE;
	return ioctl(lock, SRLOCK_IOC_ACQUIRE, &arg) ? -errno : 0;
}

int lock_release(int lock)
{
	struct srlock_release arg = { 0 };

	return ioctl(lock, SRLOCK_IOC_RELEASE, &arg) ? -errno : 0;
}

int lock_count(int lock)
{
	struct srlock_info info = { 0 };

	return ioctl(lock, SRLOCK_IOC_GET_INFO, &info) ? COUNT_UNKNOWN : (int)info.my_count;
}

int lock_waiters(int lock)
{
	struct srlock_info info = { 0 };

	return ioctl(lock, SRLOCK_IOC_GET_INFO, &info) ? 0 : (int)info.waiters;
}

static bool gets_through(int status)
{
	return status == STATUS_GOOD || status == STATUS_CHECK_CONDITION;
}

const char *lock_is_held(const struct drive *drive, int lock, int count)
{
	struct srlock_info info = { 0 };

	if (ioctl(lock, SRLOCK_IOC_GET_INFO, &info))
		return "GET_INFO fails";
	if (info.state != SRLOCK_STATE_HELD)
		return "the drive is not held";
	if ((int)info.my_count != count || info.count != info.my_count)
		return "the count is wrong";
	if (!gets_through(ready_by_sg_io(lock)))
		return "the holder's command does not get through";
	if (stranger_try(drive, STRANGER_OPEN, 0).ret != -EBUSY)
		return "a stranger can open the drive";
	if (stranger_try(drive, STRANGER_SG_IO, 0).ret != STATUS_RESERVATION_CONFLICT)
		return "a stranger's command is not refused";
	return NULL;
}

const char *lock_is_free(const struct drive *drive)
{
	struct srlock_info info = { 0 };
	int fd = lock_open(drive);

	if (fd < 0)
		return "the lock does not open";
	for (int i = 0; i < POLLS; i++) {
		if (ioctl(fd, SRLOCK_IOC_GET_INFO, &info)) {
			close(fd);
			return "GET_INFO fails";
		}
		if (info.state == SRLOCK_STATE_FREE)
			break;
		usleep(POLL_US);
	}
	close(fd);
	if (info.state != SRLOCK_STATE_FREE || info.count || info.waiters)
		return "the drive is not free";
	if (stranger_try(drive, STRANGER_OPEN, 0).ret)
		return "a stranger cannot open the drive";
	if (!gets_through(stranger_try(drive, STRANGER_SG_IO, 0).ret))
		return "a stranger's command does not get through";
	return NULL;
}

const char *lock_can_be_held(const struct drive *drive)
{
	int fd = lock_open(drive);
	const char *wrong = NULL;

	if (fd < 0)
		return "the lock does not open";
	if (lock_acquire(fd, false))
		wrong = "ACQUIRE fails";
	if (!wrong)
		wrong = lock_is_held(drive, fd, 1);
	if (!wrong && lock_release(fd))
		wrong = "RELEASE fails";
	close(fd);
	return wrong;
}

const char *lock_works(const struct drive *drive)
{
	const char *wrong = lock_can_be_held(drive);

	return wrong ? wrong : lock_is_free(drive);
}
