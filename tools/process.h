/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * process.h - a command run under a hold
 */
#ifndef SRLOCK_PROCESS_H
#define SRLOCK_PROCESS_H

#include "hold.h"

int process_run(struct hold *hold, char **command, bool *leftover);

#endif
