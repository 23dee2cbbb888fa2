// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kill -9 of holders, their families, waiters and breakers at random instants
 *
 * One to three actors play on a drive, a stranger besides. Each is killed at an instant
 * drawn uniformly from twice the time that a cycle of its role takes, counted from the
 * end of its first cycle. Of a family the parent, the child or both die first, and what
 * is left of it at another instant. Then the drive has to be as it was.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "torture.h"

enum { VICTIMS = 3, FAMILY = 2, STRANGER = VICTIMS * FAMILY, ACTORS = STRANGER + 1 };
enum { SLABS_AFTER = 100 };

struct victim {
	pid_t pid;
	enum role role;
	struct actor *actor;
	__u64 when;
};

static unsigned long kills;

static void note_hit(const struct drive *drive, const struct actor *actor)
{
	char state[32];
	char what[64];

	snprintf(what, sizeof(what), "%s", stage_names[actor->stage]);
	hit_note(what);
	snprintf(what, sizeof(what), "[%s]", state_of(drive, state, sizeof(state)));
	hit_note(what);
}

static void reap(struct victim *victim)
{
	int status = 0;

	if (!actor_reap(victim->pid, &status))
		verdict.stuck++;
	else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		kills++;
}

/* The child alone, the parent alone, or both. */
static void kill_some_of_family(const struct drive *drive, struct victim *victim, __u64 duration)
{
	pid_t child = victim->actor->child;
	__u64 choice = random_below(3);

	if (choice != 1 && child > 0) {
		note_hit(drive, victim->actor + 1);
		kills += !kill(child, SIGKILL);
	}
	if (choice != 0)
		kill(victim->pid, SIGKILL);
	sleep_until(now_ns() + random_below(duration));
	kill(-victim->pid, SIGKILL);
}

static void kill_one(const struct drive *drive, struct victim *victim, __u64 duration)
{
	sleep_until(victim->when);
	note_hit(drive, victim->actor);
	if (victim->role == ROLE_FAMILY)
		kill_some_of_family(drive, victim, duration);
	else
		kill(victim->pid, SIGKILL);
}

static void start_victim(const struct drive *drive, struct victim *victim, struct actor *actor,
			 enum role role)
{
	victim->actor = actor;
	victim->role = role;
	victim->pid = actor_start(actor, role, drive);
}

static void round_of(const struct drive *drive, const __u64 *durations)
{
	struct victim victims[VICTIMS];
	int count = 1 + random_below(VICTIMS);
	pid_t stranger;

	stranger = actor_start(&shared->actors[STRANGER], ROLE_STRANGER, drive);
	shared->breaking = false;
	for (int i = 0; i < count; i++) {
		enum role role = i ? random_below(ROLE_STRANGER) : random_below(ROLE_BREAKER);

		if (role == ROLE_BREAKER)
			shared->breaking = true;
		start_victim(drive, &victims[i], &shared->actors[i * FAMILY], role);
	}
	for (int i = 0; i < count; i++) {
		if (!actor_wait(victims[i].actor, 0))
			verdict.stuck++;
		victims[i].when = now_ns() + random_below(2 * durations[victims[i].role]);
	}
	for (int i = 0; i < count; i++)
		kill_one(drive, &victims[i], durations[victims[i].role]);
	for (int i = 0; i < count; i++)
		reap(&victims[i]);
	kill(-stranger, SIGKILL);
	actor_reap(stranger, NULL);
	reap_orphans();
	clean(drive);
	actors_collect(shared->actors, ACTORS);
}

/* The quick drives more often, as a cycle of an ATAPI drive is long. */
static int choose(const __u64 (*durations)[ROLES], int found)
{
	for (;;) {
		int one = random_below(found);
		int other = random_below(found);

		if (durations[one][ROLE_HOLDER] <= durations[other][ROLE_HOLDER] ||
		    !random_below(4))
			return one;
	}
}

int phase_kill(unsigned long count)
{
	static __u64 durations[MAX_DRIVES][ROLES];
	struct drive drives[MAX_DRIVES];
	int found = find_drives(drives, MAX_DRIVES);
	unsigned long counted_from = 0;
	int grown;

	tap_scope("kill");
	tap_true("drives with a lock", found > 0);
	clean_baseline(drives, found);
	for (int i = 0; i < found; i++) {
		for (enum role role = 0; role < ROLE_STRANGER; role++)
			durations[i][role] = actor_duration(role, &drives[i]);
		clean(&drives[i]);
		printf("    # %s: a holder's cycle takes %llu us\n", drives[i].lock,
		       durations[i][ROLE_HOLDER] / 1000);
	}
	hits_clear();
	for (unsigned long i = 0; found && kills < count && verdict.stuck < 3; i++) {
		int which = choose(durations, found);

		round_of(&drives[which], durations[which]);
		if (!counted_from && kills >= SLABS_AFTER) {
			slabs_before();
			counted_from = kills;
		}
	}
	printf("    # count kills=%lu\n", kills);
	hits_print("killed at, and what the lock said");
	verdict_report();
	tap_true("as many kills as asked for", kills >= count);
	tap_true("kills at most of the stages", hits_kinds() > STAGES / 2);
	/* what caches keep for themselves is some hundreds of objects */
	grown = slabs_grown((kills - counted_from) / 2);
	if (kills < 10 * SLABS_AFTER)
		tap_skip("kernel objects that stay", "too few kills to tell");
	else if (grown < 0)
		tap_skip("kernel objects that stay", "no /proc/slabinfo");
	else
		tap_equal("kernel objects that stay", grown, 0);
	return tap_end();
}
