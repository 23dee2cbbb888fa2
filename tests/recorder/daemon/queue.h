/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The queue: commands waiting for the drive, one of them being worked on
 *
 * A drive has one pair of hands. While a command is delayed or hangs, those behind it
 * wait, as on a real one. The queue knows no transport: it is given tasks and a time,
 * and gives tasks back when they have an answer.
 */
#ifndef RECORDER_QUEUE_H
#define RECORDER_QUEUE_H

#include "../model/drive.h"
#include "faults.h"
#include "journal.h"

#define CDB_LENGTH_MAX	32

/**
 * struct task - one command that the host has sent
 * @next: the one behind it
 * @tag: the transport's name for it
 * @sequence: number in order of arrival, from 1
 * @arrived_us: when
 * @cdb: the CDB, @command points here
 * @iov: data buffer, @command points here; to be freed with the task
 * @command: for the drive
 * @fault: what it met
 */
struct task {
	struct task *next;
	u32 tag;
	u64 sequence;
	u64 arrived_us;
	u8 cdb[CDB_LENGTH_MAX];
	struct iovec *iov;
	struct command command;
	struct fault fault;
};

enum queue_state {
	QUEUE_IDLE,		/* nobody at the head, or not looked at yet */
	QUEUE_DELAYED,		/* not carried out before ready_us */
	QUEUE_ANSWERING,	/* carried out, answered at ready_us */
	QUEUE_HUNG,
};

/**
 * struct queue - the tasks and what is going on at the head
 * @drive: who does the work
 * @faults: who gets in its way
 * @journal: where it is written down
 * @done: called with a task that has its answer; it owns the task
 * @context: for @done
 * @head: the task being worked on, those behind it by @next
 * @state: of the task at the head
 * @ready_us: when that ends
 * @sequence: of the latest task
 * @counts: tasks by opcode
 */
struct queue {
	struct drive *drive;
	struct faults *faults;
	struct journal *journal;
	void (*done)(void *context, struct task *task);
	void *context;
	struct task *head;
	enum queue_state state;
	u64 ready_us;
	u64 sequence;
	u64 counts[256];
};

void queue_submit(struct queue *queue, struct task *task, u64 now_us);
void queue_run(struct queue *queue, u64 now_us);
int queue_wait_ms(const struct queue *queue, u64 now_us);
bool queue_abort(struct queue *queue, u32 tag, u64 now_us);
void queue_release(struct queue *queue, u64 now_us);
bool queue_is_held(const struct queue *queue);

#endif
