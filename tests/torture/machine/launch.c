// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kill -9 of `srlock run` and of what it runs, at random instants
 *
 * The command is this program as `burn`: it sends commands through /dev/srN as a burner
 * does. Killed are the launcher, the burner, or both, in either order. As long as one of
 * them lives and the burner has joined, the drive must stay held.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "torture.h"
#include "ways.h"

enum { COMMANDS = 20, PAUSE_US = 2000 };

static unsigned long launchers, burners, early;

/* What `srlock run` runs. */
int phase_burn(const char *sr)
{
	struct actor *actor;
	int fd;

	if (!share(false))
		return 2;
	actor = &shared->actors[0];
	actor->pid = getpid();
	actor->stage = STAGE_SR_OPEN;
	fd = open(sr, O_RDWR | O_NONBLOCK | O_EXCL);
	if (fd < 0)
		return 3;
	actor->stage = STAGE_SR_COMMAND;
	for (int i = 0; i < COMMANDS; i++) {
		int status = ready_by_sg_io(fd);

		if (status != STATUS_GOOD && status != STATUS_CHECK_CONDITION) {
			actor->unexpected++;
			actor->last_unexpected = status;
		}
		usleep(PAUSE_US);
	}
	actor->stage = STAGE_SR_CLOSE;
	close(fd);
	actor->stage = STAGE_REST;
	return 0;
}

/* ./ld.so with the libraries beside it: this machine has none. */
static pid_t launch(const struct drive *drive)
{
	pid_t pid = fork();

	if (!pid) {
		int null = open("/dev/null", O_RDWR);

		setpgid(0, 0);
		dup2(null, 1);
		dup2(null, 2);
		execl("./ld.so", "ld.so", "--library-path", ".", "./srlock", "run", "-w", "10",
		      drive->sr, "--", "./torture", "burn", drive->sr, NULL);
		_exit(99);
	}
	if (pid > 0)
		setpgid(pid, pid);
	return pid;
}

static int compare(const void *one, const void *other)
{
	const __u64 *a = one, *b = other;

	return (*a > *b) - (*a < *b);
}

/* The median of some. */
static __u64 duration_of(const struct drive *drive, int *worst)
{
	enum { RUNS = 5 };
	__u64 times[RUNS];
	int status;

	*worst = 0;
	for (int i = 0; i < RUNS; i++) {
		__u64 start = now_ns();
		pid_t pid = launch(drive);

		if (!actor_reap(pid, &status))
			verdict.stuck++;
		times[i] = now_ns() - start;
		*worst |= status;
	}
	qsort(times, RUNS, sizeof(*times), compare);
	return times[RUNS / 2];
}

static void note_hit(const struct drive *drive, const char *who)
{
	char state[32];
	char what[64];

	snprintf(what, sizeof(what), "%s at %s", who, stage_names[shared->actors[0].stage]);
	hit_note(what);
	snprintf(what, sizeof(what), "[%s]", state_of(drive, state, sizeof(state)));
	hit_note(what);
}

static bool is_alive(pid_t pid)
{
	return pid > 0 && !kill(pid, 0);
}

static unsigned long unprotected;

/* The burner goes on under the lock when its launcher is dead. */
static void check_protected(const struct drive *drive, pid_t burner)
{
	char state[32];
	bool held;

	if (shared->actors[0].stage != STAGE_SR_COMMAND)
		return;
	held = !strcmp(state_of(drive, state, sizeof(state)), "held");
	/* it may have come to its end between the two looks */
	if (!held && shared->actors[0].stage == STAGE_SR_COMMAND && is_alive(burner))
		unprotected++;
}

static void kill_launcher(const struct drive *drive, pid_t launcher)
{
	int status;

	note_hit(drive, "launcher");
	kill(launcher, SIGKILL);
	if (!actor_reap(launcher, &status))
		verdict.stuck++;
	else if (WIFSIGNALED(status))
		launchers++;
	else
		early++;
}

static void kill_burner(const struct drive *drive, pid_t burner)
{
	if (burner <= 0)
		return;
	note_hit(drive, "burner");
	if (!kill(burner, SIGKILL))
		burners++;
}

/* Everything that is left, and the orphans of this process. */
static void sweep(pid_t group)
{
	__u64 end = now_ns() + STUCK_S * (__u64)SECOND_NS;
	int status;

	kill(-group, SIGKILL);
	while (waitpid(-1, &status, WNOHANG) >= 0) {
		if (now_ns() > end) {
			verdict.stuck++;
			break;
		}
		usleep(300);
	}
}

static unsigned long wrong_status;

static void round_of(const struct drive *drive, __u64 duration)
{
	struct actor *burner = &shared->actors[0];
	__u64 choice = random_below(3);
	pid_t launcher = launch(drive);
	int status;

	sleep_until(now_ns() + random_below(duration));
	if (choice == 0) {
		kill_launcher(drive, launcher);
		check_protected(drive, burner->pid);
		sleep_until(now_ns() + random_below(duration / 2));
		kill_burner(drive, burner->pid);
	} else if (choice == 1) {
		pid_t pid = burner->pid;

		kill_burner(drive, pid);
		/* the launcher ends by itself, and tells */
		if (!actor_reap(launcher, &status))
			verdict.stuck++;
		else if (!WIFEXITED(status) ||
			 (WEXITSTATUS(status) && WEXITSTATUS(status) != 128 + SIGKILL))
			wrong_status++;
	} else {
		kill_burner(drive, burner->pid);
		kill_launcher(drive, launcher);
	}
	sweep(launcher);
	clean(drive);
	actors_collect(shared->actors, 1);
}

int phase_launch(unsigned long count)
{
	struct drive drives[MAX_DRIVES];
	int found = find_drives(drives, MAX_DRIVES);
	__u64 durations[MAX_DRIVES];
	int status = -1;

	tap_scope("launcher and burner");
	tap_true("drives with a lock", found > 0);
	clean_baseline(drives, found);
	for (int i = 0; i < found; i++) {
		durations[i] = duration_of(&drives[i], &status);
		tap_equal("srlock run ends with the command's status", status, 0);
		printf("    # %s: srlock run takes %llu ms\n", drives[i].lock,
		       durations[i] / 1000000);
	}
	actors_collect(shared->actors, 1);
	for (unsigned long i = 0; found && launchers + burners < count && verdict.stuck < 3; i++)
		round_of(&drives[i % found], durations[i % found]);
	printf("    # count kills=%lu launchers=%lu burners=%lu ended-before=%lu\n",
	       launchers + burners, launchers, burners, early);
	hits_print("killed at, and what the lock said");
	verdict_report();
	tap_true("as many kills as asked for", launchers + burners >= count);
	tap_equal("burners that ran on without the lock", unprotected, 0);
	tap_equal("launchers with a wrong exit status", wrong_status, 0);
	return tap_end();
}
