/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * order.pml: srlock_gate_is_claimed(), beside somebody whose claim becomes a holder
 */

#define CLAIMING	0
#define HOLDER		(CLAIMING + 3)
#define MESSAGES	(HOLDER + 2)
#define PROCESSES	2

#include "memory.pml"

#define OPENER		0
#define RELEASER	1

Lock_t bdev_lock, open_mutex;
bool began;
int news;

/* bd_prepare_to_claim(), bd_finish_claiming(): plain writes, in no order */
proctype Opener()
{
	lock(OPENER, bdev_lock);
	write_once(OPENER, CLAIMING, 1);
	unlock(OPENER, bdev_lock);
	atomic { give(OPENER, news); began = true };
	lock(OPENER, open_mutex);
	lock(OPENER, bdev_lock);
	write_once(OPENER, HOLDER, 1);
	write_once(OPENER, CLAIMING, 0);
	unlock(OPENER, bdev_lock);
	unlock(OPENER, open_mutex)
}

/* Whoever finds it busy is not sure, and looks again. */
inline try_lock(sure)
{
	atomic {
		sure = !open_mutex.taken;
		if
		:: sure -> take(RELEASER, open_mutex.parcel)
		:: !sure
		fi
	}
}

/* srlock_is_claimed(), srlock_gate_is_claimed() */
proctype Releaser()
{
	bool claiming, holder, sure = true;

	atomic { began -> take(RELEASER, news) };
#ifdef HOLDER_FIRST
	read_once(RELEASER, HOLDER, holder);
#endif
	read_once(RELEASER, CLAIMING, claiming);
#ifdef ONLY_RMB
	smp_rmb(RELEASER);
#else
	try_lock(sure);
#endif
#ifndef HOLDER_FIRST
	read_once(RELEASER, HOLDER, holder);
#endif
	CHECK(CLAIMED, claiming || holder || !sure)
}

init
{
	atomic {
		location(CLAIMING, 0);
		location(HOLDER, 0);
		run Opener();
		run Releaser()
	}
}
