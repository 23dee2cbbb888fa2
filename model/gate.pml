/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Gate, fence, passes and tray: who gets to the drive, hold after hold
 *
 * The lock is a sequence of holds here, one process that acquires, holds and
 * releases; that the works come in turns like this is what lock.pml shows. Around
 * it is everybody else: a submitter whose requests have no pass (sg), tasks of the
 * clients that sit inside calls on the block device while holds begin and end,
 * and the works that send the module's own commands and may be left alone.
 *
 * A request is dispatched by whoever comes by, so nothing here depends on the
 * dispatching task; the submitter only waits, and its process does it in its place.
 * Names in comments are those of module/. README.md has the map.
 */

#ifndef HOLDS
#define HOLDS		2	/* holds, failed acquires among them */
#endif
#ifndef TIMEOUTS
#define TIMEOUTS	0	/* commands of the module that are left alone */
#endif
#define WORKS		(TIMEOUTS + 1)
#ifndef CALLERS
#define CALLERS		1	/* tasks of clients: client 0, client 1 */
#endif

/* One property by its number, or 0: all of them. */
#ifndef ONLY
#define ONLY		0
#endif
#define FOREIGN		1	/* nobody else's command starts during a hold */
#define FENCE		2	/* ... nor is one in flight when it begins */
#define VOID		3	/* a pass admits to the hold that it was taken in */
#define OUTSIDE		4	/* the tray is unlocked when the gate is open */
#define INSIDE		5	/* ... and locked during a hold */
#define RESTORED	6	/* free: the pointers are the original ones */
#define ON(property)	(ONLY == 0 || ONLY == (property))
#define CHECK(property, fact)	assert(!ON(property) || (fact))

/* Tasks. A caller's task and its client have the same number. */
#define SG		2
#define WORK		3
#define NTASKS		(WORK + WORKS)
#define NOBODY		7
#define BIT(task)	(1 << (task))

#define PLAIN		0
#define PREVENT		1
#define ALLOW		2

/* srlock_gate, srlock_passes */
bool closed;
bool fops_ours, mq_ours;
byte generation = 1;
byte slot0 = NOBODY;		/* srlock_passes.slots[0] */
byte slots;			/* the other slots, and the overflow list: a set */

/* srlock_holders: the quick look and the list */
byte first = NOBODY;
byte member = NOBODY;

/* srlock_lock.state as others read it */
mtype = { free, acquiring, held, releasing };
mtype state = free;

/* The block layer and the drive: in a dispatch, waited for, started. */
byte readers, waited_for, busy;
bool tray_locked;
#ifdef SERIAL
bool budget;
#define TAKE_BUDGET	!budget -> budget = true
#define PUT_BUDGET	budget = false
#else
#define TAKE_BUDGET	true -> skip
#define PUT_BUDGET	skip
#endif

/* Nothing ends that is put back for ever. */
#ifdef ENDS
#define MAY_PUT_BACK(task)	((task) < WORK)
#else
#define MAY_PUT_BACK(task)	true
#endif

/* srlock_door */
bool wanted;

/* struct srlock_command, one for each work */
bool queued[WORKS], over[WORKS], done[WORKS], worked[WORKS];
byte kind[WORKS], made_at[WORKS];
byte timeouts;

/*
 * What is only known to the checks. A hold has a number; a call, or a command of the
 * module, is good for the one that it has in its stamp.
 */
byte hold;			/* the latest hold */
byte fenced;			/* the hold that nobody else may be busy in, or 0 */
byte stamp[NTASKS];
byte late;			/* PREVENT or ALLOW under way whose outcome is open */
bool finished;

/* --- passes: pass.h, pass.c ---------------------------------------------- */

/* srlock_passes_revoke() */
inline revoke()
{
#ifdef SLOTS_FIRST
	slot0 = NOBODY;
	slots = 0;
	generation++;
#else
	generation++;
	slot0 = NOBODY;
	slots = 0;
#endif
}

