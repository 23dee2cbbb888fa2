// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Hibernation while drives are held, waited for, and at random instants
 *
 * The machine is off meanwhile and restored by another kernel, so that its ATAPI drive
 * has forgotten its lock. By turns each drive has a holder and one who waits, and the
 * holder has to have it still, with its tray locked; or actors play on all drives, and
 * the instant is drawn uniformly from a holder's cycle. The machine must have a swap space.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/srlock.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "torture.h"

enum { VICTIMS = 2, FAMILY = 2, STRANGER = VICTIMS * FAMILY, ACTORS = STRANGER + 1 };

/* What a holder finds after the sleep; its exit status. */
enum finding { FINE, NOT_ACQUIRED, LOST, UNLOCKED, FINDINGS };

static unsigned long times, failed, strangers, starved, found_so[FINDINGS];

/* Sleep and be restored. The kernel's own test of that (test_resume) fails on 6.1: EBUSY. */
static void hibernate(void)
{
	if (write_text("/sys/power/disk", "shutdown") && write_text("/sys/power/state", "disk")) {
		times++;
		return;
	}
	printf("    # no hibernation: %s\n", strerror(errno));
	failed++;
}

static bool wait_waiters(int lock, unsigned int waiters)
{
	__u64 end = now_ns() + STUCK_S * (__u64)SECOND_NS;
	struct srlock_info info = { 0 };

	while (!ioctl(lock, SRLOCK_IOC_GET_INFO, &info) && info.waiters != waiters) {
		if (now_ns() > end)
			return false;
		usleep(1000);
	}
	return info.waiters == waiters;
}

static bool is_held(int lock)
{
	struct srlock_info info = { 0 };

	return !ioctl(lock, SRLOCK_IOC_GET_INFO, &info) && info.state == SRLOCK_STATE_HELD &&
	       info.status & SRLOCK_STATUS_MINE && info.count == 1 && info.my_count == 1;
}

static bool acquire(int lock, __u64 deadline)
{
	struct srlock_acquire arg = { .client = "sleeper", .deadline_ns = deadline };

	return lock >= 0 && !ioctl(lock, SRLOCK_IOC_ACQUIRE, &arg);
}

/* Until the stage is STAGE_COMMAND; then look, and until it is STAGE_RELEASE. */
static enum finding sleeper(struct actor *actor, const struct drive *drive)
{
	int lock = open(drive->lock, O_RDWR | O_CLOEXEC);
	enum finding finding = FINE;

	if (!acquire(lock, 0))
		return NOT_ACQUIRED;
	actor->stage = STAGE_HOLD;
	while (actor->stage != STAGE_COMMAND)
		usleep(1000);
	if (!is_held(lock))
		finding = LOST;
	else if (!becomes_locked(drive, lock))
		finding = UNLOCKED;
	actor->stage = STAGE_REST;
	while (actor->stage != STAGE_RELEASE)
		usleep(1000);
	return finding;
}

static enum finding waiter(struct actor *actor, const struct drive *drive)
{
	int lock = open(drive->lock, O_RDWR | O_CLOEXEC);

	actor->stage = STAGE_ACQUIRE;
	return acquire(lock, SRLOCK_DEADLINE_NONE) ? FINE : NOT_ACQUIRED;
}

static pid_t start(enum finding (*role)(struct actor *actor, const struct drive *drive),
		   struct actor *actor, const struct drive *drive)
{
	pid_t pid = fork();

	if (!pid)
		_exit(role(actor, drive));
	return pid;
}

static bool wait_stage(const struct actor *actor, enum stage stage)
{
	__u64 end = now_ns() + STUCK_S * (__u64)SECOND_NS;

	while (actor->stage != (int)stage) {
		if (now_ns() > end)
			return false;
		usleep(1000);
	}
	return true;
}

static bool in_line(const struct drive *drive)
{
	int lock = open(drive->lock, O_RDONLY | O_CLOEXEC);
	bool there = lock >= 0 && wait_waiters(lock, 1);

	close(lock);
	return there;
}

static bool keeps_strangers_out(const struct drive *drive)
{
	struct actor *stranger = &shared->actors[MAX_ACTORS - 1];
	bool refused;
	pid_t pid;

	memset(stranger, 0, sizeof(*stranger));
	pid = actor_start(stranger, ROLE_STRANGER, drive);
	refused = actor_wait(stranger, 4) && stranger->refused >= 4;
	kill(-pid, SIGKILL);
	actor_reap(pid, NULL);
	return refused;
}

