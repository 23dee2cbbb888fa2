/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each call on a lock file, a drive and an attribute, with faults
 */
#ifndef CALLS_H
#define CALLS_H

#include "drives.h"
#include "inject.h"

void test_calls(const struct drive *drive, enum inject_mode mode);
/* What strangers get of a drive that is held. */
void test_strangers(const struct drive *drive);

#endif
