// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The module loaded and unloaded under load
 *
 * Strangers send commands all the time, loaded or not. In each round the module is
 * loaded, actors hold and wait, are killed at random instants, and right then it is
 * unloaded, which must work as soon as the last of their files is closed. While a drive
 * is held, an unload is tried that must fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "torture.h"

enum { VICTIMS = 2, FAMILY = 2, ACTORS = VICTIMS * FAMILY, STRANGERS = 2 };

static unsigned long loads, refused, unloaded_held, tries, strangers_refused;

static bool load(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int ret = fd < 0 ? -1 : syscall(SYS_finit_module, fd, "", 0);

	if (fd >= 0)
		close(fd);
	return !ret;
}

/* As soon as nobody has a lock file open; false if that does not come. */
static bool unload(void)
{
	__u64 end = now_ns() + STUCK_S * (__u64)SECOND_NS;

	while (syscall(SYS_delete_module, "srlock", O_NONBLOCK)) {
		tries++;
		if (errno != EWOULDBLOCK || now_ns() > end)
			return false;
	}
	return true;
}

static void must_not_unload(const struct drive *drive)
{
	int lock = open(drive->lock, O_RDONLY | O_CLOEXEC);

	if (lock < 0)
		return;
	if (syscall(SYS_delete_module, "srlock", O_NONBLOCK))
		refused++;
	else
		unloaded_held++;
	close(lock);
}

static void kill_and_reap(const struct drive *drive, pid_t *pids, int count, __u64 duration)
{
	char state[32];
	char what[64];

	sleep_until(now_ns() + random_below(duration));
	snprintf(what, sizeof(what), "%s", stage_names[shared->actors[0].stage]);
	hit_note(what);
	snprintf(what, sizeof(what), "[%s]", state_of(drive, state, sizeof(state)));
	hit_note(what);
	for (int i = 0; i < count; i++)
		kill(-pids[i], SIGKILL);
	/* the unload comes before they are reaped, in the middle of their death */
	if (random_below(2) && syscall(SYS_delete_module, "srlock", O_NONBLOCK))
		tries++;
	for (int i = 0; i < count; i++)
		if (!actor_reap(pids[i], NULL))
			verdict.stuck++;
	reap_orphans();
}

static bool round_of(const char *path, __u64 duration)
{
	struct drive drives[MAX_DRIVES];
	pid_t pids[VICTIMS];
	int found, count;

	if (!load(path)) {
		printf("    # load: %s\n", strerror(errno));
		return false;
	}
	loads++;
	found = find_drives(drives, MAX_DRIVES);
	if (!found)
		return false;
	count = 1 + random_below(VICTIMS);
	for (int i = 0; i < count; i++)
		pids[i] = actor_start(&shared->actors[i * FAMILY], random_below(ROLE_BREAKER),
				      &drives[random_below(found)]);
	for (int i = 0; i < count; i++)
		if (!actor_wait(&shared->actors[i * FAMILY], 0))
			verdict.stuck++;
	must_not_unload(&drives[0]);
	kill_and_reap(&drives[0], pids, count, duration);
	actors_collect(shared->actors, ACTORS);
	if (module_count() >= 0 && !unload()) {
		printf("    # unload: %s, count %d\n", strerror(errno), module_count());
		verdict.module++;
		return false;
	}
	check_without_module();
	return true;
}

int phase_load(unsigned long count)
{
	const char *path = "./srlock.ko";
	struct drive drives[MAX_DRIVES];
	int found = find_drives(drives, MAX_DRIVES);
	struct actor *strangers = &shared->actors[MAX_ACTORS - STRANGERS - 2];
	pid_t pids[MAX_DRIVES];
	__u64 duration;
	__u64 start;
	bool ok = true;

	tap_scope("load and unload");
	tap_true("drives with a lock", found > 0);
	clean_baseline(drives, found);
	duration = actor_duration(ROLE_HOLDER, &drives[0]);
	tap_true("the module can be unloaded", found > 0 && unload());
	if (!found)
		return tap_end();
	for (int i = 0; i < STRANGERS; i++)
		pids[i] = actor_start(&strangers[i], ROLE_STRANGER, &drives[i % found]);
	start = now_ns();
	while (ok && loads < count && !verdict.stuck)
		ok = round_of(path, duration);
	printf("    # count loads=%lu\n", loads);
	printf("    # %llu ms each; %lu tries to unload came too early; strangers' cycles %lu\n",
	       loads ? (now_ns() - start) / 1000000 / loads : 0, tries,
	       strangers[0].cycles + strangers[1].cycles);
	strangers_refused = strangers[0].refused + strangers[1].refused;
	hits_print("killed at, and what the lock said");
	shared->stop = true;
	for (int i = 0; i < STRANGERS; i++)
		if (!actor_reap(pids[i], NULL))
			verdict.stuck++;
	shared->stop = false;
	actors_collect(strangers, STRANGERS);
	tap_true("the module can be loaded again", load(path));
	found = find_drives(drives, MAX_DRIVES);
	for (int i = 0; i < found; i++)
		clean(&drives[i]);
	verdict_report();
	tap_true("as many as asked for", ok && loads >= count);
	tap_equal("unloads while a lock file was open", unloaded_held, 0);
	tap_true("such were tried", refused > 0);
	tap_true("strangers were refused, and went on", strangers_refused > 0);
	return tap_end();
}
