// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Drives and the module come and go, with faults; see attach.h
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "drives.h"
#include "lock.h"
#include "log.h"
#include "scsi.h"
#include "stranger.h"
#include "tap.h"

/*
 * What happens before the module gets its turn is not of interest and may be a
 * thousand allocations: these steps are made until the first fault in it, or until
 * so many are left. After the last one in it the sweep goes on for a while.
 */
enum { STEP = 16, END = 64, AFTER = 8 };
enum { MAX_FAULTS = 100000, MAX_DRIVES = 8, NOTIFY_MS = 1000, PER_DRIVE = 8 };

static char address[ADDRESS_SIZE];
static struct module_file srlock, sr_mod;

/* One round of a sweep. */
struct round {
	unsigned int nth;
	enum inject_mode mode;
	/* out: how many more it would have taken; some of those that failed were the module's */
	unsigned int left;
	bool ours;
	const char *wrong;
};

typedef void round_fn(struct round *round);

static void begin(const struct round *round)
{
	log_take();
	inject_arm(round->nth, round->mode);
}

static void end(struct round *round)
{
	round->left = inject_disarm();
	round->ours = log_take().ours;
}

/* What is swept, and whether the module itself has something that can fail in it. */
struct part {
	const char *name;
	round_fn *try;
	bool ours;
};

/* At once, as the rest may take a while. */
static void tell(const char *name, const struct round *round)
{
	printf("    # %s: after fault %u: %s\n", name, round->nth, round->wrong);
}

static void judge(const struct part *part, int faults, int ours, int bad)
{
	char text[128];

	printf("    # %s: %d faults, %d of them in the module\n", part->name, faults, ours);
	snprintf(text, sizeof(text), "%s: right after each fault", part->name);
	tap_equal(text, bad, 0);
	snprintf(text, sizeof(text), "%s: something failed", part->name);
	tap_true(text, part->ours ? ours > 0 : faults > 0);
}

static void sweep(const struct part *part)
{
	struct round count = { .nth = MAX_FAULTS };
	int faults = 0, ours = 0, bad = 0, after = 0, step = STEP;
	unsigned int nth = 1;

	/* The first time there are more, for what is kept. */
	part->try(&count);
	part->try(&count);
	while (nth < MAX_FAULTS && after < AFTER) {
		struct round round = { .nth = nth };

		/* The last ones, and those in the module, one by one. */
		if (step > 1 && nth + END + count.left >= MAX_FAULTS)
			step = 1;
		part->try(&round);
		if (round.wrong && !bad++)
			tell(part->name, &round);
		if (step > 1 && round.ours) {
			nth = nth > STEP ? nth - STEP + 1 : 1;
			step = 1;
			continue;
		}
		if (round.left)
			break;
		faults++;
		ours += round.ours;
		after = round.ours || !ours ? 0 : after + 1;
		nth += step;
	}
	judge(part, faults, ours, bad);
}

/* --- the works of a first acquire and a final release --------------------- */

/* A drive that the module has never held. */
static const char *renew(struct drive *drive)
{
	if (scsi_exists(address) && scsi_delete(address))
		return "the drive cannot be deleted";
	if (scsi_exists(address))
		return "the deleted drive stays";
	if (scsi_scan(address))
		return "the drive cannot be scanned";
	return scsi_drive(address, drive) ? NULL : "the drive is not back with all its nodes";
}

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

static void acquire_and_release(struct round *round)
{
	struct log_seen seen;
	struct drive drive;
	int lock, state, ret;

	/* What is made once for each drive is among the first. */
	if (round->nth <= PER_DRIVE)
		round->wrong = renew(&drive);
	else if (!scsi_drive(address, &drive))
		round->wrong = "the nodes are not there";
	if (round->wrong)
		return;
	lock = lock_open(&drive);
	state = open_state(&drive);
	log_take();

	inject_arm_works(round->nth, round->mode);
	ret = lock_acquire(lock, false);
	wait_for_notification(state);
	inject_disarm_works();
	seen = log_take();
	round->wrong = judge_acquire(&drive, lock, ret);

	inject_arm_works(round->nth, round->mode);
	if (!ret && lock_release(lock) && !round->wrong)
		round->wrong = "RELEASE fails";
	wait_for_notification(state);
	inject_disarm_works();
	close(state);
	close(lock);
	round->ours = seen.in_works + log_take().in_works;
	if (!round->wrong)
		round->wrong = lock_is_free(&drive);
	if (!round->wrong)
		round->wrong = lock_works(&drive);
}

