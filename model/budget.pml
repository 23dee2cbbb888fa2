/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * order.pml: srlock_put_budget(), beside neighbours that find no budget left
 */

#define IN_USE		0
#define RESTARTS	(IN_USE + 5)
#define MESSAGES	(RESTARTS + 5)
#define PROCESSES	4

#include "memory.pml"

#define REFUSER(n)	(n)
#define ASKER(n)	(2 + (n))

byte waiting, over;
bool run_again;

/* srlock_put_budget() */
proctype Refuser(byte n)
{
	byte old;
	bool ok;

	atomic_add(n, IN_USE, 255);
#ifndef NO_PUT_BARRIER
	smp_mb(n);
#endif
	read_once(n, RESTARTS, old);
	if
	:: old != 0 ->
		cmpxchg(n, RESTARTS, old, 0, ok);
		if
		:: ok -> run_again = true
		:: !ok
		fi
	:: old == 0
	fi;
	over++
}

/* scsi_mq_get_budget() of a neighbour, when none is left */
proctype Asker(byte n)
{
	byte used, p = 2 + n;

	read_once(p, IN_USE, used);
	if
	:: used == 2 ->
		waiting++;
		atomic_add(p, RESTARTS, 1);
#ifndef NO_ASK_BARRIER
		smp_mb(p);
#endif
		read_once(p, IN_USE, used);
		if
		:: used == 0 -> run_again = true
		:: used != 0
		fi
	:: used < 2
	fi;
	over++
}

proctype Monitor()
{
	over == 4;
	CHECK(SERVED, waiting == 0 || run_again)
}

init
{
	atomic {
		location(IN_USE, 2);
		location(RESTARTS, 0);
		run Refuser(0);
		run Refuser(1);
		run Asker(0);
		run Asker(1);
		run Monitor()
	}
}
