/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Passes: who is inside an admitted call right now, as the queue can see it
 *
 * blk_execute_rq() keeps the object that its completion wakes on the stack of the
 * task that waits, and leaves its address in the request. So a passthrough request
 * is the holder's if that address lies in the stack of a task that is inside a
 * call that was admitted. `current` says nothing about that: any task may dispatch.
 *
 * A pass is good for one hold. Whoever takes one reads the generation before it
 * finds itself admitted and compares it after the pass is in place; revoking
 * changes the generation first and takes the passes away second. Each side has a
 * full barrier in between, so one of them sees the other.
 */
#ifndef SRLOCK_PASS_H
#define SRLOCK_PASS_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/sched/task_stack.h>
#include <linux/spinlock.h>

#define SRLOCK_PASS_SLOTS	8

/* The value of a pass that has no slot: it is on the overflow list. */
#define SRLOCK_PASS_LISTED	SRLOCK_PASS_SLOTS

/*
 * Low bit of a pass: the call is none in which the holder says itself what the
 * drive shall do, but one in which the kernel sends what it finds right. It moves the
 * lower edge of the stack by a byte, to where no object can be: the lowest word of each
 * stack is a mark of the kernel's own. See srlock_pass_covers() for the upper one.
 */
#define SRLOCK_PASS_KERNEL	1UL

/**
 * struct srlock_pass - one pass; lives on the stack of the task that it is for
 * @slot: its place in srlock_passes.slots, or SRLOCK_PASS_*
 * @stack: lowest address of the task's stack, and SRLOCK_PASS_KERNEL
 * @node: place in srlock_passes.overflow
 */
struct srlock_pass {
	unsigned int slot;
	unsigned long stack;
	struct list_head node;
};

/**
 * struct srlock_passes - all of one drive
 * @generation: counts the holds, and what ends them
 * @slots: stacks of tasks with a pass; 0 is an empty one
 * @overflown: how many are on @overflow
 * @lock: protects @overflow; taken with interrupts off, nests inside everything
 * @overflow: passes that found no slot
 */
struct srlock_passes {
	unsigned long slots[SRLOCK_PASS_SLOTS];
	unsigned int generation;
	unsigned int overflown;
	spinlock_t lock;
	struct list_head overflow;
};

void srlock_passes_init(struct srlock_passes *passes);
void srlock_pass_take_slow(struct srlock_passes *passes, struct srlock_pass *pass);
void srlock_pass_drop_slow(struct srlock_passes *passes, struct srlock_pass *pass);
unsigned long srlock_passes_find(struct srlock_passes *passes, unsigned long address);
bool srlock_passes_revoke(struct srlock_passes *passes);

/**
 * srlock_pass_covers() - whether an address lies in the stack of a pass
 * @stack: of the pass, with SRLOCK_PASS_KERNEL or without
 * @address: any
 *
 * One byte is left out at the end, which SRLOCK_PASS_KERNEL would move beyond it, to
 * where another object can begin if stacks have no guard pages.
 *
 * Context: Any.
 * Return: true if so.
 */
static inline bool srlock_pass_covers(unsigned long stack, unsigned long address)
{
	return address - stack < THREAD_SIZE - 1;
}

/**
 * srlock_passes_generation() - to be read before one asks whether one is admitted
 * @passes: those of the drive
 *
 * Context: Any.
 * Return: what srlock_pass_take() wants to know.
 */
static inline unsigned int srlock_passes_generation(const struct srlock_passes *passes)
{
	/* Pairs with the release in srlock_passes_revoke(). */
	return smp_load_acquire(&passes->generation);
}

/**
 * srlock_passes_find_quick() - whether it is the pass in the first slot
 * @passes: those of the drive
 * @address: as for srlock_passes_find()
 *
 * Context: Any.
 * Return: true if so; false says nothing of the other ones.
 */
static inline bool srlock_passes_find_quick(const struct srlock_passes *passes,
					    unsigned long address)
{
	unsigned long stack = READ_ONCE(passes->slots[0]);

	return stack && srlock_pass_covers(stack, address);
}

/**
 * srlock_pass_take() - give the calling task a pass
 * @passes: those of the drive
 * @pass: the pass
 * @generation: srlock_passes_generation() before the caller was found admitted
 * @kind: 0 or SRLOCK_PASS_KERNEL
 *
 * Context: Process context.
 * Return: true; false if the hold has ended since, then there is no pass.
 */
static inline bool srlock_pass_take(struct srlock_passes *passes,
				    struct srlock_pass *pass, unsigned int generation,
				    unsigned long kind)
{
	pass->stack = (unsigned long)task_stack_page(current) | kind;
	/* Full barrier on success; pairs with that in srlock_passes_revoke(). */
	if (likely(cmpxchg(&passes->slots[0], 0, pass->stack) == 0))
		pass->slot = 0;
	else
		srlock_pass_take_slow(passes, pass);

	if (likely(READ_ONCE(passes->generation) == generation))
		return true;

	srlock_pass_drop_slow(passes, pass);
	return false;
}

/**
 * srlock_pass_drop() - give it back
 * @passes: those of the drive
 * @pass: as filled in by srlock_pass_take()
 *
 * Context: Process context. Does no harm to a pass that was revoked.
 */
static inline void srlock_pass_drop(struct srlock_passes *passes,
				    struct srlock_pass *pass)
{
	if (likely(pass->slot == 0))
		cmpxchg(&passes->slots[0], pass->stack, 0);
	else
		srlock_pass_drop_slow(passes, pass);
}

/**
 * srlock_pass_take_quick() - put the calling task's pass into the first slot
 * @passes: those of the drive
 *
 * Without a generation, so the caller asks whether it is admitted after this, and
 * drops the pass if it is not. It can send nothing in between. If one hold of its
 * process ends and the next one begins right here, it may be found admitted and have
 * no pass any more; its command is refused then.
 *
 * Context: Process context. A full barrier on success; pairs with that in
 * srlock_passes_revoke().
 * Return: true; false if the slot is not free, then there is no pass.
 */
static inline bool srlock_pass_take_quick(struct srlock_passes *passes)
{
	unsigned long stack = (unsigned long)task_stack_page(current);

	return cmpxchg(&passes->slots[0], 0, stack) == 0;
}

/**
 * srlock_pass_drop_quick() - give a pass back that is in the first slot
 * @passes: those of the drive
 *
 * Context: Process context. Does no harm to a pass that was revoked.
 */
static inline void srlock_pass_drop_quick(struct srlock_passes *passes)
{
	unsigned long stack = (unsigned long)task_stack_page(current);

	cmpxchg(&passes->slots[0], stack, 0);
}

#endif /* SRLOCK_PASS_H */
