// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What must be so after everything: nobody holds, nothing is left
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/srlock.h>
#include <scsi/sg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tap.h"
#include "torture.h"
#include "ways.h"

enum { LATE_S = 10, WITNESS_SIZE = 8192, MODE_PAGE = 0x2a, MODE_LENGTH = 40 };

#define WITNESS_FILE "/sys/kernel/debug/witness"

struct verdict verdict;

/* The most that any drive had while nothing went on. */
static struct sight baseline;

/* The kernel's own sr takes one power reference more at each unbind than it gives back. */
static struct {
	char address[32];
	int unbound;
} rebinds[MAX_DRIVES];

/* H:C:T:L, the name of the device that the lock's class device is below. */
static void address_of(const struct drive *drive, char *address, size_t size)
{
	char path[128];
	char target[256];
	ssize_t length;

	snprintf(path, sizeof(path), "/sys/class/srlock/%s/device",
		 drive->lock + strlen("/dev/"));
	length = readlink(path, target, sizeof(target) - 1);
	target[length > 0 ? length : 0] = '\0';
	snprintf(address, size, "%s", strrchr(target, '/') ? strrchr(target, '/') + 1 : "?");
}

static const char *witness(void)
{
	static char text[WITNESS_SIZE];
	int fd = open(WITNESS_FILE, O_RDONLY);
	ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[length > 0 ? length : 0] = '\0';
	return text;
}

bool look(const struct drive *drive, struct sight *sight)
{
	char address[32];
	char name[32];
	const char *line;

	address_of(drive, address, sizeof(address));
	for (line = witness(); line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		memset(sight, 0, sizeof(*sight));
		if (sscanf(line, "%31s tray=%d queue=%63s disk=%63s driver=%d power=%d", name,
			   &sight->tray, sight->queue, sight->disk, &sight->driver,
			   &sight->power) == 6 &&
		    sscanf(strstr(line, " device="), " device=%d host=%d", &sight->device,
			   &sight->host) == 2 &&
		    !strcmp(name, address))
			return true;
	}
	return false;
}

int look_gone(void)
{
	int locked = 0;

	for (const char *line = witness(); (line = strstr(line, "gone tray=1")); line++)
		locked++;
	return locked;
}

void print_witness(void)
{
	char text[WITNESS_SIZE];

	snprintf(text, sizeof(text), "%s", witness());
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		printf("    # %s\n", line);
}

void forget_trays(void)
{
	write_text(WITNESS_FILE, "forget");
}

const char *state_of(const struct drive *drive, char *buffer, size_t size)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/class/srlock/%s/state", drive->lock + strlen("/dev/"));
	if (!*read_text(path, buffer, size))
		snprintf(buffer, size, "gone");
	return buffer;
}

int module_count(void)
{
	char text[32];

	read_text("/sys/module/srlock/refcnt", text, sizeof(text));
	return *text ? atoi(text) : -1;
}

static bool is_free(const struct drive *drive)
{
	char state[32];

	return !strcmp(state_of(drive, state, sizeof(state)), "free");
}

static bool is_in_place(const struct drive *drive)
{
	struct sight sight;

	return look(drive, &sight) && !strcmp(sight.queue, "scsi") && !strcmp(sight.disk, "sr");
}

/* Drives whose operations are not their own, or whose trays are locked. */
static int out_of_place(bool pointers)
{
	struct sight sight;
	int wrong = 0;

	for (const char *line = witness(); line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (sscanf(line, "%*s tray=%d queue=%63s disk=%63s", &sight.tray, sight.queue,
			   sight.disk) != 3)
			continue;
		if (pointers)
			wrong += strcmp(sight.queue, "scsi") || !strncmp(sight.disk, "srlock", 6);
		else
			wrong += sight.tray;
	}
	return wrong;
}

void check_without_module(void)
{
	int pointers = out_of_place(true);
	int trays = out_of_place(false);

	verdict.checks++;
	verdict.pointers += pointers;
	verdict.trays += trays;
	if (pointers || trays)
		printf("    # without the module:\n    # %s\n", witness());
}

static bool is_unlocked(const struct drive *drive)
{
	struct sight sight;

	return look(drive, &sight) && !sight.tray;
}

static int unbound_so_often(const char *address)
{
	for (int i = 0; i < MAX_DRIVES; i++)
		if (!strcmp(rebinds[i].address, address))
			return rebinds[i].unbound;
	return 0;
}

