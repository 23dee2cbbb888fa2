// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * clock.c - the module's clock, CLOCK_MONOTONIC, and how people read it
 */
#include <stdio.h>
#include <time.h>

#include <linux/srlock.h>

#include "tool.h"

#define NS_PER_SECOND	1000000000ULL

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

/** monotonic_ns() - now, on the clock of deadlines and events */
uint64_t monotonic_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/** deadline_after() - the deadline that comes @ns from now; 0: none to wait for */
uint64_t deadline_after(uint64_t ns)
{
	return ns ? monotonic_ns() + ns : 0;
}

/**
 * milliseconds_to() - how long poll() may wait
 * @deadline: the end, SRLOCK_DEADLINE_NONE if there is none
 *
 * Return: -1 without a deadline, 0 when it has come, else up to an hour, as an int
 * cannot hold more than a few weeks.
 */
int milliseconds_to(uint64_t deadline)
{
	uint64_t now = monotonic_ns(), left;

	if (deadline == SRLOCK_DEADLINE_NONE)
		return -1;
	left = deadline > now ? (deadline - now + 999999) / 1000000 : 0;
	return left < 3600000 ? (int)left : 3600000;
}

/** format_span() - a length of time in words, to be freed */
char *format_span(uint64_t ns)
{
	unsigned long long seconds = ns / NS_PER_SECOND;

	if (seconds < 60)
		return format_text("%llus", seconds);
	if (seconds < 60 * 60)
		return format_text("%llum%02llus", seconds / 60, seconds % 60);
	return format_text("%lluh%02llum", seconds / 3600, seconds / 60 % 60);
}

/**
 * format_moment() - a time of the monotonic clock as local time, to be freed
 * @monotonic: the moment
 *
 * ISO 8601 with milliseconds and the offset from UTC. Time asleep between then
 * and now is not in the monotonic clock, so after a suspend it is off by that.
 */
char *format_moment(uint64_t monotonic)
{
	uint64_t then = clock_ns(CLOCK_REALTIME) - (monotonic_ns() - monotonic);
	time_t second = (time_t)(then / NS_PER_SECOND);
	char date[32], zone[8];
	struct tm tm;

	if (!localtime_r(&second, &tm) ||
	    !strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm) ||
	    !strftime(zone, sizeof(zone), "%z", &tm))
		return format_text("?");
	return format_text("%s.%03u%s", date,
			   (unsigned int)(then % NS_PER_SECOND / 1000000), zone);
}
