// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * process.c - a command run under a hold
 *
 * The command is a holder of its own: should this process be killed, the drives
 * stay held for as long as the command runs. Orphans of the command come to this
 * process, as it is a subreaper, and so remain descendants of a holder.
 *
 * Signals: the command is in this process's group, so what the terminal sends to
 * that (Ctrl-C, Ctrl-Z) reaches it by itself; what comes to this process alone is
 * passed on. A stop request stops this process too, after the command, so that a
 * shell notices; the drives stay held.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"
#include "signals.h"

static const int taken[] = {
	SIGCHLD, SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGALRM,
	SIGCONT, SIGTSTP, SIGWINCH, 0
};

/**
 * struct child - the command
 * @pid: its process
 * @ended: it is over
 * @status: its exit status then, in the shell's manner
 */
struct child {
	pid_t pid;
	bool ended;
	int status;
};

[[gnu::noreturn]]
static void become(struct hold *hold, char **command, const struct signals *signals)
{
	int status = hold_join(hold);

	if (status)
		_exit(status);
	sigprocmask(SIG_SETMASK, &signals->before, NULL);
	execvp(*command, command);
	if (errno == ENOENT) {
		say("%s: command not found", *command);
		if (!strchr(*command, '/'))
			hint("it is not in any directory of PATH; is it installed?");
		_exit(EXIT_NOT_FOUND);
	}
	say("%s: cannot be run: %s", *command, strerror(errno));
	_exit(EXIT_CANNOT_RUN);
}

static void note_end(struct child *child, int status)
{
	child->ended = true;
	child->status = WIFSIGNALED(status) ? EXIT_BY_SIGNAL + WTERMSIG(status) :
					      WEXITSTATUS(status);
}

/* The command's orphans are reaped too. */
static void reap(struct child *child)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == child->pid)
			note_end(child, status);
}

/* Children that run; a shell that became this process by exec may have left it some. */
static bool has_children(void)
{
	pid_t pid;

	do
		pid = waitpid(-1, NULL, WNOHANG);
	while (pid > 0);
	return pid == 0;
}

/* As the signal would: in an orphaned process group that is not at all. */
static void stop_self(void)
{
	sigset_t stop;

	sigemptyset(&stop);
	sigaddset(&stop, SIGTSTP);
	raise(SIGTSTP);
	sigprocmask(SIG_UNBLOCK, &stop, NULL);
	sigprocmask(SIG_BLOCK, &stop, NULL);
}

/*
 * Whether the kernel has sent it to the whole process group. A hangup goes to the leader
 * of the terminal's session first, and to the foreground job when that ends.
 */
static bool sent_to_group(int number, bool from_kernel)
{
	switch (number) {
	case SIGINT:
	case SIGQUIT:
	case SIGTSTP:
	case SIGWINCH:
		return from_kernel;
	case SIGHUP:
	case SIGCONT:
		return from_kernel && getsid(0) != getpid();
	default:
		return false;
	}
}

static void pass_on(struct child *child, int number, bool from_kernel)
{
	if (!sent_to_group(number, from_kernel))
		kill(child->pid, number);
	if (number == SIGTSTP)
		stop_self();
}

static void deal_with_signals(struct child *child, const struct signals *signals)
{
	bool from_kernel;
	int number;

	while (signals_next(signals, &number, &from_kernel)) {
		if (number == SIGCHLD)
			reap(child);
		else if (!child->ended)
			pass_on(child, number, from_kernel);
	}
}

static int start_command(struct hold *hold, char **command, const struct signals *signals,
			 struct child *child)
{
	/* Fails on no kernel that the module runs on. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	fflush(NULL);
	child->pid = fork();
	if (child->pid < 0)
		return fail(EX_OSERR, "cannot start a process: %s", strerror(errno));
	if (!child->pid)
		become(hold, command, signals);
	return 0;
}

/**
 * process_run() - run a command to its end under a hold
 * @hold: a hold that was taken
 * @command: the command's words, ended by NULL
 * @leftover: output: whether processes that it has started still run
 *
 * Return: its exit status in the shell's manner: 126 if it cannot be run, 127 if
 * it is not found, 128 and the number of the signal that ended it.
 */
int process_run(struct hold *hold, char **command, bool *leftover)
{
	struct child child = { 0 };
	struct signals signals;
	bool had_children;
	int status;

	*leftover = false;
	/* Who started us may have ignored it, and then no end is ever told. */
	signal(SIGCHLD, SIG_DFL);
	status = signals_take(&signals, taken);
	if (status)
		return status;
	had_children = has_children();
	status = start_command(hold, command, &signals, &child);
	/* The drives are given back, whoever listens to what is said. */
	signal(SIGPIPE, SIG_IGN);
	hold->poll[HOLD_SIGNALS].fd = signals.fd;
	while (!status && !child.ended) {
		hold_wait(hold, -1);
		deal_with_signals(&child, &signals);
	}
	hold->poll[HOLD_SIGNALS].fd = -1;
	*leftover = !status && !had_children && has_children();
	close(signals.fd);
	return status ? status : child.status;
}
