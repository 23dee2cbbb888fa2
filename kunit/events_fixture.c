// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the tests of the record have in common; see events_fixture.h
 */
#include <linux/cred.h>
#include <linux/pid.h>
#include <linux/sched/signal.h>
#include <linux/string.h>

#include "events_fixture.h"
#include "under_test.h"

int events_init(struct kunit *test)
{
	struct events_fixture *fixture = kunit_kzalloc(test, sizeof(*fixture), GFP_KERNEL);

	if (!fixture)
		return -ENOMEM;
	srlock_under_test.now = EVENTS_START_NS;
	memset(&fixture->events, 0x5a, sizeof(fixture->events));
	test->priv = fixture;

	return srlock_events_init(&fixture->events);
}

void events_exit(struct kunit *test)
{
	struct events_fixture *fixture = test->priv;

	if (fixture)
		srlock_events_destroy(&fixture->events);
}

struct srlock_events *events_of(struct kunit *test)
{
	struct events_fixture *fixture = test->priv;

	return &fixture->events;
}

void events_pass_time(u64 ns)
{
	WRITE_ONCE(srlock_under_test.now, srlock_under_test.now + ns);
}

/* Do now what would be done when the first refusal's second is over. */
void events_settle(struct kunit *test)
{
	flush_delayed_work(&events_of(test)->settle);
}

void events_change(struct kunit *test, const char *name)
{
	char padded[SRLOCK_CLIENT_SIZE];

	strscpy_pad(padded, name, sizeof(padded));
	srlock_events_state(events_of(test), SRLOCK_EVENT_HELD, task_tgid(current),
			    current_uid(), padded);
}

void events_refuse(struct kunit *test, u32 code)
{
	srlock_events_refused(events_of(test), SRLOCK_WAY_COMMAND, code, current, 0);
}

/* Read one record into the fixture. */
bool events_read(struct kunit *test)
{
	struct events_fixture *fixture = test->priv;
	bool readable, found;

	memset(&fixture->event, 0x5a, sizeof(fixture->event));
	readable = srlock_events_readable(&fixture->events, fixture->next);
	found = srlock_events_next(&fixture->events, &fixture->next, &fixture->event);
	/* A reader sleeps until it is readable, so the two must not contradict. */
	KUNIT_EXPECT_EQ(test, readable, found);

	return found;
}

const struct srlock_event *events_expect(struct kunit *test)
{
	struct events_fixture *fixture = test->priv;

	KUNIT_EXPECT_TRUE(test, events_read(test));

	return &fixture->event;
}

void events_expect_none(struct kunit *test)
{
	struct events_fixture *fixture = test->priv;
	u64 before = fixture->next;

	KUNIT_EXPECT_FALSE(test, events_read(test));
	KUNIT_EXPECT_EQ(test, fixture->next, before);
}
