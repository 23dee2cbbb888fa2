/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process that never holds a drive, and does on demand what is to be refused then
 *
 * It is the parent of the one that holds: a child would be the holder's.
 */
#ifndef STRANGER_H
#define STRANGER_H

#include "drives.h"

enum stranger_way {
	STRANGER_OPEN,
	STRANGER_READ,
	STRANGER_SG_IO,
	STRANGER_SG_WRITE,
	STRANGER_BSG,
	STRANGER_WAYS,
};

struct stranger_answer {
	/* the SCSI status, 0, or a negative errno */
	int ret;
	int met;
};

/* Goes on in a child; the parent serves it and exits with its status. */
void stranger_start(void);
/* nth: which of its allocations fails; 0 for none */
struct stranger_answer stranger_try(const struct drive *drive, enum stranger_way way,
				    unsigned int nth);

#endif
