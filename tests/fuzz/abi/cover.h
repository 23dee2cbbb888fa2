/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What code of the module a worker's calls run, by KCOV (Documentation/dev-tools/kcov.rst)
 *
 * That is what runs in the calling task. Works, which acquire and release the drive,
 * run elsewhere and are not seen.
 */
#ifndef COVER_H
#define COVER_H

#include "runner.h"

/* Whether this kernel has KCOV. */
bool cover_exists(void);
/* For the calling thread, for as long as it lives. */
void cover_begin(void);
void cover_forget(void);
/* Note what ran since; true if something of it is new. */
bool cover_note(struct shared *shared);
unsigned int cover_count(const struct shared *shared);

#endif
