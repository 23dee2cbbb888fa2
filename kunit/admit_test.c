// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who is the holder: members, their threads, children and grandchildren
 *
 * The walk is tried on tasks that exist only as far as it looks at them, so that
 * any family can be made up, and on the test's own task.
 */
#include <kunit/test.h>
#include <linux/cred.h>
#include <linux/kthread.h>
#include <linux/pid.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "admit.h"
#include "under_test.h"

#define FAMILY	8

/**
 * struct person - a process that is not one
 * @task: its main thread
 * @signal: what makes it a thread group
 * @pid: of the thread group
 * @attached: that the process is there, for pid_has_task()
 */
struct person {
	struct task_struct *task;
	struct signal_struct *signal;
	struct pid *pid;
	struct hlist_node attached;
};

/**
 * struct fixture - what each test gets
 * @holders: the members under test
 * @idle: pid 0, where every walk ends
 * @people: person 0 is init, each other the child of the one before it
 */
struct fixture {
	struct srlock_holders holders;
	struct person idle;
	struct person people[FAMILY];
};

static struct task_struct *make_task(struct kunit *test, struct signal_struct *signal,
				     pid_t pid, struct task_struct *parent)
{
	struct task_struct *task = kunit_kzalloc(test, sizeof(*task), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, task);
	task->pid = pid;
	task->signal = signal;
	RCU_INIT_POINTER(task->real_parent, parent);
	RCU_INIT_POINTER(task->parent, parent);

	return task;
}

static void make_person(struct kunit *test, struct person *person, pid_t number,
			struct task_struct *parent)
{
	person->signal = kunit_kzalloc(test, sizeof(*person->signal), GFP_KERNEL);
	person->pid = kunit_kzalloc(test, sizeof(*person->pid) + sizeof(struct upid),
				    GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, person->signal);
	KUNIT_ASSERT_NOT_NULL(test, person->pid);

	/* Never the last reference: it is not put_pid()'s to free. */
	refcount_set(&person->pid->count, 2);
	person->signal->pids[PIDTYPE_TGID] = person->pid;
	hlist_add_head(&person->attached, &person->pid->tasks[PIDTYPE_TGID]);
	person->task = make_task(test, person->signal, number, parent);
	if (!parent)
		RCU_INIT_POINTER(person->task->real_parent, person->task);
}

static int admit_init(struct kunit *test)
{
	struct fixture *fixture = kunit_kzalloc(test, sizeof(*fixture), GFP_KERNEL);
	struct task_struct *parent;
	int i;

	if (!fixture)
		return -ENOMEM;

	make_person(test, &fixture->idle, 0, NULL);
	parent = fixture->idle.task;
	for (i = 0; i < FAMILY; i++) {
		make_person(test, &fixture->people[i], 100 + i, parent);
		parent = fixture->people[i].task;
	}
	srlock_holders_init(&fixture->holders);
	test->priv = fixture;

	return 0;
}

static void admit_exit(struct kunit *test)
{
	struct fixture *fixture = test->priv;

	if (!fixture)
		return;
	srlock_holders_clear(&fixture->holders);
	/* Members are freed after a grace period, into the people's counts. */
	rcu_barrier();
}

static struct srlock_member *make_member(struct kunit *test, struct pid *pid)
{
	struct srlock_member *member = kmalloc(sizeof(*member), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, member);
	INIT_LIST_HEAD(&member->node);
	member->pid = get_pid(pid);
	member->uid = GLOBAL_ROOT_UID;

	return member;
}

static bool add_pid(struct kunit *test, struct pid *pid)
{
	struct fixture *fixture = test->priv;
	struct srlock_member *member = make_member(test, pid);

	if (!srlock_holders_add(&fixture->holders, member))
		return true;
	srlock_member_destroy(member);
	return false;
}

static bool add(struct kunit *test, unsigned int person)
{
	struct fixture *fixture = test->priv;

	return add_pid(test, fixture->people[person].pid);
}

static bool has_task(struct kunit *test, struct task_struct *task)
{
	struct fixture *fixture = test->priv;

	return srlock_holders_has_slow(&fixture->holders, task);
}

