// SPDX-License-Identifier: GPL-2.0-only
/*
 * The record of what happened; see events.h
 */
#include <linux/cred.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/user_namespace.h>

#include "compat.h"
#include "events.h"

/* How long equal refusals are one record. */
#define SRLOCK_EVENTS_WINDOW_NS	NSEC_PER_SEC

/* How far back an equal refusal is looked for. */
#define SRLOCK_EVENTS_LOOK_BACK	16

static struct srlock_record *srlock_record_at(struct srlock_events *events, u64 number)
{
	return &events->records[number % SRLOCK_EVENTS_MAX];
}

static void srlock_events_settle_work(struct work_struct *work)
{
	struct srlock_events *events = container_of(to_delayed_work(work),
						    struct srlock_events, settle);
	u64 now = ktime_get_ns();
	u64 due;

	spin_lock_irq(&events->lock);
	while (events->settled < events->head) {
		due = srlock_record_at(events, events->settled)->since +
		      SRLOCK_EVENTS_WINDOW_NS;
		if (due > now) {
			schedule_delayed_work(&events->settle,
					      nsecs_to_jiffies(due - now) + 1);
			break;
		}
		events->settled++;
	}
	spin_unlock_irq(&events->lock);

	wake_up_interruptible(&events->wait);
}

/**
 * srlock_events_init() - start with an empty record
 * @events: to be initialised
 *
 * Context: Process context, sleeps.
 * Return: 0, or -ENOMEM.
 */
int srlock_events_init(struct srlock_events *events)
{
	memset(events, 0, sizeof(*events));
	spin_lock_init(&events->lock);
	init_waitqueue_head(&events->wait);
	INIT_DELAYED_WORK(&events->settle, srlock_events_settle_work);
	events->records = kvcalloc(SRLOCK_EVENTS_MAX, sizeof(*events->records),
				   GFP_KERNEL);

	return events->records ? 0 : -ENOMEM;
}

/**
 * srlock_events_destroy() - forget it all
 * @events: as initialised; nobody uses it any more
 *
 * Context: Process context, sleeps.
 */
void srlock_events_destroy(struct srlock_events *events)
{
	unsigned int i;

	if (!events->records)
		return;

	cancel_delayed_work_sync(&events->settle);
	for (i = 0; i < SRLOCK_EVENTS_MAX; i++)
		put_pid(events->records[i].pid);
	put_pid(events->last.pid);
	kvfree(events->records);
	events->records = NULL;
}

static struct srlock_record *srlock_events_append(struct srlock_events *events, u64 now)
{
	struct srlock_record *record = srlock_record_at(events, events->head);

	/* An overrun takes the oldest, read or not. */
	if (events->head - events->settled == SRLOCK_EVENTS_MAX)
		events->settled++;
	put_pid(record->pid);
	memset(record, 0, sizeof(*record));
	record->since = now;
	record->time = now;
	record->repeats = 1;
	events->head++;

	return record;
}

/**
 * srlock_events_state() - the lock has changed hands
 * @events: the drive's
 * @type: anything but SRLOCK_EVENT_REFUSED
 * @pid: the holder's process; may be NULL
 * @uid: its user
 * @name: the client's name, filled up with NUL; may be NULL
 *
 * Context: Process context, spinlocks may be held. Takes srlock_events.lock.
 */
void srlock_events_state(struct srlock_events *events, enum srlock_event_type type,
			 struct pid *pid, kuid_t uid, const char *name)
{
	struct srlock_record *record;
	unsigned long flags;

	spin_lock_irqsave(&events->lock, flags);
	record = srlock_events_append(events, ktime_get_ns());
	record->type = type;
	record->pid = get_pid(pid);
	record->uid = pid ? uid : INVALID_UID;
	if (name)
		memcpy(record->name, name, sizeof(record->name));
	events->ended = type == SRLOCK_EVENT_UNPLUGGED;
	events->settled = events->head;
	spin_unlock_irqrestore(&events->lock, flags);

	/* There may be any number of readers, and a spinlock is held. */
	if (wq_has_sleeper(&events->wait))
		mod_delayed_work(srlock_system_wq, &events->settle, 0);
}

static bool srlock_record_equals(const struct srlock_record *record,
				 const struct srlock_record *other)
{
	return record->type == other->type && record->way == other->way &&
	       record->code == other->code && record->flags == other->flags &&
	       record->pid == other->pid;
}

/* Find what an equal refusal has left within the last second. */
static struct srlock_record *srlock_events_find(struct srlock_events *events,
						const struct srlock_record *refusal)
{
	struct srlock_record *record;
	u64 number = events->head;
	unsigned int i;

	for (i = 0; i < SRLOCK_EVENTS_LOOK_BACK && number > events->settled; i++) {
		record = srlock_record_at(events, --number);
		if (refusal->time - record->since >= SRLOCK_EVENTS_WINDOW_NS)
			break;
		if (srlock_record_equals(record, refusal))
			return record;
	}

	return NULL;
}

static void srlock_record_copy(struct srlock_record *to, const struct srlock_record *from)
{
	put_pid(to->pid);
	*to = *from;
	get_pid(to->pid);
}

/**
 * srlock_events_refused() - somebody was refused
 * @events: the drive's
 * @way: where
 * @code: see enum srlock_way
 * @task: who, as far as known; NULL if unknown
 * @flags: SRLOCK_EVENT_GUESS or 0
 *
 * Context: Any but hard interrupts. Takes srlock_events.lock.
 */
