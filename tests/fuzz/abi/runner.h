/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What runs programs, and what all processes share
 *
 * Workers run programs, one after the other. In phase ALONE each worker has a drive
 * for itself and no calls at once, so that the model (model.h) knows the result of
 * each call; in phase SHARED all do what they like on all drives, which come and go,
 * and each call has a set of errors that it may fail with.
 */
#ifndef RUNNER_H
#define RUNNER_H

#include <errno.h>
#include <linux/srlock.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "argument.h"
#include "drives.h"
#include "model.h"
#include "program.h"

enum {
	MAX_WORKERS = 12,
	MAX_DRIVES = 8,
	MAX_NUMBERS = 1024,	/* of locks, as in the module */
	MAX_CORPUS = 8192,
	MAX_OPS = 40,
	CHILDREN = 3,		/* children of a program at a time, and threads */
	WATCHES = 1 + 2 * CHILDREN,
	SIGNAL_BITS = 1 << 20,
	TEXT_BYTES = 1 << 20,	/* of the module, at most */
	BOUND_S = 120,		/* no call takes longer, however slow the machine */
};

/* A call that is under way, for the watchdog. */
struct watch {
	atomic_ulong started_ns;	/* 0: none is */
	atomic_uint call;
	atomic_int pid;
	atomic_uint ending;		/* see witness_end() */
};

/* A process that runs programs. */
struct worker {
	atomic_int pid;
	atomic_bool doomed;		/* it is being killed, process by process */
	atomic_ulong programs;
	atomic_ulong repeated;		/* calls made for a `repeat` */
	atomic_ulong calls[MAX_OPS];
	atomic_ulong failed[MAX_OPS];	/* calls that returned an error */
	struct watch watches[WATCHES];
	struct program program;
	struct model model;
};

/**
 * struct shared - what all processes share
 * @stop: programs that run are the last
 * @alone: the phase
 * @verbose: print each call and its result
 * @failures: how many results were wrong
 * @drive_count: how many drives there are now
 * @drives: their nodes
 * @ends: by number of the lock, how often anything happened that may have ended a hold without its
 *	holder knowing
 * @witness: a file that knows that it holds the drive, see below
 * @corpus: programs that are worth to be changed: at first those of earlier runs, which are
 *	run as they are before anything else
 * @signals: pairs of program counters that were seen, hashed
 * @pcs: which bytes of the module's text were run
 */
struct shared {
	atomic_bool stop;
	bool alone;
	bool verbose;
	atomic_ulong failures;
	atomic_uint drive_count;
	struct drive drives[MAX_DRIVES];
	atomic_ulong ends[MAX_NUMBERS];
	atomic_ulong witness[MAX_NUMBERS];
	struct worker workers[MAX_WORKERS];
	struct watch mover;
	struct watch killer;
	atomic_uint moves;
	atomic_uint corpus_length;
	atomic_uint corpus_replayed;
	atomic_bool corpus_ready[MAX_CORPUS];
	struct program corpus[MAX_CORPUS];
	atomic_bool signals[SIGNAL_BITS];
	atomic_bool pcs[TEXT_BYTES];
};

enum kind { KIND_NONE, KIND_LOCK, KIND_SR, KIND_SG, KIND_BSG };

/* A file that is open in a process. */
struct file {
	int fd;
	enum kind kind;
	unsigned int drive;
	int flags;
	int object;		/* in the model */
	bool lone;		/* nobody else can have it */
	unsigned long token;	/* of the witness */
};

struct child {
	pid_t pid;		/* 0: none */
};

struct thread {
	pthread_t id;
	atomic_bool done;
	bool used;
	struct runner *runner;
	unsigned int from, to;
};