/* srlock_pass_take(); at is where the pass is, 0 or another slot */
inline take_pass(task, seen, at, ok)
{
	if
	:: atomic { slot0 == NOBODY -> slot0 = task; at = 0 }
	:: atomic { slot0 != NOBODY -> slots = slots | BIT(task); at = 1 }
	fi;
#ifdef NO_GENERATION
	ok = true
#else
	ok = (generation == seen);
	if
	:: ok
	:: !ok -> drop_pass(task, at)
	fi
#endif
}

/* srlock_pass_drop() */
inline drop_pass(task, at)
{
	atomic {
		if
		:: at == 0 && slot0 == task -> slot0 = NOBODY
		:: at == 0 && slot0 != task
		:: at != 0 -> slots = slots & ~BIT(task)
		fi
	}
}

/* srlock_holders_has() */
inline is_holder(task, yes)
{
	atomic { yes = (first == task); note_hold(task, yes) };
	if
	:: yes
	:: !yes -> atomic { yes = (member == task); note_hold(task, yes) }
	fi
}

/* The calls of the task are good for the hold that it is found to belong to. */
inline note_hold(task, yes)
{
	if
	:: yes -> stamp[task] = hold
	:: !yes
	fi
}

/* --- the queue: srlock_queue_rq() and what is around it ------------------- */

/* A request of the task is started: from here on it can be seen as busy. */
inline start(task)
{
	busy = busy | BIT(task);
	CHECK(FOREIGN, fenced == 0 || stamp[task] == fenced)
}

inline end_dispatch(task)
{
	readers = readers & ~BIT(task);
	waited_for = waited_for & ~BIT(task)
}

/* srlock_passes_find() has come to this. */
inline by_pass(task, found)
{
	CHECK(VOID, !found || stamp[task] == hold)
}

/* blk_execute_rq(); the pass is found by the stack of the task, which sg has not */
inline execute(task, command, ok)
{
	bool admitted;

	do
	:: atomic { TAKE_BUDGET; readers = readers | BIT(task); admitted = !mq_ours };
	   /* srlock_admits(), if the operations were ours */
	   if
	   :: admitted
	   :: !admitted ->
		admitted = !closed;
		if
		:: admitted || task == SG
		:: !admitted && task != SG ->
			atomic { admitted = (slot0 == task); by_pass(task, admitted) };
			if
			:: admitted
			:: !admitted ->
				atomic {
					admitted = ((slots & BIT(task)) != 0);
					by_pass(task, admitted)
				}
			fi
		fi
	   fi;
	   if
	   :: atomic { !admitted -> end_dispatch(task); PUT_BUDGET; ok = false; break }
	   :: atomic { admitted -> start(task) }
		atomic { end_dispatch(task) };
		/* The answer; commands overtake each other unless SERIAL. */
		atomic {
			if
			:: command == PREVENT -> tray_locked = true
			:: command == ALLOW -> tray_locked = false
			:: command == PLAIN
			fi;
			busy = busy & ~BIT(task);
			PUT_BUDGET;
			ok = true;
			admitted = false;
			break
		}
	   :: atomic { admitted && MAY_PUT_BACK(task) ->
			end_dispatch(task); PUT_BUDGET; admitted = false }
		/* Put back (BLK_STS_RESOURCE), and dispatched anew. */
	   fi
	od;
	admitted = false
}

/* --- the tray: door.c ----------------------------------------------------- */

#ifdef TAKE_BACK_IF_CLOSED
bool shut[NTASKS];
#define TAKE_BACK_LOOK		shut[task] = closed
#define TAKE_BACK_ENOUGH	(!shut[task] || state == held)
#else
#define TAKE_BACK_LOOK		skip
#define TAKE_BACK_ENOUGH	(state == held)
#endif

/* srlock_take_back(): until it gets through, or there is a hold that will end in ALLOW */
inline take_back(task, ok)
{
#ifndef NO_TAKE_BACK
	do
	:: TAKE_BACK_LOOK;
	   execute(task, ALLOW, ok);
#ifdef TAKE_BACK_ONCE
	   break
#else
	   if
	   :: ok -> break
	   :: !ok && TAKE_BACK_ENOUGH -> break
	   :: !ok && !(TAKE_BACK_ENOUGH)
	   fi
#endif
	od
#else
	skip
#endif
}

