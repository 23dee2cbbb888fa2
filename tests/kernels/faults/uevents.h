/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What udev is told of a drive
 */
#ifndef UEVENTS_H
#define UEVENTS_H

#include <stdbool.h>

#include "drives.h"

/* The lock's two states, and that there may be another disc. */
enum uevent { UEVENT_HELD, UEVENT_FREE, UEVENT_DISC };

/* Those that the socket had no memory for, upon which it said that it lost one. */
extern unsigned int uevents_lost;

/* What comes between the two has to be read, the socket does not hold much. */
bool uevents_start(void);
void uevents_stop(void);
/* All there is, of whatever. */
void uevents_forget(void);
/* NULL if just these come within a few seconds, in this order; else what is wrong. */
const char *uevents_want(const struct drive *drive, const enum uevent *wanted, int count);
/* What sr itself says of the disc at an open. NULL, or what else has come. */
const char *uevents_skip_discs(const struct drive *drive);

#endif
