// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The kernel's uevents; see uevents.h
 */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "uevents.h"

/* The module tries again four times a second; what was lost is lost. */
enum { WAIT_MS = 5000, WAIT_LOST_MS = 1500, KERNEL_GROUP = 1, MESSAGE_SIZE = 8192 };

/* What comes besides the drive's own. */
enum { NOTHING = -1, LOST = -2 };

unsigned int uevents_lost;

static int listener = -1;
static unsigned int drops_seen;

bool uevents_start(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP };

	listener = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			  NETLINK_KOBJECT_UEVENT);
	return listener >= 0 &&
	       !bind(listener, (struct sockaddr *)&address, sizeof(address));
}

void uevents_stop(void)
{
	close(listener);
	listener = -1;
}

/*
 * How many the socket has lost so far. ENOBUFS is no measure: it is said once, and not
 * again before the socket was found empty after something had been received.
 */
static unsigned int drops(void)
{
	__u32 memory[SK_MEMINFO_VARS] = { 0 };
	socklen_t size = sizeof(memory);

	if (getsockopt(listener, SOL_SOCKET, SO_MEMINFO, memory, &size))
		perror("SO_MEMINFO");
	return memory[SK_MEMINFO_DROPS];
}

static unsigned int newly_lost(void)
{
	unsigned int now = drops(), count = now - drops_seen;

	drops_seen = now;
	uevents_lost += count;
	return count;
}

static long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* "ACTION@DEVPATH", then "KEY=VALUE", each with a 0 at its end */
static bool has(const char *message, ssize_t length, const char *line)
{
	const char *end = message + length;

	for (; message < end; message += strlen(message) + 1)
		if (!strcmp(message, line))
			return true;
	return false;
}

static bool is_change_of(const char *message, const char *node)
{
	const char *name = strrchr(message, '/');

	return !strncmp(message, "change@", strlen("change@")) && name &&
	       !strcmp(name, node + strlen("/dev"));
}

static int kind_of(const struct drive *drive, const char *message, ssize_t length)
{
	bool of_lock = is_change_of(message, drive->lock);

	if (of_lock && has(message, length, "SRLOCK_STATE=held"))
		return UEVENT_HELD;
	if (of_lock && has(message, length, "SRLOCK_STATE=free"))
		return UEVENT_FREE;
	if (is_change_of(message, drive->sr) && has(message, length, "DISK_MEDIA_CHANGE=1"))
		return UEVENT_DISC;
	return NOTHING;
}

/* The next of the drive, or that one was lost. */
static int next(const struct drive *drive, long long until)
{
	struct pollfd poller = { .fd = listener, .events = POLLIN };
	char message[MESSAGE_SIZE];

	for (;;) {
		ssize_t length = recv(listener, message, sizeof(message) - 1, 0);
		int kind = NOTHING;
		long long left;

		if (length >= 0) {
			message[length] = '\0';
			kind = kind_of(drive, message, length);
		} else if (errno == ENOBUFS) {
			kind = LOST;
		}
		if (kind != NOTHING)
			return kind;
		left = until - now_ms();
		if (length < 0 && (left <= 0 || poll(&poller, 1, left) <= 0))
			return NOTHING;
	}
}

const char *uevents_want(const struct drive *drive, const enum uevent *wanted, int count)
{
	long long until = now_ms() + WAIT_MS;
	int told = 0, lost = 0;

	while (told < count) {
		int kind = next(drive, until);
		unsigned int more = newly_lost();

		if (more) {
			lost += more;
			until = now_ms() + WAIT_LOST_MS;
		}
		if (kind == NOTHING && !more)
			break;
		if (kind < 0)
			continue;
		for (; told < count && (int)wanted[told] != kind && lost; lost--)
			told++;
		if (told == count || (int)wanted[told] != kind)
			return "udev is told of something else";
		told++;
	}
	if (told + lost < count)
		return wanted[told] == UEVENT_DISC ? "udev is not told of the disc" :
		       "udev is not told of the state";
	return next(drive, 0) >= 0 ? "udev is told of too much" : NULL;
}

void uevents_forget(void)
{
	char message[MESSAGE_SIZE];

	while (recv(listener, message, sizeof(message), 0) >= 0 || errno == ENOBUFS)
		;
	drops_seen = drops();
}

const char *uevents_skip_discs(const struct drive *drive)
{
	int kind;

	do
		kind = next(drive, 0);
	while (kind == UEVENT_DISC || kind == LOST);
	return kind == NOTHING ? NULL : "udev is told of a state that is none";
}
