/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * order.pml: who has a pass, and revoking them; pass.h, pass.c, admit.h, work.c
 *
 * A client's task calls while holds begin and end, and its requests are dispatched by
 * another CPU. The lock and its works are one process: each hands on to the next.
 */

#define GENERATION	0
#define MEMBER		(GENERATION + 1 + HOLDS)
#define PLACE		(MEMBER + 1 + 2 * HOLDS)
#define CLOSED		(PLACE + 1 + 2 * CALLS + HOLDS)
#define BUSY		(CLOSED + 1 + 2 * HOLDS)
#define MESSAGES	(BUSY + 1 + 2 * CALLS)
#define PROCESSES	3

#include "memory.pml"

#define LOCK		0
#define TASK		1
#define DISPATCH	2

#define NOBODYS		127
#define OTHERS(hold)	(64 + (hold))		/* a member that the task is not */
#define IS_ME(who)	((who) != 0 && (who) < 64)

byte hold, calls;
byte stamp;			/* the hold that the task was admitted to */

/*
 * PLACE is srlock_passes.slots[n], or if the pass is LISTED overflown. MEMBER is first
 * and the list of members alike: written in this order, read by nobody but one by one.
 */
Lock_t list_lock;
bool listed;

/* A request on its way, with what its submitter and its end carry. */
bool queued, answered, started;
int request, reply;
byte fenced;			/* what may be started now, or 0: anything */

#ifdef TAKE_RELAXED
#define TAKE		cmpxchg_relaxed
#else
#define TAKE		cmpxchg
#endif

/* srlock_passes_find(), srlock_overflow_find() */
inline find_pass(p, found)
{
	read_once(p, PLACE, found);
#if WAY == LISTED
	if
	:: found ->
		lock(p, list_lock);
		found = listed;
		unlock(p, list_lock)
	:: !found
	fi
#endif
}

inline put_pass(ok)
{
#if WAY == LISTED
	lock(TASK, list_lock);
	listed = true;
	write_once(TASK, PLACE, 1);
	unlock(TASK, list_lock);
	ok = true;
#ifndef NO_LIST_BARRIER
	smp_mb(TASK)
#endif
#else
	TAKE(TASK, PLACE, 0, 1, ok)
#endif
}

inline drop_pass(ok)
{
#if WAY == LISTED
	lock(TASK, list_lock);
	if
	:: listed -> listed = false; write_once(TASK, PLACE, 0)
	:: !listed
	fi;
	unlock(TASK, list_lock)
#else
	cmpxchg(TASK, PLACE, 1, 0, ok)
#endif
}

/* srlock_op_revoke() */
inline sweep(taken)
{
#if WAY == LISTED
	lock(LOCK, list_lock);
	taken = listed;
	listed = false;
	write_once(LOCK, PLACE, 0);
	unlock(LOCK, list_lock)
#else
	read_once(LOCK, PLACE, taken);
	if
	:: taken -> xchg(LOCK, PLACE, 0, taken)
	:: !taken
	fi
#endif
}

inline revoke(taken)
{
#ifndef LATE_CLEAR
	write_once(LOCK, MEMBER, 0);
#endif
#ifdef SLOTS_FIRST
	sweep(taken);
	smp_mb(LOCK);
#endif
#ifdef PLAIN_GENERATION
	write_once(LOCK, GENERATION, hold);
#else
	store_release(LOCK, GENERATION, hold);
#endif
#ifdef LATE_CLEAR
	write_once(LOCK, MEMBER, 0);
#endif
#ifndef NO_REVOKE_BARRIER
	smp_mb(LOCK);
#endif
#ifndef SLOTS_FIRST
	sweep(taken)
#endif
}

/* srlock_gate_fence(); at the end of a hold it does not wait for ever */
inline fence(busy, found, patient)
{
#ifndef NO_GRACE
	synchronize(LOCK, rcu);
#endif
	do
	:: read_once(LOCK, BUSY, busy);
	   find_pass(LOCK, found);
	   if
	   :: !busy || found -> break
	   :: busy && !found
	   :: busy && !patient -> break
	   fi
	od
}