static bool has(struct kunit *test, unsigned int person)
{
	struct fixture *fixture = test->priv;

	return has_task(test, fixture->people[person].task);
}

static unsigned int references(struct kunit *test, unsigned int person)
{
	struct fixture *fixture = test->priv;

	return refcount_read(&fixture->people[person].pid->count);
}

static unsigned int members(struct kunit *test)
{
	struct fixture *fixture = test->priv;
	const struct srlock_member *member;
	unsigned int count = 0;

	list_for_each_entry(member, &fixture->holders.members, node)
		count++;

	return count;
}

static void nobody_holds_at_first(struct kunit *test)
{
	struct fixture *fixture = test->priv;

	KUNIT_EXPECT_FALSE(test, has(test, 0));
	KUNIT_EXPECT_FALSE(test, has_task(test, current));
	KUNIT_EXPECT_FALSE(test, srlock_holders_has(&fixture->holders));
	KUNIT_EXPECT_FALSE(test, srlock_holders_is_member(&fixture->holders));
	KUNIT_EXPECT_NULL(test, srlock_holders_first(&fixture->holders));
}

struct descent_param {
	const char *desc;
	unsigned int member;
	unsigned int admitted_from;
};

static const struct descent_param descent_params[] = {
	{ "member is init", 0, 0 },
	{ "member is a child of init", 1, 1 },
	{ "member is in the middle", 4, 4 },
	{ "member is the youngest", FAMILY - 1, FAMILY - 1 },
};

