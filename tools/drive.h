/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * drive.h - the drives of this machine and their locks
 *
 * Found through libudev, that is from sysfs: no drive is opened and none is sent
 * a command.
 */
#ifndef SRLOCK_DRIVE_H
#define SRLOCK_DRIVE_H

#include <stddef.h>
#include <sys/types.h>

/**
 * struct drive - a drive and its lock
 * @lock_name: srlock0
 * @lock_node: /dev/srlock0
 * @lock_path: the lock's directory in sysfs
 * @lock_number: its device number, by which drives are put in order
 * @name: sr0, or NULL while no driver has the drive
 * @node: /dev/sr0, or NULL likewise
 * @number: the block device's number, 0 likewise
 * @label: what to call the drive in messages: @node, else @lock_node
 * @vendor: from INQUIRY, like the next two; each may be NULL
 * @model: "
 * @revision: "
 * @address: SCSI address, 1:0:0:0
 */
struct drive {
	char *lock_name;
	char *lock_node;
	char *lock_path;
	dev_t lock_number;
	char *name;
	char *node;
	dev_t number;
	const char *label;
	char *vendor;
	char *model;
	char *revision;
	char *address;
};

/**
 * struct drive_list - drives in the order of their locks, each once
 * @drives: the drives
 * @count: how many
 */
struct drive_list {
	struct drive **drives;
	size_t count;
};

int drive_list_all(struct drive_list *list);
int drive_list_named(struct drive_list *list, const char *names);
int drive_list_arguments(struct drive_list *list, int argc, char **argv);
void drive_list_free(struct drive_list *list);

#endif
