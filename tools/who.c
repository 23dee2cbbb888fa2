// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * who.c - who is in the way: processes, mounts, users
 *
 * Every function returns a text that the caller frees.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libmount.h>

#include "tool.h"
#include "who.h"

/** who_process() - the command name of a process, NULL if there is no such */
char *who_process(pid_t pid)
{
	char path[64], name[64];
	FILE *file;
	char *end;

	if (pid <= 0)
		return NULL;
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return NULL;
	end = fgets(name, sizeof(name), file);
	fclose(file);
	if (!end)
		return NULL;
	name[strcspn(name, "\n")] = '\0';
	return format_text("%s", name);
}

/** who_user() - the name of a user, or its number where it has none */
char *who_user(uid_t uid)
{
	const struct passwd *user = getpwuid(uid);

	return user ? format_text("%s", user->pw_name) : format_text("%u", uid);
}

static void put_mount(FILE *to, struct libmnt_fs *fs, bool with_mode)
{
	const char *options = mnt_fs_get_fs_options(fs);
	const char *target = mnt_fs_get_target(fs);

	fputs(target ? target : "?", to);
	/* The super block's own options: a bind mount's "ro" says nothing of it. */
	if (with_mode)
		fputs(mnt_match_options(options, "ro") > 0 ? " (read-only)" : " (read-write)", to);
}

/**
 * who_mounts() - where a drive is mounted
 * @drive: the drive
 * @separator: what to put between several mount points
 * @with_mode: say whether each is read-only
 *
 * Only this mount name space is seen.
 *
 * Return: NULL if it is mounted nowhere.
 */
char *who_mounts(const struct drive *drive, const char *separator, bool with_mode)
{
	struct libmnt_table *table;
	struct libmnt_iter *iterator;
	struct libmnt_fs *fs;
	char *points = NULL;
	size_t size = 0;
	FILE *to;

	if (!drive->number)
		return NULL;
	table = mnt_new_table_from_file("/proc/self/mountinfo");
	if (!table)
		return NULL;
	iterator = need_memory(mnt_new_iter(MNT_ITER_FORWARD));
	to = need_memory(open_memstream(&points, &size));
	while (!mnt_table_next_fs(table, iterator, &fs)) {
		if (mnt_fs_get_devno(fs) != drive->number)
			continue;
		if (ftell(to) > 0)
			fputs(separator, to);
		put_mount(to, fs, with_mode);
	}
	fclose(to);
	mnt_free_iter(iterator);
	mnt_unref_table(table);
	if (!size) {
		free(points);
		points = NULL;
	}
	return points;
}

/* Does the process behind /proc/PID/fd, open as @fds, have the node open? */
static bool has_open(DIR *fds, dev_t number)
{
	const struct dirent *entry;
	struct stat node;

	while ((entry = readdir(fds)))
		if (isdigit((unsigned char)*entry->d_name) &&
		    !fstatat(dirfd(fds), entry->d_name, &node, 0) &&
		    S_ISBLK(node.st_mode) && node.st_rdev == number)
			return true;
	return false;
}

static bool process_has_open(const char *pid, dev_t number, bool *all_seen)
{
	char *path = format_text("/proc/%s/fd", pid);
	DIR *fds = opendir(path);
	bool found;

	free(path);
	if (!fds) {
		if (errno == EACCES || errno == EPERM)
			*all_seen = false;
		return false;
	}
	found = has_open(fds, number);
	closedir(fds);
	return found;
}

/* Device-mapper and the like, which the kernel holds without any process. */
static void put_kernel_holders(FILE *to, const struct drive *drive)
{
	char *path = format_text("/sys/class/block/%s/holders", drive->name);
	DIR *holders = opendir(path);
	const struct dirent *entry;

	free(path);
	if (!holders)
		return;
	while ((entry = readdir(holders)))
		if (*entry->d_name != '.')
			fprintf(to, "%s%s (kernel)", ftell(to) > 0 ? ", " : "", entry->d_name);
	closedir(holders);
}

/**
 * who_opened() - which processes have a drive's block device open
 * @drive: the drive
 * @all_seen: set to false if some processes could not be looked into
 *
 * As fuser(1) finds them: links in /proc/PID/fd. The kernel does not tell which
 * of them said O_EXCL.
 *
 * Return: NULL if none was found.
 */
char *who_opened(const struct drive *drive, bool *all_seen)
{
	DIR *processes = opendir("/proc");
	const struct dirent *entry;
	char *found = NULL, *name;
	size_t size = 0;
	FILE *to;

	*all_seen = true;
	if (!processes || !drive->number) {
		if (processes)
			closedir(processes);
		return NULL;
	}
	to = need_memory(open_memstream(&found, &size));
	while ((entry = readdir(processes))) {
		if (!isdigit((unsigned char)*entry->d_name) ||
		    !process_has_open(entry->d_name, drive->number, all_seen))
			continue;
		name = who_process(atoi(entry->d_name));
		fprintf(to, "%spid %s (%s)", ftell(to) > 0 ? ", " : "", entry->d_name,
			name ? name : "?");
		free(name);
	}
	put_kernel_holders(to, drive);
	fclose(to);
	closedir(processes);
	if (!size) {
		free(found);
		found = NULL;
	}
	return found;
}
