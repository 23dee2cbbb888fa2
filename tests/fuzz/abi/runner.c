// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Running programs; see runner.h
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "cover.h"
#include "ops.h"
#include "runner.h"

enum {
	SECOND_NS = 1000000000,
	FIRST_SIGNAL_US = 3000,
	NEXT_SIGNAL_US = 5000,
	MAX_SHOWN = 20,
	LAST_ERRNO = 133,
};

static __thread atomic_uint signals;

__u64 now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * (__u64)SECOND_NS + now.tv_nsec;
}

__u64 coarse_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec * (__u64)SECOND_NS + now.tv_nsec;
}

static void count_signal(int signal)
{
	(void)signal;
	signals++;
}

unsigned int signals_seen(void)
{
	return signals;
}

void signals_init(void)
{
	/* without SA_RESTART: a call that is interrupted has to say so */
	struct sigaction action = { .sa_handler = count_signal };

	sigaction(SIGALRM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static void set_timer(long first_us, long next_us)
{
	struct itimerval timer = {
		.it_value.tv_usec = first_us,
		.it_interval.tv_usec = next_us,
	};

	setitimer(ITIMER_REAL, &timer, NULL);
}

/* Whoever waits for a thread interrupts it. */
void interrupt_soon(struct runner *runner)
{
	if (!runner->is_thread)
		set_timer(FIRST_SIGNAL_US, NEXT_SIGNAL_US);
}

void interrupt_no_more(struct runner *runner)
{
	if (!runner->is_thread)
		set_timer(0, 0);
}

void wrong(struct runner *runner, const char *format, ...)
{
	const struct program *program = &runner->worker->program;
	static char line[2 * MAX_TEXT];
	static char text[MAX_TEXT];
	va_list args;
	int length;

	/* Its parent may be dead already, with what it held: no model knows of that. */
	if (runner->worker->doomed)
		return;
	if (runner->shared->failures++ >= MAX_SHOWN)
		return;
	program_print(program, text, sizeof(text));
	length = snprintf(line, sizeof(line), "    # WRONG: process %u, call %u (%s): ",
			  runner->self, runner->at, ops[program->calls[runner->at].op].name);
	va_start(args, format);
	length += vsnprintf(line + length, MAX_TEXT / 2, format, args);
	va_end(args);
	length += snprintf(line + length, sizeof(line) - length, "\n    # in: %s\n", text);
	/* at once, so that lines of several processes do not mix */
	if (write(STDOUT_FILENO, line, length) != length)
		abort();
}

bool among(int error, const int *errors)
{
	for (; *errors; errors++)
		if (*errors == error)
			return true;
	return false;
}

static void show(struct runner *runner, long result)
{
	const struct call *call = &runner->worker->program.calls[runner->at];

	if (runner->shared->verbose)
		printf("    # process %u, call %u: %s: %ld %s\n", runner->self, runner->at,
		       ops[call->op].name, result, result < 0 ? strerror(-result) : "");
}

static void count_result(struct runner *runner, long result)
{
	const struct call *call = &runner->worker->program.calls[runner->at];

	if (result < 0)
		runner->worker->failed[call->op]++;
	show(runner, result);
}

bool judge(struct runner *runner, long result, const int *errors)
{
	count_result(runner, result);
	if (result < 0 && !among(-result, errors))
		wrong(runner, "fails with %ld (%s), which is not documented", -result,
		      strerror(-result));
	return result >= 0;
}

void must_fail(struct runner *runner, long result, const int *errors)
{
	if (judge(runner, result, errors))
		wrong(runner, "succeeds where it should fail with %s", strerror(*errors));
}

bool judge_any(struct runner *runner, long result)
{
	count_result(runner, result);
	if (result < -LAST_ERRNO)
		wrong(runner, "fails with %ld, which is no error for user space", -result);
	return result >= 0;
}

void runner_init(struct runner *runner, struct shared *shared, unsigned int worker)
{
	memset(runner, 0, sizeof(*runner));
	runner->shared = shared;
	runner->worker = &shared->workers[worker];
	runner->watch = &runner->worker->watches[0];
	runner->watch->pid = getpid();
	runner->drive = worker;
	runner->root = true;
	runner->same_pids = true;
	runner->control = -1;
	for (int i = 0; i < SLOTS; i++)
		runner->files[i] = (struct file) { .fd = -1, .object = NOBODY };
}

bool runner_own_memory(struct runner *runner)
{
	return memory_init(&runner->memory) && memory_init(&runner->data);
}

unsigned int runner_drive(struct runner *runner, __u32 arg)
{
	unsigned int count = runner->shared->drive_count;

	if (runner->shared->alone)
		return runner->drive;
	return count ? arg % count : 0;
}

struct file *runner_file(struct runner *runner, __u32 arg)
{
	return &runner->files[arg % SLOTS];
}

void runner_run(struct runner *runner, unsigned int from, unsigned int to)
{
	const struct program *program = &runner->worker->program;

	for (unsigned int at = from; at < to && at < program->length; at++) {
		const struct call *call = &program->calls[at];

		runner->at = at;
		runner->watch->call = at;
		runner->watch->started_ns = coarse_ns();
		at += ops[call->op].run(runner, call);
		runner->watch->started_ns = 0;
		runner->worker->calls[call->op]++;
		if (!runner->is_child && !runner->is_thread && cover_note(runner->shared))
			runner->last_new = at;
	}
}

void runner_close_all(struct runner *runner)
{
	for (int i = 0; i < SLOTS; i++) {
		struct file *file = &runner->files[i];

		witness_give_up(runner, file);
		if (file->fd >= 0)
			close(file->fd);
		*file = (struct file) { .fd = -1, .object = NOBODY };
	}
}

static __u32 wait_state(int lock, bool held_is_fine)
{
	__u64 end = now_ns() + BOUND_S * (__u64)SECOND_NS;
	struct srlock_info info;

	for (;;) {
		memset(&info, 0, sizeof(info));
		if (ioctl(lock, SRLOCK_IOC_GET_INFO, &info))
			return SRLOCK_STATE_GONE;
		if (info.state == SRLOCK_STATE_FREE || info.state == SRLOCK_STATE_GONE ||
		    (info.state == SRLOCK_STATE_HELD && held_is_fine) || now_ns() > end)
			return info.state;
		usleep(500);
	}
}

__u32 settle(struct runner *runner)
{
	return wait_state(runner->control, true);
}

bool wait_free(struct runner *runner, const char *lock)
{
	int fd = runner->control;
	__u32 state;

	if (lock)
		fd = open(lock, O_RDONLY);
	if (fd < 0)
		return true;
	state = wait_state(fd, false);
	if (lock)
		close(fd);
	return state == SRLOCK_STATE_FREE || (!runner->shared->alone && state == SRLOCK_STATE_GONE);
}

void runner_program(struct runner *runner)
{
	struct worker *worker = runner->worker;

	runner->self = 0;
	runner->last_new = NOBODY;
	model_init(&worker->model);
	worker->model.exact = runner->shared->alone;
	cover_forget();
	runner_run(runner, 0, worker->program.length);
	end_processes(runner);
	runner->watch->started_ns = coarse_ns();
	runner_close_all(runner);
	if (runner->shared->alone && !wait_free(runner, NULL))
		wrong(runner, "the drive is not free when all files are closed");
	runner->watch->started_ns = 0;
	worker->programs++;
}
