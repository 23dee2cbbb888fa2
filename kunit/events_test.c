// SPDX-License-Identifier: GPL-2.0-only
/*
 * The record of what happened: the ring, what is in it, and its readers
 */
#include <linux/cred.h>
#include <linux/pid.h>
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <linux/user_namespace.h>

#include "events_fixture.h"
#include "under_test.h"

static void nothing_at_first(struct kunit *test)
{
	u64 refused[SRLOCK_WAY_COMMAND + 1];
	struct srlock_event last;
	unsigned int i;

	events_expect_none(test);
	KUNIT_EXPECT_EQ(test, srlock_events_end(events_of(test)), 0);
	memset(refused, 0x5a, sizeof(refused));
	srlock_events_totals(events_of(test), refused);
	for (i = 0; i < ARRAY_SIZE(refused); i++)
		KUNIT_EXPECT_EQ(test, refused[i], 0);
	srlock_events_last(events_of(test), &last);
	KUNIT_EXPECT_EQ(test, last.repeats, 0);
}

struct state_param {
	const char *desc;
	enum srlock_event_type type;
	const char *name;
	bool known;
};

static const struct state_param state_params[] = {
	{ "held", SRLOCK_EVENT_HELD, "xorriso", true },
	{ "released", SRLOCK_EVENT_RELEASED, "a", true },
	{ "broken", SRLOCK_EVENT_BROKEN,
	  "123456789 123456789 123456789 123456789 123456789 123456789 123", true },
	{ "unplugged while held", SRLOCK_EVENT_UNPLUGGED, "growisofs", true },
	{ "unplugged while free", SRLOCK_EVENT_UNPLUGGED, NULL, false },
};

