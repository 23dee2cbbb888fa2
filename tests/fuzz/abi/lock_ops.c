// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The lock's own ioctls
 *
 * Errors that the arguments alone decide are known in any phase. What is in the
 * caller's memory must be as it was after a call that fails, but for EBUSY.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

#include "lock_call.h"
#include "ops.h"

enum { MILLISECOND_NS = 1000000 };

bool call_make(struct lock_call *call, struct runner *runner, unsigned int nr,
	       const void *args, size_t known)
{
	size_t size = size_of(call->size_kind, known);

	memset(call->bytes, 0, sizeof(call->bytes));
	memcpy(call->bytes, args, size < known ? size : known);
	if (size_is_set(call->size_kind))
		call->bytes[size - 1] = 1;
	call->size = size;
	call->known = known;
	call->at = memory_place(&runner->memory, call->pointer, call->bytes, size);
	call->signals = signals_seen();
	call->result = ioctl(call->file->fd,
			     _IOC(_IOC_READ | _IOC_WRITE, SRLOCK_IOC_MAGIC, nr, size), call->at);
	if (call->result < 0)
		call->result = -errno;
	call->interrupted = call->signals != signals_seen();
	if (call->file->kind == KIND_LOCK)
		return true;
	if (judge_any(runner, call->result))
		wrong(runner, "an ioctl of a lock succeeds on another file");
	return false;
}

static bool is_writable(const struct file *file)
{
	return (file->flags & O_ACCMODE) != O_RDONLY;
}

void call_check_unchanged(const struct lock_call *call, struct runner *runner)
{
	if (!memory_is(&runner->memory, call->pointer, call->bytes, call->size))
		wrong(runner, "fails with %ld and changes the caller's memory", -call->result);
}

static __thread int bad_content[2];

/* What the call has to fail with for its arguments alone; NULL: it may succeed. */
static const int *argument_errors(const struct lock_call *call, int content)
{
	static const int bad_file[] = { EBADF, 0 };
	static const int bad_size[] = { EINVAL, 0 };
	static const int bad_address[] = { EFAULT, 0 };
	static const int bad_address_or_size[] = { EFAULT, E2BIG, 0 };
	static const int too_big[] = { E2BIG, 0 };

	if (call->needs_write && !is_writable(call->file))
		return bad_file;
	if (call->size < call->known)
		return bad_size;
	if (!pointer_is_readable(call->pointer))
		return call->size > call->known ? bad_address_or_size : bad_address;
	if (size_is_set(call->size_kind))
		return too_big;
	bad_content[0] = -content;
	if (content)
		return bad_content;
	return pointer_is_writable(call->pointer) ? NULL : bad_address;
}

bool call_judge_arguments(const struct lock_call *call, struct runner *runner, int content)
{
	const int *errors = argument_errors(call, content);

	if (!errors)
		return false;
	must_fail(runner, call->result, errors);
	call_check_unchanged(call, runner);
	return true;
}

/* --- ACQUIRE ---------------------------------------------------------------- */

enum content {
	CONTENT_BAD = 6,
	CONTENT_NO_NAME = CONTENT_BAD,
	CONTENT_NO_END,
	CONTENT_CHARACTER,
	CONTENT_HIGH,
	CONTENT_PAD,
	CONTENT_PAD2,
	CONTENT_FLAG,
	CONTENT_LONGEST,
	CONTENT_REST,
	CONTENT_OUTPUTS,
};

static int make_acquire(struct srlock_acquire *args, enum content content)
{
	static const char * const names[] = { "fuzz", "a", "A-Z a-z 0-9", ". , : ; _ -", "x y" };

	memset(args, 0, sizeof(*args));
	strcpy((char *)args->client, names[content % ARRAY_SIZE(names)]);
	switch ((int)content) {
	case CONTENT_NO_NAME:
		args->client[0] = 0;
		return -EINVAL;
	case CONTENT_NO_END:
		memset(args->client, 'n', sizeof(args->client));
		return -EINVAL;
	case CONTENT_CHARACTER:
		args->client[1] = '/';
		return -EINVAL;
	case CONTENT_HIGH:
		args->client[0] = 0x80 | 'a';
		return -EINVAL;
	case CONTENT_PAD:
		args->pad = 1;
		return -EINVAL;
	case CONTENT_PAD2:
		args->pad2 = 1U << 31;
		return -EINVAL;
	case CONTENT_FLAG:
		args->flags = 1U << 2;
		return -EINVAL;
	case CONTENT_LONGEST:
		memset(args->client, 'l', sizeof(args->client) - 1);
		return 0;
	case CONTENT_REST:
		memset(args->client + 5, '/', sizeof(args->client) - 5);
		args->client[4] = 0;
		return 0;
	case CONTENT_OUTPUTS:
		args->count = ~0U;
		args->busy_reason = ~0U;
		args->holder_pid = -1;
		return 0;
	default:
		return 0;
	}
}

