// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Drives and the module come and go, with faults; see attach.h
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "drives.h"
#include "leaks.h"
#include "lock.h"
#include "modules.h"
#include "scsi.h"
#include "sites.h"
#include "sweep.h"
#include "tap.h"

enum { MAX_DRIVES = 8 };

static struct module_file srlock;

/* --- a drive appears and goes --------------------------------------------- */

static void drive_appears(struct round *round)
{
	struct drive drive;
	int file;

	if (scsi_exists(round->address) && scsi_delete(round->address))
		round->wrong = "the drive cannot be deleted";
	file = scsi_open(round->address, "scan");
	sweep_begin(round);
	scsi_write(file, "0 0 0");
	sweep_end(round);
	close(file);
	/* With its lock all is well; without, with or without nodes, it can be had again. */
	if (!round->wrong && !scsi_drive(round->address, &drive))
		round->wrong = scsi_renew(round->address, &drive);
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

	round->wrong = scsi_renew(round->address, &drive);
	if (round->wrong)
		return;
	lock = lock_open(&drive);
	file = scsi_open(round->address, "delete");
	if (lock_acquire(lock, false))
		round->wrong = "ACQUIRE fails";
	sweep_begin(round);
	scsi_write(file, "1");
	sweep_end(round);
	close(file);
	for (int i = 0; i < 100 && scsi_exists(round->address); i++)
		usleep(50000);
	/* The write itself may have failed; then it is as it was. */
	if (scsi_exists(round->address) && !round->wrong)
		round->wrong = lock_is_held(&drive, lock, 1);
	else if (!round->wrong)
		round->wrong = judge_gone(lock);
	close(lock);
	if (!round->wrong)
		round->wrong = scsi_renew(round->address, &drive);
	if (!round->wrong)
		round->wrong = lock_works(&drive);
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

static const char *judge_no_module(const char *address)
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
	sweep_begin(round);
	ret = module_load(&srlock);
	sweep_end(round);
	if (ret && ret != -ENOMEM && ret != -EFAULT)
		round->wrong = "the errno is wrong";
	else if (ret)
		round->wrong = judge_no_module(round->address);
	else
		round->wrong = judge_drives(0);
	/* What did not get a lock gets one when the module is loaded again. */
	if (!round->wrong && round->ours) {
		if (!ret && module_unload("srlock"))
			round->wrong = "the module cannot be unloaded";
		if (!round->wrong)
			round->wrong = judge_no_module(round->address);
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
	sweep_begin(round);
	ret = module_unload("srlock");
	sweep_end(round);
	if (ret != module_is_there("srlock"))
		round->wrong = ret ? NULL : "the module is still there";
	if (!round->wrong && !ret)
		round->wrong = judge_no_module(round->address);
	if (!round->wrong)
		round->wrong = load_again();
}

static const struct part parts[] = {
	{ "a drive appears", drive_appears, FIRST_OF_OURS, NULL },
	{ "a drive goes during a hold", held_drive_goes, SOMETHING_OF_OURS, NULL },
	{ "the module is unloaded", module_unloads, SOMETHING_OF_OURS, NULL },
	{ NULL, NULL, NOTHING_OF_OURS, NULL }
};

/* By itself, as the kernel leaves something behind. */
static const struct part load_parts[] = {
	{ "the module is loaded", module_loads, FIRST_OF_OURS, NULL },
	{ NULL, NULL, NOTHING_OF_OURS, NULL }
};

void test_attach(const char *address, const char *module, const char *only)
{
	struct drive drives[MAX_DRIVES];
	unsigned int failed;

	drives_in_all = find_drives(drives, MAX_DRIVES);
	tap_true("the module can be read", module_read(&srlock, module, "srlock"));
	sweep_all(parts, address, only);
	leaks_judge("before the module is loaded", 0);
	failed = sites_reached_at("__class_register");
	sweep_all(load_parts, address, only);
	tap_true("the module is there", !load_again());
	leaks_judge("after it", sites_reached_at("__class_register") - failed);
}
