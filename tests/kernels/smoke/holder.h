/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process that holds the drive
 *
 * A child, so that its parent is a stranger to the hold; it does what it is
 * asked to and answers with the result, a negative errno if it failed.
 */
#ifndef HOLDER_H
#define HOLDER_H

#include <sys/types.h>

#include "drives.h"

enum request {
	REQUEST_ACQUIRE,		/* the count */
	REQUEST_RELEASE,		/* the count */
	REQUEST_OPEN_EXCLUSIVELY,
	REQUEST_READY_BY_SR,		/* the SCSI status, as all of these */
	REQUEST_READY_BY_LOCK,
	REQUEST_READY_BY_SG,
	REQUEST_READY_BY_CHILD,
	REQUEST_READ,			/* bytes read through the page cache */
};

struct holder {
	pid_t pid;
	int socket;
};

struct holder holder_start(const struct drive *drive);
long holder_ask(const struct holder *holder, enum request request);
/* With a signal, or by closing its socket if that is 0. */
void holder_end(struct holder *holder, int signal);

#endif
