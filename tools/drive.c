// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * drive.c - from what people call a drive to its lock
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <libudev.h>

#include "drive.h"
#include "tool.h"

/* SCSI peripheral device types, as sysfs writes them: write-once and CD/DVD/BD. */
static const char * const optical_types[] = { "4", "5" };

static char *copy(const char *text)
{
	return text ? need_memory(strdup(text)) : NULL;
}

/* INQUIRY strings come padded with blanks. */
static char *copy_attribute(struct udev_device *device, const char *name)
{
	char *text = copy(udev_device_get_sysattr_value(device, name));
	size_t length = text ? strlen(text) : 0;

	while (length && text[length - 1] == ' ')
		text[--length] = '\0';
	return text;
}

static void drive_free(struct drive *drive)
{
	free(drive->lock_name);
	free(drive->lock_node);
	free(drive->lock_path);
	free(drive->name);
	free(drive->node);
	free(drive->vendor);
	free(drive->model);
	free(drive->revision);
	free(drive->address);
	free(drive);
}

/* The devices of a subsystem: those below @parent, or all when it is NULL. */
static struct udev_enumerate *enumerate(struct udev *udev, struct udev_device *parent,
					const char *subsystem)
{
	struct udev_enumerate *found = need_memory(udev_enumerate_new(udev));

	if (parent)
		udev_enumerate_add_match_parent(found, parent);
	udev_enumerate_add_match_subsystem(found, subsystem);
	udev_enumerate_scan_devices(found);
	return found;
}

static struct udev_device *first_below(struct udev_device *parent, const char *subsystem)
{
	struct udev *udev = udev_device_get_udev(parent);
	struct udev_enumerate *found = enumerate(udev, parent, subsystem);
	struct udev_list_entry *entry = udev_enumerate_get_list_entry(found);
	struct udev_device *device = NULL;

	if (entry)
		device = udev_device_new_from_syspath(udev, udev_list_entry_get_name(entry));
	udev_enumerate_unref(found);
	return device;
}

static struct udev_device *scsi_device_of(struct udev_device *device)
{
	return udev_device_get_parent_with_subsystem_devtype(device, "scsi", "scsi_device");
}

static void describe_block(struct drive *drive, struct udev_device *scsi)
{
	struct udev_device *block = first_below(scsi, "block");

	if (!block)
		return;
	drive->name = copy(udev_device_get_sysname(block));
	drive->node = copy(udev_device_get_devnode(block));
	drive->number = udev_device_get_devnum(block);
	udev_device_unref(block);
}

static struct drive *drive_new(struct udev_device *lock)
{
	struct drive *drive = need_memory(calloc(1, sizeof(*drive)));
	struct udev_device *scsi = scsi_device_of(lock);
	const char *node = udev_device_get_devnode(lock);

	drive->lock_name = copy(udev_device_get_sysname(lock));
	drive->lock_path = copy(udev_device_get_syspath(lock));
	drive->lock_node = node ? copy(node) : format_text("/dev/%s", drive->lock_name);
	drive->lock_number = udev_device_get_devnum(lock);
	if (scsi) {
		describe_block(drive, scsi);
		drive->vendor = copy_attribute(scsi, "vendor");
		drive->model = copy_attribute(scsi, "model");
		drive->revision = copy_attribute(scsi, "rev");
		drive->address = copy(udev_device_get_sysname(scsi));
	}
	drive->label = drive->node ? drive->node : drive->lock_node;
	return drive;
}

static bool module_loaded(void)
{
	return !access("/sys/class/srlock", F_OK);
}

static int no_module(void)
{
	struct utsname kernel;

	say("the srlock kernel module is not loaded");
	hint("load it%s: modprobe srlock", geteuid() ? " as root" : "");
	if (!uname(&kernel))
		hint("if modprobe does not find it: make install, for kernel %s", kernel.release);
	return EX_UNAVAILABLE;
}

static bool is_optical(struct udev_device *scsi)
{
	const char *type = udev_device_get_sysattr_value(scsi, "type");
	size_t i;

	for (i = 0; type && i < sizeof(optical_types) / sizeof(*optical_types); i++)
		if (!strcmp(type, optical_types[i]))
			return true;
	return false;
}

static int not_optical(const char *word)
{
	say("%s is not an optical drive", word);
	hint("'srlock list' shows the drives that there are");
	return EX_NOINPUT;
}

/* A block device was named: its lock hangs on the same SCSI device. */
static int lock_of_block(struct udev_device *block, const char *word, struct udev_device **lock)
{
	struct udev_device *scsi = scsi_device_of(block);

	if (!scsi || !is_optical(scsi))
		return not_optical(word);
	*lock = first_below(scsi, "srlock");
	if (*lock)
		return 0;
	if (!module_loaded())
		return no_module();
	say("%s has no lock: the srlock module did not attach to the drive", word);
	hint("the kernel's log says why: dmesg | grep srlock");
	return EX_UNAVAILABLE;
}

