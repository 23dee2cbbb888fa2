// SPDX-License-Identifier: GPL-2.0-only
/*
 * Passes, beyond the first slot; see pass.h
 */
#include "pass.h"

/**
 * srlock_passes_init() - start with none
 * @passes: to be initialised
 *
 * Context: Any.
 */
void srlock_passes_init(struct srlock_passes *passes)
{
	memset(passes, 0, sizeof(*passes));
	spin_lock_init(&passes->lock);
	INIT_LIST_HEAD(&passes->overflow);
}

/**
 * srlock_pass_take_slow() - find a place for a pass
 * @passes: those of the drive
 * @pass: stack is set
 *
 * A full barrier, as srlock_pass_take() needs it.
 *
 * Context: Process context.
 */
void srlock_pass_take_slow(struct srlock_passes *passes, struct srlock_pass *pass)
{
	unsigned int i;

	for (i = 0; i < SRLOCK_PASS_SLOTS; i++) {
		if (cmpxchg(&passes->slots[i], 0, pass->stack) == 0) {
			pass->slot = i;
			return;
		}
	}

	pass->slot = SRLOCK_PASS_LISTED;
	spin_lock_irq(&passes->lock);
	list_add(&pass->node, &passes->overflow);
	WRITE_ONCE(passes->overflown, passes->overflown + 1);
	spin_unlock_irq(&passes->lock);
	/* Pairs with the one in srlock_passes_revoke(). */
	smp_mb();
}

/**
 * srlock_pass_drop_slow() - give any pass back
 * @passes: those of the drive
 * @pass: as filled in by srlock_pass_take()
 *
 * Context: Process context.
 */
void srlock_pass_drop_slow(struct srlock_passes *passes, struct srlock_pass *pass)
{
	if (pass->slot < SRLOCK_PASS_SLOTS) {
		cmpxchg(&passes->slots[pass->slot], pass->stack, 0);
		return;
	}

	spin_lock_irq(&passes->lock);
	if (!list_empty(&pass->node)) {
		list_del(&pass->node);
		WRITE_ONCE(passes->overflown, passes->overflown - 1);
	}
	spin_unlock_irq(&passes->lock);
}

static unsigned long srlock_overflow_find(struct srlock_passes *passes,
					  unsigned long address)
{
	const struct srlock_pass *pass;
	unsigned long flags, found = 0;

	spin_lock_irqsave(&passes->lock, flags);
	list_for_each_entry(pass, &passes->overflow, node) {
		if (srlock_pass_covers(pass->stack, address)) {
			found = pass->stack;
			break;
		}
	}
	spin_unlock_irqrestore(&passes->lock, flags);

	return found;
}

/**
 * srlock_passes_find() - the pass of the task on whose stack an address lies
 * @passes: those of the drive
 * @address: where a request's submitter waits; 0 if nobody does
 *
 * Context: Any. May run while passes come and go.
 * Return: the task's stack and SRLOCK_PASS_KERNEL; 0 if there is no such pass.
 */
unsigned long srlock_passes_find(struct srlock_passes *passes, unsigned long address)
{
	unsigned long stack;
	unsigned int i;

	if (!address)
		return 0;
	for (i = 0; i < SRLOCK_PASS_SLOTS; i++) {
		stack = READ_ONCE(passes->slots[i]);
		if (stack && srlock_pass_covers(stack, address))
			return stack;
	}
	if (likely(!READ_ONCE(passes->overflown)))
		return 0;

	return srlock_overflow_find(passes, address);
}

/**
 * srlock_passes_revoke() - no pass that was given so far is good any more
 * @passes: those of the drive
 *
 * Who is to lose its pass must not be found admitted any more when this is called.
 *
 * Context: Process context. Does not overlap the begin of the next hold.
 * Return: true if somebody was inside an admitted call.
 */
bool srlock_passes_revoke(struct srlock_passes *passes)
{
	struct srlock_pass *pass, *next;
	unsigned long flags;
	unsigned int i;
	bool taken = false;

	/* Who sees the new generation sees the holder gone: srlock_passes_generation(). */
	smp_store_release(&passes->generation, passes->generation + 1);
	/* Pairs with the cmpxchg() in srlock_pass_take() and its slow sister. */
	smp_mb();
	for (i = 0; i < SRLOCK_PASS_SLOTS; i++)
		if (READ_ONCE(passes->slots[i]) && xchg(&passes->slots[i], 0))
			taken = true;

	spin_lock_irqsave(&passes->lock, flags);
	taken |= !list_empty(&passes->overflow);
	list_for_each_entry_safe(pass, next, &passes->overflow, node)
		list_del_init(&pass->node);
	WRITE_ONCE(passes->overflown, 0);
	spin_unlock_irqrestore(&passes->lock, flags);

	return taken;
}