void note_unbound(const char *address)
{
	bool known = unbound_so_often(address);

	for (int i = 0; i < MAX_DRIVES; i++) {
		if (strcmp(rebinds[i].address, known ? address : ""))
			continue;
		snprintf(rebinds[i].address, sizeof(rebinds[i].address), "%.31s", address);
		rebinds[i].unbound++;
		return;
	}
}

void note_gone(const char *address)
{
	for (int i = 0; i < MAX_DRIVES; i++)
		if (!strcmp(rebinds[i].address, address))
			memset(&rebinds[i], 0, sizeof(rebinds[i]));
}

static bool is_as_before(const struct drive *drive)
{
	char address[32];
	struct sight sight;

	address_of(drive, address, sizeof(address));
	return look(drive, &sight) && sight.device <= baseline.device &&
	       sight.power <= baseline.power + unbound_so_often(address) &&
	       sight.host <= baseline.host && sight.driver <= baseline.driver;
}

static bool is_unused(const struct drive *drive)
{
	(void)drive;
	return module_count() == 0;
}

static bool has_no_counts(const struct drive *drive)
{
	struct srlock_info info = { 0 };
	int lock = open(drive->lock, O_RDONLY);
	bool none;

	if (lock < 0)
		return false;
	none = !ioctl(lock, SRLOCK_IOC_GET_INFO, &info) && !info.count && !info.pid &&
	       !info.waiters && !info.client[0];
	close(lock);
	return none;
}

static int send(int fd, unsigned char *command, size_t length, void *data, size_t size)
{
	unsigned char sense[32];
	struct sg_io_hdr header = {
		.interface_id = 'S',
		.dxfer_direction = size ? SG_DXFER_FROM_DEV : SG_DXFER_NONE,
		.cmd_len = length,
		.cmdp = command,
		.dxferp = data,
		.dxfer_len = size,
		.mx_sb_len = sizeof(sense),
		.sbp = sense,
		.timeout = 10000,
	};

	if (ioctl(fd, SG_IO, &header))
		return -errno;
	return header.status;
}

/* The drive may have been left ejected, or have a unit attention to tell. */
static bool becomes_ready(int sg)
{
	unsigned char load[6] = { 0x1b, 0, 0, 0, 3, 0 };
	int status = 0;

	for (int i = 0; i < 10; i++) {
		status = ready_by_sg_io(sg);
		if (status == STATUS_CHECK_CONDITION)
			status = send(sg, load, sizeof(load), NULL, 0);
		else if (status == STATUS_GOOD)
			return true;
		if (status != STATUS_GOOD && status != STATUS_CHECK_CONDITION)
			break;
	}
	printf("    # a stranger's command: %d\n", status);
	return false;
}

/* By all nodes. */
static bool lets_strangers_in(const struct drive *drive)
{
	int sg = open(drive->sg, O_RDWR);
	int bsg = open(drive->bsg, O_RDWR);
	int sr = -1;
	bool ready = false;

	if (sg >= 0 && bsg >= 0 && becomes_ready(sg)) {
		sr = open(drive->sr, O_RDONLY | O_NONBLOCK);
		ready = sr >= 0 && ready_by_sg_io(sr) == STATUS_GOOD &&
			ready_by_bsg(bsg) == STATUS_GOOD &&
			ready_by_sg_write(sg) == STATUS_GOOD;
	}
	close(sr);
	close(bsg);
	close(sg);
	return ready;
}

/*
 * The lock state of MODE SENSE's capabilities page: 0 or 1, or a negative errno. Drives
 * that have no such page (-ENODATA), as scsi_debug's, are known by the witness only.
 */
static int asked_for_lock(int fd)
{
	unsigned char sense_mode[10] = { 0x5a, 0, MODE_PAGE, 0, 0, 0, 0, 0, MODE_LENGTH, 0 };
	unsigned char data[MODE_LENGTH] = { 0 };
	int status = send(fd, sense_mode, sizeof(sense_mode), data, sizeof(data));
	unsigned char *page = data + 8 + (data[6] << 8 | data[7]);

	if (status && status != STATUS_CHECK_CONDITION)
		return status < 0 ? status : -EIO;
	if (status || page + 6 > data + sizeof(data) || (page[0] & 0x3f) != MODE_PAGE)
		return -ENODATA;
	return !!(page[6] & 2);
}

