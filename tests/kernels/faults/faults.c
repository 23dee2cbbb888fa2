// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * faults SITES SRLOCK.ko SR_MOD.ko UIO.ko [PART] - each allocation, and each copy from or to a
 * caller, fails once
 *
 * A call is repeated with its first, second, third allocation failing until it has
 * none left; then again with all from there on failing. Each time it must succeed or
 * give the errno that its manual has for that, its count must be what it was, the
 * drive must be held or free as that count says, and all must work afterwards. The
 * same is done to the module's works, to drives and to the module as they come and go.
 *
 * SITES is the list of the places where the module can fail (`sites` makes it). Each
 * of them must have failed at the end, unless only a PART was tested: `calls`, `works` or a
 * word from the names of what drives and modules do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach.h"
#include "bind.h"
#include "calls.h"
#include "drives.h"
#include "inject.h"
#include "log.h"
#include "scsi.h"
#include "sites.h"
#include "stranger.h"
#include "tap.h"
#include "works.h"

enum { MAX_DRIVES = 8 };

/* The arguments. */
enum { SITES = 1, SRLOCK, SR_MOD, UIO, PART };

int main(int argc, char **argv)
{
	struct drive drives[MAX_DRIVES];
	int count = find_drives(drives, MAX_DRIVES);
	char address[ADDRESS_SIZE] = "";
	const char *only;

	if (argc < PART) {
		fprintf(stderr, "usage: faults SITES SRLOCK.ko SR_MOD.ko UIO.ko [PART]\n");
		return EXIT_FAILURE;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	stranger_start();
	tap_scope("faults");
	tap_true("the list of sites", sites_load(argv[SITES]));
	tap_true("this kernel injects faults", inject_setup());
	tap_true("its log can be read", log_start());
	tap_true("drives with a lock", count > 0);
	only = argv[PART];
	for (int i = 0; (!only || strstr("calls", only)) && i < count; i++) {
		tap_scope("%s", drives[i].lock + strlen("/dev/"));
		test_calls(&drives[i], INJECT_ONE);
		if (!i)
			test_calls(&drives[i], INJECT_ALL_FROM);
		test_strangers(&drives[i]);
	}
	tap_scope("drives and modules");
	tap_true("a drive of scsi_debug", scsi_find(address));
	if (!only || strstr("works", only))
		test_works(address);
	test_bind(address, argv[SR_MOD], argv[UIO], only);
	test_attach(address, argv[SRLOCK], only);
	if (!only) {
		tap_scope("sites");
		sites_judge();
	}
	printf("    # %u faults with a stack, %u in the module, %u of these in its works\n",
	       log_total.faults, log_total.ours, log_total.in_works);
	return tap_end();
}
