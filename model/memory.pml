/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine with weak memory, for order.pml
 *
 * A location keeps every value that was written to it, its messages, in the order in
 * which they were. A process has a view: how far it has got in each location. It reads
 * any message that is not older than its view, however long ago newer ones were
 * written, and what it reads moves its view. So a read may be as late as it likes, and
 * two writes become visible in any order, in another one to each process.
 * What a message carries is a view, too. It is what makes order:
 *   WRITE_ONCE()		carries what was ordered by an earlier smp_mb()
 *   smp_store_release()	carries the writer's view
 *   READ_ONCE()		keeps aside what the message carries: later reads that
 *				depend on it by their address see that, others do not
 *   smp_load_acquire()		moves the view to what the message carries
 *   smp_rmb(), smp_mb()	move the view to what was kept aside
 *   smp_mb()			one after another: sees what earlier ones have seen
 *   xchg(), cmpxchg()		take the newest value, with smp_mb() before and after;
 *				a cmpxchg() that fails is a READ_ONCE()
 *   locks			an unlock carries its view to the next lock
 *   synchronize_rcu()		smp_mb(); a read section that begins before its end either
 *				sees what was before it, or is waited for and then seen
 *
 * Where it is weaker than the kernel's model (LKMM), so that what holds here holds there:
 * a release does not carry what was kept aside (A-cumulativity), an unlock and a later lock
 * of the same CPU are no barrier, an atomic operation without value carries on nothing.
 *
 * Where it is stronger, and why that does not matter here:
 * - A write is never seen before an earlier read of its process is done. LKMM allows it
 *   if no barrier and no address, data or control dependency is between the two. The
 *   module's writes that others go by come after a decision on what was read (control),
 *   through a pointer that was (address), or are RMWs with a full barrier; but one:
 *   srlock_leave(). So what is done before that counts as a write in pointers.pml, read
 *   or not, and writes are seen in any order.
 * - The messages of a location have the order in which they were written. LKMM lets two
 *   writers without order settle it later. The locations here have one writer at a time,
 *   by a lock, or are written by RMWs only. prior_opens has two, a close and the end
 *   of a hold; whichever wins is overwritten before anybody goes by it.
 * - What was done in a read section is seen after every grace period that ends later.
 *   LKMM says so if the section has missed something that was written before
 *   the grace period, and who has missed nothing does nothing wrong here.
 * - An access that is not marked is one step, as if it was.
 *
 * A view is a set of bits, a bit for each message; whoever has seen a message has the
 * bits of all older ones of that location, so that to join two views is to or them. A location
 * is named by its first message, which is its value at the beginning.
 */

#define BIT(n)			(1 << (n))
#define SEEN(x, m)		((2 << (m)) - (1 << (x)))	/* x up to m */
#define HAS(view, m)		(((view) >> (m)) & 1)
#define IS_NEWEST(view, x)	HAS((view) | BIT(x), newest[x])

#if MESSAGES > 30
#error a view is a set of 30 bits
#endif

byte value[MESSAGES];
int carries[MESSAGES];
byte newest[MESSAGES];		/* of a location; other places are not used */
int view[PROCESSES];
int aside[PROCESSES];		/* the view, and what was kept aside */
int ordered[PROCESSES];		/* what a plain write carries */
int barriers;			/* what all smp_mb() so far have seen */
byte at;

inline location(x, initial)
{
	newest[x] = x;
	value[x] = initial;
	carries[x] = BIT(x)
}

/* One that is not seen yet need not be seen. */
inline read_message(p, x, known, into)
{
	at = newest[x];
	do
	:: at > x && !HAS(known, at) -> at--
	:: break
	od;
	see_message(p, x, into)
}

inline see_message(p, x, into)
{
	into = value[at];
	view[p] = view[p] | SEEN(x, at);
	aside[p] = aside[p] | view[p] | carries[at]
}

inline write_message(p, x, new, with)
{
	/* or there are too few messages, and the search says: stuck */
	newest[x] + 1 < MESSAGES && carries[newest[x] + 1] == 0;
	value[newest[x] + 1] = new;
	newest[x]++;
	carries[newest[x]] = (with) | SEEN(x, newest[x]);
	view[p] = view[p] | SEEN(x, newest[x]);
	aside[p] = aside[p] | view[p]
}

inline full_barrier(p)
{
	barriers = barriers | aside[p];
	view[p] = barriers;
	aside[p] = barriers;
	ordered[p] = barriers
}