/**
 * struct runner - a process or a thread that makes calls
 * @shared: see there
 * @worker: the process that it belongs to
 * @watch: where it says what it does
 * @drive: in phase ALONE, its drive
 * @self: its number in the model
 * @root: it has all privileges
 * @is_child: it was forked by a program
 * @is_thread: it is a thread
 * @same_pids: its pid namespace is the first one
 * @at: the call that is made now
 * @last_new: the last call that ran code which was not seen before; NOBODY if none did
 * @memory: for arguments
 * @data: for what commands transfer
 * @control: in phase ALONE, a lock file of its own, to look at the state
 * @files: what is open
 */
struct runner {
	struct shared *shared;
	struct worker *worker;
	struct watch *watch;
	unsigned int drive;
	unsigned int self;
	bool root;
	bool is_child;
	bool is_thread;
	bool same_pids;
	unsigned int at;
	int last_new;
	struct memory memory;
	struct memory data;
	int control;
	struct file files[SLOTS];
	struct child children[CHILDREN];
	struct thread threads[CHILDREN];
};

static inline bool is_process(int pid)
{
	return !kill(pid, 0) || errno != ESRCH;
}

/* When the first process is no more, another one's number is shown, or none. */
static inline bool is_holders_pid(const struct runner *runner, int shown)
{
	int pid = runner->worker->model.pid;

	if (!pid || !runner->same_pids || shown == pid)
		return true;
	return !is_process(pid) && (!shown || is_process(shown));
}

/* Whether the model knows what will happen. */
static inline bool is_exact(const struct runner *runner)
{
	return runner->worker->model.exact;
}

__u64 now_ns(void);
/* The same, some milliseconds behind, but without asking the clock. */
__u64 coarse_ns(void);

/* Signals that came to this thread so far. */
unsigned int signals_seen(void);
void signals_init(void);
/* Interrupt the call that is made next, if it lasts, again and again. */
void interrupt_soon(struct runner *runner);
void interrupt_no_more(struct runner *runner);

void runner_init(struct runner *runner, struct shared *shared, unsigned int worker);
/* The memory for arguments must not be shared with who was copied. */
bool runner_own_memory(struct runner *runner);
void runner_run(struct runner *runner, unsigned int from, unsigned int to);
/* Run a whole program and clean up. */
void runner_program(struct runner *runner);
void runner_close_all(struct runner *runner);

/* The drive that a number in a program means. */
unsigned int runner_drive(struct runner *runner, __u32 arg);
struct file *runner_file(struct runner *runner, __u32 arg);

/* Say that something is wrong; the program is shown with it. */
void wrong(struct runner *runner, const char *format, ...) __attribute__((format(printf, 2, 3)));

/**
 * judge() - a call has ended
 * @runner: who made it
 * @result: what it returned, or minus its errno
 * @errors: those that it may fail with, up to a 0
 *
 * Return: whether it succeeded
 */
bool judge(struct runner *runner, long result, const int *errors);
/* The same for a call that cannot succeed. */
void must_fail(struct runner *runner, long result, const int *errors);
bool among(int error, const int *errors);
#define ERRORS(...)	((const int []){ __VA_ARGS__, 0 })

/* What anything else in the kernel may say; what only the kernel knows it may not. */
bool judge_any(struct runner *runner, long result);

/* Wait until the lock of a drive is neither being taken nor given back. */
__u32 settle(struct runner *runner);
/* Wait until it is free. */
bool wait_free(struct runner *runner, const char *lock);

/*
 * witness.c: at most one holder. A file that only one process has notes that it holds;
 * who comes next finds that, unless the other gave up the note before it gave up the
 * hold, or something has happened to the drive that ends holds.
 */
unsigned long witness_before(struct runner *runner, const struct file *file);
void witness_held(struct runner *runner, struct file *file, unsigned long before);
void witness_give_up(struct runner *runner, struct file *file);
void witness_share_all(struct runner *runner);
/* Holds of this lock, or with MAX_NUMBERS of all, may end without notice until that is over. */
void witness_end(struct shared *shared, struct watch *watch, unsigned int number);
void witness_end_over(struct watch *watch);

/* process_ops.c */
void end_processes(struct runner *runner);

#endif
