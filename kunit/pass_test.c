// SPDX-License-Identifier: GPL-2.0-only
/*
 * Passes: slots and the list beyond them, generations, and where a stack ends
 */
#include <kunit/test.h>
#include <linux/kthread.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "pass.h"

/* More than there are slots, so that some are on the list. */
#define CROWD	(SRLOCK_PASS_SLOTS + 4)

/* A stack that nobody has; the tests only compare addresses. */
#define FAKE_STACK(number)	(THREAD_SIZE * (16 + 2 * (unsigned long)(number)))

/**
 * struct fixture - what each test gets
 * @passes: those under test
 * @crowd: passes of made-up tasks
 */
struct fixture {
	struct srlock_passes passes;
	struct srlock_pass crowd[CROWD];
};

static int pass_init(struct kunit *test)
{
	struct fixture *fixture = kunit_kzalloc(test, sizeof(*fixture), GFP_KERNEL);

	if (!fixture)
		return -ENOMEM;
	memset(&fixture->passes, 0x5a, sizeof(fixture->passes));
	srlock_passes_init(&fixture->passes);
	test->priv = fixture;

	return 0;
}

static unsigned long find(struct kunit *test, unsigned long address)
{
	struct fixture *fixture = test->priv;
	unsigned long found = srlock_passes_find(&fixture->passes, address);

	/* The quick look sees one slot only, but that one right. */
	if (srlock_passes_find_quick(&fixture->passes, address))
		KUNIT_EXPECT_EQ(test, found, fixture->passes.slots[0]);
	else if (found)
		KUNIT_EXPECT_NE(test, found, fixture->passes.slots[0]);

	return found;
}

/* Where blk_execute_rq() would have its wait object: anywhere on the stack. */
static unsigned long wait_object(unsigned int number)
{
	return FAKE_STACK(number) + THREAD_SIZE / 2;
}

static void take_crowd(struct kunit *test)
{
	struct fixture *fixture = test->priv;
	unsigned int i;

	for (i = 0; i < CROWD; i++) {
		fixture->crowd[i].stack = FAKE_STACK(i);
		srlock_pass_take_slow(&fixture->passes, &fixture->crowd[i]);
	}
}

static void drop(struct kunit *test, unsigned int number)
{
	struct fixture *fixture = test->priv;

	srlock_pass_drop(&fixture->passes, &fixture->crowd[number]);
}

static void expect_none_left(struct kunit *test)
{
	struct fixture *fixture = test->priv;

	KUNIT_EXPECT_NULL(test, memchr_inv(fixture->passes.slots, 0,
					   sizeof(fixture->passes.slots)));
	KUNIT_EXPECT_EQ(test, fixture->passes.overflown, 0);
	KUNIT_EXPECT_TRUE(test, list_empty(&fixture->passes.overflow));
}

static void there_are_none_at_first(struct kunit *test)
{
	unsigned long here;

	expect_none_left(test);
	KUNIT_EXPECT_EQ(test, find(test, 0), 0);
	KUNIT_EXPECT_EQ(test, find(test, 1), 0);
	KUNIT_EXPECT_EQ(test, find(test, (unsigned long)&here), 0);
	KUNIT_EXPECT_EQ(test, find(test, ULONG_MAX), 0);
}

struct kind_param {
	const char *desc;
	unsigned long kind;
};

static const struct kind_param kind_params[] = {
	{ "a call of the holder's own", 0 },
	{ "a call in which the kernel sends", SRLOCK_PASS_KERNEL },
};

