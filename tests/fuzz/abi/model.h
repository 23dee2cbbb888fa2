/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a drive's lock does when nobody else uses it and calls come one by one
 *
 * Written from docs/abi.md, not from the module.
 */
#ifndef MODEL_H
#define MODEL_H

#include <linux/srlock.h>
#include <stdbool.h>

enum { MAX_OBJECTS = 64, MAX_PROCESSES = 24, NOBODY = -1 };

/* An open file, however many descriptors it has in however many processes. */
struct object {
	int references;
	bool is_lock;
	bool exclusive;		/* of sr, with O_EXCL */
	bool broken;
	__u32 count;
};

struct model {
	bool exact;		/* nothing has happened that it cannot follow */
	struct object objects[MAX_OBJECTS];
	int object_count;
	int holder;
	unsigned int members;	/* processes that made an ACQUIRE, a bit each */
	int first;		/* the first of them */
	int pid;		/* its number */
	bool prevent;		/* the tray was locked at the first ACQUIRE */
	bool forced;
	int parents[MAX_PROCESSES];
	int process_count;
};

void model_init(struct model *model);
/* A new process; its number, or NOBODY when there are too many. */
int model_fork(struct model *model, int parent);
int model_open(struct model *model, bool is_lock, bool exclusive);
void model_get(struct model *model, int object);
/* One descriptor less; true when that ended a hold. */
bool model_put(struct model *model, int object);

/* Whether a process is one of the holder's. */
bool model_admits(const struct model *model, int process);
bool model_is_claimed(const struct model *model);

/**
 * model_acquire() - what ACQUIRE with good arguments does
 * @model: the drive's
 * @object: the file
 * @process: who calls
 * @pid: its number
 * @flags: SRLOCK_ACQUIRE_*
 * @reason: output, with -EBUSY
 *
 * Return: 0 or a negative errno; with a deadline -EBUSY may come late, and be EINTR
 */
int model_acquire(struct model *model, int object, int process, int pid, __u32 flags,
		  enum srlock_busy *reason);
/* ACQUIRE has failed in a way that is not the model's business. */
void model_unacquire(struct model *model, int object);
int model_release(struct model *model, int object);
int model_break(struct model *model);
/* What a command on a lock file that is open for writing fails with; 0: it is sent */
int model_command(const struct model *model, int object);
__u32 model_count(const struct model *model);

#endif
