// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Files as such: open, close, dup, passing them, what a lock file cannot do, sysfs
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "ops.h"
#include "runner.h"

static void close_file(struct runner *runner, struct file *file)
{
	if (file->fd < 0)
		return;
	witness_give_up(runner, file);
	if (close(file->fd))
		wrong(runner, "close: %s", strerror(errno));
	if (is_exact(runner) && model_put(&runner->worker->model, file->object))
		settle(runner);
	*file = (struct file) { .fd = -1, .object = NOBODY };
}

static void put_file(struct runner *runner, struct file *file, int fd, const struct file *like)
{
	close_file(runner, file);
	*file = *like;
	file->fd = fd;
	file->lone = false;
	file->token = 0;
}

static void opened(struct runner *runner, struct file *file, int fd, enum kind kind,
		   unsigned int drive, int flags)
{
	struct model *model = &runner->worker->model;

	*file = (struct file) {
		.fd = fd,
		.kind = kind,
		.drive = drive,
		.flags = flags,
		.object = NOBODY,
		.lone = true,
	};
	if (!is_exact(runner))
		return;
	file->object = model_open(model, kind == KIND_LOCK,
				  kind == KIND_SR && flags & O_EXCL);
	if (file->object == NOBODY)
		model->exact = false;
}

/* --- open ------------------------------------------------------------------- */

/* file, drive, flags */
unsigned int run_open_lock(struct runner *runner, const struct call *call)
{
	static const int flags[] = {
		O_RDWR, O_RDWR, O_RDWR, O_RDWR, O_RDWR, O_RDWR, O_RDWR, O_RDWR,
		O_RDWR | O_NONBLOCK, O_RDWR | O_NONBLOCK, O_RDONLY, O_RDONLY | O_NONBLOCK,
		O_WRONLY, O_RDWR | O_CLOEXEC, O_RDWR | O_APPEND, O_RDWR | O_EXCL,
	};
	const char *node = runner->shared->drives[runner_drive(runner, call->arg[1])].lock;
	struct file *file = runner_file(runner, call->arg[0]);
	int fd, result;

	close_file(runner, file);
	fd = open(node, flags[call->arg[2]]);
	result = fd < 0 ? -errno : fd;
	if (!runner->root)
		must_fail(runner, result, ERRORS(EACCES, ENODEV, ENOENT));
	else if (judge(runner, result, ERRORS(ENODEV, ENOENT)))
		opened(runner, file, fd, KIND_LOCK,
		       strtoul(node + strcspn(node, "0123456789"), NULL, 10) % MAX_NUMBERS,
		       flags[call->arg[2]]);
	if (fd < 0 && is_exact(runner) && runner->root)
		wrong(runner, "cannot open %s", node);
	if (fd >= 0 && file->fd < 0)
		close(fd);
	return 0;
}

static void expect_open(struct runner *runner, int flags, bool claimed, int result)
{
	struct model *model = &runner->worker->model;
	bool held = model->holder != NOBODY;

	if (held && !model_admits(model, runner->self))
		must_fail(runner, result, runner->root ? ERRORS(EBUSY) : ERRORS(EBUSY, EACCES));
	else if (result == -EBUSY && !(flags & O_EXCL && claimed))
		wrong(runner, "EBUSY though the process may use the drive");
}

/* file, drive, flags */
unsigned int run_open_sr(struct runner *runner, const struct call *call)
{
	static const int flags[] = {
		O_RDONLY | O_NONBLOCK, O_RDONLY | O_NONBLOCK, O_RDONLY, O_RDWR | O_NONBLOCK,
		O_RDONLY | O_NONBLOCK | O_EXCL, O_RDONLY | O_EXCL, O_RDWR,
		O_RDONLY | O_NONBLOCK | O_DIRECT,
	};
	struct file *file = runner_file(runner, call->arg[0]);
	unsigned int drive = runner_drive(runner, call->arg[1]);
	int how = flags[call->arg[2]];
	bool claimed;
	int fd, result;

	close_file(runner, file);
	claimed = model_is_claimed(&runner->worker->model);
	fd = open(runner->shared->drives[drive].sr, how);
	result = fd < 0 ? -errno : fd;
	judge_any(runner, result);
	if (is_exact(runner))
		expect_open(runner, how, claimed, result);
	if (fd >= 0)
		opened(runner, file, fd, KIND_SR, drive, how);
	return 0;
}

static unsigned int open_node(struct runner *runner, const struct call *call, const char *node,
			      enum kind kind)
{
	static const int flags[] = { O_RDWR | O_NONBLOCK, O_RDWR, O_RDONLY | O_NONBLOCK,
				     O_RDONLY };
	struct file *file = runner_file(runner, call->arg[0]);
	int fd;

