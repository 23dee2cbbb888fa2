/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The gate: lets the holder's commands through to the drive and nobody else's
 *
 * Nothing of it is in place while the drive is free.
 */
#ifndef SRLOCK_GATE_H
#define SRLOCK_GATE_H

#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/mutex.h>

#include "pass.h"

struct srlock_gate;

/**
 * struct srlock_fops - what a held disk's fops point to
 * @ops: copy of the disk's own with ours in some places; never written once built
 * @original: the disk's own
 * @gate: whose it is
 * @next: the one built before, of another sr module; freed with the gate
 */
struct srlock_fops {
	struct block_device_operations ops;
	const struct block_device_operations *original;
	struct srlock_gate *gate;
	struct srlock_fops *next;
};

/**
 * struct srlock_gate - of one drive
 * @queue_ops: copy of the queue's operations with our queue_rq; never written once
 *	@queue_original is set
 * @queue_original: the queue's own; NULL before the first hold
 * @passes: who is inside an admitted call
 * @closed: foreigners are refused; written under @mutex
 * @prior_opens: files that may still be open from before the hold; written under
 *	gendisk.open_mutex
 * @uncounted: there may be openers that @prior_opens does not have, of a disk that was
 *	or will be bound during the hold; written under @mutex
 * @inside: per CPU, callers inside the functions that are swapped in
 * @mutex: protects the rest
 * @queue: the SCSI device's queue
 * @disk: the disk of the bound sr driver; a reference; NULL if there is none
 * @fops: the copies built so far, the current one first
 * @gated_disk: the disk whose fops are ours; NULL if none. A reference, and one to
 *	the module that owns its fops
 * @queue_gated: the queue's operations are ours
 * @dead: the drive is being detached, nothing is swapped any more
 * @pinned: somebody stacked upon our pointers, so the gate stays for ever
 * @abandoned: whoever the gate is being closed for has given up
 * @forced: the hold was taken over a claim
 * @prober: the stack of the task that binds a driver during a hold; 0: none does
 * @own_request: a request of the module's own that is on its way; compared only
 * @own_refused: that one was refused
 */
struct srlock_gate {
	struct blk_mq_ops queue_ops;
	const struct blk_mq_ops *queue_original;
	struct srlock_passes passes;
	bool closed;
	unsigned int prior_opens;
	bool uncounted;
	int __percpu *inside;

	struct mutex mutex;
	struct request_queue *queue;
	struct gendisk *disk;
	struct srlock_fops *fops;
	struct gendisk *gated_disk;
	bool queue_gated;
	bool dead;
	bool pinned;
	bool abandoned;
	bool forced;
	unsigned long prober;
	const struct request *own_request;
	bool own_refused;
};

int srlock_gate_init(struct srlock_gate *gate, struct request_queue *queue);
void srlock_gate_wait_unused(struct srlock_gate *gate);
void srlock_gate_destroy(struct srlock_gate *gate);

int srlock_gate_close_disk(struct srlock_gate *gate, bool force);
int srlock_gate_close_queue(struct srlock_gate *gate, unsigned long deadline);
bool srlock_gate_is_claimed(struct srlock_gate *gate);
bool srlock_gate_is_dirty(struct srlock_gate *gate);
void srlock_gate_renew(struct srlock_gate *gate);
void srlock_gate_open(struct srlock_gate *gate);
int srlock_gate_announce(struct srlock_gate *gate);

void srlock_gate_probing(struct srlock_gate *gate);
void srlock_gate_probed(struct srlock_gate *gate);
void srlock_gate_bind(struct srlock_gate *gate);
void srlock_gate_unbind(struct srlock_gate *gate);
void srlock_gate_die(struct srlock_gate *gate);

void srlock_gate_wait_late(void);

/* fence.c */
void srlock_gate_wait_dispatch(struct srlock_gate *gate);
int srlock_gate_fence(struct srlock_gate *gate, unsigned long deadline);

/* gate_ops.c: what is swapped in */
extern atomic_t srlock_gate_late;

void srlock_gate_copy_queue_ops(struct srlock_gate *gate, const struct blk_mq_ops *ops);
void srlock_gate_copy_fops(struct srlock_fops *fops);
bool srlock_gate_is_ours(const struct block_device_operations *ops);

#endif /* SRLOCK_GATE_H */
