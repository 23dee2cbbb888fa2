/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket: the hand at the drive, and the test's view of it
 *
 * One line in, an answer out, end of file. The first line of an answer is "ok" or
 * "error: " and why; the others are what was asked for. README.md lists the commands.
 */
#ifndef RECORDER_CONTROL_H
#define RECORDER_CONTROL_H

#include <poll.h>

#include "queue.h"

#define CONTROL_CLIENTS	16
#define CONTROL_LINE	512

enum control_wait {
	WAIT_NOTHING,
	WAIT_HELD,
	WAIT_IDLE,
};

/**
 * struct client - somebody at the socket
 * @fd: -1 for none
 * @line: what has come in
 * @length: of @line
 * @wait: the answer has to wait for this
 */
struct client {
	int fd;
	char line[CONTROL_LINE];
	size_t length;
	enum control_wait wait;
};

/**
 * struct control - the socket and what it controls
 * @directory: where the discs' files are made
 * @fd: the listening socket
 * @clients: who is connected
 * @media: discs made so far
 * @quit: somebody has said so
 */
struct control {
	const char *directory;
	int fd;
	struct client clients[CONTROL_CLIENTS];
	unsigned int media;
	bool quit;
	struct drive *drive;
	struct queue *queue;
	struct faults *faults;
	struct journal *journal;
};

bool control_open(struct control *control, const char *path);
int control_poll_fds(const struct control *control, struct pollfd *fds);
void control_serve(struct control *control, const struct pollfd *fds, int count);
void control_notify(struct control *control);
const char *control_execute(struct control *control, char *line, FILE *answer);

#endif
