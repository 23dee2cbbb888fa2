// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * recorder - a DVD recorder behind a TCMU device
 *
 * Opens the device, the log and the control socket, goes to the background, and serves
 * until the device is gone or "quit" is said. tests/recorder/start makes the device.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "tcmu.h"

struct recorder {
	struct drive drive;
	struct faults faults;
	struct journal journal;
	struct queue queue;
	struct tcmu tcmu;
	struct control control;
};

struct options {
	const char *directory;
	const char *device;
	const char *serial;
	const char *medium;
	bool foreground;
};

static u64 monotonic_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (u64)now.tv_sec * 1000000 + (u64)now.tv_nsec / 1000;
}

static void die(const char *what)
{
	fprintf(stderr, "recorder: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static void print_usage(FILE *to)
{
	fputs("usage: recorder --dir DIR --device /dev/uioN [--serial TEXT] [--medium KIND]\n"
	      "                [--foreground]\n"
	      "Serves a DVD recorder; socket, log and discs are in DIR.\n"
	      "KIND: dvd+r, dvd+rw, dvd-r, dvd-rw, \"image PATH\" or none\n", to);
}

static void parse(int argc, char **argv, struct options *options)
{
	static const struct option table[] = {
		{ "dir", required_argument, NULL, 'd' },
		{ "device", required_argument, NULL, 'u' },
		{ "serial", required_argument, NULL, 's' },
		{ "medium", required_argument, NULL, 'm' },
		{ "foreground", no_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		switch (option) {
		case 'd':
			options->directory = optarg;
			break;
		case 'u':
			options->device = optarg;
			break;
		case 's':
			options->serial = optarg;
			break;
		case 'm':
			options->medium = optarg;
			break;
		case 'f':
			options->foreground = true;
			break;
		case 'h':
			print_usage(stdout);
			exit(EXIT_SUCCESS);
		default:
			print_usage(stderr);
			exit(EXIT_FAILURE);
		}
	}
	if (optind < argc || !options->directory || !options->device) {
		print_usage(stderr);
		exit(EXIT_FAILURE);
	}
}

static void open_journal(struct recorder *recorder, const char *directory)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/log", directory);
	recorder->journal.file = fopen(path, "ae");
	if (!recorder->journal.file)
		die(path);
	setvbuf(recorder->journal.file, NULL, _IOLBF, 0);
	recorder->journal.clock_us = monotonic_us;
}

static void insert_first(struct recorder *recorder, const char *medium)
{
	char line[CONTROL_LINE];
	const char *error;

	if (!strcmp(medium, "none"))
		return;
	snprintf(line, sizeof(line), "insert %s", medium);
	error = control_execute(&recorder->control, line, stderr);
	if (error) {
		fprintf(stderr, "recorder: %s: %s\n", medium, error);
		exit(EXIT_FAILURE);
	}
}

static void set_up(struct recorder *recorder, const struct options *options)
{
	char path[PATH_MAX];

	open_journal(recorder, options->directory);
	drive_init(&recorder->drive, options->serial);
	recorder->queue = (struct queue) {
		.drive = &recorder->drive,
		.faults = &recorder->faults,
		.journal = &recorder->journal,
		.done = tcmu_answer,
		.context = &recorder->tcmu,
	};
	recorder->tcmu.queue = &recorder->queue;
	recorder->tcmu.drive = &recorder->drive;
	if (!tcmu_open(&recorder->tcmu, options->device))
		die(options->device);
	recorder->control = (struct control) {
		.directory = options->directory,
		.drive = &recorder->drive,
		.queue = &recorder->queue,
		.faults = &recorder->faults,
		.journal = &recorder->journal,
	};
	snprintf(path, sizeof(path), "%s/control", options->directory);
	if (!control_open(&recorder->control, path))
		die(path);
	insert_first(recorder, options->medium);
}

/* The parent leaves when everything is open, so whoever started it can go on. */
static void go_to_background(const char *directory)
{
	char path[PATH_MAX];
	FILE *file;
	pid_t child = fork();

	if (child < 0)
		die("fork");
	if (child) {
		snprintf(path, sizeof(path), "%s/pid", directory);
		file = fopen(path, "we");
		if (!file || fprintf(file, "%d\n", child) < 0 || fclose(file))
			die(path);
		_exit(EXIT_SUCCESS);
	}
	setsid();
	if (chdir("/") || !freopen("/dev/null", "r", stdin) ||
	    !freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
		_exit(EXIT_FAILURE);
}

static void serve(struct recorder *recorder)
{
	struct pollfd fds[2 + CONTROL_CLIENTS];
	bool present = true;
	int count;

	while (present && !recorder->control.quit) {
		fds[0] = (struct pollfd){ .fd = recorder->tcmu.fd, .events = POLLIN };
		count = control_poll_fds(&recorder->control, fds + 1);
		if (poll(fds, (nfds_t)count + 1,
			 queue_wait_ms(&recorder->queue, monotonic_us())) < 0) {
			if (errno == EINTR)
				continue;
			die("poll");
		}
		if (fds[0].revents)
			present = tcmu_receive(&recorder->tcmu);
		queue_run(&recorder->queue, monotonic_us());
		control_serve(&recorder->control, fds + 1, count);
		control_notify(&recorder->control);
	}
	journal_event(&recorder->journal, present ? "quit" : "device gone");
}

int main(int argc, char **argv)
{
	static struct recorder recorder;
	struct options options = { .serial = "0", .medium = "none" };

	parse(argc, argv, &options);
	set_up(&recorder, &options);
	if (!options.foreground)
		go_to_background(options.directory);
	journal_event(&recorder.journal, "serving %s", options.device);
	serve(&recorder);
	drive_release(&recorder.drive);
	return EXIT_SUCCESS;
}
