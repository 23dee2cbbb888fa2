// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Drives that go away at random instants, in all ways that a machine has from inside
 *
 * Actors play on a drive; at an instant drawn uniformly from the time of a holder's
 * cycle the drive, its driver or its host goes. Everybody has to come to an end, and the
 * drive that comes back has to be free.
 */
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "torture.h"

enum { VICTIMS = 2, FAMILY = 2, STRANGER = VICTIMS * FAMILY, ACTORS = STRANGER + 1 };

#define SCSI_DEBUG "/sys/bus/pseudo/drivers/scsi_debug/add_host"

struct place {
	char device[160];	/* the SCSI device's folder */
	char address[64];
	char host[160];		/* the folder of the host adapter's device */
	char driver[160];	/* the host adapter's driver, empty if it has none */
	char bus_id[64];
	bool debug;		/* one of scsi_debug's */
};

static unsigned long unplugs, trays_gone;

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The nearest device above that has a driver other than SCSI's own. */
static void find_adapter(struct place *place)
{
	char path[192];
	char driver[4096];
	char *slash;

	snprintf(place->host, sizeof(place->host), "%s", place->device);
	while ((slash = strrchr(place->host, '/'))) {
		*slash = '\0';
		snprintf(path, sizeof(path), "%s/driver/unbind", place->host);
		if (access(path, W_OK))
			continue;
		path[strlen(path) - strlen("/unbind")] = '\0';
		if (!realpath(path, driver))
			break;
		snprintf(place->driver, sizeof(place->driver), "%.150s", driver);
		snprintf(place->bus_id, sizeof(place->bus_id), "%.60s", last_part(place->host));
		return;
	}
	place->driver[0] = '\0';
}

static bool find_place(const struct drive *drive, struct place *place)
{
	char path[128];
	char device[4096];

	memset(place, 0, sizeof(*place));
	snprintf(path, sizeof(path), "/sys/class/srlock/%s/device", drive->lock + strlen("/dev/"));
	if (!realpath(path, device))
		return false;
	snprintf(place->device, sizeof(place->device), "%.150s", device);
	snprintf(place->address, sizeof(place->address), "%.60s", last_part(place->device));
	place->debug = strstr(place->device, "/pseudo");
	find_adapter(place);
	return true;
}

static bool write_to(const char *folder, const char *name, const char *text)
{
	char path[320];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return write_text(path, text);
}

static void rescan_all(void)
{
	glob_t hosts = { 0 };

	glob("/sys/class/scsi_host/host*/scan", 0, NULL, &hosts);
	for (size_t i = 0; i < hosts.gl_pathc; i++)
		write_text(hosts.gl_pathv[i], "- - -");
	globfree(&hosts);
}

/* A way to unplug, and the way back. */
struct way {
	const char *name;
	bool (*can)(const struct place *place);
	bool (*away)(const struct place *place);
	void (*back)(const struct place *place);
	bool goes;	/* the lock goes, too */
	/*
	 * Nobody may have the disk open: when sr is bound while the disk before that is
	 * on its way out, the block layer (6.1) may fail for good, srlock or not.
	 */
	bool closed;
};

static bool always(const struct place *place)
{
	(void)place;
	return true;
}

static bool is_debug(const struct place *place)
{
	return place->debug;
}

static bool has_adapter(const struct place *place)
{
	return !place->debug && place->driver[0];
}

static bool delete_device(const struct place *place)
{
	return write_to(place->device, "delete", "1");
}

static void scan_again(const struct place *place)
{
	(void)place;
	rescan_all();
}

static bool remove_host(const struct place *place)
{
	(void)place;
	return write_text(SCSI_DEBUG, "-1");
}

static void add_host(const struct place *place)
{
	(void)place;
	write_text(SCSI_DEBUG, "1");
}

static bool unbind_sr(const struct place *place)
{
	bool done = write_text("/sys/bus/scsi/drivers/sr/unbind", place->address);

	if (done)
		note_unbound(place->address);
	return done;
}

/* As long as somebody has the old disk open, a new one cannot be had. */
static void bind_sr(const struct place *place)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/driver", place->device);
	for (int i = 0; i < 100 && access(path, F_OK); i++) {
		if (write_text("/sys/bus/scsi/drivers/sr/bind", place->address))
			break;
		usleep(100000);
	}
}

static bool unbind_and_bind(const struct place *place)
{
	bool done = unbind_sr(place);

	write_text("/sys/bus/scsi/drivers/sr/bind", place->address);
	return done;
}

static bool unbind_adapter(const struct place *place)
{
	return write_to(place->driver, "unbind", place->bus_id);
}

static void bind_adapter(const struct place *place)
{
	write_to(place->driver, "bind", place->bus_id);
}

enum { WAYS = 5 };

