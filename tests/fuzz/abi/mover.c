// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Makes drives come and go; see mover.h
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mover.h"

enum {
	MAX_DEVICES = 16,
	TYPE_ROM = 5,
	QUIET_MS = 200,
	WAIT_MS = 20000,
	ANEW_MS = 10000,
	STEP_US = 10000,
};

/* scsi_debug's opts */
enum { TRANSPORT_ERROR = 0x10, SHORT_TRANSFER = 0x80, HOST_BUSY = 0x8000 };

#define BUS		"/sys/bus/scsi"
#define SCSI_DEBUG	"/sys/bus/pseudo/drivers/scsi_debug"

struct device {
	char address[32];
};

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool written;
	int error;

	if (fd < 0)
		return false;
	written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	error = errno;
	close(fd);
	errno = error;
	return written;
}

static int read_number(const char *path)
{
	FILE *file = fopen(path, "re");
	char line[32] = "-1";

	if (!file)
		return -1;
	if (!fgets(line, sizeof(line), file))
		strcpy(line, "-1");
	fclose(file);
	return strtol(line, NULL, 10);
}

static int find_devices(struct device *devices)
{
	DIR *folder = opendir(BUS "/devices");
	struct dirent *entry;
	int count = 0;

	while (folder && count < MAX_DEVICES && (entry = readdir(folder))) {
		char path[128];

		snprintf(path, sizeof(path), BUS "/devices/%.31s/type", entry->d_name);
		if (read_number(path) == TYPE_ROM)
			snprintf(devices[count++].address, sizeof(devices->address), "%.31s",
				 entry->d_name);
	}
	if (folder)
		closedir(folder);
	return count;
}

void mover_look(struct shared *shared)
{
	struct drive drives[MAX_DRIVES];
	unsigned int count = find_drives(drives, MAX_DRIVES);

	memcpy(shared->drives, drives, count * sizeof(drives[0]));
	shared->drive_count = count;
}

static void sleep_ms(struct random *random, __u32 limit)
{
	usleep(random_below(random, limit) * 1000);
}

static void scan_all(void)
{
	DIR *folder = opendir("/sys/class/scsi_host");
	struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		char path[128];

		snprintf(path, sizeof(path), "/sys/class/scsi_host/%.32s/scan", entry->d_name);
		if (entry->d_name[0] != '.')
			write_text(path, "- - -");
	}
	if (folder)
		closedir(folder);
}

static void write_device(const struct device *device, const char *name, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), BUS "/devices/%s/%s", device->address, name);
	write_text(path, text);
}

static void unbind(const struct device *device, struct random *random)
{
	write_text(BUS "/drivers/sr/unbind", device->address);
	sleep_ms(random, 50);
	write_text(BUS "/drivers/sr/bind", device->address);
}

static void delete(const struct device *device, struct random *random)
{
	write_device(device, "delete", "1");
	sleep_ms(random, 50);
	scan_all();
}

static void unplug_host(struct random *random)
{
	write_text(SCSI_DEBUG "/add_host", "-1");
	sleep_ms(random, 100);
	write_text(SCSI_DEBUG "/add_host", "1");
}

/* Every so many commands one that the drive or its host does not answer well. */
static void make_errors(struct random *random)
{
	static const unsigned int opts[] = { HOST_BUSY, TRANSPORT_ERROR, SHORT_TRANSFER, 0x2 };
	char text[16];

	snprintf(text, sizeof(text), "%#x", opts[random_below(random, 4)]);
	write_text(SCSI_DEBUG "/opts", text);
	snprintf(text, sizeof(text), "%u", 2 + random_below(random, 9));
	write_text(SCSI_DEBUG "/every_nth", text);
	sleep_ms(random, 500);
	write_text(SCSI_DEBUG "/every_nth", "0");
	write_text(SCSI_DEBUG "/opts", "0");
}

static void poll_media(struct shared *shared, struct random *random)
{
	char path[160];
	unsigned int drive = random_below(random, MAX_DRIVES);

	snprintf(path, sizeof(path), "/sys/block/%.32s/events_poll_msecs",
		 shared->drives[drive].sr + strlen("/dev/"));
	write_text(path, random_below(random, 2) ? "50" : "-1");
}

static void move_once(struct shared *shared, struct random *random)
{
	struct device devices[MAX_DEVICES];
	int count = find_devices(devices);
	const struct device *device = &devices[count ? random_below(random, count) : 0];

	witness_end(shared, &shared->mover, MAX_NUMBERS);
	switch (random_below(random, 10)) {
	case 0:
	case 1:
	case 2:
		if (count)
			unbind(device, random);
		break;
	case 3:
	case 4:
		if (count)
			delete(device, random);
		break;
	case 5:
		unplug_host(random);
		break;
	case 6:
		if (count)
			write_device(device, "rescan", "1");
		break;
	case 7:
		poll_media(shared, random);
		break;
	default:
		make_errors(random);
	}
	witness_end_over(&shared->mover);
	shared->moves++;
}

void mover_run(struct shared *shared, struct random *random)
{
	shared->mover.pid = getpid();
	while (!shared->stop) {
		shared->mover.started_ns = coarse_ns();
		move_once(shared, random);
		shared->mover.started_ns = 0;
		mover_look(shared);
		/* most of the time there have to be drives */
		for (int i = 0; i < 4 && !shared->stop; i++)
			sleep_ms(random, QUIET_MS);
		mover_look(shared);
	}
}

static bool is_bound(const struct device *device)
{
	char path[128];

	snprintf(path, sizeof(path), BUS "/devices/%s/driver", device->address);
	return !access(path, F_OK);
}

/*
 * Binding sr while the disk of before is on its way out can fail with ENOMEM for good, in
 * 6.1 and without srlock. Such a drive, and no other one, is made anew if it may be.
 */
static void bind_all(bool anew)
{
	struct device devices[MAX_DEVICES];
	int error;

	for (int count = find_devices(devices); count--;) {
		if (is_bound(&devices[count]) ||
		    write_text(BUS "/drivers/sr/bind", devices[count].address) || !anew)
			continue;
		error = errno;
		printf("    # %s is not bound: %s\n", devices[count].address, strerror(error));
		if (error == ENOMEM)
			write_device(&devices[count], "delete", "1");
	}
	if (anew)
		scan_all();
}

/*
 * As long as a file of the old disk is open, binding sr again fails; a process that was
 * killed may take a while to be gone.
 */
void mover_restore(struct shared *shared, unsigned int drives)
{
	write_text(SCSI_DEBUG "/every_nth", "0");
	write_text(SCSI_DEBUG "/opts", "0");
	bind_all(false);
	scan_all();
	for (int i = 1; i < WAIT_MS * 1000 / STEP_US; i++) {
		mover_look(shared);
		if (shared->drive_count >= drives)
			return;
		usleep(STEP_US);
		if (i % 100)
			continue;
		printf("    # %u of %u drives, binding again\n", shared->drive_count, drives);
		bind_all(i >= ANEW_MS * 1000 / STEP_US);
	}
}
