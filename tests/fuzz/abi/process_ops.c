// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Who makes the calls that follow, a child or a thread, and how often
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops.h"
#include "runner.h"

enum { STRANGER = 65534, STEP_US = 1000, NUDGE_US = 2000, REPEAT_NS = 400000000 };

enum how {
	HOW_WAIT,
	HOW_WAIT_TOO,
	HOW_ASIDE,		/* it runs on beside its parent, which kills it in the end */
	HOW_KILL,		/* its parent kills it after a while */
	HOW_STRANGER,		/* it has no privileges */
	HOW_NAMESPACE,		/* it is in a pid namespace of its own */
	HOW_ASIDE_STRANGER,
	HOW_NOTHING,		/* it makes no calls */
};

/* --- children --------------------------------------------------------------- */

static void drop_privileges(struct runner *runner)
{
	if (setresgid(STRANGER, STRANGER, STRANGER) || setresuid(STRANGER, STRANGER, STRANGER))
		_exit(1);
	/* changing users takes this back */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	runner->root = false;
}

/* Files are closed by the exit, so that is tried out as well. */
static void leave(struct runner *runner)
{
	for (int i = 0; is_exact(runner) && i < SLOTS; i++)
		if (runner->files[i].fd >= 0)
			model_put(&runner->worker->model, runner->files[i].object);
	_exit(0);
}

static void be_child(struct runner *runner, enum how how, int self, unsigned int from,
		     unsigned int to)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	runner->is_child = true;
	runner->self = self;
	memset(runner->children, 0, sizeof(runner->children));
	memset(runner->threads, 0, sizeof(runner->threads));
	if (!runner_own_memory(runner))
		_exit(1);
	if (how == HOW_STRANGER || how == HOW_ASIDE_STRANGER)
		drop_privileges(runner);
	if (how == HOW_NAMESPACE)
		runner->same_pids = false;
	runner_run(runner, from, to);
	end_processes(runner);
	leave(runner);
}

static void get_files(struct runner *runner)
{
	for (int i = 0; i < SLOTS; i++)
		if (runner->files[i].fd >= 0)
			model_get(&runner->worker->model, runner->files[i].object);
}

static bool is_aside(enum how how)
{
	return how == HOW_ASIDE || how == HOW_ASIDE_STRANGER;
}

static struct child *free_child(struct runner *runner)
{
	for (int i = 0; i < CHILDREN; i++)
		if (!runner->children[i].pid)
			return &runner->children[i];
	return NULL;
}

/* What a child of the same drive's only user leaves behind is soon in order. */
static void wait_for(struct runner *runner, pid_t pid, enum how how, __u32 steps)
{
	int status = 0;

	if (how == HOW_KILL) {
		usleep(steps * STEP_US);
		kill(pid, SIGKILL);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	runner->watch->started_ns = coarse_ns();
	witness_end_over(runner->watch);
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		wrong(runner, "the child dies of signal %d", WTERMSIG(status));
	if (is_exact(runner))
		settle(runner);
}

static pid_t make_process(enum how how)
{
	if (how == HOW_NAMESPACE)
		return syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, NULL);
	return fork();
}

static unsigned int start_child(struct runner *runner, enum how how, unsigned int calls,
				__u32 steps, struct child *child)
{
	struct model *model = &runner->worker->model;
	unsigned int from = runner->at + 1;
	int self = model_fork(model, runner->self);
	pid_t pid;

	if (self == NOBODY)
		return 0;
	if (is_aside(how) || how == HOW_KILL)
		model->exact = false;
	if (is_exact(runner))
		get_files(runner);
	witness_share_all(runner);
	pid = make_process(how);
	if (!pid) {
		if (is_aside(how))
			runner->watch = &runner->worker->watches[1 + (child - runner->children)];
		be_child(runner, how, self, from, from + calls);
	}
	if (!judge(runner, pid < 0 ? -errno : pid, runner->root ? ERRORS(EAGAIN) :
		   ERRORS(EAGAIN, EPERM))) {
		model->exact = false;
		return 0;
	}
	if (is_aside(how))
		child->pid = pid;
	else
		wait_for(runner, pid, how, steps);
	return calls;
}

