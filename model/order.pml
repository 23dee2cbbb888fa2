/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The protocols without a lock, under weak memory
 *
 * Each PART is a search of its own, with the few locations that it is about; all that
 * is locked or sleeps around it is left to gate.pml and lock.pml. How memory behaves
 * is in memory.pml. A request that is handed on, a queued work, a call that returns to
 * user space and comes back carry the view of who does it.
 */

#define PASSES		1	/* pass.h, pass.c, admit.h: who has a pass, and revoking them */
#define POINTERS	2	/* the swapped pointers: what they lead to, built, used, freed */
#define READERS		3	/* page cache reads: closed, prior_opens, uncounted */
#define CLAIM		4	/* srlock_gate_is_claimed() */
#define BUDGET		5	/* srlock_put_budget() */

/* WAY to a pass: pass.h, pass.c */
#define QUICK		1	/* srlock_pass_take_quick(), then the look at first */
#define SLOT		2	/* srlock_admit() */
#define LISTED		3	/* ... and no slot was free */

#ifndef HOLDS
#define HOLDS		2
#endif
#ifndef CALLS
#define CALLS		2
#endif
#ifndef REBIND
#define REBIND		0	/* sr is unbound and bound during the hold */
#endif
#define OPENS		2

/* One property by its number, or 0: all of them. */
#ifndef ONLY
#define ONLY		0
#endif
#define FOREIGN		1	/* a pass admits to the hold that it was taken in */
#define FENCED		2	/* nothing foreign is in flight when a hold begins */
#define BUILT		3	/* nobody follows a pointer to what is not built, nor a wrong one */
#define FREED		4	/* nobody is in a gate that is freed */
#define COUNTED		5	/* no page cache read of a file that is not the holder's */
#define CLAIMED		6	/* a claim that began is seen */
#define SERVED		7	/* who was refused budget is tried again */
#define CHECK(property, fact) \
	assert(!(ONLY == 0 || ONLY == (property)) || (fact))

#if PART == PASSES
#include "passes.pml"
#elif PART == POINTERS
#include "pointers.pml"
#elif PART == READERS
#include "readers.pml"
#elif PART == CLAIM
#include "claim.pml"
#elif PART == BUDGET
#include "budget.pml"
#endif
