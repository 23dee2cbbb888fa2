// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * stress SECONDS [unplug] - clients and strangers on all drives at once
 *
 * For each drive, some processes take and give back the lock in every way there
 * is, killed in between included, while others send commands by every way and
 * note each that came through entirely within a hold. With `unplug`, drives come
 * and go meanwhile; that a drive is not there is then no mistake, and what came
 * through is not counted, as it may have been to another drive.
 *
 * Meant for kernels that look for mistakes themselves.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/srlock.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "drives.h"
#include "tap.h"
#include "ways.h"

enum { MAX_DRIVES = 8, CLIENTS = 3, STRANGERS = 4, WATCHERS = 1 };
enum { SECOND_NS = 1000000000 };

/* One for each drive, shared by all processes. */
struct tally {
	/* odd while a client knows that it holds the drive */
	atomic_ulong hold;
	atomic_ulong acquired;
	atomic_ulong killed;
	atomic_ulong refused;
	atomic_ulong passed;
	atomic_ulong slipped;		/* a stranger's, within a hold */
	atomic_ulong hindered;		/* the holder's, refused */
	atomic_ulong unexpected;	/* another errno than the documented ones */
	atomic_long last_unexpected;
};

static struct tally *tallies;
static atomic_bool *stop;
static bool unplug;

static __u64 now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * (__u64)SECOND_NS + now.tv_nsec;
}

static void note_unexpected(struct tally *tally, long result)
{
	tally->unexpected++;
	tally->last_unexpected = result;
}

/* The holder's own command; a drive may answer with a unit attention. */
static void check_own(struct tally *tally, int result)
{
	if (unplug || result == STATUS_GOOD || result == STATUS_CHECK_CONDITION)
		return;
	if (result == -EBUSY || result == STATUS_RESERVATION_CONFLICT)
		tally->hindered++;
	else
		note_unexpected(tally, result);
}

static void use_drive(const struct drive *drive, struct tally *tally, int lock)
{
	int sr = open(drive->sr, O_RDONLY | O_NONBLOCK);

	check_own(tally, ready_by_sg_io(lock));
	check_own(tally, sr < 0 ? -errno : ready_by_sg_io(sr));
	if (sr >= 0)
		close(sr);
}

static bool acquire(struct tally *tally, int lock)
{
	struct srlock_acquire arg = {
		.client = "stress",
		.flags = rand() % 4 ? 0 : SRLOCK_ACQUIRE_NO_PREVENT,
		.deadline_ns = rand() % 3 ? now_ns() + SECOND_NS : 0,
	};

	if (!ioctl(lock, SRLOCK_IOC_ACQUIRE, &arg))
		return true;
	if (errno != EBUSY && !unplug)
		note_unexpected(tally, -errno);
	return false;
}

static void hold_once(const struct drive *drive, struct tally *tally)
{
	struct srlock_release release = { 0 };
	int lock = open(drive->lock, O_RDWR);

	if (lock < 0)
		return;
	if (!acquire(tally, lock)) {
		close(lock);
		return;
	}
	tally->acquired++;
	tally->hold++;
	use_drive(drive, tally, lock);
	usleep(rand() % 3000);
	tally->hold++;
	switch (rand() % 8) {
	case 0:
		tally->killed++;
		raise(SIGKILL);
		break;
	case 1:
		break;
	default:
		if (ioctl(lock, SRLOCK_IOC_RELEASE, &release) && !unplug)
			note_unexpected(tally, -errno);
	}
	close(lock);
}

static void client(const struct drive *drive, struct tally *tally)
{
	while (!*stop) {
		hold_once(drive, tally);
		/* let strangers have a turn */
		usleep(rand() % 30000);
	}
}

static void judge(struct tally *tally, unsigned long before, int result)
{
	if (result == -EBUSY || result == STATUS_RESERVATION_CONFLICT) {
		tally->refused++;
	} else if (result == STATUS_GOOD) {
		tally->passed++;
		if (!unplug && before % 2 && tally->hold == before)
			tally->slipped++;
	}
}

static int by_node(const char *node, int flags, int (*way)(int fd))
{
	int fd = open(node, flags);
	int result;

	if (fd < 0)
		return -errno;
	result = way(fd);
	close(fd);
	return result;
}

static int try_a_way(const struct drive *drive, int sg)
{
	switch (rand() % 5) {
	case 0:
		return by_node(drive->sr, O_RDONLY | O_NONBLOCK, ready_by_sg_io);
	case 1:
		return by_node(drive->bsg, O_RDWR, ready_by_bsg);
	case 2:
		return by_node(drive->sg, O_RDWR, ready_by_sg_write);
	case 3:
		return by_node(drive->sr, O_RDONLY, ready_by_sg_io);
	default:
		return sg < 0 ? -EBADF : ready_by_sg_io(sg);
	}
}

