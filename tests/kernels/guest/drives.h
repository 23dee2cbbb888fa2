/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The drives that have a lock, and the nodes that lead to them
 */
#ifndef DRIVES_H
#define DRIVES_H

struct drive {
	char lock[64];
	char sr[64];
	char sg[64];
	char bsg[64];
};

/* How many there are, at most max. */
int find_drives(struct drive *drives, int max);

#endif