/* srlock_prevent() */
inline prevent(task, seen, ok)
{
	execute(task, PREVENT, ok);
	if
	:: !ok
	:: ok && generation != seen ->
		take_back(task, ok);
		ok = false
	:: ok && generation == seen
	fi
}

/* srlock_command_work() */
proctype Work(byte w)
{
	byte task = WORK + w, at;
	bool ok;

end:	do
	:: queued[w] ->
		queued[w] = false;
		take_pass(task, made_at[w], at, ok);
		if
		:: ok ->
			if
			:: kind[w] == PREVENT -> prevent(task, made_at[w], ok)
			:: kind[w] == ALLOW -> execute(task, ALLOW, ok)
			fi;
			drop_pass(task, at)
		:: !ok
		fi;
		worked[w] = ok;
		/* Whoever waited has left: settle it alone. */
		if
		:: atomic { !over[w] -> over[w] = true; done[w] = true }
		:: over[w] ->
#ifndef LATE_ANSWER
			if
			:: (kind[w] == PREVENT && ok) || (kind[w] == ALLOW && !ok) ->
				take_back(task, ok)
			:: else
			fi;
#endif
			atomic { late--; done[w] = true }
		fi;
		atomic { at = 0; ok = false }
	od
}

/* srlock_command(): nobody waits longer than the command timeout */
inline command(what, w, ok)
{
	atomic {
		w = 0;
		do
		:: w < WORKS && (queued[w] || !done[w]) && made_at[w] != 0 -> w++
		:: else -> break
		od;
		assert(w < WORKS);
		kind[w] = what;
		made_at[w] = generation;
		stamp[WORK + w] = hold;
		over[w] = false;
		done[w] = false;
		queued[w] = true
	};
	if
	:: atomic { done[w] -> ok = worked[w]; made_at[w] = 0; done[w] = false }
	:: atomic { timeouts < TIMEOUTS && !over[w] -> timeouts++; over[w] = true; late++ };
		revoke();
		ok = false
	fi
}

/* --- the gate: gate.c, fence.c -------------------------------------------- */

/* srlock_gate_fence() */
inline fence(t, ok)
{
#ifndef NO_GRACE
	waited_for = readers;
	waited_for == 0;
#endif
#ifndef NO_DRAIN
	t = 0;
	ok = true;
	do
	:: t < NTASKS ->
		if
		:: atomic { (busy & BIT(t)) == 0 || slot0 == t || (slots & BIT(t)) != 0 -> t++ }
		:: (busy & BIT(t)) != 0 && slot0 != t && (slots & BIT(t)) == 0 ->
			/* abandoned, or -ETIMEDOUT */
			ok = false; break
		fi
	:: t == NTASKS -> break
	od
#else
	ok = true
#endif
}

/* srlock_gate_open() */
inline open_gate()
{
	closed = false;
	mq_ours = false;
	fops_ours = false
}

/* The state machine, and acquire_work and release_work */
proctype Lock()
{
	byte client, n;
	bool ok;

	do
	:: hold < HOLDS ->
		atomic {
			if
			:: client = 0
			:: client = 1
			fi;
			hold++;
			state = acquiring
		};
		closed = true;
		fops_ours = true;
		mq_ours = true;
		fence(n, ok);
		if
		:: ok ->
			atomic { fenced = hold; CHECK(FENCE, busy == 0) };
			wanted = true;
			command(PREVENT, n, ok);
			if
			:: ok
			:: !ok -> wanted = false
			fi
		:: !ok
		fi;
		if
		:: !ok ->
			/* as it was before: srlock_gate_open(), srlock_acquire_failed() */
			fenced = 0;
#ifndef KEEP_CLOSED
			open_gate()
#endif
		:: ok ->
			/* srlock_begin_hold() */
			member = client;
			first = client;
			state = held;

			/* ... and srlock_end_hold() some time later */
			atomic { fenced = 0; state = releasing };
#ifdef LATE_CLEAR
			revoke();
#endif
			first = NOBODY;
			member = NOBODY;
#ifndef LATE_CLEAR
			revoke();
#endif
			/* srlock_unlock_and_open() */
			wanted = false;
#ifdef OPEN_BEFORE_ALLOW
			open_gate();
			command(ALLOW, n, ok)
#else
			command(ALLOW, n, ok);
			open_gate()
#endif
		fi;
		/* srlock_lock_released(), srlock_lock_acquired(error) */
		atomic { state = free; client = 0; n = 0; ok = false }
	:: hold == HOLDS -> break
	od;
	finished = true
}

