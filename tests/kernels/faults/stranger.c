// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A process that never holds a drive; see stranger.h
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inject.h"
#include "stranger.h"
#include "ways.h"

struct question {
	struct drive drive;
	enum stranger_way way;
	unsigned int nth;
};

static int channel;

static int open_block(const char *node)
{
	int fd = open(node, O_RDONLY | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int read_block(const char *node)
{
	static char block[2048];
	int fd = open(node, O_RDONLY | O_NONBLOCK);
	int ret;

	if (fd < 0)
		return -errno;
	ret = read(fd, block, sizeof(block)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

/* The file is open before the allocations are counted, as one from before a hold. */
static struct stranger_answer send_command(const char *node, int (*ready)(int fd),
					   unsigned int nth)
{
	struct stranger_answer answer = { 0 };
	int fd = open(node, O_RDWR);

	if (fd < 0) {
		answer.ret = -errno;
		return answer;
	}
	if (nth)
		inject_arm(nth, INJECT_ONE);
	answer.ret = ready(fd);
	if (nth)
		answer.met = !inject_disarm();
	close(fd);
	return answer;
}

static struct stranger_answer call_block(const char *node, int (*call)(const char *node),
					 unsigned int nth)
{
	struct stranger_answer answer = { 0 };

	if (nth)
		inject_arm(nth, INJECT_ONE);
	answer.ret = call(node);
	if (nth)
		answer.met = !inject_disarm();
	return answer;
}

static struct stranger_answer answer(const struct question *question)
{
	const struct drive *drive = &question->drive;

	switch (question->way) {
	case STRANGER_OPEN:
		return call_block(drive->sr, open_block, question->nth);
	case STRANGER_READ:
		return call_block(drive->sr, read_block, question->nth);
	case STRANGER_SG_IO:
		return send_command(drive->sg, ready_by_sg_io, question->nth);
	case STRANGER_SG_WRITE:
		return send_command(drive->sg, ready_by_sg_write, question->nth);
	case STRANGER_BSG:
		return send_command(drive->bsg, ready_by_bsg, question->nth);
	case STRANGER_WAYS:
		break;
	}
	return (struct stranger_answer) { .ret = -EINVAL };
}

static void serve(pid_t child)
{
	struct question question;
	int status;

	while (read(channel, &question, sizeof(question)) == sizeof(question)) {
		struct stranger_answer got = answer(&question);

		if (write(channel, &got, sizeof(got)) != sizeof(got))
			break;
	}
	waitpid(child, &status, 0);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE);
}

void stranger_start(void)
{
	int ends[2];
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) {
		perror("socketpair");
		exit(EXIT_FAILURE);
	}
	fflush(stdout);
	child = fork();
	if (child < 0) {
		perror("fork");
		exit(EXIT_FAILURE);
	}
	channel = ends[child == 0];
	close(ends[child != 0]);
	if (child)
		serve(child);
}

struct stranger_answer stranger_try(const struct drive *drive, enum stranger_way way,
				    unsigned int nth)
{
	struct question question = { .drive = *drive, .way = way, .nth = nth };
	struct stranger_answer got;

	if (write(channel, &question, sizeof(question)) != sizeof(question) ||
	    read(channel, &got, sizeof(got)) != sizeof(got)) {
		perror("the stranger");
		exit(EXIT_FAILURE);
	}
	return got;
}