/* Which worker runs what is chance, so some rounds in which nothing failed are made. */
static void test_works(enum inject_mode mode)
{
	const char *name = mode == INJECT_ONE ? "the works" : "the works, all from there on";
	int ours = 0, bad = 0, quiet = 0;
	unsigned int nth;

	for (nth = 1; quiet < 5 && nth < MAX_FAULTS; nth++) {
		struct round round = { .nth = nth, .mode = mode };

		acquire_and_release(&round);
		ours += round.ours;
		quiet = round.ours ? 0 : quiet + 1;
		if (round.wrong && !bad++)
			tell(name, &round);
		if (mode == INJECT_ALL_FROM && nth == PER_DRIVE)
			break;
	}
	printf("    # %s: %u rounds, %d faults in the module's works\n", name, nth - 1, ours);
	tap_equal(mode == INJECT_ONE ? "the works: right after each fault" :
		  "the works, all from there on: right after each fault", bad, 0);
	if (mode == INJECT_ONE)
		tap_true("the works: the module met some", ours > 0);
}

/* --- a drive appears and goes --------------------------------------------- */

static void drive_appears(struct round *round)
{
	struct drive drive;
	int file;

	if (scsi_exists(address) && scsi_delete(address))
		round->wrong = "the drive cannot be deleted";
	file = scsi_open(address, "scan");
	begin(round);
	scsi_write(file, "0 0 0");
	end(round);
	close(file);
	/* With its lock all is well; without, with or without nodes, it can be had again. */
	if (!round->wrong && !scsi_drive(address, &drive))
		round->wrong = renew(&drive);
	if (!round->wrong)
		round->wrong = lock_works(&drive);
}

static const char *judge_gone(int lock)
{
	int ret = lock_release(lock);

	if (ret != -ENODEV)
		return "RELEASE of a drive that is gone is not ENODEV";
	return NULL;
}

static void held_drive_goes(struct round *round)
{
	struct drive drive;
	int file, lock;

	round->wrong = renew(&drive);
	if (round->wrong)
		return;
	lock = lock_open(&drive);
	file = scsi_open(address, "delete");
	if (lock_acquire(lock, false))
		round->wrong = "ACQUIRE fails";
	begin(round);
	scsi_write(file, "1");
	end(round);
	close(file);
	for (int i = 0; i < 100 && scsi_exists(address); i++)
		usleep(50000);
	/* The write itself may have failed; then it is as it was. */
	if (scsi_exists(address) && !round->wrong)
		round->wrong = lock_is_held(&drive, lock, 1);
	else if (!round->wrong)
		round->wrong = judge_gone(lock);
	close(lock);
	if (!round->wrong)
		round->wrong = renew(&drive);
	if (!round->wrong)
		round->wrong = lock_works(&drive);
}

/* --- sr comes and goes, which the bus tells of ----------------------------- */

/* Without sr the drive has no node of a block device to try. */
static const char *judge_bound(const struct drive *drive, int lock)
{
	struct drive now;

	if (!scsi_is_bound(address))
		return lock_count(lock) == 1 ? NULL : "the count is wrong without sr";
	/* The minor number may be another one than before. */
	now = *drive;
	if (!scsi_drive(address, &now))
		return "the nodes are not there";
	if (stranger_try(&now, STRANGER_READ, 0).ret >= 0)
		return "a stranger can read a disc that is held";
	return lock_is_held(&now, lock, 1);
}