	close_file(runner, file);
	fd = open(node, flags[call->arg[2]]);
	if (judge_any(runner, fd < 0 ? -errno : fd))
		opened(runner, file, fd, kind, runner_drive(runner, call->arg[1]),
		       flags[call->arg[2]]);
	return 0;
}

/* file, drive, flags */
unsigned int run_open_sg(struct runner *runner, const struct call *call)
{
	unsigned int drive = runner_drive(runner, call->arg[1]);

	return open_node(runner, call, runner->shared->drives[drive].sg, KIND_SG);
}

/* file, drive, flags */
unsigned int run_open_bsg(struct runner *runner, const struct call *call)
{
	unsigned int drive = runner_drive(runner, call->arg[1]);

	return open_node(runner, call, runner->shared->drives[drive].bsg, KIND_BSG);
}

/* --- close, dup, pass ------------------------------------------------------- */

/* file */
unsigned int run_close(struct runner *runner, const struct call *call)
{
	close_file(runner, runner_file(runner, call->arg[0]));
	return 0;
}

/* file, where to, how */
unsigned int run_dup(struct runner *runner, const struct call *call)
{
	struct file *from = runner_file(runner, call->arg[0]);
	struct file *to = runner_file(runner, call->arg[1]);
	int fd;

	if (from == to || from->fd < 0)
		return 0;
	witness_give_up(runner, from);
	from->lone = false;
	if (call->arg[2])
		fd = fcntl(from->fd, call->arg[2] == 1 ? F_DUPFD : F_DUPFD_CLOEXEC, 0);
	else
		fd = dup(from->fd);
	if (!judge(runner, fd < 0 ? -errno : fd, ERRORS(0)))
		return 0;
	if (is_exact(runner))
		model_get(&runner->worker->model, from->object);
	put_file(runner, to, fd, from);
	return 0;
}

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

static bool send_file(int socket, int fd)
{
	union control control = { 0 };
	struct iovec data = { .iov_base = "x", .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	return sendmsg(socket, &message, 0) == 1;
}

static int receive_file(int socket)
{
	union control control = { 0 };
	char byte;
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	int fd;

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1 ||
	    control.header.cmsg_len != CMSG_LEN(sizeof(fd)))
		return -1;
	memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
	return fd;
}

static void forget_passed(struct runner *runner, const struct file *passed)
{
	if (is_exact(runner) && model_put(&runner->worker->model, passed->object))
		settle(runner);
}

static void pass(struct runner *runner, struct file *from, struct file *to, __u32 how,
		 const int *sockets)
{
	struct file passed = *from;
	int fd;

	if (!send_file(sockets[0], from->fd)) {
		wrong(runner, "sendmsg: %s", strerror(errno));
		return;
	}
	if (is_exact(runner))
		model_get(&runner->worker->model, from->object);
	if (how & 1)
		close_file(runner, from);
	fd = how & 2 ? -1 : receive_file(sockets[1]);
	close(sockets[0]);
	close(sockets[1]);
	if (fd >= 0)
		put_file(runner, to, fd, &passed);
	else
		forget_passed(runner, &passed);
}

/* file, where to, how: 1 the sender closes it, 2 nobody receives it */
unsigned int run_pass(struct runner *runner, const struct call *call)
{
	struct file *from = runner_file(runner, call->arg[0]);
	struct file *to = runner_file(runner, call->arg[1]);
	int sockets[2];

	if (from == to || from->fd < 0)
		return 0;
	if (!judge(runner, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) ?
		   -errno : 0, ERRORS(0)))
		return 0;
	witness_give_up(runner, from);
	from->lone = false;
	pass(runner, from, to, call->arg[2], sockets);
	return 0;
}

/* --- what a lock file cannot do --------------------------------------------- */

static long map(int fd)
{
	void *at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED)
		return -errno;
	munmap(at, 4096);
	return 0;
}

static long try_impossible(struct runner *runner, int fd, __u32 what, __u32 number)
{
	char *at = runner->data.start;
	long result;

	switch (what) {
	case 0:
		result = lseek(fd, number, number % 5);
		break;
	case 1:
		result = write(fd, at, number % 300);
		break;
	case 2:
		result = pread(fd, at, number % 300, 0);
		break;
	case 3:
		result = pwrite(fd, at, number % 300, number);
		break;
	case 4:
		return map(fd);
	case 5:
		result = ftruncate(fd, number);
		break;
	case 6:
		result = fallocate(fd, 0, 0, 1 + number);
		break;
	case 7:
		result = fdatasync(fd);
		break;
	default:
		result = fchdir(fd);
	}
	return result < 0 ? -errno : result;
}