static enum finding end_of(pid_t pid)
{
	int status = 0;

	if (!actor_reap(pid, &status) || !WIFEXITED(status)) {
		verdict.stuck++;
		return FINE;
	}
	return WEXITSTATUS(status);
}

static void hold_all(const struct drive *drives, int found)
{
	pid_t holders[MAX_DRIVES], waiters[MAX_DRIVES];

	for (int i = 0; i < found; i++) {
		struct actor *actor = &shared->actors[i];

		holders[i] = start(sleeper, actor, &drives[i]);
		if (!wait_stage(actor, STAGE_HOLD))
			verdict.stuck++;
		waiters[i] = start(waiter, &shared->actors[found + i], &drives[i]);
		if (!in_line(&drives[i]))
			verdict.stuck++;
	}
	hibernate();
	for (int i = 0; i < found; i++) {
		struct actor *actor = &shared->actors[i];

		strangers += !keeps_strangers_out(&drives[i]);
		actor->stage = STAGE_COMMAND;
		if (!wait_stage(actor, STAGE_REST))
			verdict.stuck++;
		starved += !in_line(&drives[i]);
		actor->stage = STAGE_RELEASE;
		found_so[end_of(holders[i])]++;
		starved += end_of(waiters[i]) != FINE;
	}
	memset(shared->actors, 0, sizeof(shared->actors));
}

static void play_on_all(const struct drive *drives, int found, __u64 duration)
{
	pid_t pids[MAX_DRIVES][VICTIMS + 1];
	struct actor *actors[MAX_DRIVES];
	char state[32];
	char what[64];

	for (int i = 0; i < found; i++) {
		actors[i] = &shared->actors[i * ACTORS];
		for (int j = 0; j < VICTIMS; j++)
			pids[i][j] = actor_start(actors[i] + j * FAMILY,
						 random_below(ROLE_BREAKER), &drives[i]);
		pids[i][VICTIMS] = actor_start(actors[i] + STRANGER, ROLE_STRANGER, &drives[i]);
	}
	for (int i = 0; i < found; i++)
		for (int j = 0; j < VICTIMS; j++)
			if (!actor_wait(actors[i] + j * FAMILY, 1))
				verdict.stuck++;
	sleep_until(now_ns() + random_below(duration));
	for (int i = 0; i < found; i++) {
		hit_note(stage_names[actors[i]->stage]);
		snprintf(what, sizeof(what), "[%s]", state_of(&drives[i], state, sizeof(state)));
		hit_note(what);
	}
	hibernate();
	for (int i = 0; i < found; i++) {
		for (int j = 0; j <= VICTIMS; j++) {
			kill(-pids[i][j], SIGKILL);
			if (!actor_reap(pids[i][j], NULL))
				verdict.stuck++;
		}
	}
	reap_orphans();
	actors_collect(shared->actors, found * ACTORS);
}

int phase_hibernate(unsigned long count)
{
	struct drive drives[MAX_DRIVES];
	int found = find_drives(drives, MAX_DRIVES);
	__u64 duration = 0;

	tap_scope("hibernate");
	tap_true("drives with a lock", found > 0);
	clean_baseline(drives, found);
	for (int i = 0; i < found; i++) {
		__u64 cycle = actor_duration(ROLE_HOLDER, &drives[i]);

		duration = cycle > duration ? cycle : duration;
		clean(&drives[i]);
	}
	hits_clear();
	for (unsigned long i = 0; i < count && !failed && verdict.stuck < 3; i++) {
		if (i % 2)
			play_on_all(drives, found, duration);
		else
			hold_all(drives, found);
		for (int j = 0; j < found; j++)
			clean(&drives[j]);
	}
	printf("    # count hibernations=%lu\n", times);
	hits_print("hibernated at, and what the lock said");
	verdict_report();
	tap_equal("drives not acquired", found_so[NOT_ACQUIRED], 0);
	tap_equal("holds that were lost", found_so[LOST], 0);
	tap_equal("trays that were not locked again", found_so[UNLOCKED], 0);
	tap_equal("strangers that were let in", strangers, 0);
	tap_equal("waiters that lost their places", starved, 0);
	tap_true("as many times as asked for", times >= count);
	return tap_end();
}
