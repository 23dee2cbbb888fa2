/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The record of what happened to a drive: held, released, broken, refused, gone
 *
 * A ring of the latest records, read by any number of readers, each from a place
 * of its own. Equal refusals within a second are one record; so that nobody reads
 * half of it, a refusal can be read when its second is over, or as soon as
 * something else than a refusal follows.
 */
#ifndef SRLOCK_EVENTS_H
#define SRLOCK_EVENTS_H

#include <linux/pid.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/uidgid.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/srlock.h>

#define SRLOCK_EVENTS_MAX	256

/**
 * struct srlock_record - one record
 * @since: ktime_get_ns() of the first of @repeats
 * @time: the same of the latest
 * @pid: the process; a reference; NULL if unknown
 * @uid: its real user; INVALID_UID if unknown
 * @repeats: how many equal refusals it stands for
 * @code: see enum srlock_way
 * @type: enum srlock_event_type
 * @way: enum srlock_way
 * @flags: SRLOCK_EVENT_*
 * @name: the client's or the process's, filled up with NUL
 */
struct srlock_record {
	u64 since;
	u64 time;
	struct pid *pid;
	kuid_t uid;
	u32 repeats;
	u32 code;
	u8 type;
	u8 way;
	u8 flags;
	char name[SRLOCK_CLIENT_SIZE];
};

/**
 * struct srlock_events - all of one drive
 * @lock: protects the rest; taken with interrupts off, nests inside
 *	srlock_lock.spin and everything else
 * @records: the ring; record n is at n % SRLOCK_EVENTS_MAX
 * @head: number of the record that comes next
 * @settled: number of the first record that cannot be read yet
 * @refused: how many were refused, by enum srlock_way
 * @ended: the drive is gone, so is the record
 * @last: the latest refusal; its repeats is 0 if there was none
 * @settle: makes refusals readable when their second is over
 * @wait: readers
 */
struct srlock_events {
	spinlock_t lock;
	struct srlock_record *records;
	u64 head;
	u64 settled;
	u64 refused[SRLOCK_WAY_COMMAND + 1];
	bool ended;
	struct srlock_record last;
	struct delayed_work settle;
	wait_queue_head_t wait;
};

int srlock_events_init(struct srlock_events *events);
void srlock_events_destroy(struct srlock_events *events);
void srlock_events_state(struct srlock_events *events, enum srlock_event_type type,
			 struct pid *pid, kuid_t uid, const char *name);
void srlock_events_refused(struct srlock_events *events, enum srlock_way way, u32 code,
			   struct task_struct *task, u8 flags);
bool srlock_events_next(struct srlock_events *events, u64 *next,
			struct srlock_event *event);
bool srlock_events_readable(struct srlock_events *events, u64 next);
bool srlock_events_over(struct srlock_events *events, u64 next);
u64 srlock_events_end(struct srlock_events *events);
void srlock_events_totals(struct srlock_events *events,
			  u64 refused[SRLOCK_WAY_COMMAND + 1]);
void srlock_events_last(struct srlock_events *events, struct srlock_event *event);

#endif /* SRLOCK_EVENTS_H */
