// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Calls on a lock file that change nothing: GET_INFO, read, poll, unknown ioctls
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "lock_call.h"
#include "ops.h"

/* --- GET_INFO --------------------------------------------------------------- */

enum { FEATURES = 0x1f, STATUS_ALL = 0xf };

/* A name and nothing but NUL after it. */
static bool is_name(const unsigned char *name, size_t size)
{
	size_t length = strnlen((const char *)name, size);

	for (size_t i = length; i < size; i++)
		if (name[i])
			return false;
	return length < size;
}

static void check_info(struct runner *runner, const struct srlock_info *info)
{
	bool held = info->state == SRLOCK_STATE_HELD;

	if (info->features != FEATURES || info->flags || info->pad ||
	    info->state > SRLOCK_STATE_GONE || info->status & ~STATUS_ALL)
		wrong(runner, "features %#llx, flags %u, pad %u, state %u, status %#x",
		      info->features, info->flags, info->pad, info->state, info->status);
	if (held != !!info->count || held != !!info->since_ns || held != !!info->client[0])
		wrong(runner, "state %u, count %u, since %llu, client '%.63s'", info->state,
		      info->count, info->since_ns, info->client);
	if (!is_name(info->client, sizeof(info->client)))
		wrong(runner, "the client's name has a tail");
	if (info->since_ns > now_ns() || info->pid < 0 || info->waiters > 256)
		wrong(runner, "since %llu, pid %d, waiters %u", info->since_ns, info->pid,
		      info->waiters);
}

static void expect_info(struct runner *runner, const struct file *file,
			const struct srlock_info *info)
{
	const struct model *model = &runner->worker->model;
	const struct object *object = &model->objects[file->object];
	bool held = model->holder != NOBODY;
	__u32 status = (model_admits(model, runner->self) ? SRLOCK_STATUS_MINE : 0) |
		       (held && model->forced ? SRLOCK_STATUS_FORCED : 0) |
		       (object->broken ? SRLOCK_STATUS_BROKEN : 0);

	if (info->state != (held ? SRLOCK_STATE_HELD : SRLOCK_STATE_FREE) || info->waiters)
		wrong(runner, "state %u, waiters %u", info->state, info->waiters);
	if (info->count != model_count(model) || info->my_count != object->count)
		wrong(runner, "count %u and %u, not %u and %u", info->count, info->my_count,
		      model_count(model), object->count);
	if ((info->status & ~SRLOCK_STATUS_PREVENTED) != status)
		wrong(runner, "status %#x, not %#x", info->status, status);
	if (held && !is_holders_pid(runner, info->pid))
		wrong(runner, "pid %d, not %d", info->pid, model->pid);
}

/* file, content, size, pointer */
unsigned int run_info(struct runner *runner, const struct call *call)
{
	struct lock_call made = {
		.file = runner_file(runner, call->arg[0]),
		.size_kind = call->arg[2],
		.pointer = call->arg[3],
	};
	struct srlock_info args = { 0 };

	if (call->arg[1] == 7)
		memset(&args, 0xff, sizeof(args));
	args.flags = call->arg[1] == 5;
	args.pad = call->arg[1] == 6;
	if (!call_make(&made, runner, _IOC_NR(SRLOCK_IOC_GET_INFO), &args, sizeof(args)))
		return 0;
	if (call_judge_arguments(&made, runner, args.flags || args.pad ? -EINVAL : 0))
		return 0;
	if (!judge(runner, made.result, ERRORS(0)))
		return 0;
	memcpy(&args, made.at, sizeof(args));
	check_info(runner, &args);
	if (made.file->lone && args.my_count && args.my_count != args.count)
		wrong(runner, "this file has %u of %u", args.my_count, args.count);
	if (is_exact(runner))
		expect_info(runner, made.file, &args);
	return 0;
}

/* --- read ------------------------------------------------------------------- */

static void check_event(struct runner *runner, const struct srlock_event *event)
{
	bool refused = event->type == SRLOCK_EVENT_REFUSED;

	if (event->type < SRLOCK_EVENT_HELD || event->type > SRLOCK_EVENT_UNPLUGGED ||
	    !event->repeats || event->flags & ~SRLOCK_EVENT_GUESS || event->pid < 0 ||
	    event->time_ns > now_ns())
		wrong(runner, "record: type %u, repeats %u, flags %#x, pid %d, time %llu",
		      event->type, event->repeats, event->flags, event->pid, event->time_ns);
	if (refused != !!event->way || event->way > SRLOCK_WAY_COMMAND ||
	    (!refused && event->code))
		wrong(runner, "record: type %u, way %u, code %#x", event->type, event->way,
		      event->code);
	if (!is_name(event->name, sizeof(event->name)))
		wrong(runner, "record: the name has a tail");
}

static void check_records(struct runner *runner, const char *at, long size)
{
	struct srlock_event event;

	if (size % sizeof(event))
		wrong(runner, "reads %ld bytes, which are no whole records", size);
	for (; size >= (long)sizeof(event); size -= sizeof(event), at += sizeof(event)) {
		memcpy(&event, at, sizeof(event));
		check_event(runner, &event);
	}
}

