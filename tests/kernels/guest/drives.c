// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The drives that have a lock; see drives.h
 */
#include <dirent.h>
#include <stdio.h>

#include "drives.h"

/* The only entry of a folder in sysfs, as a node below /dev. */
static int find_node(char *node, size_t size, const char *drive, const char *kind,
		     const char *below)
{
	char path[128];
	struct dirent *entry;
	DIR *folder;
	int ret = -1;

	snprintf(path, sizeof(path), "/sys/class/srlock/%.32s/device/%s", drive, kind);
	folder = opendir(path);
	if (!folder)
		return -1;
	while ((entry = readdir(folder))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(node, size, "/dev/%s%.32s", below, entry->d_name);
		ret = 0;
	}
	closedir(folder);
	return ret;
}

int find_drives(struct drive *drives, int max)
{
	DIR *folder = opendir("/sys/class/srlock");
	struct dirent *entry;
	int count = 0;

	while (folder && count < max && (entry = readdir(folder))) {
		struct drive *drive = &drives[count];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(drive->lock, sizeof(drive->lock), "/dev/%.32s", entry->d_name);
		if (find_node(drive->sr, sizeof(drive->sr), entry->d_name, "block", "") ||
		    find_node(drive->sg, sizeof(drive->sg), entry->d_name, "scsi_generic", "") ||
		    find_node(drive->bsg, sizeof(drive->bsg), entry->d_name, "bsg", "bsg/"))
			continue;
		count++;
	}
	if (folder)
		closedir(folder);
	return count;
}