static bool says_unlocked(const struct drive *drive)
{
	int sg = open(drive->sg, O_RDWR);
	int locked = sg < 0 ? -errno : asked_for_lock(sg);

	close(sg);
	return !locked || locked == -ENODATA;
}

bool becomes_locked(const struct drive *drive, int lock)
{
	__u64 end = now_ns() + LATE_S * (__u64)SECOND_NS;
	char address[32], line[64];
	int locked;

	while ((locked = asked_for_lock(lock)) != 1 && locked != -ENODATA && now_ns() < end)
		usleep(1000);
	if (locked != -ENODATA)
		return locked == 1;
	address_of(drive, address, sizeof(address));
	snprintf(line, sizeof(line), "%s tray=1 ", address);
	return strstr(witness(), line);
}

/* Not while it is being probed. */
static bool is_idle(const struct drive *drive)
{
	struct sight sight;

	return look(drive, &sight) && strcmp(sight.disk, "busy");
}

/* True at once or a little later: what a work item does is not done by the call. */
static bool eventually(bool (*holds)(const struct drive *drive), const struct drive *drive)
{
	__u64 end = now_ns() + LATE_S * (__u64)SECOND_NS;

	while (!holds(drive)) {
		if (now_ns() > end)
			return false;
		usleep(1000);
	}
	return true;
}

static void print_sight(const struct drive *drive)
{
	char state[32];
	struct sight s;

	printf("    # %s: %s, module %d", drive->lock, state_of(drive, state, sizeof(state)),
	       module_count());
	if (look(drive, &s))
		printf(", queue %s, disk %s, tray %d, power %d, references %d, host %d, sr %d\n",
		       s.queue, s.disk, s.tray, s.power, s.device, s.host, s.driver);
	else
		printf(", the witness does not know it\n");
}

static bool check(unsigned long *wrong, bool holds, const struct drive *drive, const char *what)
{
	if (!holds) {
		++*wrong;
		printf("    # %s: %s\n", drive->lock, what);
		print_sight(drive);
	}
	return holds;
}

bool clean(const struct drive *drive)
{
	struct verdict *v = &verdict;
	bool ok;

	v->checks++;
	ok = check(&v->held, eventually(is_idle, drive) && eventually(is_free, drive), drive,
		   "not free");
	/* a lock that says that it is free has restored everything */
	ok &= check(&v->pointers, !ok || is_in_place(drive), drive, "pointers");
	ok &= check(&v->counts, has_no_counts(drive), drive, "counts");
	ok &= check(&v->trays, eventually(is_unlocked, drive), drive, "tray");
	ok &= check(&v->drive_trays, eventually(says_unlocked, drive), drive, "tray, by the drive");
	ok &= check(&v->foreign, lets_strangers_in(drive), drive, "foreign commands");
	ok &= check(&v->references, eventually(is_as_before, drive), drive, "references");
	ok &= check(&v->module, eventually(is_unused, drive), drive, "module count");
	return ok;
}

static int most(int one, int other)
{
	return one > other ? one : other;
}

void clean_baseline(const struct drive *drives, int count)
{
	struct sight sight;

	memset(&baseline, 0, sizeof(baseline));
	forget_trays();
	sleep(1);
	for (int i = 0; i < count; i++) {
		print_sight(&drives[i]);
		if (!look(&drives[i], &sight))
			continue;
		baseline.power = most(baseline.power, sight.power);
		baseline.device = most(baseline.device, sight.device);
		baseline.host = most(baseline.host, sight.host);
		baseline.driver = most(baseline.driver, sight.driver);
	}
}

void verdict_report(void)
{
	const struct verdict *v = &verdict;

	printf("    # checked %lu times\n", v->checks);
	tap_true("everything was looked at", v->checks > 0);
	tap_equal("processes and calls that hang", v->stuck, 0);
	tap_equal("drives that stay held", v->held, 0);
	tap_equal("counts and waiters that stay", v->counts, 0);
	tap_equal("operations that are not restored", v->pointers, 0);
	tap_equal("trays that stay locked", v->trays, 0);
	tap_equal("trays that stay locked, as the drive says", v->drive_trays, 0);
	tap_equal("foreign commands that fail afterwards", v->foreign, 0);
	tap_equal("references that stay", v->references, 0);
	tap_equal("uses of the module that stay", v->module, 0);
	tap_equal("errors that are not documented", v->unexpected, 0);
}
