// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Waiters and breakers racing for a drive
 *
 * On each drive some clients stand in line for the drive all the time, a breaker takes
 * it from whoever has it, and now and then a client is killed. Each notes in shared
 * memory when it has got the drive and when it is about to give it back. Whoever sees
 * another's note while it has the drive itself writes that down: that other one must
 * learn later that its hold was broken, or be dead, or else two have held the drive at
 * once. A line that does not move for a while is a lost wake-up.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/srlock.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "torture.h"

enum { CLIENTS = 5, OUTCOMES = 4096, MAX_SEEN = 16 };

enum outcome { OUTCOME_NONE, OUTCOME_RELEASED, OUTCOME_BROKEN };

/* A client's notes. The number counts its holds; it is even while there is none. */
struct client {
	atomic_ulong hold;
	atomic_ulong accused[OUTCOMES];		/* the hold that was seen with another */
	atomic_uchar outcome[OUTCOMES];
	atomic_ulong acquired;
	atomic_ulong broken;
	atomic_ulong unexpected;
	atomic_int last_unexpected;
};

struct line {
	struct client clients[CLIENTS];
	atomic_ulong breaks;
	atomic_ulong double_holds;
	atomic_ulong forgiven;
};

static struct line *lines;
static unsigned long kills;

struct seen {
	int client;
	unsigned long hold;
};

/* Who else seems to hold the drive. */
static int look_around(struct line *line, int me, struct seen *seen)
{
	int count = 0;

	for (int i = 0; i < CLIENTS; i++) {
		unsigned long hold = line->clients[i].hold;

		if (i == me || !(hold & 1) || count == MAX_SEEN)
			continue;
		seen[count].client = i;
		seen[count++].hold = hold;
	}
	return count;
}

/* My own hold was good from beginning to end, so those others' were not. */
static void accuse(struct line *line, const struct seen *seen, int count)
{
	for (int i = 0; i < count; i++) {
		struct client *other = &line->clients[seen[i].client];

		other->accused[seen[i].hold / 2 % OUTCOMES] = seen[i].hold;
	}
}

static void note_unexpected(struct client *client, int error)
{
	client->unexpected++;
	client->last_unexpected = error;
}

/* One hold; false if the file is of no use any more. */
static bool take_turn(struct line *line, int me, int lock)
{
	struct srlock_acquire acquire = {
		.client = "line",
		.flags = random_below(8) ? SRLOCK_ACQUIRE_NO_PREVENT : 0,
		.deadline_ns = SRLOCK_DEADLINE_NONE,
	};
	struct srlock_release release = { 0 };
	struct client *client = &line->clients[me];
	struct seen seen[MAX_SEEN];
	unsigned long hold;
	int count, ret;

	if (ioctl(lock, SRLOCK_IOC_ACQUIRE, &acquire)) {
		if (errno != EOWNERDEAD)
			note_unexpected(client, errno);
		return false;
	}
	hold = ++client->hold;
	client->outcome[hold / 2 % OUTCOMES] = OUTCOME_NONE;
	client->acquired++;
	count = look_around(line, me, seen);
	client->hold++;
	ret = ioctl(lock, SRLOCK_IOC_RELEASE, &release) ? errno : 0;
	client->outcome[hold / 2 % OUTCOMES] = ret ? OUTCOME_BROKEN : OUTCOME_RELEASED;
	if (!ret)
		accuse(line, seen, count);
	else if (ret == EOWNERDEAD)
		client->broken++;
	else
		note_unexpected(client, ret);
	return !ret;
}

static void client(const struct drive *drive, struct line *line, int me)
{
	/* one that was killed in its hold does not hold any more */
	line->clients[me].hold += line->clients[me].hold & 1;
	while (!shared->stop) {
		int lock = open(drive->lock, O_RDWR | O_CLOEXEC);

		while (lock >= 0 && !shared->stop && take_turn(line, me, lock))
			;
		if (lock >= 0)
			close(lock);
	}
}

static void breaker(const struct drive *drive, struct line *line)
{
	while (!shared->stop) {
		int lock = open(drive->lock, O_RDWR | O_CLOEXEC);

		if (!ioctl(lock, SRLOCK_IOC_BREAK))
			line->breaks++;
		close(lock);
		usleep(random_below(10000));
	}
}

