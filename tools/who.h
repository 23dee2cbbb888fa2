/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * who.h - who is in the way: processes, mounts, users
 */
#ifndef SRLOCK_WHO_H
#define SRLOCK_WHO_H

#include <stdbool.h>
#include <sys/types.h>

#include "drive.h"

char *who_process(pid_t pid);
char *who_user(uid_t uid);
char *who_mounts(const struct drive *drive, const char *separator, bool with_mode);
char *who_opened(const struct drive *drive, bool *all_seen);

#endif
