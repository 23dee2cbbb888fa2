// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who is the holder
 *
 * A member is a thread group, known by its struct pid, of which a reference is
 * kept: pid numbers come again, struct pid does not. Descendants are found by
 * walking real_parent, so that it does not matter who traces whom. A process whose
 * parents died is a child of init or of a subreaper, and no descendant any more.
 */
#include <linux/cred.h>
#include <linux/rculist.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "admit.h"

/**
 * srlock_holders_init() - start with nobody
 * @holders: to be initialised
 *
 * Context: Any.
 */
void srlock_holders_init(struct srlock_holders *holders)
{
	INIT_LIST_HEAD(&holders->members);
	holders->first = NULL;
	holders->number = 0;
}

/**
 * srlock_member_create() - the calling process as a member to be
 *
 * Context: Process context, sleeps.
 * Return: the member, to be given to srlock_holders_add() or
 * srlock_member_destroy(); NULL if there is no memory.
 */
struct srlock_member *srlock_member_create(void)
{
	struct srlock_member *member;

	member = kmalloc(sizeof(*member), GFP_KERNEL_ACCOUNT);
	if (!member)
		return NULL;

	INIT_LIST_HEAD(&member->node);
	member->pid = get_pid(task_tgid(current));
	member->uid = current_uid();

	return member;
}

/**
 * srlock_member_destroy() - free a member that was not added
 * @member: may be NULL
 *
 * Context: Any.
 */
void srlock_member_destroy(struct srlock_member *member)
{
	if (!member)
		return;

	put_pid(member->pid);
	kfree(member);
}

static void srlock_member_free_rcu(struct rcu_head *rcu)
{
	srlock_member_destroy(container_of(rcu, struct srlock_member, rcu));
}

static bool srlock_is_member(const struct srlock_holders *holders,
			     const struct pid *pid)
{
	const struct srlock_member *member;

	list_for_each_entry_rcu(member, &holders->members, node)
		if (member->pid == pid)
			return true;

	return false;
}

/**
 * srlock_holders_is_member() - whether the calling process made an ACQUIRE itself
 * @holders: the members
 *
 * Context: Process context. Takes RCU.
 * Return: true if so.
 */
bool srlock_holders_is_member(const struct srlock_holders *holders)
{
	bool known;

	if (likely(task_tgid(current) == READ_ONCE(holders->first)))
		return true;

	rcu_read_lock();
	known = srlock_is_member(holders, task_tgid(current));
	rcu_read_unlock();

	return known;
}

/* A process that is no more has no descendants; the first one stays for show. */
static void srlock_holders_prune(struct srlock_holders *holders)
{
	struct srlock_member *member, *next;

	list_for_each_entry_safe(member, next, &holders->members, node) {
		if (member->pid == holders->first || pid_has_task(member->pid, PIDTYPE_TGID))
			continue;
		list_del_rcu(&member->node);
		holders->number--;
		call_rcu(&member->rcu, srlock_member_free_rcu);
	}
}

/**
 * srlock_holders_add() - one more process
 * @holders: the members
 * @member: as made by srlock_member_create()
 *
 * Context: srlock_lock.spin is held.
 * Return: 0: @member is taken over; -EEXIST its process is one already; -EOVERFLOW
 * there are SRLOCK_MEMBERS_MAX others.
 */
int srlock_holders_add(struct srlock_holders *holders, struct srlock_member *member)
{
	bool known;

	rcu_read_lock();
	known = srlock_is_member(holders, member->pid);
	rcu_read_unlock();
	if (known)
		return -EEXIST;

	srlock_holders_prune(holders);
	if (holders->number == SRLOCK_MEMBERS_MAX)
		return -EOVERFLOW;
	holders->number++;
	list_add_tail_rcu(&member->node, &holders->members);
	if (!holders->first)
		WRITE_ONCE(holders->first, member->pid);

	return 0;
}

/**
 * srlock_holders_clear() - the hold is over
 * @holders: the members
 *
 * Context: srlock_lock.spin is held. Whoever walks the list in this moment may
 * still find a member; the passes are what ends at once, see pass.h.
 */
void srlock_holders_clear(struct srlock_holders *holders)
{
	struct srlock_member *member, *next;

	WRITE_ONCE(holders->first, NULL);
	holders->number = 0;
	list_for_each_entry_safe(member, next, &holders->members, node) {
		list_del_rcu(&member->node);
		call_rcu(&member->rcu, srlock_member_free_rcu);
	}
}

/**
 * srlock_holders_first() - the process that made the first ACQUIRE
 * @holders: the members
 *
 * Context: srlock_lock.spin is held.
 * Return: the member, NULL if there is none.
 */
struct srlock_member *srlock_holders_first(const struct srlock_holders *holders)
{
	return list_first_entry_or_null((struct list_head *)&holders->members,
					struct srlock_member, node);
}

/**
 * srlock_holders_alive() - the first member whose process is still there
 * @holders: the members
 *
 * The number of one that is not may be another process's by now.
 *
 * Context: srlock_lock.spin is held.
 * Return: the member, NULL if there is none.
 */
const struct srlock_member *srlock_holders_alive(const struct srlock_holders *holders)
{
	const struct srlock_member *member;

	list_for_each_entry(member, &holders->members, node)
		if (pid_has_task(member->pid, PIDTYPE_TGID))
			return member;

	return NULL;
}

/**
 * srlock_holders_has_slow() - whether a task is the holder's, the long way
 * @holders: the members
 * @task: the task, current or one that is kept alive by the caller
 *
 * Context: Any task's. Takes RCU.
 * Return: true if its process is a member or descends from one.
 */
bool srlock_holders_has_slow(const struct srlock_holders *holders,
			     struct task_struct *task)
{
	bool found = false;

	rcu_read_lock();
	if (list_empty(&holders->members))
		goto out_unlock;
	/* pid 0 is the idle task, parent of init and of kthreadd. */
	while (!found && task->pid > 0) {
		found = srlock_is_member(holders, task_tgid(task));
		task = rcu_dereference(task->real_parent);
	}
out_unlock:
	rcu_read_unlock();

	return found;
}