static long try_possible(int fd, __u32 what, __u32 number)
{
	struct stat status;
	long result;

	switch (what) {
	case 9:
		result = fstat(fd, &status);
		break;
	case 10:
		result = flock(fd, number % 16 | LOCK_NB);
		break;
	case 11:
		result = fcntl(fd, F_SETFL, number & (O_NONBLOCK | O_APPEND | FASYNC));
		break;
	case 12:
		result = fcntl(fd, F_SETOWN, number % 2 ? getpid() : 0);
		break;
	case 13:
		result = posix_fadvise(fd, 0, number, number % 6);
		return -result;
	case 14:
		result = fcntl(fd, F_SETLEASE, number % 3);
		break;
	default:
		result = futimens(fd, NULL);
	}
	return result < 0 ? -errno : result;
}

/* file, what, number */
unsigned int run_other(struct runner *runner, const struct call *call)
{
	struct file *file = runner_file(runner, call->arg[0]);

	if (call->arg[1] >= 9)
		judge_any(runner, try_possible(file->fd, call->arg[1], call->arg[2]));
	else if (file->kind == KIND_LOCK)
		must_fail(runner, try_impossible(runner, file->fd, call->arg[1], call->arg[2]),
			  ERRORS(ESPIPE, EINVAL, EBADF, ENODEV, EACCES, EOPNOTSUPP, ENOTDIR));
	return 0;
}

/* --- sysfs ------------------------------------------------------------------ */

static const char *attribute_path(struct runner *runner, __u32 drive, const char *name)
{
	static __thread char path[160];

	snprintf(path, sizeof(path), "/sys/class/srlock/%.32s/%s",
		 runner->shared->drives[runner_drive(runner, drive)].lock + strlen("/dev/"), name);
	return path;
}

/* drive, attribute, how */
unsigned int run_sysfs_read(struct runner *runner, const struct call *call)
{
	static const char * const names[] = {
		"state", "owner", "count", "pid", "uid", "since", "waiters", "refused_opens",
		"refused_ioctls", "refused_commands", "last_refused", "command_timeout_ms", "dev",
	};
	static const int offsets[] = { 0, 0, 1, 4096 };
	const char *path = attribute_path(runner, call->arg[0], names[call->arg[1]]);
	char text[4097];
	long result;
	int fd = open(path, O_RDONLY);

	if (fd < 0) {
		judge(runner, -errno, ERRORS(ENOENT, ENODEV));
		return 0;
	}
	result = pread(fd, text, call->arg[2] == 1 ? 1 : 4096, offsets[call->arg[2]]);
	if (result < 0)
		result = -errno;
	close(fd);
	judge(runner, result, ERRORS(ENODEV));
	if (result > 0 && !call->arg[2] && (text[result - 1] != '\n' || strnlen(text, result) <
					    (size_t)result))
		wrong(runner, "%s is no line", path);
	return 0;
}

struct value {
	const char *text;
	int error;
};

/* drive, attribute, value */
unsigned int run_sysfs_write(struct runner *runner, const struct call *call)
{
	static const struct value values[] = {
		{ "5000\n", 0 }, { "60000", 0 }, { "600000\n", 0 }, { "100\n", 0 },
		{ "99", ERANGE },
		{ "600001", ERANGE }, { "0", ERANGE }, { "-1", EINVAL }, { "abc\n", EINVAL },
		{ "5000 5000", EINVAL }, { "4294967296", ERANGE }, { "\n", EINVAL },
	};
	struct value value = values[call->arg[2]];
	const char *path = attribute_path(runner, call->arg[0], call->arg[1] == 3 ?
					  "state" : "command_timeout_ms");
	int fd, result;

	/* a slow machine does not do it in time, and the model knows no time */
	if (runner->shared->alone && !value.error)
		value.text = "60000\n";
	fd = open(path, O_WRONLY);
	if (fd < 0) {
		judge(runner, -errno, ERRORS(ENOENT, ENODEV, EACCES));
		return 0;
	}
	result = write(fd, value.text, strlen(value.text));
	if (result < 0)
		result = -errno;
	close(fd);
	if (call->arg[1] == 3)
		must_fail(runner, result, ERRORS(EIO, EINVAL, ENODEV));
	else if (value.error)
		must_fail(runner, result, (const int []){ value.error, ENODEV, 0 });
	else
		judge(runner, result, ERRORS(ENODEV));
	return 0;
}
