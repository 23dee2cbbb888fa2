// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Drives that come and go; see scsi.h
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scsi.h"

enum { MAX_DRIVES = 8, PATH_SIZE = 160, POLLS = 100, POLL_US = 50000 };

static int host_of(const char *address)
{
	return atoi(address);
}

static bool read_line(const char *path, char *line, int size)
{
	FILE *file = fopen(path, "r");
	bool ret = file && fgets(line, size, file);

	if (file)
		fclose(file);
	return ret;
}

bool scsi_find(char *address)
{
	DIR *folder = opendir("/sys/bus/scsi/drivers/sr");
	struct dirent *entry;
	bool found = false;

	while (folder && !found && (entry = readdir(folder))) {
		char path[PATH_SIZE], line[32];

		if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/sys/class/scsi_host/host%d/proc_name",
			 host_of(entry->d_name));
		if (!read_line(path, line, sizeof(line)) || strcmp(line, "scsi_debug\n"))
			continue;
		snprintf(address, ADDRESS_SIZE, "%.31s", entry->d_name);
		found = true;
	}
	if (folder)
		closedir(folder);
	return found;
}

static bool leads_to(const char *lock, const char *address)
{
	char path[PATH_SIZE], target[PATH_SIZE];
	const char *name;
	ssize_t length;

	snprintf(path, sizeof(path), "/sys/class/srlock/%s/device", lock + strlen("/dev/"));
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return false;
	target[length] = '\0';
	name = strrchr(target, '/');
	return name && !strcmp(name + 1, address);
}

bool scsi_drive(const char *address, struct drive *drive)
{
	struct drive drives[MAX_DRIVES];
	int count = find_drives(drives, MAX_DRIVES);

	for (int i = 0; i < count; i++) {
		if (!leads_to(drives[i].lock, address))
			continue;
		*drive = drives[i];
		return !access(drive->lock, F_OK) && !access(drive->sr, F_OK) &&
		       !access(drive->sg, F_OK) && !access(drive->bsg, F_OK);
	}
	return false;
}

bool scsi_has_lock(const char *address)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "/sys/bus/scsi/devices/%s/srlock", address);
	return !access(path, F_OK);
}

bool scsi_is_bound(const char *address)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "/sys/bus/scsi/drivers/sr/%s", address);
	return !access(path, F_OK);
}

bool scsi_exists(const char *address)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "/sys/bus/scsi/devices/%s", address);
	return !access(path, F_OK);
}

int scsi_open(const char *address, const char *what)
{
	char path[PATH_SIZE];

	if (!strcmp(what, "scan"))
		snprintf(path, sizeof(path), "/sys/class/scsi_host/host%d/scan",
			 host_of(address));
	else if (!strcmp(what, "delete"))
		snprintf(path, sizeof(path), "/sys/bus/scsi/devices/%s/delete", address);
	else
		snprintf(path, sizeof(path), "/sys/bus/scsi/drivers/sr/%s", what);
	return open(path, O_WRONLY);
}

int scsi_write(int file, const char *text)
{
	return write(file, text, strlen(text)) < 0 ? -errno : 0;
}

static int write_once(const char *address, const char *what, const char *text)
{
	int file = scsi_open(address, what);
	int ret = file < 0 ? -errno : scsi_write(file, text);

	if (file >= 0)
		close(file);
	return ret;
}

int scsi_delete(const char *address)
{
	int ret = write_once(address, "delete", "1");

	for (int i = 0; !ret && i < POLLS && scsi_exists(address); i++)
		usleep(POLL_US);
	return ret;
}

int scsi_scan(const char *address)
{
	return write_once(address, "scan", "0 0 0");
}

const char *scsi_renew(const char *address, struct drive *drive)
{
	if (scsi_exists(address) && scsi_delete(address))
		return "the drive cannot be deleted";
	if (scsi_exists(address))
		return "the deleted drive stays";
	if (scsi_scan(address))
		return "the drive cannot be scanned";
	return scsi_drive(address, drive) ? NULL : "the drive is not back with all its nodes";
}

int scsi_bind(const char *address)
{
	return write_once(address, "bind", address);
}

int scsi_unbind(const char *address)
{
	return write_once(address, "unbind", address);
}

bool scsi_set_autoprobe(bool on)
{
	int file = open("/sys/bus/scsi/drivers_autoprobe", O_WRONLY);
	int ret = file < 0 ? -errno : scsi_write(file, on ? "1" : "0");

	if (file >= 0)
		close(file);
	return !ret;
}

void scsi_bind_all(void)
{
	DIR *folder = opendir("/sys/bus/scsi/devices");
	struct dirent *entry;

	while (folder && (entry = readdir(folder)))
		if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9')
			scsi_bind(entry->d_name);
	if (folder)
		closedir(folder);
}
