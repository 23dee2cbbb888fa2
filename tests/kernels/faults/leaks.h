/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What kmemleak finds
 */
#ifndef LEAKS_H
#define LEAKS_H

#include <stdbool.h>

/*
 * A result: nothing was left behind since the last time. class_failed: how often the
 * kernel could have left behind the name of a class, which it does; see there.
 */
void leaks_judge(const char *when, unsigned int class_failed);

#endif
