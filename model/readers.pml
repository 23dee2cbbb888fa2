/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * order.pml: requests of the page cache, which have no pass: srlock_admits()
 *
 * Somebody who is not the holder opens the disk, reads and closes while the gate is
 * closed and opened, and, with REBIND, while sr is unbound and bound during the hold.
 * The dispatch is srlock's own all the time: that it is by then is in pointers.pml.
 */

#define CLOSED		0
#define UNCOUNTED	(CLOSED + 1 + 2 * HOLDS + REBIND)
#define PRIOR		(UNCOUNTED + 1 + 2 * HOLDS + 2 * REBIND)
#define FOPS0		(PRIOR + 1 + 2 * HOLDS + REBIND + OPENS)
#define FOPS1		(FOPS0 + 1 + 2 * HOLDS)
#define BUSY		(FOPS1 + 1 + 2 * REBIND)
#define MESSAGES	(BUSY + 1 + 2 * CALLS)
#define PROCESSES	3

#include "memory.pml"

#define GATE		0
#define OPENER		1
#define DISPATCH	2

#define ORIGINAL	0
#define OURS		1

/* Two disks, the second one of a rebind: open_mutex and bd_openers of each. */
Lock_t mutex0, mutex1;
byte openers0, openers1;
byte live = 1;			/* the one that can be opened: 1, then 2 */
int published;
bool under_way;
byte hold, file, calls;

/* A request on its way, with what its submitter and its end carry. */
bool queued, answered, started;
int request, reply;
byte fenced;			/* what may be started now, or 0: anything */

/* srlock_swap_fops() */
inline swap_fops(mutex, openers, fops)
{
#ifdef COUNT_UNLOCKED
	count = openers;
	lock(GATE, mutex);
#else
	lock(GATE, mutex);
	count = openers;
#endif
#ifndef LATE_PRIOR
	write_once(GATE, PRIOR, count);
#endif
#ifdef PLAIN_COUNTED
	write_once(GATE, UNCOUNTED, 0);
#else
	store_release(GATE, UNCOUNTED, 0);
#endif
#ifdef LATE_PRIOR
	write_once(GATE, PRIOR, count);
#endif
#ifdef LATE_CLOSED
	store_release(GATE, fops, OURS);
	write_once(GATE, CLOSED, 1);
#else
	write_once(GATE, CLOSED, 1);
#ifdef PLAIN_SWAP
	write_once(GATE, fops, OURS);
#else
	store_release(GATE, fops, OURS);
#endif
#endif
	unlock(GATE, mutex);
	count = 0
}

/* srlock_restore_fops() */
inline restore_fops(fops)
{
#ifdef PLAIN_RESTORE
	write_once(GATE, fops, ORIGINAL)
#else
	store_release(GATE, fops, ORIGINAL)
#endif
}

/* srlock_gate_unbind(), del_gendisk(), add_disk(), srlock_gate_bind() */
inline rebind()
{
#ifdef LATE_UNCOUNTED
	restore_fops(FOPS0);
	write_once(GATE, UNCOUNTED, 1);
#else
	write_once(GATE, UNCOUNTED, 1);
	restore_fops(FOPS0);
#endif
	/* The queue is drained for that, and open_mutex taken. */
	atomic { !under_way && !mutex0.taken -> live = 0; smp_mb(GATE) };
	atomic { give(GATE, published); live = 2 };
	swap_fops(mutex1, openers1, FOPS1)
}

proctype Gate()
{
	byte count;
	bool busy;

	do
	:: hold < HOLDS ->
		hold++;
		swap_fops(mutex0, openers0, FOPS0);
#ifndef NO_GRACE
		synchronize(GATE, rcu);
#endif
		do
		:: read_once(GATE, BUSY, busy);
		   if
		   :: !busy -> break
		   :: busy
		   fi
		od;
		atomic { fenced = hold; CHECK(FENCED, !started) };
#if REBIND > 0
		rebind();
#endif
		/* srlock_open_locked() */
		atomic { fenced = 0; write_once(GATE, CLOSED, 0) };
		write_once(GATE, PRIOR, 0);
		write_once(GATE, UNCOUNTED, 0);
#if REBIND > 0
		restore_fops(FOPS1)
#else
		restore_fops(FOPS0)
#endif
	:: hold == HOLDS -> break
	od
}