/* how many calls, how, how long until it is killed */
unsigned int run_fork(struct runner *runner, const struct call *call)
{
	enum how how = call->arg[1];
	unsigned int calls = how == HOW_NOTHING ? 0 : 1 + call->arg[0];
	struct child *child = free_child(runner);

	if (runner->is_thread)
		return 0;
	/* a child of a child is waited for */
	if (is_aside(how) && (runner->is_child || !child))
		how = HOW_WAIT;
	return start_child(runner, how, calls, call->arg[2], child);
}

/* --- threads ---------------------------------------------------------------- */

static void *be_thread(void *argument)
{
	struct thread *thread = argument;

	runner_run(thread->runner, thread->from, thread->to);
	thread->done = true;
	return NULL;
}

static struct runner *copy_for_thread(struct runner *runner, unsigned int number)
{
	struct runner *copy = malloc(sizeof(*copy));

	if (!copy)
		return NULL;
	*copy = *runner;
	copy->is_thread = true;
	copy->watch = &runner->worker->watches[1 + CHILDREN + number];
	memset(copy->children, 0, sizeof(copy->children));
	memset(copy->threads, 0, sizeof(copy->threads));
	if (!runner_own_memory(copy)) {
		free(copy);
		return NULL;
	}
	/* the files are shared, the descriptors are not: it may close its own only */
	for (int i = 0; i < SLOTS; i++)
		if (copy->files[i].fd >= 0)
			copy->files[i].fd = dup(copy->files[i].fd);
	return copy;
}

static bool start_thread(struct runner *runner, unsigned int number, unsigned int calls)
{
	struct thread *thread = &runner->threads[number];

	witness_share_all(runner);
	runner->worker->model.exact = false;
	*thread = (struct thread) {
		.runner = copy_for_thread(runner, number),
		.from = runner->at + 1,
		.to = runner->at + 1 + calls,
	};
	if (!thread->runner)
		return false;
	thread->used = !pthread_create(&thread->id, NULL, be_thread, thread);
	return thread->used;
}

/* how many calls */
unsigned int run_thread(struct runner *runner, const struct call *call)
{
	if (runner->is_child || runner->is_thread)
		return 0;
	for (int i = 0; i < CHILDREN; i++)
		if (!runner->threads[i].used)
			return start_thread(runner, i, 1 + call->arg[0]) ? 1 + call->arg[0] : 0;
	return 0;
}

static void end_thread(struct thread *thread)
{
	while (!thread->done) {
		pthread_kill(thread->id, SIGALRM);
		usleep(NUDGE_US);
	}
	pthread_join(thread->id, NULL);
	runner_close_all(thread->runner);
	memory_free(&thread->runner->memory);
	memory_free(&thread->runner->data);
	free(thread->runner);
	thread->used = false;
}

void end_processes(struct runner *runner)
{
	for (int i = 0; i < CHILDREN; i++)
		if (runner->threads[i].used)
			end_thread(&runner->threads[i]);
	for (int i = 0; i < CHILDREN; i++) {
		pid_t pid = runner->children[i].pid;

		if (!pid)
			continue;
		kill(pid, SIGKILL);
		wait_for(runner, pid, HOW_WAIT, 0);
		runner->children[i].pid = 0;
		runner->worker->watches[1 + i].started_ns = 0;
		witness_end_over(&runner->worker->watches[1 + i]);
	}
}

/* --- time ------------------------------------------------------------------- */

/* how often, how many calls, but not for long */
unsigned int run_repeat(struct runner *runner, const struct call *call)
{
	static const unsigned int times[] = { 2, 5, 10, 30, 100, 300, 1000 };
	unsigned int from = runner->at + 1;
	unsigned int left = runner->worker->program.length - from;
	unsigned int calls = call->arg[1] < left ? 1 + call->arg[1] : left;
	__u64 end = coarse_ns() + REPEAT_NS;

	for (unsigned int i = times[call->arg[0]]; i && coarse_ns() < end; i--) {
		runner_run(runner, from, from + calls);
		runner->worker->repeated += calls;
	}
	return calls;
}

/* how long */
unsigned int run_sleep(struct runner *runner, const struct call *call)
{
	static const unsigned int us[] = { 0, 100, 300, 1000, 3000, 10000 };

	(void)runner;
	if (call->arg[0])
		usleep(us[call->arg[0]]);
	else
		sched_yield();
	return 0;
}
