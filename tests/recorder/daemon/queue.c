// SPDX-License-Identifier: GPL-2.0-or-later
/* The queue: taking commands one by one through faults and drive */
#include <stddef.h>

#include "queue.h"

/**
 * queue_submit() - a command has arrived
 * @queue: the queue, which owns the task until @done
 * @task: tag, CDB, buffer filled in
 * @now_us: the time
 */
void queue_submit(struct queue *queue, struct task *task, u64 now_us)
{
	struct task **end = &queue->head;

	task->next = NULL;
	task->sequence = ++queue->sequence;
	task->arrived_us = now_us;
	queue->counts[task->cdb[0]]++;
	while (*end)
		end = &(*end)->next;
	*end = task;
}

static void answer_head(struct queue *queue)
{
	struct task *task = queue->head;

	queue->head = task->next;
	queue->state = QUEUE_IDLE;
	journal_command(queue->journal, task);
	queue->done(queue->context, task);
}

static void execute_head(struct queue *queue, u64 now_us)
{
	struct command *command = &queue->head->command;

	queue->drive->now_ms = now_us / 1000;
	drive_execute(queue->drive, command);
	queue->state = QUEUE_ANSWERING;
	queue->ready_us = now_us + command->duration_ms * 1000ull;
}

/* What is to happen once a delay is over */
static void proceed_with_head(struct queue *queue, u64 now_us)
{
	struct task *task = queue->head;

	switch (task->fault.action) {
	case FAULT_STATUS:
		task->command.status = task->fault.status;
		break;
	case FAULT_SENSE:
		command_check_condition(&task->command, task->fault.sense);
		break;
	default:
		execute_head(queue, now_us);
		return;
	}
	queue->state = QUEUE_ANSWERING;
	queue->ready_us = now_us;
}

static void begin_head(struct queue *queue, u64 now_us)
{
	struct task *task = queue->head;

	task->fault = faults_strike(queue->faults, task->cdb, task->command.cdb_length);
	switch (task->fault.action) {
	case FAULT_HANG:
	case FAULT_DEAF:
		queue->state = QUEUE_HUNG;
		journal_held(queue->journal, task);
		return;
	default:
		break;
	}
	if (!task->fault.delay_ms) {
		proceed_with_head(queue, now_us);
		return;
	}
	queue->state = QUEUE_DELAYED;
	queue->ready_us = now_us + task->fault.delay_ms * 1000ull;
	journal_held(queue->journal, task);
}

/**
 * queue_run() - do everything that can be done by now
 * @queue: the queue
 * @now_us: the time
 */
void queue_run(struct queue *queue, u64 now_us)
{
	while (queue->head) {
		if (queue->state == QUEUE_IDLE)
			begin_head(queue, now_us);
		if (queue->state == QUEUE_HUNG || now_us < queue->ready_us)
			return;
		if (queue->state == QUEUE_DELAYED)
			proceed_with_head(queue, now_us);
		else
			answer_head(queue);
	}
}

/** queue_wait_ms() - how long queue_run() has nothing to do, -1 for until a new command */
int queue_wait_ms(const struct queue *queue, u64 now_us)
{
	if (!queue->head || queue->state == QUEUE_HUNG)
		return -1;
	if (queue->state == QUEUE_IDLE || queue->ready_us <= now_us)
		return 0;
	return (int)((queue->ready_us - now_us + 999) / 1000);
}

static void abort_task(struct queue *queue, struct task **link)
{
	struct task *task = *link;

	*link = task->next;
	task->command.status = STATUS_TASK_ABORTED;
	task->command.returned = 0;
	journal_command(queue->journal, task);
	queue->done(queue->context, task);
}

/**
 * queue_abort() - the host gives a command up
 * @queue: the queue
 * @tag: the command
 * @now_us: the time
 * Return: whether it is answered now, without having been carried out
 */
bool queue_abort(struct queue *queue, u32 tag, u64 now_us)
{
	struct task **link = &queue->head;

	while (*link && (*link)->tag != tag)
		link = &(*link)->next;
	if (!*link)
		return false;
	if (*link == queue->head) {
		if (queue->state == QUEUE_ANSWERING ||
		    (queue->state == QUEUE_HUNG && queue->head->fault.action == FAULT_DEAF))
			return false;
		queue->state = QUEUE_IDLE;
	}
	abort_task(queue, link);
	queue_run(queue, now_us);
	return true;
}

/**
 * queue_release() - let a held command go on
 * @queue: the queue
 * @now_us: the time
 */
void queue_release(struct queue *queue, u64 now_us)
{
	if (queue_is_held(queue))
		proceed_with_head(queue, now_us);
	queue_run(queue, now_us);
}

/** queue_is_held() - is the command at the head delayed or hung by a fault */
bool queue_is_held(const struct queue *queue)
{
	return queue->state == QUEUE_HUNG || queue->state == QUEUE_DELAYED;
}