proctype Lock()
{
	byte who;
	bool busy, found;

	do
	:: hold < HOLDS ->
		atomic {
			hold++;
			if
			:: who = hold
			:: who = OTHERS(hold)
			fi
		};
		write_once(LOCK, CLOSED, 1);
		fence(busy, found, true);
		atomic { fenced = hold; CHECK(FENCED, !started) };
		write_once(LOCK, MEMBER, who);

		/* srlock_end_hold(), srlock_unlock_and_open() */
		atomic { fenced = 0; who = 0; busy = false; found = false };
		revoke(found);
		if
		:: found ->
#ifndef NO_CUT_SHORT
			fence(busy, found, false)
#endif
		:: !found
		fi;
		/* ALLOW; from here on the holder's is as foreign as any */
		fenced = NOBODYS;
		atomic { fenced = 0; write_once(LOCK, CLOSED, 0) };
		atomic { busy = false; found = false }
	:: hold == HOLDS -> break
	od
}

/* srlock_gated_ioctl(); who has no pass comes from sg, or called before the hold */
proctype Task()
{
	byte who, seen, now;
	bool ok, inside;

	do
	:: calls < CALLS ->
		calls++;
		if
		:: true -> inside = true
#if WAY == QUICK
#ifdef EARLY_CHECK
		:: read_once(TASK, MEMBER, who);
		   put_pass(ok);
#else
		:: put_pass(ok);
		   read_once(TASK, MEMBER, who);
#endif
		   if
		   :: ok && IS_ME(who) -> stamp = who; inside = true
		   :: ok && !IS_ME(who) -> drop_pass(ok); ok = false
		   :: !ok
		   fi
#else
#ifdef LATE_GENERATION
		:: read_once(TASK, MEMBER, who);
		   load_acquire(TASK, GENERATION, seen);
#elif defined(PLAIN_LOOK)
		:: read_once(TASK, GENERATION, seen);
		   read_once(TASK, MEMBER, who);
#else
		:: load_acquire(TASK, GENERATION, seen);
		   read_once(TASK, MEMBER, who);
#endif
		   if
		   :: IS_ME(who) ->
			put_pass(ok);
			read_once(TASK, GENERATION, now);
#ifdef NO_GENERATION
			now = seen;
#endif
			if
			:: ok && now == seen -> stamp = who; inside = true
			:: ok && now != seen -> drop_pass(ok); ok = false
			:: !ok
			fi
		   :: !IS_ME(who)
		   fi
#endif
		fi;
		if
		:: inside ->
			/* blk_execute_rq() */
			atomic { give(TASK, request); queued = true };
			atomic { answered -> take(TASK, reply); answered = false }
		:: true
		fi;
		if
		:: ok -> stamp = 0; drop_pass(ok)
		:: !ok
		fi;
		atomic {
			who = 0; seen = 0; now = 0; ok = false; inside = false;
			stamp = 0
		}
	:: calls == CALLS -> break
	od
}

/* srlock_queue_rq(), by whoever runs the queue */
proctype Dispatch()
{
	bool shut, found;

end:	do
	:: atomic { queued -> queued = false; take(DISPATCH, request) };
	   read_lock(DISPATCH, rcu);
	   read_once(DISPATCH, CLOSED, shut);
	   find_pass(DISPATCH, found);
	   if
	   :: !shut || found ->
		atomic {
			write_once(DISPATCH, BUSY, 1);
			started = true;
			CHECK(FOREIGN, fenced == 0 || stamp == fenced)
		};
		read_unlock(DISPATCH, rcu);
		atomic { write_once(DISPATCH, BUSY, 0); started = false }
	   :: shut && !found ->
		read_unlock(DISPATCH, rcu)
	   fi;
	   atomic { give(DISPATCH, reply); answered = true; shut = false; found = false }
	od
}

init
{
	atomic {
		location(GENERATION, 0);
		location(MEMBER, 0);
		location(PLACE, 0);
		location(CLOSED, 0);
		location(BUSY, 0);
		run Lock();
		run Task();
		run Dispatch()
	}
}