static __u32 make_flags(__u32 arg)
{
	if (arg < 8)
		return 0;
	if (arg < 12)
		return SRLOCK_ACQUIRE_NO_PREVENT;
	return arg < 15 ? SRLOCK_ACQUIRE_FORCE : SRLOCK_ACQUIRE_FORCE | SRLOCK_ACQUIRE_NO_PREVENT;
}

/* Whether it takes a signal to end the wait. */
static bool make_deadline(struct srlock_acquire *args, __u32 arg)
{
	static const unsigned int wait_ms[] = { 0, 0, 1, 5 };

	if (arg == 1)
		args->deadline_ns = 1;
	else if (arg == 2 || arg == 3)
		args->deadline_ns = now_ns() + wait_ms[arg] * (__u64)MILLISECOND_NS;
	else if (arg)
		args->deadline_ns = arg < 6 ? SRLOCK_DEADLINE_NONE : SRLOCK_DEADLINE_NONE - arg;
	return arg > 3;
}

static void check_acquired(struct runner *runner, const struct lock_call *call)
{
	const struct model *model = &runner->worker->model;
	const struct srlock_acquire *sent = (const void *)call->bytes;
	const struct srlock_acquire *got = call->at;
	__u32 count = model_count(model);

	if (memcmp(sent, got, offsetof(struct srlock_acquire, count)))
		wrong(runner, "its input was changed");
	if (got->pad2)
		wrong(runner, "pad2 is %u", got->pad2);
	if (!call->result && (!got->count || got->busy_reason != SRLOCK_BUSY_NOT))
		wrong(runner, "count %u, reason %u", got->count, got->busy_reason);
	if (call->result && (!got->busy_reason || got->busy_reason > SRLOCK_BUSY_RELEASING))
		wrong(runner, "EBUSY with reason %u", got->busy_reason);
	if (!is_exact(runner))
		return;
	if (got->count != count)
		wrong(runner, "count %u, not %u", got->count, count);
	if (count && !is_holders_pid(runner, got->holder_pid))
		wrong(runner, "holder's pid is %d, not %d", got->holder_pid, model->pid);
}

/* In phase ALONE. */
static void expect_acquire(struct runner *runner, struct lock_call *call,
			   const struct srlock_acquire *args, bool forever)
{
	struct model *model = &runner->worker->model;
	enum srlock_busy reason = SRLOCK_BUSY_NOT;
	const struct srlock_acquire *got = call->at;
	int error = model_acquire(model, call->file->object, runner->self,
				  runner->same_pids ? getpid() : 0, args->flags, &reason);

	if (error == -EBUSY && forever)
		error = -EINTR;
	if (!error && call->result == -EINTR && call->interrupted) {
		model_unacquire(model, call->file->object);
		settle(runner);
	} else if (call->result != error) {
		wrong(runner, "returns %ld, not %d", call->result, error);
		model->exact = false;
	}
	if (call->result == -EBUSY && !args->deadline_ns && got->busy_reason != reason)
		wrong(runner, "reason %u, not %u", got->busy_reason, reason);
	if (call->result == -EINTR)
		settle(runner);
}

static void judge_acquire(struct runner *runner, struct lock_call *call,
			  const struct srlock_acquire *args, bool forever)
{
	judge(runner, call->result,
	      ERRORS(EBUSY, EINTR, EIO, ENODEV, EOWNERDEAD, ETIMEDOUT));
	if (call->result == -EINTR && !call->interrupted)
		wrong(runner, "EINTR without a signal");
	if (is_exact(runner))
		expect_acquire(runner, call, args, forever);
	if (!call->result || call->result == -EBUSY)
		check_acquired(runner, call);
	else
		call_check_unchanged(call, runner);
}

