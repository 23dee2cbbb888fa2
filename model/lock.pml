/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lock: clients, counts, waiters in line, death, BREAK, unplug
 *
 * lock.c as it stands, step by step, with the calls that wait (call.c) and the two
 * works around it. All that lock.c does under its spinlock is one atomic step. The
 * drive is one bit, whether the gate is closed; what that takes is in gate.pml.
 *
 * Whoever sleeps is either patient, and then nothing but a wake-up gets it on, or
 * it may give up at any time: a deadline, a signal, death. A patient sleeper that is
 * not woken is what the search finds as an invalid end state.
 */

#ifndef PROCESSES
#define PROCESSES	2	/* each with a file of its own */
#endif
#ifndef SHARED
#define SHARED		0	/* 1: the last process has the file of the first one */
#endif
#ifndef ROUNDS
#define ROUNDS		1	/* acquires of each process */
#endif
#ifndef NEST
#define NEST		0	/* 1: they may acquire twice */
#endif
#ifndef HASTE
#define HASTE		1	/* 0: all are patient */
#endif
#ifndef BREAKS
#define BREAKS		1
#endif
#ifndef CLAIMS
#define CLAIMS		0	/* how often somebody mounts the drive */
#endif
#ifndef UNPLUG
#define UNPLUG		0
#endif

/* One property by its number, or 0: all of them. */
#ifndef ONLY
#define ONLY		0
#endif
#define HOLDER		1	/* at most one holder, and who believes to be it is it */
#define GATED		2	/* held: the gate is closed; free: it is open */
#define TURNS		3	/* acquire and release work strictly in turns */
#define ONCE		4	/* a call is finished once, and then let go */
#define FIFO		5	/* first come, first served */
#define ON(property)	(ONLY == 0 || ONLY == (property))
#define CHECK(property, fact)	assert(!ON(property) || (fact))

/* Waiters: a process has one call at a time; the last one is that of BREAK. */
#define BREAKER		PROCESSES
#define WAITERS		(PROCESSES + 1)
#define NOBODY		7
#define BIT(w)		(1 << (w))
#define FILE(p)		((SHARED && (p) == PROCESSES - 1) -> 0 : (p))

mtype = { free, acquiring, held, releasing, gone };
mtype = { ok, in_progress, busy, failed, gave_up, not_held, owner_dead, no_device };

/* struct srlock_lock */
mtype state = free;
byte owner = NOBODY;
byte acquirer = NOBODY;
byte releaser = NOBODY;
byte queue[WAITERS];
byte in_line;
bool claimed;
bool forced;			/* acquire_flags */

/* struct srlock_client */
byte count[PROCESSES];
byte waiting[PROCESSES];
bool broken[PROCESSES];
byte files[PROCESSES];		/* who has it open */

/* struct srlock_waiter; tried: its epoch is the lock's */
bool done[WAITERS];
mtype result[WAITERS];
bool may_wait[WAITERS], force[WAITERS], tried[WAITERS];
bool woken[WAITERS];

/* struct srlock_drive: what is queued, what the gate is told */
bool acquire_queued, release_queued, retry_queued, abandoned;
bool closed, dead, mounted;

/* For the checks. */
bool in_call[WAITERS];
bool believes[PROCESSES];
bool working;
byte ahead[WAITERS];		/* who was in line before */
byte standing;			/* who is in line: a set */
byte ended;

/* For loops in atomic steps; of no meaning between them. */
hidden byte i, j, k;
hidden byte found;

/* --- lock.c, all of it under the spinlock --------------------------------- */

/* srlock_op_wake() */
inline wake(w)
{
	woken[w] = true
}