/* --- everybody else -------------------------------------------------------- */

/* sg, bsg, a file from before the hold: never asks, always tries */
proctype Submitter()
{
	bool ok;

end:	do
	:: execute(SG, PLAIN, ok); ok = false
	od
}

/* srlock_admit() */
inline admit(task, seen, at, ok)
{
#ifdef LATE_GENERATION
	is_holder(task, ok);
	seen = generation;
#else
	seen = generation;
	is_holder(task, ok);
#endif
	if
	:: ok -> take_pass(task, seen, at, ok)
	:: !ok
	fi
}

/* A task of a client inside calls on the block device; each lasts as long as it likes */
proctype Caller(byte task)
{
	byte seen, at;
	bool ok, inside, quick;

end:	do
	:: /* srlock_enter(), or the original at once */
	   if
	   :: !fops_ours -> inside = true
	   :: fops_ours ->
		/* srlock_gated_ioctl(); open, release and the others have no quick way */
		if
		:: true -> skip
#ifdef EARLY_CHECK
		:: atomic { first == task -> stamp[task] = hold };
			if
			:: atomic { slot0 == NOBODY -> slot0 = task; at = 0; quick = true }
			:: slot0 != NOBODY
			fi
#else
		:: atomic { slot0 == NOBODY -> slot0 = task; at = 0 }
			if
			:: atomic { first == task -> stamp[task] = hold; quick = true }
			:: first != task -> drop_pass(task, at)
			fi
#endif
		fi;
		/* srlock_any_ioctl() */
		if
		:: quick -> ok = true
		:: !quick -> admit(task, seen, at, ok)
		fi;
		if
		:: ok -> inside = true
		:: atomic { !ok -> stamp[task] = 0 };
			inside = !closed
		fi
	   fi;
	   if
	   :: !inside
	   :: inside ->
		/* fops->original: any number of commands */
		do
		:: execute(task, PLAIN, inside)
		:: break
		od
	   fi;
	   if
	   :: !ok
	   :: ok ->
		/* srlock_admitted_end(), srlock_quick_restore() */
		if
		:: quick -> seen = generation; is_holder(task, inside)
		:: !quick -> inside = true
		fi;
		if
		:: inside && wanted ->
			late++;
			prevent(task, seen, inside);
			late--
		:: true
		fi;
		drop_pass(task, at)
	   fi;
	   atomic {
		ok = false; inside = false; quick = false; at = 0; seen = 0;
		stamp[task] = 0
	   }
	od
}

/* --- what has to be so at any time ----------------------------------------- */

/* Blocked for ever, unless something is wrong. */
proctype Monitor()
{
end:	atomic {
		if
		:: ON(OUTSIDE) && tray_locked && !closed && late == 0
		:: ON(INSIDE) && state == held && !tray_locked
		:: ON(RESTORED) && state == free && (closed || fops_ours || mq_ours)
		fi;
		assert(false)
	}
}

init
{
	atomic {
		run Lock();
		run Submitter();
#if CALLERS > 0
		run Caller(0);
#endif
#if CALLERS > 1
		run Caller(1);
#endif
		run Work(0);
#if TIMEOUTS > 0
		run Work(1);
#endif
		run Monitor()
	}
}

/* Every acquire and release ends; to be checked with weak fairness. */
#ifdef ENDS
ltl ends { <> finished }
#endif