static void descent_get_desc(const struct descent_param *param, char *desc)
{
	strscpy(desc, param->desc, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(descent, descent_params, descent_get_desc);

/* A member, its children and theirs; not its parents. */
static void descendants_are_admitted(struct kunit *test)
{
	const struct descent_param *param = test->param_value;
	unsigned int i;

	KUNIT_EXPECT_TRUE(test, add(test, param->member));
	for (i = 0; i < FAMILY; i++)
		KUNIT_EXPECT_EQ_MSG(test, has(test, i), i >= param->admitted_from,
				    "person %u", i);
}

/* Brothers and sisters of a member are foreign. */
static void siblings_are_foreign(struct kunit *test)
{
	struct fixture *fixture = test->priv;
	struct person sibling;

	make_person(test, &sibling, 200, fixture->people[2].task);
	add(test, 3);
	KUNIT_EXPECT_FALSE(test, has_task(test, sibling.task));
	KUNIT_EXPECT_TRUE(test, has(test, 4));
	add(test, 2);
	KUNIT_EXPECT_TRUE(test, has_task(test, sibling.task));
}

/* A thread belongs to its group, and a child of a thread to its parent's group. */
static void threads_count_as_their_process(struct kunit *test)
{
	struct fixture *fixture = test->priv;
	struct person *member = &fixture->people[3];
	struct task_struct *thread;
	struct person child;

	thread = make_task(test, member->signal, 300, fixture->people[2].task);
	make_person(test, &child, 301, thread);
	add(test, 3);
	KUNIT_EXPECT_TRUE(test, has_task(test, thread));
	KUNIT_EXPECT_TRUE(test, has_task(test, child.task));
}

/* A debugger gets the parent's place, but only for its own purposes. */
static void a_tracer_is_no_parent(struct kunit *test)
{
	struct fixture *fixture = test->priv;
	struct person tracer;

	make_person(test, &tracer, 400, fixture->people[0].task);
	RCU_INIT_POINTER(fixture->people[4].task->parent, tracer.task);
	add(test, 3);
	KUNIT_EXPECT_TRUE(test, has(test, 4));
	KUNIT_EXPECT_FALSE(test, has_task(test, tracer.task));
	/* And the other way round. */
	srlock_holders_clear(&fixture->holders);
	add_pid(test, tracer.pid);
	KUNIT_EXPECT_FALSE(test, has(test, 4));
	srlock_holders_clear(&fixture->holders);
	rcu_barrier();
}

/* An orphan goes to init or a subreaper: what counts is where it is now. */
static void orphans_follow_their_new_parent(struct kunit *test)
{
	struct fixture *fixture = test->priv;

	add(test, 3);
	KUNIT_EXPECT_TRUE(test, has(test, 5));
	RCU_INIT_POINTER(fixture->people[4].task->real_parent, fixture->people[0].task);
	KUNIT_EXPECT_FALSE(test, has(test, 5));
	RCU_INIT_POINTER(fixture->people[4].task->real_parent, fixture->people[3].task);
	KUNIT_EXPECT_TRUE(test, has(test, 5));
}

/* A child that acquired itself stays a holder whatever becomes of its parent. */
static void a_member_of_its_own_needs_no_parent(struct kunit *test)
{
	struct fixture *fixture = test->priv;

	add(test, 3);
	add(test, 4);
	RCU_INIT_POINTER(fixture->people[4].task->real_parent, fixture->people[0].task);
	KUNIT_EXPECT_TRUE(test, has(test, 4));
	KUNIT_EXPECT_TRUE(test, has(test, 5));
}

/* The walk ends at pid 0, also when somebody has made that a member. */
static void the_idle_task_is_nobodys_parent(struct kunit *test)
{
	struct fixture *fixture = test->priv;

	add_pid(test, fixture->idle.pid);
	KUNIT_EXPECT_FALSE(test, has(test, FAMILY - 1));
	KUNIT_EXPECT_FALSE(test, has_task(test, fixture->idle.task));
	srlock_holders_clear(&fixture->holders);
	rcu_barrier();
}

static void a_process_is_a_member_once(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, add(test, 2));
	KUNIT_EXPECT_FALSE(test, add(test, 2));
	KUNIT_EXPECT_TRUE(test, add(test, 3));
	KUNIT_EXPECT_FALSE(test, add(test, 3));
	KUNIT_EXPECT_FALSE(test, add(test, 2));
	KUNIT_EXPECT_EQ(test, members(test), 2);
	KUNIT_EXPECT_EQ(test, references(test, 2), 3);
}

/* Members keep their struct pid, so that no later process can be taken for one. */
static void members_keep_a_reference(struct kunit *test)
{
	struct fixture *fixture = test->priv;
	unsigned int i;

	for (i = 0; i < FAMILY; i++)
		add(test, i);
	for (i = 0; i < FAMILY; i++)
		KUNIT_EXPECT_EQ(test, references(test, i), 3);
	srlock_holders_clear(&fixture->holders);
	rcu_barrier();
	for (i = 0; i < FAMILY; i++)
		KUNIT_EXPECT_EQ(test, references(test, i), 2);
}

static void exit_person(struct kunit *test, unsigned int person)
{
	struct fixture *fixture = test->priv;

	hlist_del_init(&fixture->people[person].attached);
}

/* Shells that acquire and exit by the thousand leave nothing behind. */
static void the_dead_are_pruned(struct kunit *test)
{
	struct fixture *fixture = test->priv;

	add(test, 1);
	add(test, 2);
	add(test, 3);
	exit_person(test, 2);
	KUNIT_EXPECT_EQ(test, members(test), 3);
	add(test, 4);
	KUNIT_EXPECT_EQ(test, members(test), 3);
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, references(test, 2), 2);
	KUNIT_EXPECT_TRUE(test, has(test, 3));
	KUNIT_EXPECT_TRUE(test, has(test, 4));
	KUNIT_EXPECT_PTR_EQ(test, srlock_holders_first(&fixture->holders)->pid,
			    fixture->people[1].pid);
}

/* The first one is shown as the holder, so it stays, dead or alive. */
static void the_first_is_not_pruned(struct kunit *test)
{
	struct fixture *fixture = test->priv;

	add(test, 1);
	exit_person(test, 1);
	add(test, 2);
	add(test, 3);
	KUNIT_EXPECT_EQ(test, members(test), 3);
	KUNIT_EXPECT_EQ(test, references(test, 1), 3);
	KUNIT_EXPECT_PTR_EQ(test, srlock_holders_first(&fixture->holders)->pid,
			    fixture->people[1].pid);
	KUNIT_EXPECT_PTR_EQ(test, fixture->holders.first, fixture->people[1].pid);
}

