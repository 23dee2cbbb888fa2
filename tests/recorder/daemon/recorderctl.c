// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * recorderctl - say something at a recorder's control socket
 *
 * Prints the answer without its first line. Exit status: 0 for "ok", 1 for an error,
 * 2 if there is no recorder, 3 if it did not answer in time.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define RUN_DIRECTORY	"/run/recorder"

static void print_usage(FILE *to)
{
	fputs("usage: recorderctl [-t SECONDS] NAME COMMAND...\n"
	      "NAME is that of a recorder in " RUN_DIRECTORY ", or the path of its socket.\n"
	      "Commands: status, counts, insert KIND [SECTORS], insert image PATH, remove, press,\n"
	      "reset, attention ASC/ASCQ, fault PATTERN..., faults, clear, release,\n"
	      "await held|idle, set NAME MS, mark TEXT, quit\n", to);
}

static int connect_to(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, length;

	if (strchr(name, '/'))
		length = snprintf(address.sun_path, sizeof(address.sun_path), "%s", name);
	else
		length = snprintf(address.sun_path, sizeof(address.sun_path),
				  RUN_DIRECTORY "/%s/control", name);
	if (length >= (int)sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		return -1;
	}
	return fd;
}

static void set_timeout(int fd, const char *seconds)
{
	struct timeval time = { .tv_sec = atoi(seconds) };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
}

static int send_words(int fd, char **words)
{
	char line[512];
	size_t length = 0;

	for (; *words; words++) {
		int added = snprintf(line + length, sizeof(line) - length, "%s%c", *words,
				     words[1] ? ' ' : '\n');

		if (added >= (int)(sizeof(line) - length)) {
			errno = EMSGSIZE;
			return -1;
		}
		length += (size_t)added;
	}
	return send(fd, line, length, MSG_NOSIGNAL) == (ssize_t)length ? 0 : -1;
}

static int print_answer(int fd)
{
	char line[4096];
	FILE *answer = fdopen(fd, "r");

	errno = 0;
	if (!answer || !fgets(line, sizeof(line), answer)) {
		int late = errno == EAGAIN;

		fprintf(stderr, "recorderctl: no answer\n");
		return late ? 3 : 2;
	}
	if (strcmp(line, "ok\n")) {
		fprintf(stderr, "recorderctl: %s", line);
		return 1;
	}
	while (fgets(line, sizeof(line), answer))
		fputs(line, stdout);
	return 0;
}

int main(int argc, char **argv)
{
	const char *timeout = NULL;
	int option, fd;

	while ((option = getopt(argc, argv, "+ht:")) != -1) {
		switch (option) {
		case 't':
			timeout = optarg;
			break;
		case 'h':
			print_usage(stdout);
			return 0;
		default:
			print_usage(stderr);
			return 1;
		}
	}
	if (argc - optind < 2) {
		print_usage(stderr);
		return 1;
	}
	fd = connect_to(argv[optind]);
	if (fd >= 0 && timeout)
		set_timeout(fd, timeout);
	if (fd < 0 || send_words(fd, argv + optind + 1)) {
		fprintf(stderr, "recorderctl: %s: %s\n", argv[optind], strerror(errno));
		return 2;
	}
	return print_answer(fd);
}
