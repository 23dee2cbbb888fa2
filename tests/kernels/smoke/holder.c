// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The process that holds the drive; see holder.h
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/srlock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "holder.h"
#include "ways.h"

enum { SECTOR = 2048 };

static long acquire(int lock)
{
	struct srlock_acquire arg = { .client = "smoke test" };

	if (ioctl(lock, SRLOCK_IOC_ACQUIRE, &arg))
		return -errno;
	return arg.count;
}

static long release(int lock)
{
	struct srlock_release arg = { 0 };

	if (ioctl(lock, SRLOCK_IOC_RELEASE, &arg))
		return -errno;
	return arg.count;
}

static long with_file(const char *path, int flags, int (*way)(int fd))
{
	int fd = open(path, flags);
	long ret;

	if (fd < 0)
		return -errno;
	ret = way ? way(fd) : 0;
	close(fd);
	return ret;
}

static int read_sector(int fd)
{
	char buffer[SECTOR];
	ssize_t got = pread(fd, buffer, sizeof(buffer), 16 * SECTOR);

	return got < 0 ? -errno : got;
}

static long in_child(const struct drive *drive)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return -errno;
	if (!pid)
		_exit(with_file(drive->sr, O_RDWR | O_NONBLOCK, ready_by_sg_io) & 0xff);
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -ECHILD;
}

static long answer(enum request request, const struct drive *drive, int lock)
{
	switch (request) {
	case REQUEST_ACQUIRE:
		return acquire(lock);
	case REQUEST_RELEASE:
		return release(lock);
	case REQUEST_OPEN_EXCLUSIVELY:
		return with_file(drive->sr, O_RDWR | O_EXCL | O_NONBLOCK, NULL);
	case REQUEST_READY_BY_SR:
		return with_file(drive->sr, O_RDWR | O_NONBLOCK, ready_by_sg_io);
	case REQUEST_READY_BY_LOCK:
		return ready_by_sg_io(lock);
	case REQUEST_READY_BY_SG:
		return with_file(drive->sg, O_RDWR, ready_by_sg_io);
	case REQUEST_READY_BY_CHILD:
		return in_child(drive);
	case REQUEST_READ:
		return with_file(drive->sr, O_RDONLY, read_sector);
	}
	return -EINVAL;
}

static void serve(const struct drive *drive, int socket)
{
	int lock = open(drive->lock, O_RDWR);
	enum request request;

	while (read(socket, &request, sizeof(request)) == sizeof(request)) {
		long result = lock < 0 ? -EBADF : answer(request, drive, lock);

		if (write(socket, &result, sizeof(result)) != sizeof(result))
			break;
	}
}

struct holder holder_start(const struct drive *drive)
{
	struct holder holder;
	int sockets[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets)) {
		perror("socketpair");
		exit(1);
	}
	fflush(stdout);
	holder.pid = fork();
	if (holder.pid < 0) {
		perror("fork");
		exit(1);
	}
	if (!holder.pid) {
		close(sockets[0]);
		serve(drive, sockets[1]);
		_exit(0);
	}
	close(sockets[1]);
	holder.socket = sockets[0];
	return holder;
}

long holder_ask(const struct holder *holder, enum request request)
{
	long result;

	if (write(holder->socket, &request, sizeof(request)) != sizeof(request) ||
	    read(holder->socket, &result, sizeof(result)) != sizeof(result))
		return -EPIPE;
	return result;
}

void holder_end(struct holder *holder, int signal)
{
	if (signal)
		kill(holder->pid, signal);
	close(holder->socket);
	waitpid(holder->pid, NULL, 0);
}