static void stranger(const struct drive *drive, struct tally *tally)
{
	int sg = open(drive->sg, O_RDWR);

	while (!*stop) {
		unsigned long before = tally->hold;

		judge(tally, before, try_a_way(drive, sg));
		if (sg < 0 || !(rand() % 100)) {
			close(sg);
			sg = open(drive->sg, O_RDWR);
		}
	}
}

static void watch_once(const struct drive *drive, struct tally *tally, int lock)
{
	static struct srlock_event events[4];
	struct pollfd poller = { .fd = lock, .events = POLLIN | POLLOUT };
	struct srlock_info info = { 0 };

	if (poll(&poller, 1, 50) < 0)
		note_unexpected(tally, -errno);
	if (ioctl(lock, SRLOCK_IOC_GET_INFO, &info))
		note_unexpected(tally, -errno);
	if (read(lock, events, sizeof(events)) < 0 && errno != EAGAIN)
		note_unexpected(tally, -errno);
	(void)drive;
}

/* Looks on, with a fresh file now and then, as a drive may come back as another. */
static void watcher(const struct drive *drive, struct tally *tally)
{
	while (!*stop) {
		int lock = open(drive->lock, O_RDONLY | O_NONBLOCK);

		for (int i = 0; lock >= 0 && i < 50 && !*stop; i++)
			watch_once(drive, tally, lock);
		if (lock >= 0)
			close(lock);
		else
			usleep(10000);
	}
}

static pid_t start(void (*role)(const struct drive *, struct tally *),
		   const struct drive *drive, struct tally *tally)
{
	pid_t pid = fork();

	if (!pid) {
		srand(getpid());
		role(drive, tally);
		_exit(0);
	}
	return pid;
}

static void start_all(const struct drive *drive, struct tally *tally, pid_t *clients)
{
	for (int i = 0; i < CLIENTS; i++)
		clients[i] = start(client, drive, tally);
	for (int i = 0; i < STRANGERS; i++)
		start(stranger, drive, tally);
	for (int i = 0; i < WATCHERS; i++)
		start(watcher, drive, tally);
}

/* Clients that killed themselves are replaced until the time is up. */
static void run(const struct drive *drives, int count, int seconds)
{
	static pid_t clients[MAX_DRIVES][CLIENTS];
	__u64 end = now_ns() + seconds * (__u64)SECOND_NS;

	for (int i = 0; i < count; i++)
		start_all(&drives[i], &tallies[i], clients[i]);
	while (now_ns() < end) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);

		if (pid <= 0)
			usleep(5000);
		for (int i = 0; pid > 0 && i < count * CLIENTS; i++) {
			pid_t *slot = &clients[i / CLIENTS][i % CLIENTS];

			if (*slot == pid)
				*slot = start(client, &drives[i / CLIENTS], &tallies[i / CLIENTS]);
		}
	}
	*stop = true;
	while (wait(NULL) > 0)
		;
}

static int state_of(const struct drive *drive)
{
	struct srlock_info info = { 0 };
	int lock = open(drive->lock, O_RDONLY);
	int ret = -1;

	/* a killed client's release may still be at it */
	for (int i = 0; lock >= 0 && i < 100; i++) {
		ret = ioctl(lock, SRLOCK_IOC_GET_INFO, &info) ? -errno : (int)info.state;
		if (ret != SRLOCK_STATE_RELEASING)
			break;
		usleep(100000);
	}
	if (lock >= 0)
		close(lock);
	return ret;
}

static void report(const struct drive *drive, struct tally *tally)
{
	tap_scope("%s", drive->lock + strlen("/dev/"));
	printf("    # %lu holds, %lu killed; strangers' commands: %lu refused, %lu passed\n",
	       tally->acquired, tally->killed, tally->refused, tally->passed);
	tap_equal("strangers' commands within a hold", tally->slipped, 0);
	tap_equal("the holder's own commands refused", tally->hindered, 0);
	tap_equal("unexpected errors", tally->unexpected, 0);
	if (tally->unexpected)
		printf("    # the last was %ld\n", tally->last_unexpected);
	if (unplug)
		return;
	tap_true("there were holds and refusals", tally->acquired && tally->refused);
	tap_equal("state at the end", state_of(drive), SRLOCK_STATE_FREE);
}

int main(int argc, char **argv)
{
	struct drive drives[MAX_DRIVES];
	int count = find_drives(drives, MAX_DRIVES);
	size_t size = sizeof(*tallies) * MAX_DRIVES + sizeof(*stop);

	if (argc < 2)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	unplug = argc > 2;
	tallies = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tallies == MAP_FAILED)
		return 2;
	stop = (void *)&tallies[MAX_DRIVES];
	tap_scope("stress");
	tap_true("drives with a lock", count > 0);
	run(drives, count, atoi(argv[1]));
	for (int i = 0; i < count; i++)
		report(&drives[i], &tallies[i]);
	return tap_end();
}