static const char *bind_again(struct drive *drive)
{
	int ret = 0;

	if (!scsi_is_bound(address))
		ret = scsi_bind(address);
	if (ret)
		return "sr cannot be bound again";
	return scsi_drive(address, drive) ? NULL : "the nodes are not back";
}

static void write_armed(struct round *round, const char *what)
{
	int file = scsi_open(address, what);

	begin(round);
	scsi_write(file, address);
	end(round);
	close(file);
}

static const char *bind_free(struct round *round, const char *what)
{
	struct drive drive;
	const char *wrong = bind_again(&drive);

	if (!wrong && !strcmp(what, "bind") && scsi_unbind(address))
		wrong = "sr cannot be unbound";
	write_armed(round, what);
	if (!wrong)
		wrong = bind_again(&drive);
	return wrong ? wrong : lock_works(&drive);
}

static const char *bind_held(struct round *round, const char *what)
{
	struct drive drive;
	const char *wrong = bind_again(&drive);
	int lock;

	if (wrong)
		return wrong;
	lock = lock_open(&drive);
	if (lock_acquire(lock, false))
		wrong = "ACQUIRE fails";
	if (!wrong && !strcmp(what, "bind") && scsi_unbind(address))
		wrong = "sr cannot be unbound";
	write_armed(round, what);
	if (!wrong)
		wrong = judge_bound(&drive, lock);
	/* and as it is held still, binding it makes it the holder's again */
	if (!wrong)
		wrong = bind_again(&drive);
	if (!wrong)
		wrong = lock_is_held(&drive, lock, 1);
	if (!wrong && lock_release(lock))
		wrong = "RELEASE fails";
	close(lock);
	if (!wrong)
		wrong = lock_is_free(&drive);
	return wrong ? wrong : lock_works(&drive);
}

static void bind_while_free(struct round *round)
{
	round->wrong = bind_free(round, "bind");
}

static void unbind_while_free(struct round *round)
{
	round->wrong = bind_free(round, "unbind");
}

static void bind_while_held(struct round *round)
{
	round->wrong = bind_held(round, "bind");
}

static void unbind_while_held(struct round *round)
{
	round->wrong = bind_held(round, "unbind");
}

/* --- another sr, whose operations have to be copied during a hold ---------- */

/* A disk that could not be gated is out of the holder's reach, too. */
static const char *judge_ungated(const struct drive *drive, int lock)
{
	if (lock_count(lock) != 1)
		return "the count is wrong";
	if (stranger_try(drive, STRANGER_SG_IO, 0).ret >= 0 &&
	    stranger_try(drive, STRANGER_SG_IO, 0).ret != 0x18)
		return "a stranger's command gets through";
	if (stranger_try(drive, STRANGER_READ, 0).ret >= 0)
		return "a stranger can read a disc that is held";
	return NULL;
}

/* Loaded so that no drive is bound by that. */
static const char *load_sr(void)
{
	const char *wrong = NULL;

	if (module_unload("sr_mod"))
		return "sr cannot be unloaded";
	if (!scsi_set_autoprobe(false) || module_load(&sr_mod))
		wrong = "sr cannot be loaded";
	if (!scsi_set_autoprobe(true))
		wrong = "drivers are not probed automatically again";
	return wrong;
}

static void bind_another_while_held(struct round *round)
{
	struct drive drive, now;
	int lock;

	round->wrong = renew(&drive);
	if (round->wrong)
		return;
	lock = lock_open(&drive);
	if (lock_acquire(lock, false))
		round->wrong = "ACQUIRE fails";
	if (!round->wrong && scsi_unbind(address))
		round->wrong = "sr cannot be unbound";
	if (!round->wrong)
		round->wrong = load_sr();
	write_armed(round, "bind");
	scsi_bind_all();
	if (!round->wrong)
		round->wrong = scsi_drive(address, &now) ? judge_ungated(&now, lock) :
			       "the nodes are not there";
	if (!round->wrong && lock_release(lock))
		round->wrong = "RELEASE fails";
	close(lock);
	if (!round->wrong)
		round->wrong = lock_is_free(&now);
	if (!round->wrong)
		round->wrong = lock_works(&now);
}

