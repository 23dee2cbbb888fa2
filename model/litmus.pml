/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Litmus tests of the machine in memory.pml: is it as weak as the kernel's model?
 *
 * SHAPE is one of the well-known ones (tools/memory-model/Documentation/recipes.txt in
 * the kernel), FIRST and SECOND say what stands between the two accesses of
 * its first and of its other processes. The assertion fails if the outcome happens that
 * the shape is known for; whether LKMM lets it is what model/check compares with.
 */

/* Shapes */
#define MP		1	/* message passing */
#define SB		2	/* store buffering */
#define WRC		3	/* write to read causality, three processes */
#define IRIW		4	/* two readers disagree on two writers */

/* What stands in between */
#define NOTHING		0
#define RELEASE		1	/* the write after it, by smp_store_release() */
#define ACQUIRE		2	/* the read before it, by smp_load_acquire() */
#define ADDRESS		3	/* the second read depends on the first */
#define RMB		4
#define MB		5
#define EXCHANGE	6	/* the write before it, by cmpxchg() */
#define FAILURE		7	/* a cmpxchg() that fails */
#define GRACE		8	/* synchronize_rcu() */
#define SECTION		9	/* around both: an RCU read section */
#define LOCKED		10	/* around both: a lock */

#define X		0
#define Y		3
#define Z		6
#define MESSAGES	8
#define PROCESSES	4

#include "memory.pml"

Lock_t mutex;
byte over, one[PROCESSES], two[PROCESSES];

inline begin(p, what)
{
	if
	:: what == SECTION -> read_lock(p, rcu)
	:: what == LOCKED -> lock(p, mutex)
	:: else
	fi
}

inline end(p, what)
{
	if
	:: what == SECTION -> read_unlock(p, rcu)
	:: what == LOCKED -> unlock(p, mutex)
	:: else
	fi;
	over++
}

inline between(p, what)
{
	if
	:: what == RMB -> smp_rmb(p)
	:: what == MB -> smp_mb(p)
	:: what == FAILURE -> cmpxchg(p, Z, 1, 1, ok)
	:: what == GRACE -> synchronize(p, rcu)
	:: else
	fi
}

inline first_write(p, x, what)
{
	if
	:: what == EXCHANGE -> cmpxchg(p, x, 0, 1, ok)
	:: else -> write_once(p, x, 1)
	fi
}

inline second_write(p, x, what)
{
	if
	:: what == RELEASE -> store_release(p, x, 1)
	:: else -> write_once(p, x, 1)
	fi
}

inline first_read(p, x, what)
{
	if
	:: what == ACQUIRE -> load_acquire(p, x, one[p])
	:: else -> read_pointer(p, x, one[p], dep)
	fi
}

inline second_read(p, x, what)
{
	if
	:: what == ADDRESS -> read_through(p, dep, x, two[p])
	:: else -> read_once(p, x, two[p])
	fi
}

proctype Write_write(byte p)
{
	bool ok;

	begin(p, FIRST);
	first_write(p, X, FIRST);
	between(p, FIRST);
	second_write(p, Y, FIRST);
	end(p, FIRST)
}

proctype Write_only(byte p)
{
	if
	:: p == 0 -> write_once(0, X, 1)
	:: p == 1 -> write_once(1, Y, 1)
	fi;
	over++
}

proctype Read_write(byte p)
{
	bool ok;
	int dep;

	begin(p, FIRST);
	first_read(p, X, FIRST);
	between(p, FIRST);
	/* It is a decision on what was read. */
	if
	:: one[p] == 1 -> second_write(p, Y, FIRST)
	:: else
	fi;
	end(p, FIRST)
}

proctype Write_read(byte p; byte what)
{
	bool ok;
	int dep;

	begin(p, what);
	if
	:: p == 0 -> first_write(0, X, what); between(0, what); second_read(0, Y, what)
	:: p == 1 -> first_write(1, Y, what); between(1, what); second_read(1, X, what)
	fi;
	end(p, what)
}

proctype Read_read(byte p)
{
	bool ok;
	int dep;

	begin(p, SECOND);
	if
	:: p != 3 -> first_read(p, Y, SECOND); between(p, SECOND); second_read(p, X, SECOND)
	:: p == 3 -> first_read(p, X, SECOND); between(p, SECOND); second_read(p, Y, SECOND)
	fi;
	end(p, SECOND)
}

init
{
	atomic {
		location(X, 0);
		location(Y, 0);
		location(Z, 0);
#if SHAPE == MP
		run Write_write(0);
		run Read_read(1)
#elif SHAPE == SB
		run Write_read(0, FIRST);
		run Write_read(1, SECOND)
#elif SHAPE == WRC
		run Write_only(0);
		run Read_write(1);
		run Read_read(2)
#elif SHAPE == IRIW
		run Write_only(0);
		run Write_only(1);
		run Read_read(2);
		run Read_read(3)
#endif
	};
#if SHAPE == MP
	over == 2;
	assert(!(one[1] == 1 && two[1] == 0))
#elif SHAPE == SB
	over == 2;
	assert(!(two[0] == 0 && two[1] == 0))
#elif SHAPE == WRC
	over == 3;
	assert(!(one[1] == 1 && one[2] == 1 && two[2] == 0))
#elif SHAPE == IRIW
	over == 4;
	assert(!(one[2] == 1 && two[2] == 0 && one[3] == 1 && two[3] == 0))
#endif
}
