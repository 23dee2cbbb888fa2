// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The module's works with faults; see works.h
 *
 * Besides the lock it is looked at what udev is told: each state once and in order, and
 * then that there may be another disc, whatever had no memory at first.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "inject.h"
#include "lock.h"
#include "log.h"
#include "scsi.h"
#include "sites.h"
#include "tap.h"
#include "uevents.h"
#include "works.h"

/* Which worker runs what is chance, so some rounds in which nothing failed are made. */
enum { MAX_ROUNDS = 1000, NOTIFY_MS = 1000, PER_DRIVE = 8, QUIET = 5 };

struct round {
	const char *address;
	unsigned int nth;
	enum inject_mode mode;
	/* out: how many failed in the module's works */
	unsigned int ours;
	const char *wrong;
};

enum { OF_HOLD = 3 };

static const enum uevent of_hold[OF_HOLD] = { UEVENT_HELD, UEVENT_FREE, UEVENT_DISC };

/* Until the work that tells of changes runs, or not: it may have failed. */
static void wait_for_notification(int state)
{
	struct pollfd poller = { .fd = state, .events = POLLPRI };
	char text[16];

	poll(&poller, 1, NOTIFY_MS);
	if (pread(state, text, sizeof(text), 0) < 0)
		return;
	usleep(30000);
}

static int open_state(const struct drive *drive)
{
	char path[128], text[16];
	int fd;

	snprintf(path, sizeof(path), "/sys/class/srlock/%s/state", drive->lock + strlen("/dev/"));
	fd = open(path, O_RDONLY);
	if (fd >= 0 && read(fd, text, sizeof(text)) < 0)
		perror(path);
	return fd;
}

static const char *judge_acquire(const struct drive *drive, int lock, int ret)
{
	if (!ret)
		return lock_is_held(drive, lock, 1);
	if (ret != -ENOMEM && ret != -ENODEV && ret != -EIO)
		return "the errno of ACQUIRE is wrong";
	return lock_count(lock) ? "the count is wrong after a failure" : NULL;
}

/* How often the disk's driver could not be kept, upon which it is taken for gone. */
static unsigned int drivers_gone(void)
{
	return sites_reached_at("srlock_fault_module_get");
}

/* How often there was no memory for a uevent. */
static unsigned int uevents_failed(void)
{
	return sites_reached_at("kobject_uevent_env");
}

static int acquire_armed(struct round *round, int lock, int state)
{
	int ret;

	log_take();
	inject_arm_works(round->nth, round->mode);
	ret = lock_acquire(lock, false);
	wait_for_notification(state);
	inject_disarm_works();
	round->ours += log_take().in_works;
	return ret;
}

static void release_armed(struct round *round, int lock, int state)
{
	inject_arm_works(round->nth, round->mode);
	if (lock_release(lock) && !round->wrong)
		round->wrong = "RELEASE fails";
	wait_for_notification(state);
	inject_disarm_works();
	round->ours += log_take().in_works;
}

static void acquire_and_release(struct round *round, const struct drive *drive)
{
	int lock = lock_open(drive);
	int state = open_state(drive);
	int ret = acquire_armed(round, lock, state);
	int first = 0, count = OF_HOLD;
	unsigned int gone;

	round->wrong = judge_acquire(drive, lock, ret);
	/* In the other mode the second state comes before the first is told. */
	if (!ret && !round->wrong && round->mode == INJECT_ONE)
		round->wrong = uevents_want(drive, of_hold, ++first);
	gone = drivers_gone();
	if (!ret)
		release_armed(round, lock, state);
	close(state);
	close(lock);
	if (drivers_gone() > gone)
		count--;
	if (!round->wrong)
		round->wrong = uevents_want(drive, of_hold + first, ret ? 0 : count - first);
	if (!round->wrong)
		round->wrong = lock_is_free(drive);
}

/* Once more without faults: nothing of the first time may be told now. */
static const char *hold_again(const struct drive *drive)
{
	const char *wrong = uevents_skip_discs(drive);

	if (!wrong)
		wrong = lock_can_be_held(drive);
	if (!wrong)
		wrong = uevents_want(drive, of_hold, OF_HOLD);
	if (!wrong)
		wrong = lock_is_free(drive);
	return wrong ? wrong : uevents_skip_discs(drive);
}

static void try_nth(struct round *round)
{
	struct drive drive;

	/* What is made once for each drive is among the first. */
	if (round->nth <= PER_DRIVE)
		round->wrong = scsi_renew(round->address, &drive);
	else if (!scsi_drive(round->address, &drive))
		round->wrong = "the nodes are not there";
	uevents_forget();
	if (!round->wrong)
		acquire_and_release(round, &drive);
	if (!round->wrong)
		round->wrong = hold_again(&drive);
}

static void sweep(const char *address, enum inject_mode mode)
{
	const char *name = mode == INJECT_ONE ? "the works" : "the works, all from there on";
	unsigned int last = mode == INJECT_ONE ? MAX_ROUNDS : PER_DRIVE;
	int ours = 0, bad = 0, quiet = 0;
	unsigned int nth, lost = uevents_lost, failed = uevents_failed();
	char text[96];

	for (nth = 1; quiet < QUIET && nth <= last; nth++) {
		struct round round = { .address = address, .nth = nth, .mode = mode };

		try_nth(&round);
		ours += round.ours;
		quiet = round.ours || mode != INJECT_ONE ? 0 : quiet + 1;
		if (round.wrong && !bad++)
			printf("    # %s: after fault %u: %s\n", name, nth, round.wrong);
	}
	printf("    # %s: %u rounds, %d faults in the module's works\n", name, nth - 1, ours);
	printf("    # %s: %u uevents failed, %u more were lost by the socket, which said so\n",
	       name, uevents_failed() - failed, uevents_lost - lost);
	snprintf(text, sizeof(text), "%s: right after each fault", name);
	tap_equal(text, bad, 0);
	if (mode == INJECT_ONE)
		tap_true("the works: the module met some", ours > 0);
}

void test_works(const char *address)
{
	tap_true("uevents can be read", uevents_start());
	sweep(address, INJECT_ONE);
	sweep(address, INJECT_ALL_FROM);
	uevents_stop();
}