/* file, content, flags, deadline, size, pointer */
unsigned int run_acquire(struct runner *runner, const struct call *call)
{
	struct lock_call made = {
		.file = runner_file(runner, call->arg[0]),
		.size_kind = call->arg[4],
		.pointer = call->arg[5],
		.needs_write = true,
	};
	struct srlock_acquire args;
	unsigned long before = witness_before(runner, made.file);
	int error = make_acquire(&args, call->arg[1]);
	bool forever = make_deadline(&args, call->arg[3]);
	bool ours;

	args.flags |= make_flags(call->arg[2]);
	if (!error && args.flags & SRLOCK_ACQUIRE_FORCE && !runner->root)
		error = -EPERM;
	if (forever)
		interrupt_soon(runner);
	ours = call_make(&made, runner, _IOC_NR(SRLOCK_IOC_ACQUIRE), &args, sizeof(args));
	interrupt_no_more(runner);
	if (!ours)
		return 0;
	if (call_judge_arguments(&made, runner, error))
		return 0;
	if (!made.result && ((struct srlock_acquire *)made.at)->count == 1)
		witness_held(runner, made.file, before);
	judge_acquire(runner, &made, &args, forever);
	return 0;
}

/* --- RELEASE ---------------------------------------------------------------- */

enum { UNTOUCHED = 0x5a5a5a5a };

static void expect_release(struct runner *runner, const struct lock_call *call)
{
	struct model *model = &runner->worker->model;
	const struct srlock_release *got = call->at;
	int error = model_release(model, call->file->object);

	if (call->result != error) {
		wrong(runner, "returns %ld, not %d", call->result, error);
		model->exact = false;
	} else if (!error && got->count != model_count(model)) {
		wrong(runner, "count %u, not %u", got->count, model_count(model));
	}
}

static void judge_release(struct runner *runner, const struct lock_call *call)
{
	const struct srlock_release *got = call->at;

	judge(runner, call->result, ERRORS(EIO, ENODEV, EOWNERDEAD, EPERM, ETIMEDOUT));
	if (is_exact(runner))
		expect_release(runner, call);
	if (call->result == -EPERM || call->result == -EOWNERDEAD || call->result == -ENODEV)
		call_check_unchanged(call, runner);
	else if (got->count == UNTOUCHED)
		wrong(runner, "the count is not written");
}

/* file, flags, size, pointer */
unsigned int run_release(struct runner *runner, const struct call *call)
{
	struct lock_call made = {
		.file = runner_file(runner, call->arg[0]),
		.size_kind = call->arg[2],
		.pointer = call->arg[3],
		.needs_write = true,
	};
	struct srlock_release args = { .count = UNTOUCHED };

	if (call->arg[1] > 5)
		args.flags = call->arg[1] == 6 ? 1 : 1U << 31;
	witness_give_up(runner, made.file);
	if (!call_make(&made, runner, _IOC_NR(SRLOCK_IOC_RELEASE), &args, sizeof(args)))
		return 0;
	if (!call_judge_arguments(&made, runner, args.flags ? -EINVAL : 0))
		judge_release(runner, &made);
	return 0;
}

/* --- BREAK ------------------------------------------------------------------ */

static long make_break(struct runner *runner, const struct file *file, enum pointer pointer)
{
	void *at = memory_place(&runner->memory, pointer, NULL, 1);

	long result;

	if (file->kind == KIND_LOCK)
		witness_end(runner->shared, runner->watch, file->drive);
	result = ioctl(file->fd, SRLOCK_IOC_BREAK, at) ? -errno : 0;
	witness_end_over(runner->watch);
	return result;
}

static void expect_break(struct runner *runner, long result)
{
	struct model *model = &runner->worker->model;
	int error = runner->root ? model_break(model) : -EPERM;

	if (result != error) {
		wrong(runner, "returns %ld, not %d", result, error);
		model->exact = false;
	}
	settle(runner);
}

/* file, pointer */
unsigned int run_break(struct runner *runner, const struct call *call)
{
	struct file *file = runner_file(runner, call->arg[0]);
	long result = make_break(runner, file, call->arg[1]);

	if (file->kind != KIND_LOCK) {
		judge_any(runner, result);
	} else if (!is_writable(file)) {
		must_fail(runner, result, ERRORS(EBADF));
	} else {
		judge(runner, result, ERRORS(EIO, ENODEV, EPERM, ETIMEDOUT));
		if (!result && !runner->root)
			wrong(runner, "succeeds without privilege");
		if (is_exact(runner))
			expect_break(runner, result);
	}
	return 0;
}
