// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Results in TAP, as a subtest of the script that runs the program; see tap.h
 */
#include <stdarg.h>
#include <stdio.h>

#include "tap.h"

static char scope[64];
static int number;
static int failed;

void tap_scope(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(scope, sizeof(scope), format, args);
	va_end(args);
}

static void result(const char *name, bool holds)
{
	number++;
	failed += !holds;
	printf("    %sok %d - %s: %s\n", holds ? "" : "not ", number, scope, name);
}

void tap_equal(const char *name, long got, long wanted)
{
	result(name, got == wanted);
	if (got != wanted)
		printf("    # got %ld, wanted %ld\n", got, wanted);
}

void tap_true(const char *name, bool holds)
{
	result(name, holds);
}

void tap_skip(const char *name, const char *why)
{
	number++;
	printf("    ok %d - %s: %s # SKIP %s\n", number, scope, name, why);
}

int tap_end(void)
{
	printf("    1..%d\n", number);
	return failed != 0;
}