/* blkdev_get_by_dev(), srlock_open(); what is open is no holder's */
inline open_disk(mutex, openers, fops, number)
{
	lock(OPENER, mutex);
	read_pointer(OPENER, fops, ops, dep);
	shut = 0;
	if
	:: ops == OURS -> read_through(OPENER, dep, CLOSED, shut)
	:: ops == ORIGINAL
	fi;
	if
	:: !shut && live == number -> openers++; file = number
	:: else
	fi;
	unlock(OPENER, mutex);
	/* This unlock, and the locks of all that comes before the first read */
	smp_rmb(OPENER)
}

/* blkdev_put(), srlock_release(), srlock_count_release() */
inline close_disk(mutex, openers, fops)
{
	lock(OPENER, mutex);
	openers--;
	file = 0;
	read_pointer(OPENER, fops, ops, dep);
	if
	:: ops == OURS ->
		read_through(OPENER, dep, PRIOR, prior);
		if
		:: openers < prior -> write_once(OPENER, PRIOR, openers)
		:: else
		fi
	:: ops == ORIGINAL
	fi;
	unlock(OPENER, mutex)
}

proctype Opener()
{
	byte ops, prior, opens, closes;
	bool shut;
	int dep;

end:	do
	:: opens < OPENS && file == 0 && live == 1 ->
		opens++;
		open_disk(mutex0, openers0, FOPS0, 1)
	:: opens < OPENS && file == 0 && live == 2 ->
		opens++;
		take(OPENER, published);
		open_disk(mutex1, openers1, FOPS1, 2)
	:: atomic { file != 0 && file == live && calls < CALLS ->
		calls++; give(OPENER, request); queued = true; under_way = true };
		atomic { answered -> take(OPENER, reply); answered = false; under_way = false }
	:: file == 1 -> close_disk(mutex0, openers0, FOPS0)
	:: file == 2 -> close_disk(mutex1, openers1, FOPS1)
	:: calls == CALLS && file == 0 -> break
	od
}

/* srlock_admits() */
proctype Dispatch()
{
	byte prior;
	bool shut, uncounted;

end:	do
	:: atomic { queued -> queued = false; take(DISPATCH, request) };
	   read_lock(DISPATCH, rcu);
	   read_once(DISPATCH, CLOSED, shut);
	   if
	   :: shut ->
#ifdef EARLY_PRIOR
		read_once(DISPATCH, PRIOR, prior);
#endif
#ifdef PLAIN_LOOK
		read_once(DISPATCH, UNCOUNTED, uncounted);
#else
		load_acquire(DISPATCH, UNCOUNTED, uncounted);
#endif
#ifndef EARLY_PRIOR
		read_once(DISPATCH, PRIOR, prior);
#endif
	   :: !shut
	   fi;
	   if
	   :: !uncounted && prior == 0 ->
		atomic {
			write_once(DISPATCH, BUSY, 1);
			started = true;
			CHECK(COUNTED, fenced == 0)
		};
		read_unlock(DISPATCH, rcu);
		atomic { write_once(DISPATCH, BUSY, 0); started = false }
	   :: uncounted || prior != 0 ->
		read_unlock(DISPATCH, rcu)
	   fi;
	   atomic {
		give(DISPATCH, reply); answered = true;
		shut = false; uncounted = false; prior = 0
	   }
	od
}

init
{
	atomic {
		location(CLOSED, 0);
		location(UNCOUNTED, 0);
		location(PRIOR, 0);
		location(FOPS0, ORIGINAL);
		location(FOPS1, ORIGINAL);
		location(BUSY, 0);
		run Gate();
		run Opener();
		run Dispatch()
	}
}