static void state_get_desc(const struct state_param *param, char *desc)
{
	strscpy(desc, param->desc, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(state, state_params, state_get_desc);

static void a_state_record_is_filled_in(struct kunit *test)
{
	const struct state_param *param = test->param_value;
	char name[SRLOCK_CLIENT_SIZE] = {};
	const struct srlock_event *event;

	if (param->name)
		strscpy(name, param->name, sizeof(name));
	srlock_events_state(events_of(test), param->type,
			    param->known ? task_tgid(current) : NULL, current_uid(),
			    param->name ? name : NULL);

	event = events_expect(test);
	KUNIT_EXPECT_EQ(test, event->time_ns, EVENTS_START_NS);
	KUNIT_EXPECT_EQ(test, event->type, param->type);
	KUNIT_EXPECT_EQ(test, event->repeats, 1);
	KUNIT_EXPECT_EQ(test, event->lost, 0);
	KUNIT_EXPECT_EQ(test, event->flags, 0);
	KUNIT_EXPECT_EQ(test, event->way, SRLOCK_WAY_NONE);
	KUNIT_EXPECT_EQ(test, event->code, 0);
	if (param->known) {
		KUNIT_EXPECT_EQ(test, event->pid, task_tgid_vnr(current));
		KUNIT_EXPECT_EQ(test, event->uid,
				from_kuid(current_user_ns(), current_uid()));
	} else {
		KUNIT_EXPECT_EQ(test, event->pid, 0);
		KUNIT_EXPECT_EQ(test, event->uid, U32_MAX);
	}
	/* All of it: no stack byte comes out behind the name. */
	KUNIT_EXPECT_EQ(test, memcmp(event->name, name, sizeof(name)), 0);
	events_expect_none(test);
}

struct overrun_param {
	const char *desc;
	unsigned int records;
	u32 lost;
};

static const struct overrun_param overrun_params[] = {
	{ "one", 1, 0 },
	{ "one less than there is room for", SRLOCK_EVENTS_MAX - 1, 0 },
	{ "as many as there is room for", SRLOCK_EVENTS_MAX, 0 },
	{ "one more", SRLOCK_EVENTS_MAX + 1, 1 },
	{ "twice as many", 2 * SRLOCK_EVENTS_MAX, SRLOCK_EVENTS_MAX },
	{ "many", 10000, 10000 - SRLOCK_EVENTS_MAX },
};

static void overrun_get_desc(const struct overrun_param *param, char *desc)
{
	strscpy(desc, param->desc, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(overrun, overrun_params, overrun_get_desc);

/* Who is too slow loses the oldest, and is told how many. */
static void an_overrun_is_told(struct kunit *test)
{
	const struct overrun_param *param = test->param_value;
	const struct srlock_event *event;
	unsigned int i;

	for (i = 0; i < param->records; i++) {
		events_change(test, "record");
		events_pass_time(1);
	}
	for (i = param->lost; i < param->records; i++) {
		event = events_expect(test);
		KUNIT_ASSERT_EQ(test, event->time_ns, EVENTS_START_NS + i);
		KUNIT_ASSERT_EQ(test, event->lost, i == param->lost ? param->lost : 0);
	}
	events_expect_none(test);
	KUNIT_EXPECT_EQ(test, srlock_events_end(events_of(test)), param->records);

	/* Once told, it is forgotten. */
	events_change(test, "next");
	KUNIT_EXPECT_EQ(test, events_expect(test)->lost, 0);
}

static void a_huge_loss_is_told_as_the_largest(struct kunit *test)
{
	events_of(test)->head = U32_MAX + 1000ULL;
	events_of(test)->settled = U32_MAX + 1000ULL;
	events_change(test, "late");
	KUNIT_EXPECT_EQ(test, events_expect(test)->lost, U32_MAX);
	KUNIT_EXPECT_EQ(test, events_expect(test)->lost, 0);
}

/* Each reader has a place of its own, and starts with what comes after its open. */
static void readers_do_not_disturb_each_other(struct kunit *test)
{
	struct events_fixture *fixture = test->priv;
	struct srlock_event event;
	u64 late;

	events_change(test, "one");
	events_change(test, "two");
	late = srlock_events_end(&fixture->events);
	KUNIT_EXPECT_FALSE(test, srlock_events_readable(&fixture->events, late));
	KUNIT_EXPECT_FALSE(test, srlock_events_next(&fixture->events, &late, &event));
	events_change(test, "three");

	KUNIT_EXPECT_TRUE(test, srlock_events_next(&fixture->events, &late, &event));
	KUNIT_EXPECT_STREQ(test, (char *)event.name, "three");
	KUNIT_EXPECT_EQ(test, event.lost, 0);
	KUNIT_EXPECT_STREQ(test, (char *)events_expect(test)->name, "one");
	KUNIT_EXPECT_STREQ(test, (char *)events_expect(test)->name, "two");
	KUNIT_EXPECT_STREQ(test, (char *)events_expect(test)->name, "three");
}

/* A new reader starts behind refusals that are still being counted. */
static void a_new_reader_starts_behind_what_is_not_settled(struct kunit *test)
{
	struct events_fixture *fixture = test->priv;

	events_refuse(test, 1);
	fixture->next = srlock_events_end(&fixture->events);
	events_refuse(test, 2);
	events_change(test, "end");
	KUNIT_EXPECT_EQ(test, events_expect(test)->code, 2);
}

/*
 * Refusals fill the whole ring within a second. Who has not read what was before
 * has lost it, and there is nothing to be read yet: no reason to be woken.
 */
static void behind_a_full_ring_is_not_readable(struct kunit *test)
{
	const struct srlock_event *event;
	unsigned int i;

	events_change(test, "lost");
	for (i = 0; i < SRLOCK_EVENTS_MAX; i++)
		events_refuse(test, i);
	events_expect_none(test);

	/* The oldest refusal goes without ever having been readable. */
	events_pass_time(NSEC_PER_SEC / 2);
	events_refuse(test, i);
	events_expect_none(test);

	/* The others settle in their own time, not in that of what took its place. */
	events_pass_time(NSEC_PER_SEC / 2);
	events_settle(test);
	event = events_expect(test);
	KUNIT_EXPECT_EQ(test, event->lost, 2);
	KUNIT_EXPECT_EQ(test, event->code, 1);
	for (i = 2; i < SRLOCK_EVENTS_MAX; i++)
		KUNIT_EXPECT_EQ(test, events_expect(test)->code, i);
	events_expect_none(test);
	events_pass_time(NSEC_PER_SEC / 2);
	events_settle(test);
	KUNIT_EXPECT_EQ(test, events_expect(test)->code, i);
	events_expect_none(test);
}

static void over_is_what_ends_with_the_drive_and_was_read(struct kunit *test)
{
	struct srlock_events *events = events_of(test);
	struct srlock_event event;
	u64 next = 0;

	events_change(test, "a");
	KUNIT_EXPECT_FALSE(test, srlock_events_over(events, next));
	KUNIT_ASSERT_TRUE(test, srlock_events_next(events, &next, &event));
	/* Nothing to read, but there may be more to come. */
	KUNIT_EXPECT_FALSE(test, srlock_events_over(events, next));

	srlock_events_state(events, SRLOCK_EVENT_UNPLUGGED, NULL, INVALID_UID, NULL);
	KUNIT_EXPECT_FALSE(test, srlock_events_over(events, next));
	KUNIT_ASSERT_TRUE(test, srlock_events_next(events, &next, &event));
	KUNIT_EXPECT_TRUE(test, srlock_events_over(events, next));
}

/* sysfs shows the latest refusal however long ago it was. */
static void the_last_refusal_outlives_the_ring(struct kunit *test)
{
	struct srlock_event last;
	unsigned int i;

	srlock_events_refused(events_of(test), SRLOCK_WAY_IOCTL, 0x5309, current, 0);
	for (i = 0; i < 2 * SRLOCK_EVENTS_MAX; i++)
		events_change(test, "record");
	srlock_events_last(events_of(test), &last);
	KUNIT_EXPECT_EQ(test, last.way, SRLOCK_WAY_IOCTL);
	KUNIT_EXPECT_EQ(test, last.code, 0x5309);
	KUNIT_EXPECT_EQ(test, last.repeats, 1);
	KUNIT_EXPECT_EQ(test, last.pid, task_tgid_vnr(current));
	KUNIT_EXPECT_STREQ(test, (char *)last.name, current->comm);
}

/* Each record holds its process's struct pid, and lets go of it when it is lost. */
static void references_are_put(struct kunit *test)
{
	struct pid *self = task_tgid(current);
	unsigned int before = refcount_read(&self->count);
	unsigned int i;

	for (i = 0; i < 3 * SRLOCK_EVENTS_MAX; i++) {
		events_change(test, "record");
		events_refuse(test, i);
		events_refuse(test, i);
	}
	/* All of the ring, and the last refusal. */
	KUNIT_EXPECT_EQ(test, refcount_read(&self->count), before + SRLOCK_EVENTS_MAX + 1);
	srlock_events_destroy(events_of(test));
	KUNIT_EXPECT_EQ(test, refcount_read(&self->count), before);
	/* events_exit() destroys it again, which must do nothing. */
}

static void no_memory_for_a_ring(struct kunit *test)
{
	srlock_events_destroy(events_of(test));
	srlock_under_test.no_memory = true;
	KUNIT_EXPECT_EQ(test, srlock_events_init(events_of(test)), -ENOMEM);
	srlock_under_test.no_memory = false;
	/* events_exit() destroys what there is none of. */
}

static struct kunit_case events_cases[] = {
	KUNIT_CASE(nothing_at_first),
	KUNIT_CASE_PARAM(a_state_record_is_filled_in, state_gen_params),
	KUNIT_CASE_PARAM(an_overrun_is_told, overrun_gen_params),
	KUNIT_CASE(a_huge_loss_is_told_as_the_largest),
	KUNIT_CASE(readers_do_not_disturb_each_other),
	KUNIT_CASE(a_new_reader_starts_behind_what_is_not_settled),
	KUNIT_CASE(behind_a_full_ring_is_not_readable),
	KUNIT_CASE(over_is_what_ends_with_the_drive_and_was_read),
	KUNIT_CASE(the_last_refusal_outlives_the_ring),
	KUNIT_CASE(references_are_put),
	KUNIT_CASE(no_memory_for_a_ring),
	{}
};

static struct kunit_suite events_suite = {
	.name		= "srlock-events",
	.init		= events_init,
	.exit		= events_exit,
	.test_cases	= events_cases,
};

kunit_test_suite(events_suite);