static void kind_get_desc(const struct kind_param *param, char *desc)
{
	strscpy(desc, param->desc, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(kind, kind_params, kind_get_desc);

/* The usual way: one caller at a time, which does not need a place to remember. */
static void quick_pass_is_in_the_first_slot(struct kunit *test)
{
	unsigned long stack = (unsigned long)task_stack_page(current);
	struct fixture *fixture = test->priv;
	unsigned long object;

	KUNIT_EXPECT_TRUE(test, srlock_pass_take_quick(&fixture->passes));
	KUNIT_EXPECT_TRUE(test, srlock_passes_find_quick(&fixture->passes,
							 (unsigned long)&object));
	KUNIT_EXPECT_EQ(test, find(test, (unsigned long)&object), stack);
	KUNIT_EXPECT_EQ(test, find(test, 0), 0);
	/* There is one such slot only. */
	KUNIT_EXPECT_FALSE(test, srlock_pass_take_quick(&fixture->passes));
	KUNIT_EXPECT_EQ(test, find(test, (unsigned long)&object), stack);
	srlock_pass_drop_quick(&fixture->passes);
	KUNIT_EXPECT_EQ(test, find(test, (unsigned long)&object), 0);
	expect_none_left(test);
}

static void quick_pass_leaves_those_of_others_alone(struct kunit *test)
{
	struct fixture *fixture = test->priv;
	unsigned long object;

	take_crowd(test);
	KUNIT_EXPECT_FALSE(test, srlock_pass_take_quick(&fixture->passes));
	KUNIT_EXPECT_EQ(test, find(test, (unsigned long)&object), 0);
	srlock_pass_drop_quick(&fixture->passes);
	KUNIT_EXPECT_EQ(test, find(test, wait_object(0)), FAKE_STACK(0));

	/* Revoked, and the slot is another's when it is given back. */
	drop(test, 0);
	KUNIT_EXPECT_TRUE(test, srlock_pass_take_quick(&fixture->passes));
	srlock_passes_revoke(&fixture->passes);
	KUNIT_EXPECT_EQ(test, find(test, (unsigned long)&object), 0);
	srlock_pass_take_slow(&fixture->passes, &fixture->crowd[0]);
	KUNIT_EXPECT_EQ(test, fixture->crowd[0].slot, 0);
	srlock_pass_drop_quick(&fixture->passes);
	KUNIT_EXPECT_EQ(test, find(test, wait_object(0)), FAKE_STACK(0));
}

/* What the queue sees of a command: an object on the stack of who waits for it. */
static void callers_own_stack_is_found(struct kunit *test)
{
	const struct kind_param *param = test->param_value;
	unsigned long stack = (unsigned long)task_stack_page(current);
	struct fixture *fixture = test->priv;
	struct srlock_pass pass, nested;
	unsigned int generation;
	unsigned long object;

	generation = srlock_passes_generation(&fixture->passes);
	KUNIT_ASSERT_TRUE(test, srlock_pass_take(&fixture->passes, &pass, generation,
						 param->kind));
	KUNIT_EXPECT_EQ(test, pass.slot, 0);
	KUNIT_EXPECT_EQ(test, find(test, (unsigned long)&object), stack | param->kind);
	KUNIT_EXPECT_EQ(test, find(test, 0), 0);

	/* A call inside the call has a pass of its own, and does not end the outer. */
	KUNIT_ASSERT_TRUE(test, srlock_pass_take(&fixture->passes, &nested, generation,
						 0));
	KUNIT_EXPECT_NE(test, nested.slot, pass.slot);
	srlock_pass_drop(&fixture->passes, &nested);
	KUNIT_EXPECT_EQ(test, find(test, (unsigned long)&object), stack | param->kind);

	srlock_pass_drop(&fixture->passes, &pass);
	KUNIT_EXPECT_EQ(test, find(test, (unsigned long)&object), 0);
	expect_none_left(test);
}

struct edge_param {
	const char *desc;
	long offset;		/* from the stack's lowest address */
	bool found;
};

/*
 * The bit of SRLOCK_PASS_KERNEL moves the edges by a byte; nothing can be there, as
 * the lowest word of each stack is STACK_END_MAGIC. So for such a pass only the
 * words beside it are looked at.
 */
#define WORD		((long)sizeof(long))
#define STACK_END	((long)THREAD_SIZE)

static const struct edge_param edge_params[] = {
	{ "a stack below", -STACK_END, false },
	{ "the word below", -WORD, false },
	{ "the first word above the magic", WORD, true },
	{ "the middle", STACK_END / 2, true },
	{ "the last word", STACK_END - WORD, true },
	{ "the first byte behind", STACK_END, false },
	{ "the word above the next magic", STACK_END + WORD, false },
	{ "a stack above", 2 * STACK_END - WORD, false },
};

static void edge_get_desc(const struct edge_param *param, char *desc)
{
	strscpy(desc, param->desc, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(edge, edge_params, edge_get_desc);

/* Slot 0 is compared inline, the others and the list elsewhere: the same edges. */
static void a_stack_has_edges(struct kunit *test)
{
	static const unsigned int places[] = { 0, 1, SRLOCK_PASS_SLOTS - 1,
					       SRLOCK_PASS_SLOTS, CROWD - 1 };
	const struct edge_param *param = test->param_value;
	struct fixture *fixture = test->priv;
	unsigned int i, j, kind;

	for (kind = 0; kind <= SRLOCK_PASS_KERNEL; kind++) {
		for (i = 0; i < ARRAY_SIZE(places); i++) {
			unsigned long stack = FAKE_STACK(places[i]) | kind;

			/* The places below it are taken by stacks far away. */
			for (j = 0; j <= places[i]; j++) {
				fixture->crowd[j].stack = j == places[i] ?
							  stack : FAKE_STACK(100 + j);
				srlock_pass_take_slow(&fixture->passes,
						      &fixture->crowd[j]);
			}
			KUNIT_EXPECT_EQ_MSG(test,
					    find(test, (stack & ~1UL) + param->offset),
					    param->found ? stack : 0, "place %u, kind %u",
					    places[i], kind);
			for (j = 0; j <= places[i]; j++)
				drop(test, j);
		}
	}
	expect_none_left(test);
}

static void exact_edges_of_a_holders_pass(struct kunit *test)
{
	unsigned int i;

	take_crowd(test);
	for (i = 0; i < CROWD; i++) {
		KUNIT_EXPECT_EQ(test, find(test, FAKE_STACK(i)), FAKE_STACK(i));
		KUNIT_EXPECT_EQ(test, find(test, FAKE_STACK(i) - 1), 0);
		KUNIT_EXPECT_EQ(test, find(test, FAKE_STACK(i) + THREAD_SIZE), 0);
		KUNIT_EXPECT_EQ(test, find(test, FAKE_STACK(i) + THREAD_SIZE - 2),
				FAKE_STACK(i));
	}
}

/* As many as one likes, found in whatever place they are. */
static void more_than_there_are_slots(struct kunit *test)
{
	struct fixture *fixture = test->priv;
	unsigned int i, j;

	take_crowd(test);
	KUNIT_EXPECT_EQ(test, fixture->passes.overflown, CROWD - SRLOCK_PASS_SLOTS);
	for (i = 0; i < CROWD; i++) {
		KUNIT_EXPECT_EQ(test, fixture->crowd[i].slot,
				min(i, (unsigned int)SRLOCK_PASS_LISTED));
		KUNIT_EXPECT_EQ(test, find(test, wait_object(i)), FAKE_STACK(i));
	}
	KUNIT_EXPECT_EQ(test, find(test, wait_object(CROWD)), 0);

	/* Each takes away its own, from the front, where slot 0 is. */
	for (i = 0; i < CROWD; i++) {
		drop(test, i);
		for (j = 0; j < CROWD; j++)
			KUNIT_EXPECT_EQ_MSG(test, find(test, wait_object(j)),
					    j <= i ? 0 : FAKE_STACK(j),
					    "%u after %u was dropped", j, i);
	}
	expect_none_left(test);
}

static void a_slot_is_used_again(struct kunit *test)
{
	struct fixture *fixture = test->priv;

	take_crowd(test);
	drop(test, 3);
	fixture->crowd[3].stack = FAKE_STACK(50);
	srlock_pass_take_slow(&fixture->passes, &fixture->crowd[3]);
	KUNIT_EXPECT_EQ(test, fixture->crowd[3].slot, 3);
	KUNIT_EXPECT_EQ(test, find(test, wait_object(50)), FAKE_STACK(50));
	KUNIT_EXPECT_EQ(test, find(test, wait_object(3)), 0);
	KUNIT_EXPECT_EQ(test, fixture->passes.overflown, CROWD - SRLOCK_PASS_SLOTS);
}

/* The end of a hold: none is good any more, wherever it is. */
static void revoke_takes_all(struct kunit *test)
{
	struct fixture *fixture = test->priv;
	unsigned int generation = srlock_passes_generation(&fixture->passes);
	unsigned int i;

	take_crowd(test);
	KUNIT_EXPECT_TRUE(test, srlock_passes_revoke(&fixture->passes));
	KUNIT_EXPECT_NE(test, srlock_passes_generation(&fixture->passes), generation);
	expect_none_left(test);
	for (i = 0; i < CROWD; i++)
		KUNIT_EXPECT_EQ(test, find(test, wait_object(i)), 0);
}

/* Whoever ends a hold learns whether somebody was inside a call, in whatever place. */
static void revoke_tells_whether_there_was_one(struct kunit *test)
{
	struct fixture *fixture = test->priv;
	unsigned int i, left;

	KUNIT_EXPECT_FALSE(test, srlock_passes_revoke(&fixture->passes));
	for (left = 0; left < CROWD; left++) {
		take_crowd(test);
		for (i = 0; i < CROWD; i++)
			if (i != left)
				drop(test, i);
		KUNIT_EXPECT_TRUE_MSG(test, srlock_passes_revoke(&fixture->passes),
				      "pass %u", left);
		KUNIT_EXPECT_FALSE(test, srlock_passes_revoke(&fixture->passes));
		drop(test, left);
	}
	expect_none_left(test);
}

/* Who is still inside a long call gives back what it does not have any more. */
static void a_revoked_pass_is_dropped_without_harm(struct kunit *test)
{
	struct fixture *fixture = test->priv;
	struct srlock_pass next[CROWD];
	unsigned int i;

	take_crowd(test);
	srlock_passes_revoke(&fixture->passes);
	for (i = 0; i < CROWD; i++) {
		next[i].stack = FAKE_STACK(30 + i);
		srlock_pass_take_slow(&fixture->passes, &next[i]);
	}
	for (i = 0; i < CROWD; i++)
		drop(test, i);
	/* Those of the next hold are in the same places, and still there. */
	for (i = 0; i < CROWD; i++)
		KUNIT_EXPECT_EQ(test, find(test, wait_object(30 + i)), FAKE_STACK(30 + i));
	KUNIT_EXPECT_EQ(test, fixture->passes.overflown, CROWD - SRLOCK_PASS_SLOTS);
	for (i = 0; i < CROWD; i++)
		srlock_pass_drop(&fixture->passes, &next[i]);
	expect_none_left(test);
}

struct stale_param {
	const char *desc;
	unsigned int taken;
};

/* Where the pass would go that is too late. */
static const struct stale_param stale_params[] = {
	{ "into slot 0", 0 },
	{ "into the last slot", SRLOCK_PASS_SLOTS - 1 },
	{ "onto the list", SRLOCK_PASS_SLOTS },
};

static void stale_get_desc(const struct stale_param *param, char *desc)
{
	strscpy(desc, param->desc, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(stale, stale_params, stale_get_desc);

/* Found admitted in one hold, a caller does not get a pass in the next. */
static void a_stale_generation_gets_no_pass(struct kunit *test)
{
	const struct stale_param *param = test->param_value;
	struct fixture *fixture = test->priv;
	struct srlock_pass pass;
	unsigned int i, generation;
	unsigned long object;

	generation = srlock_passes_generation(&fixture->passes);
	srlock_passes_revoke(&fixture->passes);
	for (i = 0; i < param->taken; i++) {
		fixture->crowd[i].stack = FAKE_STACK(i);
		srlock_pass_take_slow(&fixture->passes, &fixture->crowd[i]);
	}
	KUNIT_EXPECT_FALSE(test, srlock_pass_take(&fixture->passes, &pass, generation, 0));
	KUNIT_EXPECT_EQ(test, pass.slot, param->taken);
	KUNIT_EXPECT_EQ(test, find(test, (unsigned long)&object), 0);

	generation = srlock_passes_generation(&fixture->passes);
	KUNIT_EXPECT_TRUE(test, srlock_pass_take(&fixture->passes, &pass, generation, 0));
	srlock_pass_drop(&fixture->passes, &pass);
	for (i = 0; i < param->taken; i++)
		drop(test, i);
	expect_none_left(test);
}

/* The generation goes on counting where it wraps. */
static void generations_wrap(struct kunit *test)
{
	struct fixture *fixture = test->priv;
	struct srlock_pass pass;

	fixture->passes.generation = UINT_MAX;
	srlock_passes_revoke(&fixture->passes);
	KUNIT_EXPECT_FALSE(test, srlock_pass_take(&fixture->passes, &pass, UINT_MAX, 0));
	KUNIT_EXPECT_TRUE(test, srlock_pass_take(&fixture->passes, &pass, 0, 0));
	srlock_pass_drop(&fixture->passes, &pass);
}

/**
 * struct caller - one of many tasks that come and go while passes are revoked
 * @passes: those they take
 * @admitted: there is a hold, and all of them are its holder's
 * @task: itself
 * @quick: it takes the quick way first
 * @taken: how often it got a pass
 * @lost: how often it had one that was not found, though nothing was revoked
 * @kept: how often its stack was still found after it had given the pass back
 */
struct caller {
	struct srlock_passes *passes;
	bool *admitted;
	struct task_struct *task;
	bool quick;
	unsigned int taken;
	unsigned int lost;
	unsigned int kept;
};

/* The caller is inside an admitted call, if the hold has not ended meanwhile. */
static void stay_a_while(struct caller *caller, unsigned int generation)
{
	struct srlock_passes *passes = caller->passes;
	unsigned long object;
	bool found;

	caller->taken++;
	cond_resched();
	found = srlock_passes_find(passes, (unsigned long)&object);
	if (!found && READ_ONCE(passes->generation) == generation)
		caller->lost++;
}

static void come_quickly(struct caller *caller)
{
	struct srlock_passes *passes = caller->passes;
	unsigned int generation = srlock_passes_generation(passes);

	/* A hold may end and the next begin from here on: then the pass may be void. */
	if (!srlock_pass_take_quick(passes))
		return;
	if (READ_ONCE(*caller->admitted))
		stay_a_while(caller, generation);
	srlock_pass_drop_quick(passes);
}

static void come(struct caller *caller)
{
	struct srlock_passes *passes = caller->passes;
	unsigned int generation;
	struct srlock_pass pass;

	generation = srlock_passes_generation(passes);
	if (!READ_ONCE(*caller->admitted))
		return;
	if (!srlock_pass_take(passes, &pass, generation, 0))
		return;
	stay_a_while(caller, generation);
	srlock_pass_drop(passes, &pass);
}

static int come_and_go(void *data)
{
	struct caller *caller = data;

	while (!kthread_should_stop()) {
		if (caller->quick)
			come_quickly(caller);
		come(caller);
		if (srlock_passes_find(caller->passes, (unsigned long)&caller))
			caller->kept++;
		schedule_timeout_interruptible(0);
	}

	return 0;
}

/* As at the end of a hold, and at the begin of the next. */
static void revoke_for_a_while(struct srlock_passes *passes, bool *admitted)
{
	unsigned long end = jiffies + HZ / 2;

	while (time_before(jiffies, end)) {
		WRITE_ONCE(*admitted, false);
		srlock_passes_revoke(passes);
		/* Who sees the next hold sees that no pass is left of this one. */
		smp_store_release(admitted, true);
		schedule_timeout_interruptible(1);
	}
}

/* Many tasks and a hold that ends all the time: nothing is lost, nothing is left. */
static void passes_come_and_go(struct kunit *test)
{
	struct fixture *fixture = test->priv;
	struct caller *callers;
	bool admitted = true;
	unsigned int i;

	callers = kunit_kcalloc(test, 2 * CROWD, sizeof(*callers), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, callers);
	for (i = 0; i < 2 * CROWD; i++) {
		callers[i].passes = &fixture->passes;
		callers[i].admitted = &admitted;
		callers[i].quick = i % 2;
		callers[i].task = kthread_run(come_and_go, &callers[i], "srlock_%u", i);
		if (IS_ERR(callers[i].task))
			break;
	}
	KUNIT_EXPECT_EQ(test, i, 2 * CROWD);
	revoke_for_a_while(&fixture->passes, &admitted);
	while (i-- > 0) {
		kthread_stop(callers[i].task);
		KUNIT_EXPECT_GT(test, callers[i].taken, 0);
		KUNIT_EXPECT_EQ(test, callers[i].lost, 0);
		KUNIT_EXPECT_EQ(test, callers[i].kept, 0);
	}
	expect_none_left(test);
}

static struct kunit_case pass_cases[] = {
	KUNIT_CASE(there_are_none_at_first),
	KUNIT_CASE(quick_pass_is_in_the_first_slot),
	KUNIT_CASE(quick_pass_leaves_those_of_others_alone),
	KUNIT_CASE_PARAM(callers_own_stack_is_found, kind_gen_params),
	KUNIT_CASE_PARAM(a_stack_has_edges, edge_gen_params),
	KUNIT_CASE(exact_edges_of_a_holders_pass),
	KUNIT_CASE(more_than_there_are_slots),
	KUNIT_CASE(a_slot_is_used_again),
	KUNIT_CASE(revoke_takes_all),
	KUNIT_CASE(revoke_tells_whether_there_was_one),
	KUNIT_CASE(a_revoked_pass_is_dropped_without_harm),
	KUNIT_CASE_PARAM(a_stale_generation_gets_no_pass, stale_gen_params),
	KUNIT_CASE(generations_wrap),
	KUNIT_CASE(passes_come_and_go),
	{}
};

static struct kunit_suite pass_suite = {
	.name		= "srlock-pass",
	.init		= pass_init,
	.test_cases	= pass_cases,
};

kunit_test_suite(pass_suite);
