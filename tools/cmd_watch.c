// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cmd_watch.c - srlock watch: print what happens to drives as it happens
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "event.h"
#include "event_json.h"
#include "explain.h"
#include "lock.h"
#include "signals.h"
#include "tool.h"

static const int taken[] = { SIGINT, SIGTERM, SIGHUP, 0 };

/**
 * struct watch - the drives that are watched
 * @list: which
 * @poll: their lock nodes in the same order, then the signals
 * @left: how many are not gone yet
 * @json: print JSON
 */
struct watch {
	struct drive_list list;
	struct pollfd *poll;
	size_t left;
	bool json;
};

static int print_event(const struct watch *watch, const struct drive *drive,
		       const struct srlock_event *event)
{
	char *moment, *text;

	if (watch->json) {
		text = event_json(drive, event);
		puts(text);
	} else {
		moment = format_moment(event->time_ns);
		text = event_text(event);
		printf("%s %s: %s\n", moment, drive->label, make_printable(text));
		free(moment);
	}
	free(text);
	return flush_output(EXIT_SUCCESS);
}

static int open_all(struct watch *watch)
{
	size_t i;
	int fd;

	watch->poll = need_memory(calloc(watch->list.count + 1, sizeof(*watch->poll)));
	for (i = 0; i < watch->list.count; i++)
		watch->poll[i].fd = -1;
	for (i = 0; i < watch->list.count; i++) {
		fd = lock_open(watch->list.drives[i], O_RDONLY);
		if (fd < 0)
			return explain_open(watch->list.drives[i], -fd);
		watch->poll[i] = (struct pollfd){ .fd = fd, .events = POLLIN };
		watch->left++;
	}
	if (!watch->left)
		return fail(EX_NOINPUT, "there is no drive to watch");
	return 0;
}

static int drain(struct watch *watch, size_t index)
{
	const struct drive *drive = watch->list.drives[index];
	struct pollfd *slot = &watch->poll[index];
	struct srlock_event event;
	int status = 0;

	while (!status && event_read(slot->fd, &event))
		status = print_event(watch, drive, &event);
	if (slot->revents & (POLLHUP | POLLNVAL)) {
		say("%s: the drive was unplugged", drive->label);
		close(slot->fd);
		slot->fd = -1;
		watch->left--;
	}
	return status;
}

static int follow(struct watch *watch)
{
	struct pollfd *signals = &watch->poll[watch->list.count];
	int status = 0;
	size_t i;

	while (!status && watch->left) {
		if (poll(watch->poll, watch->list.count + 1, -1) < 0)
			continue;
		for (i = 0; !status && i < watch->list.count; i++)
			if (watch->poll[i].fd >= 0 && watch->poll[i].revents)
				status = drain(watch, i);
		if (signals->revents)
			return status;
	}
	return status ? status : EX_UNAVAILABLE;
}

static int parse(const struct verb *verb, int argc, char **argv, struct watch *watch)
{
	static const struct option longs[] = {
		{ "json", no_argument, NULL, 'J' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	int option;

	while ((option = getopt_long(argc, argv, "Jh", longs, NULL)) >= 0) {
		if (option == 'h')
			exit(verb_help(verb));
		if (option != 'J')
			return bad_option(verb);
		watch->json = true;
	}
	return 0;
}

static int watch_drives(struct watch *watch)
{
	struct signals signals;
	int status = open_all(watch);

	if (!status)
		status = signals_take(&signals, taken);
	if (status)
		return status;
	watch->poll[watch->list.count] = (struct pollfd){ .fd = signals.fd, .events = POLLIN };
	status = follow(watch);
	close(signals.fd);
	return status;
}

static int run(const struct verb *verb, int argc, char **argv)
{
	struct watch watch = { 0 };
	int status = parse(verb, argc, argv, &watch);
	size_t i;

	if (!status)
		status = drive_list_arguments(&watch.list, argc - optind, argv + optind);
	if (!status)
		status = watch_drives(&watch);
	for (i = 0; watch.poll && i < watch.list.count; i++)
		if (watch.poll[i].fd >= 0)
			close(watch.poll[i].fd);
	free(watch.poll);
	drive_list_free(&watch.list);
	return status;
}

const struct verb verb_watch = {
	.name = "watch",
	.arguments = "[-J] [DRIVE...]",
	.summary = "Print who takes, releases and is refused a drive, as it happens",
	.options =
	"  -J, --json               one JSON object a line\n",
	.run = run,
};