inline leave_line(w)
{
	i = 0;
	found = false;
	do
	:: i < in_line ->
		if
		:: found -> queue[i - 1] = queue[i]
		:: !found && queue[i] == w -> found = true
		:: else
		fi;
		i++
	:: else -> break
	od;
	if
	:: found ->
		in_line--;
		queue[in_line] = 0;
		waiting[FILE(w)]--;
		standing = standing & ~BIT(w);
		i = 0;
		do
		:: i < WAITERS -> ahead[i] = ahead[i] & ~BIT(w); i++
		:: else -> break
		od;
		ahead[w] = 0
	:: else
	fi
}

/* srlock_finish() */
inline finish(w, how)
{
	CHECK(ONCE, in_call[w] && !done[w]);
	leave_line(w);
	result[w] = how;
	done[w] = true;
#ifndef NO_WAKE
	wake(w)
#endif
}

/* srlock_next_waiter(), srlock_advance() */
inline advance()
{
	if
	:: state == free && in_line == 0 -> claimed = false
	:: state == free && in_line > 0 ->
		j = NOBODY;
		i = 0;
		do
		:: i < in_line ->
#ifdef LAST_FIRST
			if
			:: !claimed -> j = queue[i]; i++
#else
			if
			:: !claimed -> j = queue[i]; break
#endif
			:: claimed && force[queue[i]] && !tried[queue[i]] -> j = queue[i]; break
			:: else -> i++
			fi
		:: else -> break
		od;
		if
		:: j != NOBODY ->
			acquirer = j;
			forced = force[j];
			state = acquiring;
			abandoned = false;
			acquire_queued = true;
			wake(j)
		:: else
		fi
	:: else
	fi;
	i = 0;
	j = 0
}

/* srlock_end_hold() */
inline end_hold(w)
{
#ifndef KEEP_COUNT
	count[owner] = 0;
#endif
	owner = NOBODY;
	releaser = w;
#ifdef FREE_AT_ONCE
	state = free;
	release_queued = true;
	advance()
#else
	state = releasing;
	release_queued = true
#endif
}

inline begin_call(w)
{
	in_call[w] = true;
	done[w] = false;
	woken[w] = false;
	result[w] = ok
}

/* The waiter lies on the stack of the call, so nobody may know of it any more. */
inline end_call(w)
{
	CHECK(ONCE, acquirer != w && releaser != w && (standing & BIT(w)) == 0);
	in_call[w] = false;
	done[w] = false;
	woken[w] = false;
	may_wait[w] = false;
	force[w] = false;
	tried[w] = false
}

/* A call that has nothing to wait for. */
inline end_quick_call(w, how)
{
	if
	:: how != in_progress -> end_call(w)
	:: else
	fi
}

/* srlock_lock_nest(), srlock_lock_acquire() */
inline lock_acquire(w, file, how)
{
	atomic {
		begin_call(w);
		tried[w] = false;
		if
		:: broken[file] -> how = owner_dead
		:: !broken[file] && state == gone -> how = no_device
		:: !broken[file] && state != gone && owner == file -> count[file]++; how = ok
		:: else ->
			/* srlock_may_start() */
			found = (state == free && in_line == 0);
			if
			:: state == free && in_line > 0 && claimed && force[w] ->
				found = true;
				i = 0;
				do
				:: i < in_line ->
					if
					:: force[queue[i]] -> found = false
					:: else
					fi;
					i++
				:: else -> break
				od
			:: else
			fi;
			if
			:: !may_wait[w] && !found -> how = busy
			:: else ->
				ahead[w] = standing;
				standing = standing | BIT(w);
				queue[in_line] = w;
				in_line++;
				waiting[file]++;
				advance();
				how = in_progress
			fi
		fi;
		found = false;
		i = 0;
		end_quick_call(w, how)
	}
}

/* srlock_lock_cancel() */
inline lock_cancel(w, error, how)
{
	atomic {
		if
		:: done[w]
		:: !done[w] && releaser == w ->
#ifndef KEEP_RELEASER
			releaser = NOBODY;
#endif
			result[w] = error
		:: !done[w] && releaser != w ->
			if
			:: acquirer == w ->
#ifndef KEEP_ACQUIRER
				acquirer = NOBODY;
#endif
				state = releasing;
				abandoned = true
			:: else
			fi;
			finish(w, error);
			advance()
		fi;
		how = result[w];
		end_call(w)
	}
}

