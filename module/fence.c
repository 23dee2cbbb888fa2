// SPDX-License-Identifier: GPL-2.0-only
/*
 * The fence: steps 5 and 6 of closing the gate, see gate.c
 *
 * Promises that no foreign command is in flight when it returns, and does not hold
 * anybody up for that.
 */
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/rcupdate.h>

#include "compat.h"
#include "gate.h"

#define SRLOCK_DRAIN_MIN_US	50
#define SRLOCK_DRAIN_MAX_US	10000

struct srlock_busy_check {
	struct srlock_gate *gate;
	bool busy;
};

static bool srlock_check_busy(struct request *rq, void *data)
{
	struct srlock_busy_check *check = data;
	unsigned long submitter;

	if (rq->q != check->gate->queue || blk_mq_is_reserved_rq(rq))
		return true;
	/* The holder's own traffic must not starve the drain. */
	submitter = blk_rq_is_passthrough(rq) ?
		    (unsigned long)READ_ONCE(rq->end_io_data) : 0;
	if (srlock_passes_find(&check->gate->passes, submitter))
		return true;

	check->busy = true;
	return false;
}

static bool srlock_gate_is_busy(struct srlock_gate *gate)
{
	struct srlock_busy_check check = { .gate = gate };

	blk_mq_tagset_busy_iter(gate->queue->tag_set, srlock_check_busy, &check);

	return check.busy;
}

static int srlock_drain(struct srlock_gate *gate, unsigned long deadline)
{
	unsigned int delay_us = SRLOCK_DRAIN_MIN_US;

	while (srlock_gate_is_busy(gate)) {
		if (READ_ONCE(gate->abandoned))
			return -EINTR;
		if (READ_ONCE(gate->dead))
			return -ENODEV;
		if (time_after_eq(jiffies, deadline))
			return -ETIMEDOUT;
		usleep_range(delay_us, 2 * delay_us);
		delay_us = min(2 * delay_us, SRLOCK_DRAIN_MAX_US);
	}

	return 0;
}

/**
 * srlock_gate_wait_dispatch() - wait until nobody is in a queue_rq of before
 * @gate: the drive's
 *
 * Context: Process context, sleeps.
 */
void srlock_gate_wait_dispatch(struct srlock_gate *gate)
{
	if (gate->queue->tag_set->flags & BLK_MQ_F_BLOCKING)
		srlock_wait_dispatch_done(gate->queue);
	else
		synchronize_rcu_expedited();
}

/**
 * srlock_gate_fence() - wait until no foreign command is in flight
 * @gate: a closed one
 * @deadline: time in jiffies by which they must have finished
 *
 * Context: Process context, sleeps.
 * Return: 0; -ETIMEDOUT; -EINTR abandoned; -ENODEV.
 */
int srlock_gate_fence(struct srlock_gate *gate, unsigned long deadline)
{
	srlock_gate_wait_dispatch(gate);

	return srlock_drain(gate, deadline);
}