static void clear_ends_it_for_all(struct kunit *test)
{
	struct fixture *fixture = test->priv;
	unsigned int i;

	add(test, 1);
	add(test, 4);
	srlock_holders_clear(&fixture->holders);
	for (i = 0; i < FAMILY; i++)
		KUNIT_EXPECT_FALSE(test, has(test, i));
	KUNIT_EXPECT_NULL(test, fixture->holders.first);
	KUNIT_EXPECT_NULL(test, srlock_holders_first(&fixture->holders));

	/* The next hold has a first one of its own. */
	add(test, 5);
	KUNIT_EXPECT_PTR_EQ(test, fixture->holders.first, fixture->people[5].pid);
	KUNIT_EXPECT_FALSE(test, has(test, 4));
	KUNIT_EXPECT_TRUE(test, has(test, 6));
}

/* The caller itself, as the first one and as a later one. */
static void the_caller_as_a_member(struct kunit *test)
{
	struct fixture *fixture = test->priv;
	struct pid *self = task_tgid(current);
	unsigned int before = refcount_read(&self->count);
	struct srlock_member *member;
	int later;

	for (later = 0; later < 2; later++) {
		if (later)
			add(test, 1);
		member = srlock_member_create();
		KUNIT_ASSERT_NOT_NULL(test, member);
		KUNIT_EXPECT_PTR_EQ(test, member->pid, self);
		KUNIT_EXPECT_TRUE(test, uid_eq(member->uid, current_uid()));
		KUNIT_EXPECT_EQ(test, refcount_read(&self->count), before + 1);
		KUNIT_EXPECT_FALSE(test, srlock_holders_is_member(&fixture->holders));
		KUNIT_EXPECT_EQ(test, srlock_holders_add(&fixture->holders, member), 0);

		KUNIT_EXPECT_TRUE(test, srlock_holders_is_member(&fixture->holders));
		KUNIT_EXPECT_TRUE(test, srlock_holders_has(&fixture->holders));
		KUNIT_EXPECT_TRUE(test, has_task(test, current));
		KUNIT_EXPECT_EQ(test, fixture->holders.first == self, !later);

		srlock_holders_clear(&fixture->holders);
		KUNIT_EXPECT_FALSE(test, srlock_holders_is_member(&fixture->holders));
		KUNIT_EXPECT_FALSE(test, srlock_holders_has(&fixture->holders));
		rcu_barrier();
		KUNIT_EXPECT_EQ(test, refcount_read(&self->count), before);
	}
}

/* The caller's parent is a member: admitted, but it has not acquired itself. */
static void the_callers_parent_as_a_member(struct kunit *test)
{
	struct fixture *fixture = test->priv;
	struct pid *parent;

	rcu_read_lock();
	parent = get_pid(task_tgid(rcu_dereference(current->real_parent)));
	rcu_read_unlock();

	KUNIT_EXPECT_TRUE(test, add_pid(test, parent));
	KUNIT_EXPECT_TRUE(test, srlock_holders_has(&fixture->holders));
	KUNIT_EXPECT_FALSE(test, srlock_holders_is_member(&fixture->holders));
	put_pid(parent);
}

/**
 * struct child - a kernel thread that asks whether it is admitted
 * @holders: of whom
 * @asked: it has
 * @has: the answer
 * @is_member: the other answer
 */
struct child {
	struct srlock_holders *holders;
	struct completion asked;
	bool has;
	bool is_member;
};

static int child_asks(void *data)
{
	struct child *child = data;

	child->has = srlock_holders_has(child->holders);
	child->is_member = srlock_holders_is_member(child->holders);
	complete(&child->asked);
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);

	return 0;
}

static void ask_child(struct kunit *test, struct child *child)
{
	struct fixture *fixture = test->priv;
	struct task_struct *task;

	child->holders = &fixture->holders;
	init_completion(&child->asked);
	task = kthread_run(child_asks, child, "srlock_child");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	wait_for_completion(&child->asked);
	kthread_stop(task);
}

