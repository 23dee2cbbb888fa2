// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * smoke - the lock's main promises on this kernel, for every drive there is
 *
 * For each drive another process takes the lock, and this one, a stranger to it,
 * tries every way to the drive. The machine has nobody else who uses the drives.
 * Small on purpose: it is there for the differences between kernels.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/cdrom.h>
#include <linux/srlock.h>
#include <scsi/sg.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "drives.h"
#include "holder.h"
#include "tap.h"
#include "ways.h"

enum { SECTOR = 2048, MAX_DRIVES = 8 };

static struct srlock_info get_info(int lock)
{
	struct srlock_info info = { 0 };

	if (ioctl(lock, SRLOCK_IOC_GET_INFO, &info))
		info.state = ~0U;
	return info;
}

/* 0, or the negative errno of an open. */
static int try_open(const char *path, int flags)
{
	int fd = open(path, flags);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int try_way(const char *path, int flags, int (*way)(int fd))
{
	int fd = open(path, flags);
	int ret;

	if (fd < 0)
		return -errno;
	ret = way(fd);
	close(fd);
	return ret;
}

/* Past the page cache, which has a single error of its own for everything. */
static int try_read(int fd)
{
	static char buffer[SECTOR] __attribute__((aligned(4096)));

	fcntl(fd, F_SETFL, O_DIRECT);
	return pread(fd, buffer, sizeof(buffer), 16 * SECTOR) < 0 ? -errno : 0;
}

/* What a stranger had open before the hold. */
struct earlier {
	int sr;
	int sg;
	int bsg;
};

static struct earlier open_earlier(const struct drive *drive)
{
	return (struct earlier) {
		.sr = open(drive->sr, O_RDONLY | O_NONBLOCK),
		.sg = open(drive->sg, O_RDWR),
		.bsg = open(drive->bsg, O_RDWR),
	};
}

static void test_strangers_opens(const struct drive *drive)
{
	tap_equal("a stranger's open", try_open(drive->sr, O_RDONLY), -EBUSY);
	tap_equal("a stranger's open with O_NONBLOCK", try_open(drive->sr, O_RDONLY | O_NONBLOCK),
		  -EBUSY);
	tap_equal("a stranger's open with O_EXCL",
		  try_open(drive->sr, O_RDONLY | O_NONBLOCK | O_EXCL), -EBUSY);
}

static void test_strangers_commands(const struct drive *drive, const struct earlier *earlier)
{
	int uring = try_way(drive->bsg, O_RDWR, ready_by_uring);

	tap_equal("SG_IO on an sr file opened before", ready_by_sg_io(earlier->sr), -EBUSY);
	tap_equal("CDROM_DRIVE_STATUS on an sr file opened before",
		  ioctl(earlier->sr, CDROM_DRIVE_STATUS, CDSL_CURRENT) < 0 ? -errno : 0, -EBUSY);
	tap_equal("a read on an sr file opened before", try_read(earlier->sr), -EBADE);
	tap_equal("SG_IO on an sg file opened before", ready_by_sg_io(earlier->sg),
		  STATUS_RESERVATION_CONFLICT);
	tap_equal("write and read on an sg file opened before", ready_by_sg_write(earlier->sg),
		  STATUS_RESERVATION_CONFLICT);
	tap_equal("SG_IO on a bsg file opened before", ready_by_bsg(earlier->bsg),
		  STATUS_RESERVATION_CONFLICT);
	tap_equal("SG_IO on a new sg file", try_way(drive->sg, O_RDWR, ready_by_sg_io),
		  STATUS_RESERVATION_CONFLICT);
	tap_equal("SG_IO on a new bsg file", try_way(drive->bsg, O_RDWR, ready_by_bsg),
		  STATUS_RESERVATION_CONFLICT);
	if (uring == -EOPNOTSUPP)
		tap_skip("bsg by io_uring", "this kernel has none");
	else
		tap_equal("bsg by io_uring", uring, STATUS_RESERVATION_CONFLICT);
}

static void test_holder(const struct holder *holder, const struct earlier *earlier)
{
	tap_equal("the holder's SG_IO", holder_ask(holder, REQUEST_READY_BY_SR), STATUS_GOOD);
	tap_equal("the holder's SG_IO on the lock file",
		  holder_ask(holder, REQUEST_READY_BY_LOCK), STATUS_GOOD);
	tap_equal("the holder's child's SG_IO", holder_ask(holder, REQUEST_READY_BY_CHILD),
		  STATUS_GOOD);
	tap_equal("the holder's own sg command", holder_ask(holder, REQUEST_READY_BY_SG),
		  STATUS_RESERVATION_CONFLICT);
	tap_equal("the holder's open with O_EXCL",
		  holder_ask(holder, REQUEST_OPEN_EXCLUSIVELY), 0);
	close(earlier->sr);
	tap_equal("the holder's read", holder_ask(holder, REQUEST_READ), SECTOR);
}

static void test_counts(const struct holder *holder, int lock)
{
	struct srlock_info info;

	tap_equal("a nested ACQUIRE", holder_ask(holder, REQUEST_ACQUIRE), 2);
	tap_equal("its RELEASE", holder_ask(holder, REQUEST_RELEASE), 1);
	info = get_info(lock);
	tap_equal("GET_INFO: state", info.state, SRLOCK_STATE_HELD);
	tap_equal("GET_INFO: count", info.count, 1);
	tap_equal("GET_INFO: pid", info.pid, holder->pid);
	tap_equal("GET_INFO: prior opens, after their close", info.prior_opens, 0);
	tap_true("GET_INFO: client", !strcmp((char *)info.client, "smoke test"));
	tap_true("GET_INFO: refused opens", info.refused_opens >= 3);
	tap_true("GET_INFO: refused ioctls", info.refused_ioctls >= 2);
	tap_true("GET_INFO: refused commands", info.refused_commands >= 5);
}

static void test_free(const struct drive *drive, const struct earlier *earlier, int lock)
{
	struct srlock_info info = get_info(lock);

	tap_equal("state after the release", info.state, SRLOCK_STATE_FREE);
	tap_equal("holder's pid after the release", info.pid, 0);
	/* the medium was announced as new, which costs one command */
	try_way(drive->sg, O_RDWR, ready_by_sg_io);
	tap_equal("a stranger's sg command again", ready_by_sg_io(earlier->sg), STATUS_GOOD);
	tap_equal("a stranger's bsg command again", ready_by_bsg(earlier->bsg), STATUS_GOOD);
	tap_equal("a stranger's open again", try_open(drive->sr, O_RDONLY), 0);
	tap_equal("a stranger's read again", try_way(drive->sr, O_RDONLY, try_read), 0);
}

static void test_errors(const struct drive *drive)
{
	struct srlock_acquire no_name = { 0 };
	struct srlock_release nothing_held = { 0 };
	int nothing = SG_SCSI_RESET_NOTHING;
	int lock = open(drive->lock, O_RDWR);

	tap_equal("ACQUIRE without a name",
		  ioctl(lock, SRLOCK_IOC_ACQUIRE, &no_name) ? -errno : 0, -EINVAL);
	tap_equal("RELEASE without a hold",
		  ioctl(lock, SRLOCK_IOC_RELEASE, &nothing_held) ? -errno : 0, -EPERM);
	tap_equal("SG_SCSI_RESET", ioctl(lock, SG_SCSI_RESET, &nothing) ? -errno : 0, -ENOTTY);
	close(lock);
}

static void test_killed_holder(const struct drive *drive, int lock)
{
	struct holder holder = holder_start(drive);

	tap_equal("ACQUIRE by a process to be killed", holder_ask(&holder, REQUEST_ACQUIRE), 1);
	holder_end(&holder, SIGKILL);
	/* RELEASING until ALLOW has come back */
	for (int i = 0; i < 100 && get_info(lock).state == SRLOCK_STATE_RELEASING; i++)
		usleep(100000);
	tap_equal("state after its death", get_info(lock).state, SRLOCK_STATE_FREE);
}

static void test_drive(const struct drive *drive)
{
	/* first, or it would inherit the files */
	struct holder holder = holder_start(drive);
	int lock = open(drive->lock, O_RDWR);
	struct earlier earlier = open_earlier(drive);

	tap_scope("%s", drive->lock + strlen("/dev/"));
	tap_true("nodes of the drive open", lock >= 0 && earlier.sr >= 0 && earlier.sg >= 0 &&
		 earlier.bsg >= 0);
	tap_equal("state at first", get_info(lock).state, SRLOCK_STATE_FREE);
	tap_equal("ACQUIRE", holder_ask(&holder, REQUEST_ACQUIRE), 1);
	test_strangers_opens(drive);
	test_strangers_commands(drive, &earlier);
	test_holder(&holder, &earlier);
	test_counts(&holder, lock);
	tap_equal("the final RELEASE", holder_ask(&holder, REQUEST_RELEASE), 0);
	test_free(drive, &earlier, lock);
	holder_end(&holder, 0);
	test_errors(drive);
	test_killed_holder(drive, lock);
	close(earlier.sg);
	close(earlier.bsg);
	close(lock);
}

int main(void)
{
	struct drive drives[MAX_DRIVES];
	int count = find_drives(drives, MAX_DRIVES);

	setvbuf(stdout, NULL, _IOLBF, 0);
	tap_scope("attach");
	tap_equal("drives with a lock", count, 2);
	for (int i = 0; i < count; i++)
		test_drive(&drives[i]);
	return tap_end();
}
