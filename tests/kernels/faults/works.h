/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the module's works do: a first acquire, a final release, telling of them
 */
#ifndef WORKS_H
#define WORKS_H

/* Of the drive at that address. */
void test_works(const char *address);

#endif
