/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of the record have in common: a record, a reader of it, and time
 * that passes when they say so
 */
#ifndef SRLOCK_EVENTS_FIXTURE_H
#define SRLOCK_EVENTS_FIXTURE_H

#include <kunit/test.h>

#include "events.h"

#define EVENTS_START_NS	(1000 * (u64)NSEC_PER_SEC)

/**
 * struct events_fixture - what each test gets
 * @events: those under test
 * @next: where the reader is
 * @event: what it has read last
 */
struct events_fixture {
	struct srlock_events events;
	u64 next;
	struct srlock_event event;
};

int events_init(struct kunit *test);
void events_exit(struct kunit *test);
struct srlock_events *events_of(struct kunit *test);
void events_pass_time(u64 ns);
void events_settle(struct kunit *test);
void events_change(struct kunit *test, const char *name);
void events_refuse(struct kunit *test, u32 code);
bool events_read(struct kunit *test);
const struct srlock_event *events_expect(struct kunit *test);
void events_expect_none(struct kunit *test);

#endif /* SRLOCK_EVENTS_FIXTURE_H */
