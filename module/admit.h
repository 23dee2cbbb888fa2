/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who is the holder: the processes that made an ACQUIRE, and their descendants
 */
#ifndef SRLOCK_ADMIT_H
#define SRLOCK_ADMIT_H

#include <linux/list.h>
#include <linux/pid.h>
#include <linux/rcupdate.h>
#include <linux/uidgid.h>

/*
 * As many processes can join a hold. Who is admitted is found out by looking at all of
 * them for each ancestor of a process, with no rest in between.
 */
#define SRLOCK_MEMBERS_MAX	1000

/**
 * struct srlock_member - a process that made an ACQUIRE
 * @node: place in srlock_holders.members
 * @rcu: frees it
 * @pid: its thread group; a reference
 * @uid: its real user at that time
 */
struct srlock_member {
	struct list_head node;
	struct rcu_head rcu;
	struct pid *pid;
	kuid_t uid;
};

/**
 * struct srlock_holders - all of them, of one hold
 * @members: struct srlock_member, the first to acquire first; changed under
 *	srlock_lock.spin, read under RCU
 * @first: the thread group of the first one, for a quick look; NULL if there is
 *	none. It is compared only, never followed
 * @number: how many are on @members
 */
struct srlock_holders {
	struct list_head members;
	struct pid *first;
	unsigned int number;
};

void srlock_holders_init(struct srlock_holders *holders);
struct srlock_member *srlock_member_create(void);
void srlock_member_destroy(struct srlock_member *member);
int srlock_holders_add(struct srlock_holders *holders, struct srlock_member *member);
void srlock_holders_clear(struct srlock_holders *holders);
struct srlock_member *srlock_holders_first(const struct srlock_holders *holders);
const struct srlock_member *srlock_holders_alive(const struct srlock_holders *holders);
bool srlock_holders_is_member(const struct srlock_holders *holders);
bool srlock_holders_has_slow(const struct srlock_holders *holders,
			     struct task_struct *task);

/**
 * srlock_holders_has() - whether the calling task is the holder's
 * @holders: the members
 *
 * Context: Any task's. Takes RCU.
 * Return: true if its process is a member or descends from one.
 */
static inline bool srlock_holders_has(const struct srlock_holders *holders)
{
	if (likely(task_tgid(current) == READ_ONCE(holders->first)))
		return true;

	return srlock_holders_has_slow(holders, current);
}

#endif /* SRLOCK_ADMIT_H */
