// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cmd_wait.c - srlock wait: wait until nobody holds a drive
 *
 * By poll() on the lock node where that may be opened, which also minds the
 * queue; otherwise on the attribute "state", which everybody may read.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "explain.h"
#include "lock.h"
#include "tool.h"

struct options {
	bool given;
	uint64_t wait_ns;
	bool quiet;
};

static int still_held(const struct drive *drive)
{
	struct lock_status status;
	char *holder;

	if (!lock_status_read(drive, &status) || !*status.client)
		return fail(EXIT_CONFLICT, "%s is still busy", drive->label);
	holder = explain_holder(&status);
	say("%s is still held by %s", drive->label, holder);
	free(holder);
	return EXIT_CONFLICT;
}

static int poll_until(struct pollfd *slot, uint64_t deadline)
{
	int ready;

	do
		ready = poll(slot, 1, milliseconds_to(deadline));
	while (ready < 0 && errno == EINTR);
	return ready;
}

/* An hour's poll may end before the deadline does, hence the loops. */
static int wait_on_node(const struct drive *drive, int fd, uint64_t deadline)
{
	struct pollfd slot = { .fd = fd, .events = POLLOUT };

	while (poll_until(&slot, deadline) == 0)
		if (!milliseconds_to(deadline))
			return EXIT_CONFLICT;
	if (slot.revents & (POLLHUP | POLLNVAL))
		return explain_open(drive, ENODEV);
	return 0;
}

static int read_state(int fd, char *state, size_t size)
{
	ssize_t got = pread(fd, state, size - 1, 0);

	if (got < 0)
		return -errno;
	state[got] = '\0';
	return 0;
}

static int wait_on_attribute(const struct drive *drive, int fd, uint64_t deadline)
{
	struct pollfd slot = { .fd = fd, .events = POLLPRI };
	char state[16];

	for (;;) {
		if (read_state(fd, state, sizeof(state)) || !strncmp(state, "gone", 4))
			return explain_open(drive, ENODEV);
		if (!strncmp(state, "free", 4))
			return 0;
		if (!poll_until(&slot, deadline) && !milliseconds_to(deadline))
			return EXIT_CONFLICT;
	}
}

static int wait_unprivileged(const struct drive *drive, uint64_t deadline)
{
	char *path = format_text("%s/state", drive->lock_path);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int status;

	free(path);
	if (fd < 0)
		return explain_open(drive, errno == ENOENT ? ENODEV : errno);
	status = wait_on_attribute(drive, fd, deadline);
	close(fd);
	return status;
}

static int wait_for(const struct options *options, const struct drive *drive, uint64_t deadline)
{
	int fd = lock_open(drive, O_RDONLY), status;

	if (fd >= 0) {
		status = wait_on_node(drive, fd, deadline);
		close(fd);
	} else if (fd == -EACCES || fd == -EPERM) {
		status = wait_unprivileged(drive, deadline);
	} else {
		status = explain_open(drive, -fd);
	}
	if (status == EXIT_CONFLICT && !options->quiet)
		still_held(drive);
	return status;
}

static int option_wait(const struct verb *verb, struct options *options, int option)
{
	if (options->given)
		return usage_error(verb, "-n and -w exclude each other and stand once only");
	options->given = true;
	options->wait_ns = 0;
	if (option == 'w' && !parse_seconds(optarg, &options->wait_ns))
		return usage_error(verb, "'%s' is not a time in seconds", optarg);
	return 0;
}

static int parse(const struct verb *verb, int argc, char **argv, struct options *options)
{
	static const struct option longs[] = {
		{ "nonblock", no_argument, NULL, 'n' },
		{ "wait", required_argument, NULL, 'w' },
		{ "timeout", required_argument, NULL, 'w' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	int option, status = 0;

	while (!status && (option = getopt_long(argc, argv, "nw:qh", longs, NULL)) >= 0) {
		if (option == 'h')
			exit(verb_help(verb));
		if (option == 'q')
			options->quiet = true;
		else if (option == 'n' || option == 'w')
			status = option_wait(verb, options, option);
		else
			status = bad_option(verb);
	}
	if (!status && optind >= argc)
		status = usage_error(verb, "no drive is named");
	return status;
}

static int run(const struct verb *verb, int argc, char **argv)
{
	struct options options = { .wait_ns = SRLOCK_DEADLINE_NONE };
	int status = parse(verb, argc, argv, &options);
	struct drive_list list = { 0 };
	uint64_t deadline;
	size_t i;

	if (!status)
		status = drive_list_arguments(&list, argc - optind, argv + optind);
	deadline = options.wait_ns == SRLOCK_DEADLINE_NONE ? SRLOCK_DEADLINE_NONE :
							     monotonic_ns() + options.wait_ns;
	for (i = 0; !status && i < list.count; i++)
		status = wait_for(&options, list.drives[i], deadline);
	drive_list_free(&list);
	return status;
}

const struct verb verb_wait = {
	.name = "wait",
	.arguments = "[-n | -w SECS] [-q] DRIVE...",
	.summary = "Wait until nobody holds a drive and nobody queues for it",
	.options =
	"  -n, --nonblock           do not wait: the exit status says it\n"
	"  -w, --wait SECS          wait no longer than that, 2.5 for example\n"
	"  -q, --quiet              do not say who still holds it\n",
	.run = run,
};
