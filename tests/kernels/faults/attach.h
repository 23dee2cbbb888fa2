/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Drives and the module come and go, with faults
 */
#ifndef ATTACH_H
#define ATTACH_H

/* module: its file; it is loaded before and after. only: a word of what is to be tested, or NULL */
void test_attach(const char *address, const char *module, const char *only);

#endif
