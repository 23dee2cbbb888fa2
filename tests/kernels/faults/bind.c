// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * sr comes and goes, which the SCSI bus tells the module of; see bind.h
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bind.h"
#include "lock.h"
#include "modules.h"
#include "scsi.h"
#include "stranger.h"
#include "sweep.h"
#include "tap.h"
#include "ways.h"

/* Of a struct module. */
enum { USUAL_ALIGNMENT = 64 };

static struct module_file sr_mod, other;

/* --- the same sr ----------------------------------------------------------- */

static const char *bind_again(const char *address, struct drive *drive)
{
	if (!scsi_is_bound(address) && scsi_bind(address))
		return "sr cannot be bound again";
	return scsi_drive(address, drive) ? NULL : "the nodes are not back";
}

static void write_armed(struct round *round, const char *what)
{
	int file = scsi_open(round->address, what);

	sweep_begin(round);
	scsi_write(file, round->address);
	sweep_end(round);
	close(file);
}

static const char *bind_free(struct round *round, const char *what)
{
	struct drive drive;
	const char *wrong = bind_again(round->address, &drive);

	if (!wrong && !strcmp(what, "bind") && scsi_unbind(round->address))
		wrong = "sr cannot be unbound";
	write_armed(round, what);
	if (!wrong)
		wrong = bind_again(round->address, &drive);
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

/* A disk that could not be gated: nobody gets to it, not even the holder. */
static const char *judge_ungated(const struct drive *drive, int lock)
{
	int status = stranger_try(drive, STRANGER_SG_IO, 0).ret;

	if (lock_count(lock) != 1)
		return "the count is wrong";
	if (status >= 0 && status != STATUS_RESERVATION_CONFLICT)
		return "a stranger's command gets through";
	if (stranger_try(drive, STRANGER_READ, 0).ret >= 0)
		return "a stranger can read a disc that is held";
	return NULL;
}

/* Without sr the drive has no node of a block device to try. */
static const char *judge_bound(const struct round *round, int lock)
{
	struct drive drive;

	if (!scsi_is_bound(round->address))
		return lock_count(lock) == 1 ? NULL : "the count is wrong without sr";
	/* The minor number may be another one than before. */
	if (!scsi_drive(round->address, &drive))
		return "the nodes are not there";
	if (round->ours)
		return judge_ungated(&drive, lock);
	if (stranger_try(&drive, STRANGER_READ, 0).ret >= 0)
		return "a stranger can read a disc that is held";
	return lock_is_held(&drive, lock, 1);
}

/* It is held still, so binding sr makes it the holder's again. */
static const char *recover(const struct round *round, int lock, struct drive *drive)
{
	const char *wrong = NULL;

	if (round->ours && scsi_is_bound(round->address) && scsi_unbind(round->address))
		wrong = "sr cannot be unbound";
	if (!wrong)
		wrong = bind_again(round->address, drive);
	if (!wrong)
		wrong = lock_is_held(drive, lock, 1);
	if (!wrong && lock_release(lock))
		wrong = "RELEASE fails";
	return wrong;
}

/* prepare: what is done when sr is unbound; NULL if it is not, but is to be. */
static void swept_while_held(struct round *round, const char *(*prepare)(void))
{
	struct drive drive;
	int lock;

	round->wrong = bind_again(round->address, &drive);
	if (round->wrong)
		return;
	lock = lock_open(&drive);
	if (lock_acquire(lock, false))
		round->wrong = "ACQUIRE fails";
	if (!round->wrong && prepare && scsi_unbind(round->address))
		round->wrong = "sr cannot be unbound";
	if (!round->wrong && prepare)
		round->wrong = prepare();
	write_armed(round, prepare ? "bind" : "unbind");
	if (!round->wrong)
		round->wrong = judge_bound(round, lock);
	if (!round->wrong)
		round->wrong = recover(round, lock, &drive);
	close(lock);
	if (!round->wrong)
		round->wrong = lock_is_free(&drive);
	if (!round->wrong)
		round->wrong = lock_works(&drive);
}

static const char *keep_sr(void)
{
	return NULL;
}

static void bind_while_held(struct round *round)
{
	swept_while_held(round, keep_sr);
}

static void unbind_while_held(struct round *round)
{
	swept_while_held(round, NULL);
}

/* --- another sr, whose operations have to be copied during a hold ---------- */

/* Something else goes or comes, so that sr does not find its old place. */
static int shift_modules(void)
{
	return module_is_there(other.name) ? module_unload(other.name) : module_load(&other);
}

/*
 * The module copies operations once for each place that it has met them in, and sr
 * would come back to where it was.
 */
static const char *load_sr_elsewhere(void)
{
	unsigned long before = module_place("sr_mod").constants;

	for (int i = 0; i < 2; i++) {
		if (module_unload("sr_mod"))
			return "sr cannot be unloaded";
		if (shift_modules() || module_load(&sr_mod))
			return "sr cannot be loaded";
		if (before && module_place("sr_mod").constants != before)
			return NULL;
	}
	return "sr comes back to where it was";
}

/* Loaded so that no drive is bound by that. */
static const char *exchange_sr(void)
{
	const char *wrong = "drivers are probed automatically";

	if (scsi_set_autoprobe(false))
		wrong = load_sr_elsewhere();
	if (!scsi_set_autoprobe(true))
		wrong = "drivers are not probed automatically again";
	return wrong;
}

static void bind_another_while_held(struct round *round)
{
	swept_while_held(round, exchange_sr);
	scsi_bind_all();
}

/*
 * --- another sr, in the place of the one before ------------------------------
 *
 * Its operations are where they were, but what they point to is not. No faults.
 */

static const char *reload_sr(const char *address, int alignment, struct drive *drive)
{
	if (module_unload("sr_mod"))
		return "sr cannot be unloaded";
	if (!module_align_struct(&sr_mod, alignment) || module_load(&sr_mod))
		return "sr cannot be loaded";
	return scsi_drive(address, drive) ? NULL : "the nodes are not back";
}

/* Loads such a one; there is room for that between the end of its data and that of a page. */
static const char *load_sr_otherwise(const char *address, struct drive *drive)
{
	struct module_place usual = module_place("sr_mod"), now;
	const char *wrong = NULL;

	for (int alignment = 2 * USUAL_ALIGNMENT; !wrong && alignment <= 4096; alignment *= 2) {
		wrong = reload_sr(address, alignment, drive);
		now = module_place("sr_mod");
		if (!wrong && usual.constants && now.constants == usual.constants &&
		    now.module != usual.module)
			return NULL;
	}
	return wrong ? wrong : "sr cannot be made to lie otherwise";
}

static const char *open_held(const struct drive *drive)
{
	int lock = lock_open(drive);
	const char *wrong = lock_acquire(lock, false) ? "ACQUIRE fails" : NULL;
	int file = open(drive->sr, O_RDONLY | O_NONBLOCK);

	if (!wrong && file < 0)
		wrong = "its holder cannot open the drive";
	if (file >= 0)
		close(file);
	close(lock);
	return wrong ? wrong : lock_is_free(drive);
}

static const char *hold_of_another(const char *address)
{
	struct drive drive;
	const char *wrong = reload_sr(address, USUAL_ALIGNMENT, &drive);
	unsigned long place = module_place("sr_mod").constants;

	if (!wrong)
		wrong = load_sr_otherwise(address, &drive);
	if (!wrong)
		wrong = scsi_renew(address, &drive);
	if (!wrong)
		wrong = lock_works(&drive);
	if (!wrong)
		wrong = reload_sr(address, USUAL_ALIGNMENT, &drive);
	if (!wrong && module_place("sr_mod").constants != place)
		wrong = "sr does not come back to where it was";
	return wrong ? wrong : open_held(&drive);
}

static void test_exchange(const char *address)
{
	const char *wrong = hold_of_another(address);

	if (wrong)
		printf("    # another sr: %s\n", wrong);
	tap_true("another sr in the place of the one before", !wrong);
}

static const struct part parts[] = {
	{ "sr is bound", bind_while_free, NOTHING_OF_OURS, NULL },
	{ "sr is unbound", unbind_while_free, NOTHING_OF_OURS, NULL },
	{ "sr is bound during a hold", bind_while_held, FIRST_OF_OURS, "srlock_fault_module_get" },
	{ "sr is unbound during a hold", unbind_while_held, NOTHING_OF_OURS, NULL },
	{ "another sr is bound during a hold", bind_another_while_held, FIRST_OF_OURS,
	  "kmalloc_trace" },
	{ NULL, NULL, NOTHING_OF_OURS, NULL }
};

void test_bind(const char *address, const char *sr, const char *unneeded, const char *only)
{
	tap_true("the modules can be read", module_read(&sr_mod, sr, "sr_mod") &&
		 module_read(&other, unneeded, "uio"));
	if (!only || strstr("exchange", only))
		test_exchange(address);
	sweep_all(parts, address, only);
}