void srlock_events_refused(struct srlock_events *events, enum srlock_way way, u32 code,
			   struct task_struct *task, u8 flags)
{
	struct srlock_record refusal = {
		.time = ktime_get_ns(),
		.pid = task ? task_tgid(task) : NULL,
		.uid = task ? task_uid(task) : INVALID_UID,
		.repeats = 1,
		.code = code,
		.type = SRLOCK_EVENT_REFUSED,
		.way = way,
		.flags = task ? flags : 0,
	};
	struct srlock_record *record;
	unsigned long irq_flags;

	refusal.since = refusal.time;
	if (task)
		strscpy(refusal.name, task->comm, sizeof(task->comm));

	spin_lock_irqsave(&events->lock, irq_flags);
	events->refused[way]++;
	srlock_record_copy(&events->last, &refusal);
	if (events->ended)
		goto out_unlock;
	record = srlock_events_find(events, &refusal);
	if (record) {
		record->time = refusal.time;
		record->repeats++;
	} else {
		record = srlock_events_append(events, refusal.time);
		srlock_record_copy(record, &refusal);
		schedule_delayed_work(&events->settle,
				      nsecs_to_jiffies(SRLOCK_EVENTS_WINDOW_NS) + 1);
	}
out_unlock:
	spin_unlock_irqrestore(&events->lock, irq_flags);
}

static void srlock_record_show(const struct srlock_record *record,
			       struct srlock_event *event)
{
	memset(event, 0, sizeof(*event));
	event->time_ns = record->time;
	event->type = record->type;
	event->repeats = record->repeats;
	event->flags = record->flags;
	event->pid = pid_vnr(record->pid);
	event->uid = uid_valid(record->uid) ?
		     from_kuid_munged(current_user_ns(), record->uid) : (u32)-1;
	event->way = record->way;
	event->code = record->code;
	memcpy(event->name, record->name, sizeof(event->name));
}

/* The number of the first record that is not overwritten. */
static u64 srlock_events_oldest(u64 head)
{
	return head > SRLOCK_EVENTS_MAX ? head - SRLOCK_EVENTS_MAX : 0;
}

/**
 * srlock_events_next() - the next record of a reader
 * @events: the drive's
 * @next: number of the record that the reader wants; moved on
 * @event: output, as the calling process may see it
 *
 * Context: Process context. Takes srlock_events.lock.
 * Return: true if there was one that can be read.
 */
bool srlock_events_next(struct srlock_events *events, u64 *next,
			struct srlock_event *event)
{
	u64 oldest, lost = 0;
	bool found;

	spin_lock_irq(&events->lock);
	oldest = srlock_events_oldest(events->head);
	if (*next < oldest)
		lost = oldest - *next;
	found = *next + lost < events->settled;
	if (found) {
		srlock_record_show(srlock_record_at(events, *next + lost), event);
		event->lost = min_t(u64, lost, U32_MAX);
		*next += lost + 1;
	}
	spin_unlock_irq(&events->lock);

	return found;
}

/**
 * srlock_events_readable() - whether srlock_events_next() would find one
 * @events: the drive's
 * @next: as there
 *
 * Context: Process context. Takes srlock_events.lock.
 * Return: true if so.
 */
bool srlock_events_readable(struct srlock_events *events, u64 next)
{
	bool readable;

	spin_lock_irq(&events->lock);
	readable = max(next, srlock_events_oldest(events->head)) < events->settled;
	spin_unlock_irq(&events->lock);

	return readable;
}

/**
 * srlock_events_over() - whether a reader has had all there will ever be
 * @events: the drive's
 * @next: as there
 *
 * Context: Process context. Takes srlock_events.lock.
 * Return: true if the drive is gone, and the record of that was read.
 */
bool srlock_events_over(struct srlock_events *events, u64 next)
{
	bool over;

	spin_lock_irq(&events->lock);
	over = events->ended && next >= events->settled;
	spin_unlock_irq(&events->lock);

	return over;
}

/**
 * srlock_events_end() - where a new reader starts
 * @events: the drive's
 *
 * Context: Process context. Takes srlock_events.lock.
 * Return: the number of the record that comes next.
 */
u64 srlock_events_end(struct srlock_events *events)
{
	u64 end;

	spin_lock_irq(&events->lock);
	end = events->head;
	spin_unlock_irq(&events->lock);

	return end;
}

/**
 * srlock_events_totals() - how many were refused, by enum srlock_way
 * @events: the drive's
 * @refused: output
 *
 * Context: Process context, spinlocks may be held. Takes srlock_events.lock.
 */
void srlock_events_totals(struct srlock_events *events,
			  u64 refused[SRLOCK_WAY_COMMAND + 1])
{
	unsigned long flags;

	spin_lock_irqsave(&events->lock, flags);
	memcpy(refused, events->refused, sizeof(events->refused));
	spin_unlock_irqrestore(&events->lock, flags);
}

/**
 * srlock_events_last() - the latest refusal
 * @events: the drive's
 * @event: output, as the calling process may see it; repeats is 0 if there was none
 *
 * Context: Process context. Takes srlock_events.lock.
 */
void srlock_events_last(struct srlock_events *events, struct srlock_event *event)
{
	spin_lock_irq(&events->lock);
	srlock_record_show(&events->last, event);
	spin_unlock_irq(&events->lock);
}