/* srlock_lock_finish() */
inline lock_finish(w, how)
{
	atomic { how = result[w]; end_call(w) }
}

/* srlock_lock_unnest(), srlock_lock_release() */
inline lock_release(w, file, how)
{
	atomic {
		begin_call(w);
		if
		:: count[file] > 1 -> count[file]--; how = ok
		:: count[file] <= 1 && broken[file] -> how = owner_dead
		:: count[file] <= 1 && !broken[file] && state == gone -> how = no_device
		:: count[file] <= 1 && !broken[file] && state != gone && owner != file ->
			how = not_held
		:: else -> end_hold(w); how = in_progress
		fi;
		end_quick_call(w, how)
	}
}

/* srlock_lock_break() */
inline lock_break(w, how)
{
	atomic {
		begin_call(w);
		if
		:: state == gone -> how = no_device
		:: state != gone && owner == NOBODY -> how = not_held
		:: else -> broken[owner] = true; end_hold(w); how = in_progress
		fi;
		end_quick_call(w, how)
	}
}

/* srlock_lock_close() */
inline lock_close(w, file, how)
{
	atomic {
		begin_call(w);
		if
#ifndef NO_CLOSE
		:: owner == file -> end_hold(w); how = in_progress
#endif
		:: else -> how = ok
		fi;
		end_quick_call(w, how)
	}
}

/* srlock_begin_hold(), srlock_nest_waiters() */
inline begin_hold(w)
{
	CHECK(ONCE, in_call[w]);
	/* Whoever came earlier has left the line, or a claim is in its way alone. */
	i = 0;
	do
	:: i < WAITERS ->
		CHECK(FIFO, (ahead[w] & standing & BIT(i)) == 0 || tried[i] ||
		      (force[w] && !force[i]));
		i++
	:: else -> break
	od;
	owner = FILE(w);
	count[owner] = 1;
	claimed = false;
	state = held;
	finish(w, ok);
	k = 0;
	do
	:: k < in_line ->
		j = queue[k];
		if
		:: FILE(j) == owner -> count[owner]++; finish(j, ok)
		:: else -> k++
		fi
	:: else -> break
	od;
	i = 0;
	j = 0;
	k = 0
}

/* srlock_acquire_failed() */
inline acquire_failed(w, error)
{
	state = free;
	if
	:: error != busy -> finish(w, error)
	:: else ->
		claimed = true;
		tried[w] = true;
		if
		:: may_wait[w] -> wake(w)
		:: else -> finish(w, busy)
		fi;
#ifndef NO_RETRY
		if
		:: in_line > 0 -> retry_queued = true
		:: else
		fi
#endif
	fi;
	advance()
}

/* srlock_lock_acquired() */
inline lock_acquired(error)
{
	k = acquirer;
	acquirer = NOBODY;
	if
	:: state == gone
	:: state != gone && k != NOBODY && error == ok -> begin_hold(k)
	:: state != gone && k != NOBODY && error != ok -> acquire_failed(k, error)
	:: state != gone && k == NOBODY && error == ok ->
#ifndef KEEP_ABANDONED
		release_queued = true
#else
		state = free;
		advance()
#endif
	:: else -> state = free; advance()
	fi;
	k = 0
}

/* srlock_lock_released() */
inline lock_released()
{
	if
	:: state != gone ->
		k = releaser;
		releaser = NOBODY;
		state = free;
		if
		:: k != NOBODY -> finish(k, ok)
		:: else
		fi;
#ifndef NO_ADVANCE
		advance()
#endif
	:: else
	fi;
	k = 0
}

