/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lock.h - the calls of a lock node, and what is known of a lock
 */
#ifndef SRLOCK_LOCK_H
#define SRLOCK_LOCK_H

#include <stdbool.h>
#include <sys/types.h>

#include <linux/srlock.h>

#include "drive.h"

/* Room for the value of a sysfs attribute that is shown as it is. */
#define STATUS_TEXT	160

/**
 * struct lock_status - who has a drive and what was refused
 * @state: free, acquiring, held, releasing or gone
 * @client: the holder's name, empty if nobody holds
 * @count: how often it is held
 * @pid: the holder's process; 0 if none, or not visible from here
 * @uid: its user
 * @since_ns: when the hold began, on the monotonic clock; 0 if nobody holds
 * @waiters: how many wait
 * @refused_opens: refused since the drive was attached, like the next two
 * @refused_ioctls: "
 * @refused_commands: "
 * @last_refused: the attribute of that name, see docs/sysfs-class-srlock
 * @asked: the lock could be asked itself; otherwise what follows is not known
 * @prior_opens: files of the drive from before the hold that are still open
 * @prevented: the tray is locked by the hold
 * @forced: the hold was taken over a mount or an O_EXCL opener
 */
struct lock_status {
	char state[16];
	char client[SRLOCK_CLIENT_SIZE];
	unsigned int count;
	pid_t pid;
	uid_t uid;
	unsigned long long since_ns;
	unsigned int waiters;
	unsigned long long refused_opens;
	unsigned long long refused_ioctls;
	unsigned long long refused_commands;
	char last_refused[STATUS_TEXT];
	bool asked;
	unsigned int prior_opens;
	bool prevented;
	bool forced;
};

int lock_open(const struct drive *drive, int mode);
int lock_acquire(int fd, struct srlock_acquire *acquire);
int lock_release(int fd, unsigned int *count);
int lock_info(int fd, struct srlock_info *info);
int lock_break(int fd);

bool lock_status_read(const struct drive *drive, struct lock_status *status);
bool lock_status_held(const struct lock_status *status);

#endif
