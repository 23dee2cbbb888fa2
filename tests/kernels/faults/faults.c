// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * faults - each allocation and each copy from or to the caller fails once
 *
 * /proc/thread-self/fail-nth makes the nth of them in the calling thread fail.
 * Each call is repeated with n counting up until it needs fewer. Each time it
 * must either succeed or fail with ENOMEM or EFAULT and leave the counts as they
 * were, and nothing must be left when the file is closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/srlock.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "drives.h"
#include "tap.h"
#include "ways.h"

enum { MAX_DRIVES = 8, MAX_ALLOCATIONS = 400 };

static int fail_nth;

/* 1 if the fault was met, 0 if the call needed fewer allocations than that. */
static int disarm(void)
{
	char text[16] = "";

	if (pread(fail_nth, text, sizeof(text) - 1, 0) < 0)
		return 0;
	if (pwrite(fail_nth, "0", 1, 0) != 1)
		return 0;
	return atoi(text) == 0;
}

static void arm(int nth)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%d", nth);

	if (pwrite(fail_nth, text, length, 0) != length)
		perror("fail-nth");
}

static unsigned int count_of(int lock)
{
	struct srlock_info info = { 0 };

	return ioctl(lock, SRLOCK_IOC_GET_INFO, &info) ? ~0U : info.my_count;
}

static int state_of(const char *lock)
{
	struct srlock_info info = { 0 };
	int fd = open(lock, O_RDONLY);
	int ret = -1;

	for (int i = 0; fd >= 0 && i < 100; i++) {
		ret = ioctl(fd, SRLOCK_IOC_GET_INFO, &info) ? -errno : (int)info.state;
		if (ret != SRLOCK_STATE_RELEASING)
			break;
		usleep(50000);
	}
	if (fd >= 0)
		close(fd);
	return ret;
}

/* A call to be tried: 0 or the negative errno. */
typedef int call_fn(const struct drive *drive, int lock);

static int call_open(const struct drive *drive, int lock)
{
	int fd = open(drive->lock, O_RDWR);

	(void)lock;
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int call_acquire(const struct drive *drive, int lock)
{
	struct srlock_acquire arg = { .client = "faults" };

	(void)drive;
	return ioctl(lock, SRLOCK_IOC_ACQUIRE, &arg) ? -errno : 0;
}

static int call_release(const struct drive *drive, int lock)
{
	struct srlock_release arg = { 0 };

	(void)drive;
	return ioctl(lock, SRLOCK_IOC_RELEASE, &arg) ? -errno : 0;
}

static int call_command(const struct drive *drive, int lock)
{
	(void)drive;
	return ready_by_sg_io(lock);
}

static int call_read(const struct drive *drive, int lock)
{
	struct srlock_event event;
	struct pollfd poller = { .fd = lock, .events = POLLIN };

	(void)drive;
	if (poll(&poller, 1, 0) < 0)
		return -errno;
	return read(lock, &event, sizeof(event)) < 0 ? -errno : 0;
}

struct outcome {
	int faults;
	int wrong;
	int last_wrong;
	int miscounted;
	int left_held;
};

static int is_documented(int ret)
{
	return !ret || ret == -ENOMEM || ret == -EFAULT || ret == STATUS_CHECK_CONDITION;
}

/* held: the call is made by a file that holds the drive. */
static struct outcome sweep(const struct drive *drive, call_fn *call, unsigned int held)
{
	struct outcome outcome = { 0 };
	int met = 1;

	for (int nth = 1; met && nth < MAX_ALLOCATIONS; nth++) {
		int lock = open(drive->lock, O_RDWR | O_NONBLOCK);
		int ret = held ? call_acquire(drive, lock) : 0;

		if (!ret) {
			arm(nth);
			ret = call(drive, lock);
			met = disarm();
		}
		outcome.faults += met;
		if (!is_documented(ret)) {
			outcome.wrong++;
			outcome.last_wrong = ret;
		}
		outcome.miscounted += count_of(lock) != held + (call == call_acquire && !ret);
		close(lock);
		outcome.left_held += state_of(drive->lock) != SRLOCK_STATE_FREE;
	}
	return outcome;
}

static void test_call(const struct drive *drive, const char *name, call_fn *call, unsigned int held,
		      int fails)
{
	struct outcome outcome = sweep(drive, call, held);
	char text[96];

	printf("    # %s: %d faults\n", name, outcome.faults);
	snprintf(text, sizeof(text), "%s: succeeds, ENOMEM or EFAULT", name);
	tap_equal(text, outcome.wrong ? outcome.last_wrong : 0, 0);
	snprintf(text, sizeof(text), "%s: counts right", name);
	if (call != call_release)
		tap_equal(text, outcome.miscounted, 0);
	snprintf(text, sizeof(text), "%s: leaves the drive free", name);
	tap_equal(text, outcome.left_held, 0);
	snprintf(text, sizeof(text), "%s: something failed", name);
	if (fails)
		tap_true(text, outcome.faults > 0 && outcome.faults < MAX_ALLOCATIONS - 1);
}

int main(void)
{
	struct drive drives[MAX_DRIVES];
	int count = find_drives(drives, MAX_DRIVES);

	setvbuf(stdout, NULL, _IOLBF, 0);
	tap_scope("faults");
	fail_nth = open("/proc/thread-self/fail-nth", O_RDWR);
	tap_true("this kernel injects faults", fail_nth >= 0);
	tap_true("drives with a lock", count > 0);
	for (int i = 0; fail_nth >= 0 && i < count; i++) {
		tap_scope("%s", drives[i].lock + strlen("/dev/"));
		test_call(&drives[i], "open and close", call_open, 0, 1);
		test_call(&drives[i], "ACQUIRE", call_acquire, 0, 1);
		test_call(&drives[i], "nested ACQUIRE", call_acquire, 1, 1);
		test_call(&drives[i], "RELEASE", call_release, 1, 1);
		test_call(&drives[i], "SG_IO", call_command, 1, 1);
		test_call(&drives[i], "read", call_read, 1, 1);
	}
	return tap_end();
}
