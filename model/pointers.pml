/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * order.pml: the swapped pointers, and what they lead to: built, used, freed
 *
 * Callers of the block device count themselves, srlock_queue_rq() is in a read section.
 * The pointer is that of the disk or that of the queue, the same is done with both.
 */

#define COPY		0
#define POINTER		(COPY + 3)
#define INSIDE0		(POINTER + 1 + 2 * HOLDS)
#define INSIDE1		(INSIDE0 + 5)
#define BODY		(INSIDE1 + 5)
#define MESSAGES	(BODY + 4)
#define PROCESSES	4

#include "memory.pml"

#define GATE		0
#define CALLER(n)	(1 + (n))
#define DISPATCH	3

#define ORIGINAL	0
#define OURS		1
#define BUILT_NOW	1
#define FREE		2

/*
 * COPY is what is behind the swapped pointer: the copy of the operations and the gate
 * with what was set before. BODY is everything that is done in the gate up to the last.
 */
Rcu tasks_rcu;
byte users;
byte held;

proctype Gate()
{
	byte sum, part;

#ifdef LATE_BUILD
	store_release(GATE, POINTER, OURS);
	write_once(GATE, COPY, BUILT_NOW);
#else
	write_once(GATE, COPY, BUILT_NOW);
#endif
	do
	:: held < HOLDS ->
		held++;
#if !defined(LATE_BUILD) && !defined(PLAIN_SWAP)
		store_release(GATE, POINTER, OURS);
#elif defined(PLAIN_SWAP)
		write_once(GATE, POINTER, OURS);
#endif
#ifdef PLAIN_BACK
		write_once(GATE, POINTER, ORIGINAL)
#else
		store_release(GATE, POINTER, ORIGINAL)
#endif
	:: held == HOLDS -> break
	od;

	/* srlock_gate_wait_unused() */
#ifndef NO_GRACE
	synchronize(GATE, rcu);
#endif
	do
	:: read_once(GATE, INSIDE0, sum);
	   read_once(GATE, INSIDE1, part);
	   sum = sum + part;
	   if
	   :: sum == 0 -> break
	   :: sum != 0
	   fi
	od;
#ifndef NO_TASKS
	synchronize(GATE, tasks_rcu);
#endif
	/* A write after what was decided on reads: those count with all that they carry. */
	atomic {
		CHECK(FREED, users == 0 && IS_NEWEST(aside[GATE], BODY));
		write_once(GATE, COPY, FREE)
	}
}

/* srlock_enter() and srlock_leave(); it may be on another CPU by then */
proctype Caller(byte n)
{
	byte p = 1 + n, ops, copy;
	int dep;

	read_lock(p, rcu);
	read_pointer(p, POINTER, ops, dep);
#ifdef NO_DEPENDENCY
	dep = 0;
#endif
	if
	:: ops == OURS ->
		atomic { read_through(p, dep, COPY, copy); CHECK(BUILT, copy == BUILT_NOW) };
		users++;
#ifdef LATE_COUNT
		read_unlock(p, rcu);
#endif
		if
		:: n == 0 -> atomic_add(p, INSIDE0, 1)
		:: n == 1 -> atomic_add(p, INSIDE1, 1)
		fi;
#ifndef LATE_COUNT
		read_unlock(p, rcu);
#endif
		/* The call, which may sleep; what follows does not. */
		read_lock(p, tasks_rcu);
		write_once(p, BODY, 1);
		atomic {
			users--;
			if
			:: atomic_add(p, INSIDE0, 255)
			:: atomic_add(p, INSIDE1, 255)
			fi
		};
		read_unlock(p, tasks_rcu)
	:: ops == ORIGINAL ->
		read_unlock(p, rcu)
	fi
}

/* srlock_queue_rq(): all of it in a read section */
proctype Dispatch()
{
	byte ops, again, copy;
	int dep;

	read_lock(DISPATCH, rcu);
	read_pointer(DISPATCH, POINTER, ops, dep);
	again = ops;
#ifdef REREAD
	read_pointer(DISPATCH, POINTER, again, dep);
#endif
	if
	:: ops == OURS ->
		/* container_of(again, struct srlock_gate, queue_ops) */
		CHECK(BUILT, again == OURS);
		atomic {
			users++;
			read_through(DISPATCH, dep, COPY, copy);
			CHECK(BUILT, copy == BUILT_NOW)
		};
		atomic { write_once(DISPATCH, BODY, 1); users-- }
	:: ops == ORIGINAL
	fi;
	read_unlock(DISPATCH, rcu)
}

init
{
	atomic {
		location(COPY, 0);
		location(POINTER, ORIGINAL);
		location(INSIDE0, 0);
		location(INSIDE1, 0);
		location(BODY, 0);
		run Gate();
		run Caller(0);
#if CALLS > 1
		run Caller(1);
#endif
		run Dispatch()
	}
}