static int lock_of_device(struct udev_device *device, const char *word, struct udev_device **lock)
{
	const char *subsystem = udev_device_get_subsystem(device);

	if (subsystem && !strcmp(subsystem, "srlock")) {
		*lock = udev_device_ref(device);
		return 0;
	}
	if (subsystem && !strcmp(subsystem, "block"))
		return lock_of_block(device, word, lock);
	return not_optical(word);
}

static int no_such_drive(const char *word, int error)
{
	if (error == EACCES)
		return fail(EX_NOPERM, "%s: no permission to look it up", word);
	if (error != ENOENT && error != ENOTDIR && error != ENXIO)
		return fail(EX_OSERR, "%s: %s", word, strerror(error));
	if (!module_loaded() && strstr(word, "srlock"))
		return no_module();
	say("there is no drive %s", word);
	hint("'srlock list' shows the drives that there are");
	return EX_NOINPUT;
}

static int find_drive(struct udev *udev, const char *word, struct drive **drive)
{
	char *path = strchr(word, '/') ? copy(word) : format_text("/dev/%s", word);
	struct udev_device *device, *lock = NULL;
	struct stat node;
	int status;

	status = stat(path, &node) ? errno : 0;
	free(path);
	if (status)
		return no_such_drive(word, status);
	if (!S_ISBLK(node.st_mode) && !S_ISCHR(node.st_mode))
		return not_optical(word);
	device = udev_device_new_from_devnum(udev, S_ISBLK(node.st_mode) ? 'b' : 'c',
					     node.st_rdev);
	if (!device)
		return no_such_drive(word, ENXIO);
	status = lock_of_device(device, word, &lock);
	if (!status)
		*drive = drive_new(lock);
	udev_device_unref(lock);
	udev_device_unref(device);
	return status;
}

static void add(struct drive_list *list, struct drive *drive)
{
	size_t i;

	for (i = 0; i < list->count; i++) {
		if (!strcmp(list->drives[i]->lock_name, drive->lock_name)) {
			drive_free(drive);
			return;
		}
	}
	list->drives = need_memory(reallocarray(list->drives, list->count + 1,
						sizeof(*list->drives)));
	list->drives[list->count++] = drive;
}

static int by_lock_number(const void *a, const void *b)
{
	dev_t left = (*(struct drive * const *)a)->lock_number;
	dev_t right = (*(struct drive * const *)b)->lock_number;

	return left < right ? -1 : left > right;
}

static void put_in_order(struct drive_list *list)
{
	if (list->count)
		qsort(list->drives, list->count, sizeof(*list->drives), by_lock_number);
}

/**
 * drive_list_all() - every drive that has a lock
 * @list: an empty list
 *
 * Return: an exit status.
 */
int drive_list_all(struct drive_list *list)
{
	struct udev *udev = need_memory(udev_new());
	struct udev_enumerate *found;
	struct udev_list_entry *entry;
	struct udev_device *lock;

	if (!module_loaded()) {
		udev_unref(udev);
		return no_module();
	}
	found = enumerate(udev, NULL, "srlock");
	udev_list_entry_foreach(entry, udev_enumerate_get_list_entry(found)) {
		lock = udev_device_new_from_syspath(udev, udev_list_entry_get_name(entry));
		if (!lock)	/* unplugged meanwhile */
			continue;
		add(list, drive_new(lock));
		udev_device_unref(lock);
	}
	udev_enumerate_unref(found);
	udev_unref(udev);
	put_in_order(list);
	return 0;
}

/**
 * drive_list_named() - add the drives that are named
 * @list: a list
 * @names: DRIVE[,DRIVE...]
 *
 * Return: an exit status.
 */
int drive_list_named(struct drive_list *list, const char *names)
{
	struct udev *udev = need_memory(udev_new());
	char *words = copy(names), *rest = words, *word;
	struct drive *drive = NULL;
	int status = 0;

	while (!status && (word = strsep(&rest, ","))) {
		if (!*word)
			status = fail(EX_USAGE, "'%s': a drive's name is missing", names);
		else
			status = find_drive(udev, word, &drive);
		if (!status)
			add(list, drive);
	}
	free(words);
	udev_unref(udev);
	put_in_order(list);
	return status;
}

/**
 * drive_list_arguments() - the drives that are named, or all if none is
 * @list: an empty list
 * @argc: how many arguments name drives
 * @argv: the arguments
 *
 * Return: an exit status.
 */
int drive_list_arguments(struct drive_list *list, int argc, char **argv)
{
	int status = 0, i;

	if (!argc)
		return drive_list_all(list);
	for (i = 0; !status && i < argc; i++)
		status = drive_list_named(list, argv[i]);
	return status;
}

/** drive_list_free() - forget all drives of a list */
void drive_list_free(struct drive_list *list)
{
	size_t i;

	for (i = 0; i < list->count; i++)
		drive_free(list->drives[i]);
	free(list->drives);
	*list = (struct drive_list){ 0 };
}