/* srlock_lock_retry() */
inline lock_retry()
{
	i = 0;
	do
	:: i < WAITERS -> tried[i] = false; i++
	:: else -> break
	od;
	claimed = false;
	advance()
}

/* srlock_lock_gone() */
inline lock_gone()
{
	if
	:: owner != NOBODY -> count[owner] = 0; owner = NOBODY
	:: else
	fi;
	if
	:: state == acquiring -> abandoned = true
	:: else
	fi;
	acquirer = NOBODY;
	state = gone;
	k = releaser;
	releaser = NOBODY;
	if
	:: k != NOBODY -> finish(k, no_device)
	:: else
	fi;
	k = 0;
	do
	:: in_line > 0 -> j = queue[0]; finish(j, no_device)
	:: else -> break
	od;
	i = 0;
	j = 0
}

/* --- call.c: the calls that wait ------------------------------------------- */

/*
 * wait_event(): on the wait queue first, then the look, then sleep. Goes on when the
 * condition is met, or when it has been enough for who is not patient.
 */
inline sleep_until(w, condition, patient, enough)
{
	do
#ifdef LATE_SLEEP
	:: condition -> break
	:: else -> woken[w] = false;
#else
	:: woken[w] = false;
		if
		:: condition -> break
		:: else
		fi;
#endif
		if
		:: woken[w]
		:: !patient -> enough = true; break
		fi
	od
}

/* srlock_wait_acquired() */
inline wait_acquired(w, patient, how)
{
	bool enough;

	do
	:: atomic { acquirer == w -> enough = false };
		sleep_until(w, (done[w] || acquirer != w), patient, enough);
		if
		:: enough || done[w] -> break
		:: !enough && !done[w]
		fi
	:: atomic { acquirer != w -> enough = false };
		sleep_until(w, (done[w] || acquirer == w), patient, enough);
		if
		:: enough || done[w] -> break
		:: !enough && !done[w]
		fi
	od;
	if
	:: enough -> lock_cancel(w, gave_up, how)
	:: !enough -> lock_finish(w, how)
	fi;
	enough = false
}

/* srlock_wait_released() */
inline wait_released(w, patient, how)
{
	bool tired;

	sleep_until(w, done[w], patient, tired);
	tired = false;
	lock_cancel(w, gave_up, how)
}

/* A program: acquires, maybe twice, releases, or dies at any of these places. */
proctype Client(byte p)
{
	byte file = FILE(p), rounds, nested;
	bool patient, dying;
	mtype how = ok;

	do
	:: rounds < ROUNDS && !dying ->
		rounds++;
		/* ACQUIRE */
		atomic {
			if
			:: patient = true; may_wait[p] = true
			:: HASTE -> patient = false; may_wait[p] = true
			:: HASTE -> patient = true; may_wait[p] = false
			fi;
			if
			:: true
			:: CLAIMS > 0 -> force[p] = true
			fi
		};
		lock_acquire(p, file, how);
		if
		:: how == in_progress -> wait_acquired(p, patient, how)
		:: else
		fi;
		if
		:: atomic { how == ok -> nested = 1; believes[p] = true }
		:: how == gave_up -> dying = true	/* it was a signal that kills */
		:: how != ok
		fi;
		/* once more: the quick way */
		if
		:: NEST && how == ok ->
			lock_acquire(p, file, how);
			CHECK(HOLDER, how == ok || how == owner_dead || how == no_device ||
			      SHARED);
			if
			:: how == in_progress -> wait_acquired(p, true, how)
		:: else
			fi;
			if
			:: how == ok -> nested = 2
			:: else
			fi
		:: true
		fi;
		how = ok;
		/* RELEASE as often, or not at all */
		do
		:: atomic {
			nested > 0 ->
			nested--;
			if
			:: patient = true
			:: HASTE -> patient = false
			fi;
			believes[p] = false
		   };
			lock_release(p, file, how);
			if
			:: how == in_progress -> wait_released(p, patient, how)
		:: else
			fi
		:: nested > 0 -> dying = true; break
		:: nested == 0 -> break
		od
	:: else -> break
	od;
	/* close(), or exit; the last one counts */
	atomic { believes[p] = false; nested = 0; patient = false; files[file]-- };
	if
	:: files[file] == 0 ->
		lock_close(p, file, how);
		if
		:: how == in_progress -> wait_released(p, !dying, how)
		:: else
		fi
	:: else
	fi;
	ended++
}

