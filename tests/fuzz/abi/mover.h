/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes drives come and go, and answer with errors, until it is told to stop
 */
#ifndef MOVER_H
#define MOVER_H

#include "runner.h"

/* Look which drives there are. */
void mover_look(struct shared *shared);
void mover_run(struct shared *shared, struct random *random);
/* As at the beginning: all drives there and bound, no errors. */
void mover_restore(struct shared *shared, unsigned int drives);

#endif