/* --- the module comes and goes --------------------------------------------- */

/* Those that have a lock, all of them working. */
static const char *judge_drives(int least)
{
	struct drive drives[MAX_DRIVES];
	int count = find_drives(drives, MAX_DRIVES);

	if (count < least)
		return "a drive has no lock";
	for (int i = 0; i < count; i++) {
		const char *wrong;

		/* devtmpfs makes no node for a device whose name it has no memory for */
		if (!least && access(drives[i].lock, F_OK))
			continue;
		wrong = lock_works(&drives[i]);
		if (wrong)
			return wrong;
	}
	return NULL;
}

static const char *judge_no_module(void)
{
	if (module_is_there("srlock"))
		return "the module is still there";
	if (!access("/sys/class/srlock", F_OK))
		return "the class is still there";
	if (scsi_has_lock(address))
		return "a drive still has a lock";
	return NULL;
}

static int drives_in_all;

static const char *load_again(void)
{
	if (!module_is_there("srlock") && module_load(&srlock))
		return "the module cannot be loaded";
	return judge_drives(drives_in_all);
}

static void module_loads(struct round *round)
{
	int ret;

	if (module_is_there("srlock") && module_unload("srlock")) {
		round->wrong = "the module cannot be unloaded";
		return;
	}
	begin(round);
	ret = module_load(&srlock);
	end(round);
	if (ret && ret != -ENOMEM && ret != -EFAULT)
		round->wrong = "the errno is wrong";
	else if (ret)
		round->wrong = judge_no_module();
	else
		round->wrong = judge_drives(0);
	/* What did not get a lock gets one when the module is loaded again. */
	if (!round->wrong && round->ours) {
		if (!ret && module_unload("srlock"))
			round->wrong = "the module cannot be unloaded";
		if (!round->wrong)
			round->wrong = judge_no_module();
		if (!round->wrong)
			round->wrong = load_again();
	}
}

static void module_unloads(struct round *round)
{
	int ret;

	round->wrong = load_again();
	if (round->wrong)
		return;
	begin(round);
	ret = module_unload("srlock");
	end(round);
	if (ret != module_is_there("srlock"))
		round->wrong = ret ? NULL : "the module is still there";
	if (!round->wrong && !ret)
		round->wrong = judge_no_module();
	if (!round->wrong)
		round->wrong = load_again();
}

static const struct part parts[] = {
	{ "sr is bound", bind_while_free, false },
	{ "sr is unbound", unbind_while_free, false },
	{ "sr is bound during a hold", bind_while_held, true },
	{ "sr is unbound during a hold", unbind_while_held, false },
	{ "another sr is bound during a hold", bind_another_while_held, true },
	{ "a drive appears", drive_appears, true },
	{ "a drive goes during a hold", held_drive_goes, true },
	{ "the module is loaded", module_loads, true },
	{ "the module is unloaded", module_unloads, true },
	{ NULL, NULL, false }
};

void test_attach(const char *ko, const char *sr, const char *only)
{
	struct drive drives[MAX_DRIVES];
	struct drive drive;

	drives_in_all = find_drives(drives, MAX_DRIVES);
	tap_scope("drives and modules");
	tap_true("a drive of scsi_debug", scsi_find(address));
	tap_true("the modules can be read", module_read(&srlock, ko, "srlock") &&
		 module_read(&sr_mod, sr, "sr_mod"));
	if (!only || strstr("works", only)) {
		test_works(INJECT_ONE);
		test_works(INJECT_ALL_FROM);
	}
	for (const struct part *part = parts; part->name; part++)
		if (!only || strstr(part->name, only))
			sweep(part);
	tap_true("the module is there", !load_again());
	tap_true("a drive is there", !renew(&drive));
}