inline read_once(p, x, into)
{
	atomic { read_message(p, x, view[p], into); at = 0 }
}

/* ... and leaves in dep what a read through this pointer is sure to see */
inline read_pointer(p, x, into, dep)
{
	atomic { read_message(p, x, view[p], into); dep = carries[at]; at = 0 }
}

inline read_through(p, dep, x, into)
{
	atomic { read_message(p, x, view[p] | dep, into); at = 0 }
}

inline load_acquire(p, x, into)
{
	atomic {
		read_message(p, x, view[p], into);
		view[p] = view[p] | carries[at];
		at = 0
	}
}

inline write_once(p, x, new)
{
	atomic { write_message(p, x, new, ordered[p]) }
}

inline store_release(p, x, new)
{
	atomic { write_message(p, x, new, view[p] | ordered[p]) }
}

inline smp_rmb(p)
{
	view[p] = aside[p]
}

inline smp_mb(p)
{
	atomic { full_barrier(p) }
}

/* An atomic operation that tells nothing, and is no barrier */
inline atomic_add(p, x, what)
{
	atomic {
		write_message(p, x, value[newest[x]] + what, ordered[p])
	}
}

inline xchg(p, x, new, old)
{
	atomic {
		full_barrier(p);
		old = value[newest[x]];
		aside[p] = aside[p] | carries[newest[x]];
		write_message(p, x, new, view[p]);
		full_barrier(p)
	}
}

/* The newest is taken if it is right; another one that is read is a failure. */
inline choose_for_cmpxchg(p, x, old)
{
	at = newest[x];
	do
	:: at > x && !HAS(view[p], at) -> at--
	:: break
	od;
	if
	:: at != newest[x] && value[at] == old -> at = newest[x]
	:: else
	fi
}

inline cmpxchg(p, x, old, new, ok)
{
	atomic {
		choose_for_cmpxchg(p, x, old);
		ok = (value[at] == old);
		if
		:: ok ->
			full_barrier(p);
			aside[p] = aside[p] | carries[at];
			write_message(p, x, new, view[p]);
			full_barrier(p)
		:: !ok ->
			aside[p] = aside[p] | carries[at] | SEEN(x, at);
			view[p] = view[p] | SEEN(x, at)
		fi;
		at = 0
	}
}

inline cmpxchg_relaxed(p, x, old, new, ok)
{
	atomic {
		choose_for_cmpxchg(p, x, old);
		ok = (value[at] == old);
		aside[p] = aside[p] | carries[at] | SEEN(x, at);
		view[p] = view[p] | SEEN(x, at);
		if
		:: ok -> write_message(p, x, new, ordered[p])
		:: !ok
		fi;
		at = 0
	}
}

/* --- what one gives to another: locks, a request, a queued work -------------------- */

inline give(p, bag)
{
	bag = view[p]
}

inline take(p, bag)
{
	view[p] = view[p] | bag;
	aside[p] = aside[p] | bag
}

typedef Lock_t { bool taken; int parcel };

inline lock(p, l)
{
	atomic { !l.taken -> l.taken = true; take(p, l.parcel) }
}

inline unlock(p, l)
{
	atomic { give(p, l.parcel); l.taken = false }
}

/* --- RCU, of one flavour or another ------------------------------------------------ */

typedef Rcu {
	byte readers;		/* in a section: a set of processes */
	byte waited_for;
	bool waiting;
	int before;		/* what was before a grace period that has begun */
	int done;		/* ... that has ended */
	int read		/* what was seen and written in sections that have ended */
};

Rcu rcu;

inline read_lock(p, flavour)
{
	atomic {
		flavour.readers = flavour.readers | BIT(p);
		if
		:: take(p, flavour.before)
		:: flavour.waiting ->
			take(p, flavour.done);
			flavour.waited_for = flavour.waited_for | BIT(p)
		fi
	}
}

inline read_unlock(p, flavour)
{
	atomic {
		flavour.readers = flavour.readers & ~BIT(p);
		flavour.waited_for = flavour.waited_for & ~BIT(p);
		flavour.read = flavour.read | view[p]
	}
}

inline synchronize(p, flavour)
{
	atomic {
		full_barrier(p);
		flavour.before = flavour.before | view[p];
		flavour.waited_for = flavour.readers;
		flavour.waiting = true
	};
	atomic {
		flavour.waited_for == 0 ->
		flavour.waiting = false;
		flavour.done = flavour.before;
		take(p, flavour.read);
		full_barrier(p)
	}
}