/* SRLOCK_IOC_BREAK */
proctype Break()
{
	byte breaks;
	mtype how = ok;
	bool patient;

	do
	:: breaks < BREAKS ->
		breaks++;
		if
		:: patient = true
		:: patient = false
		fi;
		lock_break(BREAKER, how);
		if
		:: how == in_progress -> wait_released(BREAKER, patient, how)
		:: else
		fi
	:: else -> break
	od;
	ended++
}

/* --- work.c ----------------------------------------------------------------- */

proctype Acquire_work()
{
	mtype error = ok;

end:	do
	:: atomic { acquire_queued -> acquire_queued = false; CHECK(TURNS, !working); working = true };
		/* srlock_gate_close(), srlock_door_begin() */
		if
		:: atomic { dead -> error = no_device }
		:: atomic { !dead && mounted && !forced -> error = busy }
		:: atomic { !dead && (!mounted || forced) -> closed = true; error = ok }
		:: error = failed
		fi;
		/* -EINTR, -ETIMEDOUT, -EIO: as it was before */
		if
		:: error == ok -> closed = false; error = failed
		:: true
		fi;
		atomic {
			lock_acquired(error);
			working = false;
			error = ok
		}
	od
}

proctype Release_work()
{
end:	do
	:: atomic { release_queued -> release_queued = false; CHECK(TURNS, !working); working = true };
		closed = false;
		atomic {
			lock_released();
			working = false
		}
	od
}

/* srlock_retry_work(), after a while */
proctype Retry_work()
{
end:	do
	:: atomic { retry_queued -> retry_queued = false; lock_retry() }
	od
}

/* --- the rest of the world --------------------------------------------------- */

/* Mounts the drive, which a closed gate refuses, and lets it go again. */
proctype Mount()
{
	byte n;

end:	do
	:: atomic { n < CLAIMS && !closed -> mounted = true; n++ };
		mounted = false
	od
}

/* srlock_drive_detach() at any time */
proctype Unplug()
{
	atomic { lock_gone() };
	atomic { dead = true; closed = false }
}

proctype Monitor()
{
end:	atomic {
		if
		:: ON(HOLDER) && (count[0] > 0) + (count[1] > 0) +
				 (count[PROCESSES - 1] > 0 && PROCESSES > 2) > 1
		:: ON(HOLDER) && believes[0] && owner != 0 && !broken[0] && state != gone
		:: ON(HOLDER) && believes[1] && owner != FILE(1) && !broken[FILE(1)] && state != gone
		:: ON(GATED) && state == held && !closed
		:: ON(GATED) && state == free && closed
		:: ON(GATED) && owner != NOBODY && state != held
		fi;
		assert(false)
	}
}

init
{
	atomic {
		i = 0;
		do
		:: i < PROCESSES -> files[FILE(i)]++; run Client(i); i++
		:: else -> break
		od;
		i = 0;
#if BREAKS > 0
		run Break();
#else
		ended++;
#endif
		run Acquire_work();
		run Release_work();
		run Retry_work();
#if CLAIMS > 0
		run Mount();
#endif
#if UNPLUG
		run Unplug();
#endif
		run Monitor()
	}
}

/* Every call ends, and so every process does; to be checked with weak fairness. */
#ifdef ENDS
ltl ends { <> (ended == PROCESSES + 1) }
#endif
