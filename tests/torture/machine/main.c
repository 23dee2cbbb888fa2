// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * torture PHASE COUNT SEED - one phase; its results are TAP
 * torture burn NODE - what `srlock run` runs in the phase "launch"
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "torture.h"

static const struct {
	const char *name;
	int (*run)(unsigned long count);
} phases[] = {
	{ "kill", phase_kill },
	{ "launch", phase_launch },
	{ "unplug", phase_unplug },
	{ "load", phase_load },
	{ "hand-over", phase_hand_over },
	{ "hibernate", phase_hibernate },
	{ }
};

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 3 && !strcmp(argv[1], "burn"))
		return phase_burn(argv[2]);
	if (argc != 4 || !share(true))
		return 2;
	random_seed(strtoull(argv[3], NULL, 0));
	/* a family's orphans are reaped here */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	for (int i = 0; phases[i].name; i++)
		if (!strcmp(argv[1], phases[i].name))
			return phases[i].run(strtoul(argv[2], NULL, 0));
	return 2;
}