/* All kernel threads are children of kthreadd, so this one is the caller's sibling. */
static void another_task_asks(struct kunit *test)
{
	struct fixture *fixture = test->priv;
	struct srlock_member *member;
	struct child child;
	struct pid *parent;

	member = srlock_member_create();
	KUNIT_ASSERT_NOT_NULL(test, member);
	srlock_holders_add(&fixture->holders, member);
	ask_child(test, &child);
	KUNIT_EXPECT_FALSE(test, child.has);
	KUNIT_EXPECT_FALSE(test, child.is_member);

	rcu_read_lock();
	parent = get_pid(task_tgid(rcu_dereference(current->real_parent)));
	rcu_read_unlock();
	add_pid(test, parent);
	ask_child(test, &child);
	KUNIT_EXPECT_TRUE(test, child.has);
	KUNIT_EXPECT_FALSE(test, child.is_member);
	put_pid(parent);
}

static void as_many_members_as_there_may_be(struct kunit *test)
{
	struct fixture *fixture = test->priv;
	struct srlock_member *member;

	KUNIT_EXPECT_TRUE(test, add(test, 1));
	KUNIT_EXPECT_EQ(test, fixture->holders.number, 1);
	fixture->holders.number = SRLOCK_MEMBERS_MAX;

	member = make_member(test, fixture->people[0].pid);
	KUNIT_EXPECT_EQ(test, srlock_holders_add(&fixture->holders, member), -EOVERFLOW);
	KUNIT_EXPECT_FALSE(test, has(test, 0));
	fixture->holders.number--;
	KUNIT_EXPECT_EQ(test, srlock_holders_add(&fixture->holders, member), 0);
	KUNIT_EXPECT_TRUE(test, has(test, 0));
	KUNIT_EXPECT_EQ(test, fixture->holders.number, SRLOCK_MEMBERS_MAX);

	member = make_member(test, fixture->people[0].pid);
	KUNIT_EXPECT_EQ(test, srlock_holders_add(&fixture->holders, member), -EEXIST);
	srlock_member_destroy(member);

	srlock_holders_clear(&fixture->holders);
	KUNIT_EXPECT_EQ(test, fixture->holders.number, 0);
}

static void no_memory_for_a_member(struct kunit *test)
{
	unsigned int before = refcount_read(&task_tgid(current)->count);
	struct srlock_member *member;

	srlock_under_test.no_memory = true;
	member = srlock_member_create();
	srlock_under_test.no_memory = false;
	KUNIT_EXPECT_NULL(test, member);
	srlock_member_destroy(member);
	KUNIT_EXPECT_EQ(test, refcount_read(&task_tgid(current)->count), before);
}

static void a_member_that_was_not_added_is_destroyed(struct kunit *test)
{
	unsigned int before = refcount_read(&task_tgid(current)->count);

	srlock_member_destroy(srlock_member_create());
	KUNIT_EXPECT_EQ(test, refcount_read(&task_tgid(current)->count), before);
}

static struct kunit_case admit_cases[] = {
	KUNIT_CASE(nobody_holds_at_first),
	KUNIT_CASE_PARAM(descendants_are_admitted, descent_gen_params),
	KUNIT_CASE(siblings_are_foreign),
	KUNIT_CASE(threads_count_as_their_process),
	KUNIT_CASE(a_tracer_is_no_parent),
	KUNIT_CASE(orphans_follow_their_new_parent),
	KUNIT_CASE(a_member_of_its_own_needs_no_parent),
	KUNIT_CASE(the_idle_task_is_nobodys_parent),
	KUNIT_CASE(a_process_is_a_member_once),
	KUNIT_CASE(members_keep_a_reference),
	KUNIT_CASE(the_dead_are_pruned),
	KUNIT_CASE(the_first_is_not_pruned),
	KUNIT_CASE(clear_ends_it_for_all),
	KUNIT_CASE(the_caller_as_a_member),
	KUNIT_CASE(the_callers_parent_as_a_member),
	KUNIT_CASE(another_task_asks),
	KUNIT_CASE(as_many_members_as_there_may_be),
	KUNIT_CASE(no_memory_for_a_member),
	KUNIT_CASE(a_member_that_was_not_added_is_destroyed),
	{}
};

static struct kunit_suite admit_suite = {
	.name		= "srlock-admit",
	.init		= admit_init,
	.exit		= admit_exit,
	.test_cases	= admit_cases,
};

kunit_test_suite(admit_suite);
