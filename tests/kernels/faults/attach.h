/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Drives and the module come and go, with faults; and what works do
 */
#ifndef ATTACH_H
#define ATTACH_H

#include "inject.h"

/*
 * ko: the module's file; sr: that of sr; only: a word of what is to be tested, or NULL.
 * The module is loaded before and after.
 */
void test_attach(const char *ko, const char *sr, const char *only);

#endif