static const struct way ways[WAYS] = {
	{ "host removed", is_debug, remove_host, add_host, true, false },
	{ "deleted", always, delete_device, scan_again, true, false },
	{ "adapter unbound", has_adapter, unbind_adapter, bind_adapter, true, false },
	{ "sr unbound", always, unbind_sr, bind_sr, false, false },
	{ "sr unbound and bound", always, unbind_and_bind, bind_sr, false, true },
};

static unsigned long tally[WAYS];

static const struct way *choose(const struct place *place)
{
	for (;;) {
		int i = random_below(WAYS);

		if (!ways[i].can(place))
			continue;
		/* the slow one is not chosen as often */
		if (ways[i].can == has_adapter && random_below(4))
			continue;
		tally[i]++;
		return &ways[i];
	}
}

static void reap_all(const pid_t *pids, int count)
{
	for (int i = 0; i < count; i++) {
		if (!actor_reap(pids[i], NULL)) {
			verdict.stuck++;
			kill(-pids[i], SIGKILL);
		}
	}
	reap_orphans();
}

/* It has come back when there is a lock that is complete; find out which. */
static bool wait_for_drives(struct drive *drives, int count)
{
	__u64 end = now_ns() + STUCK_S * (__u64)SECOND_NS;

	for (;;) {
		if (find_drives(drives, MAX_DRIVES) == count)
			return true;
		if (now_ns() > end)
			return false;
		usleep(5000);
	}
}

/* Returns the stage that it has hit. */
static const char *unplug(const struct drive *drive, const struct way *way,
			  const struct place *place, __u64 duration, __u64 *began)
{
	const char *stage;
	char state[32];
	char what[64];

	sleep_until(now_ns() + random_below(duration));
	stage = stage_names[shared->actors[0].stage];
	hit_note(stage);
	snprintf(what, sizeof(what), "[%s]", state_of(drive, state, sizeof(state)));
	hit_note(what);
	*began = now_ns();
	if (way->away(place))
		unplugs++;
	return stage;
}

static void round_of(const struct drive *drive, struct drive *drives, int found, __u64 duration)
{
	pid_t pids[VICTIMS + 1];
	const struct way *way;
	struct place place;
	const char *stage;
	__u64 began;
	int count;

	if (!find_place(drive, &place))
		return;
	way = choose(&place);
	count = 1 + random_below(VICTIMS);
	for (int i = 0; i < count; i++) {
		enum role role = i || way->closed ? ROLE_WAITER : random_below(ROLE_WAITER);

		pids[i] = actor_start(&shared->actors[i * FAMILY], role, drive);
	}
	for (int i = 0; i < count; i++)
		if (!actor_wait(&shared->actors[i * FAMILY], 1))
			verdict.stuck++;
	if (!way->closed)
		pids[count++] = actor_start(&shared->actors[STRANGER], ROLE_STRANGER, drive);
	stage = unplug(drive, way, &place, way->closed ? duration / 4 : duration,
		       &began);
	shared->stop = true;
	reap_all(pids, count);
	shared->stop = false;
	if (way->goes) {
		if (look_gone()) {
			printf("    # %s %s at %llu.%06llu, at %s: the tray stays locked\n",
			       place.address, way->name, began / SECOND_NS,
			       began % SECOND_NS / 1000, stage);
			print_witness();
			trays_gone++;
		}
		note_gone(place.address);
	}
	way->back(&place);
	forget_trays();
	if (wait_for_drives(drives, found)) {
		for (int i = 0; i < found; i++)
			clean(&drives[i]);
	} else {
		printf("    # %s at %s: it does not come back\n", way->name, stage);
		print_witness();
		verdict.held++;
	}
	actors_collect(shared->actors, ACTORS);
}

static void report_ways(void)
{
	printf("    # unplugged:");
	for (int i = 0; i < WAYS; i++)
		printf(" %s %lu%s", ways[i].name, tally[i], i + 1 < WAYS ? "," : "");
	printf("\n");
}

int phase_unplug(unsigned long count)
{
	struct drive drives[MAX_DRIVES];
	int found = find_drives(drives, MAX_DRIVES);
	__u64 durations[MAX_DRIVES];
	int fast;

	tap_scope("unplug");
	tap_true("drives with a lock", found > 0);
	clean_baseline(drives, found);
	for (int i = 0; i < found; i++)
		durations[i] = actor_duration(ROLE_HOLDER, &drives[i]);
	for (int i = 0; i < found; i++)
		clean(&drives[i]);
	shared->unplug = true;
	for (unsigned long i = 0; found && i < 4 * count && unplugs < count; i++) {
		/* a port of ATA takes half a second to find its drive again */
		fast = random_below(found);
		if (verdict.stuck > 2 || verdict.held > 2)
			break;
		round_of(&drives[fast], drives, found, durations[fast]);
	}
	printf("    # count unplugs=%lu\n", unplugs);
	report_ways();
	hits_print("unplugged at, and what the lock said");
	verdict_report();
	tap_true("as many as asked for", unplugs >= count);
	tap_equal("trays of drives taken away in order that stay locked", trays_gone, 0);
	return tap_end();
}
