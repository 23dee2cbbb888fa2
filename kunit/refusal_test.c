// SPDX-License-Identifier: GPL-2.0-only
/*
 * The record of what happened: refusals, of which equal ones are one record
 */
#include <linux/cred.h>
#include <linux/kthread.h>
#include <linux/pid.h>
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <linux/user_namespace.h>

#include "events_fixture.h"

/* How many unequal refusals may come between two equal ones. */
#define LOOK_BACK	16

struct refusal_param {
	const char *desc;
	enum srlock_way way;
	u32 code;
	u8 flags;
	bool known;
};

static const struct refusal_param refusal_params[] = {
	{ "an open", SRLOCK_WAY_OPEN, 0x5, 0, true },
	{ "an ioctl", SRLOCK_WAY_IOCTL, 0x5309, 0, true },
	{ "a command", SRLOCK_WAY_COMMAND, 0x28, SRLOCK_EVENT_GUESS, true },
	{ "a command of nobody knows whom", SRLOCK_WAY_COMMAND, 0x4a,
	  SRLOCK_EVENT_GUESS, false },
	{ "the largest code", SRLOCK_WAY_IOCTL, U32_MAX, 0, true },
};

static void refusal_get_desc(const struct refusal_param *param, char *desc)
{
	strscpy(desc, param->desc, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(refusal, refusal_params, refusal_get_desc);

static void expect_refusal(struct kunit *test, const struct srlock_event *event)
{
	const struct refusal_param *param = test->param_value;
	char name[SRLOCK_CLIENT_SIZE] = {};

	if (param->known)
		strscpy(name, current->comm, sizeof(name));
	KUNIT_EXPECT_EQ(test, event->time_ns, EVENTS_START_NS);
	KUNIT_EXPECT_EQ(test, event->type, SRLOCK_EVENT_REFUSED);
	KUNIT_EXPECT_EQ(test, event->repeats, 1);
	KUNIT_EXPECT_EQ(test, event->lost, 0);
	KUNIT_EXPECT_EQ(test, event->way, param->way);
	KUNIT_EXPECT_EQ(test, event->code, param->code);
	/* Nobody is no guess. */
	KUNIT_EXPECT_EQ(test, event->flags, param->known ? param->flags : 0);
	KUNIT_EXPECT_EQ(test, event->pid, param->known ? task_tgid_vnr(current) : 0);
	KUNIT_EXPECT_EQ(test, event->uid, param->known ?
			from_kuid(current_user_ns(), current_uid()) : U32_MAX);
	KUNIT_EXPECT_EQ(test, memcmp(event->name, name, sizeof(name)), 0);
}

static void a_refusal_is_filled_in(struct kunit *test)
{
	const struct refusal_param *param = test->param_value;
	u64 refused[SRLOCK_WAY_COMMAND + 1];
	struct srlock_event last;
	unsigned int way;

	srlock_events_refused(events_of(test), param->way, param->code,
			      param->known ? current : NULL, param->flags);
	srlock_events_last(events_of(test), &last);
	expect_refusal(test, &last);

	srlock_events_totals(events_of(test), refused);
	for (way = 0; way < ARRAY_SIZE(refused); way++)
		KUNIT_EXPECT_EQ(test, refused[way], way == param->way);

	events_pass_time(NSEC_PER_SEC);
	events_settle(test);
	expect_refusal(test, events_expect(test));
	events_expect_none(test);
}

/* Nobody reads half of what is still being counted. */
static void a_refusal_is_read_when_its_second_is_over(struct kunit *test)
{
	events_refuse(test, 1);
	events_expect_none(test);
	events_settle(test);
	events_expect_none(test);
	events_pass_time(NSEC_PER_SEC - 1);
	events_settle(test);
	events_expect_none(test);
	events_pass_time(1);
	events_settle(test);
	KUNIT_EXPECT_EQ(test, events_expect(test)->code, 1);
	events_expect_none(test);
}

/* What follows a refusal does not wait for its second, nor does the refusal. */
static void a_state_record_flushes_refusals(struct kunit *test)
{
	events_refuse(test, 1);
	events_refuse(test, 2);
	events_refuse(test, 1);
	events_expect_none(test);
	events_change(test, "next");
	KUNIT_EXPECT_EQ(test, events_expect(test)->code, 1);
	KUNIT_EXPECT_EQ(test, events_expect(test)->code, 2);
	KUNIT_EXPECT_EQ(test, events_expect(test)->type, SRLOCK_EVENT_HELD);
	events_expect_none(test);
	/* What has been read does not change any more. */
	events_refuse(test, 2);
	events_change(test, "after");
	KUNIT_EXPECT_EQ(test, events_expect(test)->repeats, 1);
	KUNIT_EXPECT_EQ(test, events_expect(test)->type, SRLOCK_EVENT_HELD);
	events_expect_none(test);
}

/* A reader stops at the record that says so; sysfs may still ask. */
static void nothing_follows_unplugged(struct kunit *test)
{
	u64 refused[SRLOCK_WAY_COMMAND + 1];
	struct srlock_event last;

	events_refuse(test, 1);
	srlock_events_state(events_of(test), SRLOCK_EVENT_UNPLUGGED, NULL, INVALID_UID,
			    NULL);
	events_refuse(test, 2);
	events_refuse(test, 2);
	events_pass_time(NSEC_PER_SEC);
	events_settle(test);
	KUNIT_EXPECT_EQ(test, events_expect(test)->code, 1);
	KUNIT_EXPECT_EQ(test, events_expect(test)->type, SRLOCK_EVENT_UNPLUGGED);
	events_expect_none(test);

	srlock_events_totals(events_of(test), refused);
	KUNIT_EXPECT_EQ(test, refused[SRLOCK_WAY_COMMAND], 3);
	srlock_events_last(events_of(test), &last);
	KUNIT_EXPECT_EQ(test, last.code, 2);
}

struct window_param {
	const char *desc;
	u64 after_ns;
	unsigned int records;
};

static const struct window_param window_params[] = {
	{ "at the same time", 0, 1 },
	{ "half a second later", NSEC_PER_SEC / 2, 1 },
	{ "in the last moment", NSEC_PER_SEC - 1, 1 },
	{ "after a second", NSEC_PER_SEC, 2 },
	{ "much later", 3600 * (u64)NSEC_PER_SEC, 2 },
};

static void window_get_desc(const struct window_param *param, char *desc)
{
	strscpy(desc, param->desc, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(window, window_params, window_get_desc);

/* The second counts from the first of them, so that it ends some time. */
static void equal_refusals_within_a_second_are_one(struct kunit *test)
{
	const struct window_param *param = test->param_value;
	const struct srlock_event *event;
	u64 refused[SRLOCK_WAY_COMMAND + 1];
	struct srlock_event last;

	events_refuse(test, 7);
	events_pass_time(param->after_ns / 2);
	events_refuse(test, 7);
	events_pass_time(param->after_ns - param->after_ns / 2);
	events_refuse(test, 7);

	srlock_events_totals(events_of(test), refused);
	KUNIT_EXPECT_EQ(test, refused[SRLOCK_WAY_COMMAND], 3);
	srlock_events_last(events_of(test), &last);
	KUNIT_EXPECT_EQ(test, last.time_ns, EVENTS_START_NS + param->after_ns);
	KUNIT_EXPECT_EQ(test, last.repeats, 1);

	events_pass_time(NSEC_PER_SEC);
	events_settle(test);
	event = events_expect(test);
	if (param->records == 1) {
		KUNIT_EXPECT_EQ(test, event->repeats, 3);
		KUNIT_EXPECT_EQ(test, event->time_ns, EVENTS_START_NS + param->after_ns);
	} else if (param->after_ns / 2 < NSEC_PER_SEC) {
		KUNIT_EXPECT_EQ(test, event->repeats, 2);
		KUNIT_EXPECT_EQ(test, event->time_ns, EVENTS_START_NS + param->after_ns / 2);
		KUNIT_EXPECT_EQ(test, events_expect(test)->repeats, 1);
	} else {
		KUNIT_EXPECT_EQ(test, event->repeats, 1);
		KUNIT_EXPECT_EQ(test, events_expect(test)->repeats, 1);
		KUNIT_EXPECT_EQ(test, events_expect(test)->repeats, 1);
	}
	events_expect_none(test);
}

static int never_run(void *data)
{
	return 0;
}

/* A task that does nothing but have a name and a pid; kthread_stop() ends it. */
static struct task_struct *make_task(struct kunit *test, const char *name)
{
	struct task_struct *task = kthread_create(never_run, NULL, "%s", name);

	KUNIT_ASSERT_FALSE(test, IS_ERR(task));

	return task;
}

/* A refusal that differs in anything is another one. */
static void unequal_refusals_are_several(struct kunit *test)
{
	struct task_struct *task = make_task(test, "other-intruder");
	struct srlock_events *to = events_of(test);
	unsigned int i, records = 0;

	for (i = 0; i < 2; i++) {
		srlock_events_refused(to, SRLOCK_WAY_COMMAND, 0x28, current, 0);
		srlock_events_refused(to, SRLOCK_WAY_IOCTL, 0x28, current, 0);
		srlock_events_refused(to, SRLOCK_WAY_COMMAND, 0x2a, current, 0);
		srlock_events_refused(to, SRLOCK_WAY_COMMAND, 0x28, current,
				      SRLOCK_EVENT_GUESS);
		srlock_events_refused(to, SRLOCK_WAY_COMMAND, 0x28, task, 0);
		srlock_events_refused(to, SRLOCK_WAY_COMMAND, 0x28, NULL, 0);
	}
	kthread_stop(task);
	events_change(test, "end");
	while (events_expect(test)->type == SRLOCK_EVENT_REFUSED) {
		struct events_fixture *fixture = test->priv;

		KUNIT_EXPECT_EQ(test, fixture->event.repeats, 2);
		if (records == 4) {
			KUNIT_EXPECT_STREQ(test, (char *)fixture->event.name,
					   "other-intruder");
			KUNIT_EXPECT_NE(test, fixture->event.pid, 0);
			KUNIT_EXPECT_NE(test, fixture->event.pid,
					task_tgid_vnr(current));
		}
		records++;
	}
	KUNIT_EXPECT_EQ(test, records, 6);
}

/* Looking for an equal one costs the same for everybody: only so far back. */
static void an_equal_refusal_is_looked_for_nearby(struct kunit *test)
{
	unsigned int between, code;

	for (between = LOOK_BACK - 1; between <= LOOK_BACK; between++) {
		struct events_fixture *fixture = test->priv;
		unsigned int records = 0;

		events_refuse(test, 1000);
		for (code = 0; code < between; code++)
			events_refuse(test, code);
		events_refuse(test, 1000);
		events_change(test, "end");
		while (events_expect(test)->type == SRLOCK_EVENT_REFUSED)
			records += fixture->event.code == 1000;
		KUNIT_EXPECT_EQ_MSG(test, records, between < LOOK_BACK ? 1 : 2,
				    "%u in between", between);
	}
}

/* Each settles in its own time, and the later ones are not forgotten. */
static void refusals_settle_one_after_the_other(struct kunit *test)
{
	unsigned int i;

	for (i = 0; i < 5; i++) {
		events_refuse(test, i);
		events_pass_time(NSEC_PER_SEC / 10);
	}
	events_pass_time(NSEC_PER_SEC / 2);
	for (i = 0; i < 5; i++) {
		events_settle(test);
		KUNIT_EXPECT_EQ(test, events_expect(test)->code, i);
		events_expect_none(test);
		events_pass_time(NSEC_PER_SEC / 10);
	}
}

/* Nobody has to read for it: it settles by itself, and wakes who sleeps for it. */
static void a_reader_is_woken_when_a_refusal_settles(struct kunit *test)
{
	struct events_fixture *fixture = test->priv;
	struct srlock_events *events = &fixture->events;
	long left;

	events_refuse(test, 1);
	events_pass_time(NSEC_PER_SEC);
	left = wait_event_interruptible_timeout(events->wait,
						srlock_events_readable(events, 0), 10 * HZ);
	/* 1: it was there at the end, but nobody said so. */
	KUNIT_EXPECT_GT(test, left, 1);
	events_expect(test);
}

/**
 * struct sleeper - a reader that sleeps
 * @events: what it reads
 * @woke: it does not sleep any more
 * @left: how much was left of its time then; 1 if it was not woken
 */
struct sleeper {
	struct srlock_events *events;
	struct completion woke;
	long left;
};

static int sleep_for_a_record(void *data)
{
	struct sleeper *sleeper = data;
	struct srlock_events *events = sleeper->events;

	sleeper->left = wait_event_interruptible_timeout(events->wait,
							 srlock_events_readable(events, 0),
							 5 * HZ);
	complete(&sleeper->woke);
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);

	return 0;
}

static void a_reader_is_woken_by_a_state_record(struct kunit *test)
{
	struct sleeper sleeper = { .events = events_of(test) };
	struct task_struct *task;
	unsigned long start;

	init_completion(&sleeper.woke);
	task = kthread_run(sleep_for_a_record, &sleeper, "srlock_sleeper");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	/* Should it not be asleep by then, it finds the record and is not late either. */
	start = jiffies;
	while (!wq_has_sleeper(&events_of(test)->wait) &&
	       time_before(jiffies, start + 2 * HZ))
		schedule_timeout_interruptible(1);
	events_change(test, "wake");
	wait_for_completion(&sleeper.woke);
	kthread_stop(task);
	KUNIT_EXPECT_GT(test, sleeper.left, 1);
}

/* With three ways each, fewer than are looked back at: the ring does not overrun. */
#define REFUSED_TASKS	4
#define REFUSALS	2000

static int be_refused(void *data)
{
	struct srlock_events *to = data;
	unsigned int i;

	for (i = 0; i < REFUSALS; i++) {
		srlock_events_refused(to, SRLOCK_WAY_OPEN + i % 3, 0, current, 0);
		if (i % 16 == 0)
			cond_resched();
	}
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);

	return 0;
}

/* Many are refused while one reads: every refusal is in some record, once. */
static void every_refusal_is_in_a_record(struct kunit *test)
{
	struct task_struct *tasks[REFUSED_TASKS];
	const u64 all = REFUSED_TASKS * REFUSALS;
	u64 refused[SRLOCK_WAY_COMMAND + 1];
	struct events_fixture *fixture = test->priv;
	u64 total = 0, repeats = 0;
	unsigned int i;

	for (i = 0; i < REFUSED_TASKS; i++) {
		tasks[i] = kthread_run(be_refused, events_of(test), "refused_%u", i);
		KUNIT_ASSERT_FALSE(test, IS_ERR(tasks[i]));
	}
	while (total < all) {
		schedule_timeout_interruptible(1);
		events_pass_time(NSEC_PER_SEC / 3);
		events_settle(test);
		/* Not by events_read(): what is readable may change in between. */
		while (srlock_events_next(&fixture->events, &fixture->next,
					  &fixture->event))
			repeats += fixture->event.repeats;
		srlock_events_totals(events_of(test), refused);
		total = refused[SRLOCK_WAY_OPEN] + refused[SRLOCK_WAY_IOCTL] +
			refused[SRLOCK_WAY_COMMAND];
	}
	for (i = 0; i < REFUSED_TASKS; i++)
		kthread_stop(tasks[i]);
	events_pass_time(NSEC_PER_SEC);
	events_settle(test);
	while (srlock_events_next(&fixture->events, &fixture->next, &fixture->event)) {
		repeats += fixture->event.repeats;
		KUNIT_EXPECT_EQ(test, fixture->event.lost, 0);
	}
	KUNIT_EXPECT_EQ(test, total, all);
	KUNIT_EXPECT_EQ(test, repeats, all);
}

static struct kunit_case refusal_cases[] = {
	KUNIT_CASE_PARAM(a_refusal_is_filled_in, refusal_gen_params),
	KUNIT_CASE(a_refusal_is_read_when_its_second_is_over),
	KUNIT_CASE(a_state_record_flushes_refusals),
	KUNIT_CASE(nothing_follows_unplugged),
	KUNIT_CASE_PARAM(equal_refusals_within_a_second_are_one, window_gen_params),
	KUNIT_CASE(unequal_refusals_are_several),
	KUNIT_CASE(an_equal_refusal_is_looked_for_nearby),
	KUNIT_CASE(refusals_settle_one_after_the_other),
	KUNIT_CASE(a_reader_is_woken_when_a_refusal_settles),
	KUNIT_CASE(a_reader_is_woken_by_a_state_record),
	KUNIT_CASE(every_refusal_is_in_a_record),
	{}
};

static struct kunit_suite refusal_suite = {
	.name		= "srlock-refusal",
	.init		= events_init,
	.exit		= events_exit,
	.test_cases	= refusal_cases,
};

kunit_test_suite(refusal_suite);
