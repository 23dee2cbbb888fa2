/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sr comes and goes, with faults; and another sr
 */
#ifndef BIND_H
#define BIND_H

/*
 * sr, unneeded: the files of sr's module and of one that nobody needs; only: a word of
 * what is to be tested, or NULL
 */
void test_bind(const char *address, const char *sr, const char *unneeded, const char *only);

#endif