static pid_t start(const struct drive *drive, struct line *line, int me)
{
	__u64 seed = random_below(~0ULL);
	pid_t pid = fork();

	if (!pid) {
		random_seed(seed);
		if (me < CLIENTS)
			client(drive, line, me);
		else
			breaker(drive, line);
		_exit(0);
	}
	return pid;
}

static unsigned long total(const struct line *line, int count)
{
	unsigned long sum = 0;

	for (int i = 0; i < count; i++)
		for (int j = 0; j < CLIENTS; j++)
			sum += line[i].clients[j].acquired;
	return sum;
}

/* At the end: each hold that was seen beside another must have been broken. */
static void judge(struct line *line)
{
	for (int i = 0; i < CLIENTS; i++) {
		struct client *one = &line->clients[i];

		for (int j = 0; j < OUTCOMES; j++) {
			unsigned long hold = one->accused[j];

			if (!hold)
				continue;
			if (one->outcome[j] == OUTCOME_RELEASED && hold <= one->hold &&
			    hold / 2 + OUTCOMES > one->hold / 2)
				line->double_holds++;
			else
				line->forgiven++;
		}
	}
}

static void kill_one(const struct drive *drive, struct line *line, pid_t *pid, int me)
{
	kill(*pid, SIGKILL);
	if (!actor_reap(*pid, NULL))
		verdict.stuck++;
	kills++;
	*pid = start(drive, line, me);
}

static void race(const struct drive *drives, int found, unsigned long count)
{
	static pid_t pids[MAX_DRIVES][CLIENTS + 1];
	unsigned long last = 0;
	__u64 moved = now_ns();

	for (int i = 0; i < found; i++)
		for (int j = 0; j <= CLIENTS; j++)
			pids[i][j] = start(&drives[i], &lines[i], j);
	while (total(lines, found) < count) {
		int i = random_below(found);
		int j = random_below(CLIENTS + 1);

		usleep(random_below(200000));
		kill_one(&drives[i], &lines[i], &pids[i][j], j);
		if (total(lines, found) != last)
			moved = now_ns();
		last = total(lines, found);
		if (now_ns() - moved > STUCK_S * (__u64)SECOND_NS) {
			printf("    # the line stands still\n");
			verdict.stuck++;
			break;
		}
	}
	shared->stop = true;
	for (int i = 0; i < found; i++)
		for (int j = 0; j <= CLIENTS; j++)
			if (!actor_reap(pids[i][j], NULL)) {
				verdict.stuck++;
				kill(pids[i][j], SIGKILL);
			}
}

int phase_hand_over(unsigned long count)
{
	struct drive drives[MAX_DRIVES];
	int found = find_drives(drives, MAX_DRIVES);
	unsigned long breaks = 0;
	unsigned long broken = 0;
	unsigned long double_holds = 0;
	unsigned long forgiven = 0;
	__u64 began;

	tap_scope("hand over");
	tap_true("drives with a lock", found > 0);
	lines = mmap(NULL, found * sizeof(*lines), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (lines == MAP_FAILED)
		return 2;
	clean_baseline(drives, found);
	began = now_ns();
	race(drives, found, count);
	began = now_ns() - began;
	for (int i = 0; i < found; i++) {
		clean(&drives[i]);
		judge(&lines[i]);
		breaks += lines[i].breaks;
		double_holds += lines[i].double_holds;
		forgiven += lines[i].forgiven;
		for (int j = 0; j < CLIENTS; j++) {
			struct client *one = &lines[i].clients[j];

			broken += one->broken;
			verdict.unexpected += one->unexpected;
			if (one->unexpected)
				printf("    # unexpected: %s\n", strerror(one->last_unexpected));
		}
	}
	printf("    # count hand-overs=%lu breaks=%lu kills=%lu\n", total(lines, found), breaks,
	       kills);
	printf("    # %llu us each; %lu holds broken, %lu of them seen beside the next\n",
	       began / 1000 / (total(lines, found) + 1), broken, forgiven);
	verdict_report();
	tap_true("as many as asked for", total(lines, found) >= count);
	tap_equal("drives held by two", double_holds, 0);
	tap_true("holds were broken", breaks > 0 && broken > 0);
	return tap_end();
}