static void judge_read(struct runner *runner, const struct file *file, enum pointer pointer,
		       size_t size, long result)
{
	if ((file->flags & O_ACCMODE) == O_WRONLY)
		must_fail(runner, result, ERRORS(EBADF));
	else if (size < sizeof(struct srlock_event))
		must_fail(runner, result, pointer >= POINTER_WILD ? ERRORS(EINVAL, EFAULT) :
			  ERRORS(EINVAL));
	else if (!pointer_is_writable(pointer))
		judge(runner, result, ERRORS(EAGAIN, EINTR, EFAULT));
	else
		judge(runner, result, ERRORS(EAGAIN, EINTR));
	if (!result && runner->shared->alone)
		wrong(runner, "says that the drive is gone");
}

/* file, size, pointer */
unsigned int run_read(struct runner *runner, const struct call *call)
{
	static const size_t sizes[] = { 104, 104, 208, 4096, 103, 1, 0, 104 * 256, 105, 40000 };
	struct file *file = runner_file(runner, call->arg[0]);
	enum pointer pointer = call->arg[2];
	size_t size = sizes[call->arg[1]];
	void *at = memory_place(&runner->memory, pointer, NULL, size);
	unsigned int signals = signals_seen();
	long result;

	interrupt_soon(runner);
	result = read(file->fd, at, size);
	if (result < 0)
		result = -errno;
	interrupt_no_more(runner);
	if (file->kind != KIND_LOCK) {
		judge_any(runner, result);
		return 0;
	}
	judge_read(runner, file, pointer, size, result);
	if (result == -EINTR && signals == signals_seen())
		wrong(runner, "EINTR without a signal");
	if (result > 0 && pointer_is_writable(pointer))
		check_records(runner, at, result);
	return 0;
}

/* --- poll ------------------------------------------------------------------- */

static const int timeouts_ms[] = { 0, 1, 4, -1 };

static void expect_poll(struct runner *runner, const struct file *file, short events,
			short revents)
{
	const struct model *model = &runner->worker->model;
	bool out = model->holder == NOBODY || model->holder == file->object;
	bool broken = model->objects[file->object].broken;

	if (events & POLLOUT && !!(revents & POLLOUT) != out)
		wrong(runner, "POLLOUT is %d", !out);
	if (!!(revents & POLLERR) != broken || revents & POLLHUP)
		wrong(runner, "revents %#x", revents);
}

/* file, events, timeout */
unsigned int run_poll(struct runner *runner, const struct call *call)
{
	struct file *file = runner_file(runner, call->arg[0]);
	struct pollfd poller = { .fd = file->fd, .events = call->arg[1] };
	long result;

	if (call->arg[2] == 3)
		interrupt_soon(runner);
	result = poll(&poller, 1, timeouts_ms[call->arg[2]]);
	if (result < 0)
		result = -errno;
	interrupt_no_more(runner);
	judge(runner, result, ERRORS(EINTR));
	if (file->kind != KIND_LOCK)
		return 0;
	if (poller.revents & ~(poller.events | POLLERR | POLLHUP))
		wrong(runner, "events %#x, revents %#x", poller.events, poller.revents);
	if (is_exact(runner) && result >= 0)
		expect_poll(runner, file, poller.events, poller.revents);
	return 0;
}

/* file, events, timeout */
unsigned int run_epoll(struct runner *runner, const struct call *call)
{
	struct file *file = runner_file(runner, call->arg[0]);
	struct epoll_event event = { .events = call->arg[1] };
	int fd = epoll_create1(EPOLL_CLOEXEC);
	long result;

	if (fd < 0)
		return 0;
	result = epoll_ctl(fd, EPOLL_CTL_ADD, file->fd, &event);
	if (!result) {
		interrupt_soon(runner);
		result = epoll_wait(fd, &event, 1, timeouts_ms[call->arg[2]]);
	}
	if (result < 0)
		result = -errno;
	interrupt_no_more(runner);
	judge_any(runner, result);
	close(fd);
	return 0;
}

/* --- ioctls that there are not ---------------------------------------------- */

static bool is_known(unsigned int cmd)
{
	unsigned int group = cmd & 0xff00;

	if (_IOC_TYPE(cmd) == SRLOCK_IOC_MAGIC)
		return _IOC_NR(cmd) <= 4 && _IOC_DIR(cmd) != _IOC_WRITE;
	return !(cmd >> 16) && (group == 0x5300 || group == 0x2200);
}

/* file, direction, type, number, size, pointer */
unsigned int run_ioctl(struct runner *runner, const struct call *call)
{
	static const unsigned char types[] = { 0xbd, 0xbd, 0xbd, 0xbd, 0xbd, 'S', 0x22, 0 };
	struct file *file = runner_file(runner, call->arg[0]);
	unsigned int type = types[call->arg[2]] ?: call->arg[3] >> 8 & 0xff;
	unsigned int cmd = _IOC(call->arg[1], type, call->arg[3] % 16, call->arg[4] & LARGEST_SIZE);
	void *at = memory_place(&runner->memory, call->arg[5], NULL, 256);
	long result;

	if (is_known(cmd))
		cmd = _IOC(_IOC_WRITE, type, _IOC_NR(cmd), 8);
	result = ioctl(file->fd, cmd, at);
	if (result < 0)
		result = -errno;
	if (file->kind == KIND_LOCK && types[call->arg[2]])
		must_fail(runner, result, ERRORS(ENOTTY));
	else
		judge_any(runner, result);
	return 0;
}
