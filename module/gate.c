// SPDX-License-Identifier: GPL-2.0-only
/*
 * Closing and opening the gate
 *
 * Three doors lead to a drive, and all of them end at its queue. So the queue is
 * where foreign commands are refused. The block device has a gate of its own on
 * top: opens and ioctls are refused before they wait for anything, their callers
 * get a proper EBUSY, and an admitted caller gets the pass that the queue knows it
 * by.
 *
 * The order of closing, and why
 *   1. The claim: fails if the drive is mounted or open with O_EXCL, and keeps new
 *	ones of both out until 3. It sends no command and opens nothing.
 *   2. Under gendisk.open_mutex, which excludes every open and release: the openers
 *	are counted, then the disk's fops are swapped. From here on no foreigner
 *	opens the disk, and all that did before is counted.
 *   3. The claim is dropped, so that the holder's burner can itself open with
 *	O_EXCL. Foreigners who say O_EXCL get past the claim and are refused in open.
 *   4. The queue's operations are swapped. From here on no foreign request starts,
 *	but one may be just about to, in the old queue_rq.
 *   5. A grace period of what the block layer holds around every dispatch: nobody is
 *	in the old queue_rq any more. What started there is busy and can be seen.
 *   6. The drain: wait until no request without a pass is busy. One that was put
 *	back instead (a requeue) meets the new queue_rq when it starts again.
 *   The queue is never frozen: a freeze costs tens of milliseconds, in which
 *   everybody's calls hang, while this way they get their refusal at once.
 *
 * The order of opening
 *   Passes are void since the hold ended. What is left of the medium in memory is
 *   dropped while nobody can read it again, then `closed` is cleared, from where the
 *   swapped in functions let everybody through, then the pointers go back. Both
 *   tables do the same with a request, so that the queue needs no freeze for that either, and a
 *   command that hangs does not matter.
 *
 * Pointers are swapped under srlock_gate.mutex, by a release store. What they pointed
 * to before is not touched by us, what they point to now is never written again
 * while it can be reached.
 *
 * The claim and the open_mutex may both be a long wait, behind somebody's open that
 * waits for the drive. They are taken by a work item only; whoever wanted the drive
 * can leave any time, and the work then undoes what it did.
 */
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/slab.h>

#include "compat.h"
#include "drive.h"
#include "gate.h"

/* How long a claim that is just being given up may take for that. */
#define SRLOCK_CLAIM_WAIT	(HZ / 2)

/**
 * srlock_gate_init() - make an open gate
 * @gate: to be initialised
 * @queue: the SCSI device's
 *
 * Context: Process context, sleeps.
 * Return: 0, or -ENOMEM.
 */
int srlock_gate_init(struct srlock_gate *gate, struct request_queue *queue)
{
	memset(gate, 0, sizeof(*gate));
	gate->inside = alloc_percpu(int);
	if (!gate->inside)
		return -ENOMEM;

	mutex_init(&gate->mutex);
	srlock_passes_init(&gate->passes);
	gate->queue = queue;

	return 0;
}

static int srlock_gate_inside(const struct srlock_gate *gate)
{
	int cpu, sum = 0;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*per_cpu_ptr(gate->inside, cpu));

	return sum;
}

/**
 * srlock_gate_wait_unused() - wait until nobody is inside
 * @gate: dead, its pointers restored
 *
 * Context: Process context, sleeps; as long as the longest call takes.
 */
void srlock_gate_wait_unused(struct srlock_gate *gate)
{
	/* Who found the gate has counted itself; pairs with srlock_enter(). */
	synchronize_rcu();
	while (srlock_gate_inside(gate))
		msleep(20);
	/*
	 * Who has counted itself off may be seen to have done so before the rest of
	 * what it did: srlock_leave() is no barrier. The block layer follows the queue's
	 * operations in other places as well, where it may be preempted between reading
	 * the pointer and using it.
	 */
	if (gate->fops)
		synchronize_rcu_tasks();
}

/**
 * srlock_gate_destroy() - free what srlock_gate_init() and others have allocated
 * @gate: unused
 *
 * Context: Process context.
 */
void srlock_gate_destroy(struct srlock_gate *gate)
{
	struct srlock_fops *fops, *next;

	for (fops = gate->fops; fops; fops = next) {
		next = fops->next;
		kfree(fops);
	}
	free_percpu(gate->inside);
}

/**
 * srlock_gate_wait_late() - wait for those that came late
 *
 * Called before the module's text is freed, when no pointer leads to it.
 *
 * Context: Process context, sleeps.
 */
void srlock_gate_wait_late(void)
{
	/* Who was called but has not looked yet gets to count itself. */
	synchronize_rcu_tasks();
	while (atomic_read(&srlock_gate_late))
		msleep(20);
	/* And who has counted itself off gets to return. */
	synchronize_rcu_tasks();
	synchronize_rcu();
}

/* A disk that is not going away, with the module that its fops lie in. */
static struct gendisk *srlock_get_disk(struct srlock_gate *gate)
{
	struct gendisk *disk;

	mutex_lock(&gate->mutex);
	disk = gate->dead ? NULL : gate->disk;
	if (disk && !try_module_get(disk->fops->owner))
		disk = NULL;
	if (disk)
		get_device(disk_to_dev(disk));
	mutex_unlock(&gate->mutex);

	return disk;
}

static void srlock_put_disk(struct gendisk *disk)
{
	struct module *owner = disk->fops->owner;

	put_device(disk_to_dev(disk));
	module_put(owner);
}

/*
 * The copies are built once for every set of operations, so that none is rewritten.
 * Where one set was there may be another by now, of another sr module.
 */
static struct srlock_fops *srlock_build_fops(struct srlock_gate *gate,
					     const struct gendisk *disk)
{
	struct srlock_fops now = { .original = disk->fops, .gate = gate };
	struct srlock_fops *fops = gate->fops;

	lockdep_assert_held(&gate->mutex);

	srlock_gate_copy_fops(&now);
	if (fops && fops->original == now.original &&
	    !memcmp(&fops->ops, &now.ops, sizeof(now.ops)))
		return fops;

	fops = kmalloc(sizeof(*fops), GFP_KERNEL);
	if (!fops)
		return NULL;
	*fops = now;
	fops->next = gate->fops;
	gate->fops = fops;

	return fops;
}

/*
 * Takes over the caller's references to the disk. With @again it is for a hold that goes
 * on; -EALREADY: that has ended meanwhile, and perhaps the next one has gated the disk.
 */
static int srlock_swap_fops(struct srlock_gate *gate, struct gendisk *disk, bool again)
{
	struct srlock_fops *fops;
	int ret = -ENODEV;

	lockdep_assert_held(&disk->open_mutex);

	mutex_lock(&gate->mutex);
	if (gate->dead || gate->disk != disk)
		goto out_unlock;
	ret = -EALREADY;
	if (again && (!gate->closed || gate->gated_disk))
		goto out_unlock;
	ret = -EOPNOTSUPP;
	if (srlock_gate_is_ours(disk->fops) || !disk->fops->open ||
	    !disk->fops->release || !disk->fops->ioctl || !disk->fops->check_events)
		goto out_unlock;
	ret = -ENOMEM;
	fops = srlock_build_fops(gate, disk);
	if (!fops)
		goto out_unlock;

	WRITE_ONCE(gate->prior_opens, atomic_read(&disk->part0->bd_openers));
	/* Pairs with the acquire in srlock_admits(). */
	smp_store_release(&gate->uncounted, false);
	WRITE_ONCE(gate->closed, true);
	gate->gated_disk = disk;
	/* Pairs with the READ_ONCE() and address dependency in srlock_enter(). */
	smp_store_release(&disk->fops, &fops->ops);
	ret = 0;
out_unlock:
	mutex_unlock(&gate->mutex);

	return ret;
}

static void srlock_stay_pinned(struct srlock_gate *gate, const char *what)
{
	if (gate->pinned)
		return;

	WARN_ONCE(1, "srlock: the %s were replaced during a hold\n", what);
	gate->pinned = true;
	__module_get(THIS_MODULE);
	get_device(&srlock_gate_to_drive(gate)->dev);
}

static void srlock_restore_fops(struct srlock_gate *gate)
{
	struct gendisk *disk = gate->gated_disk;

	lockdep_assert_held(&gate->mutex);

	if (!disk)
		return;
	if (READ_ONCE(disk->fops) != &gate->fops->ops) {
		srlock_stay_pinned(gate, "disk operations");
		return;
	}

	gate->gated_disk = NULL;
	/* Who opens the disk by these is not counted; its reads must find @uncounted set. */
	smp_store_release(&disk->fops, gate->fops->original);
	srlock_put_disk(disk);
}

static int srlock_swap_queue_ops(struct srlock_gate *gate)
{
	struct request_queue *q = gate->queue;
	int ret = -ENODEV;

	mutex_lock(&gate->mutex);
	/* The disk may have been unbound since its fops were swapped. */
	if (gate->dead || !gate->gated_disk)
		goto out_unlock;
	if (!gate->queue_original)
		srlock_gate_copy_queue_ops(gate, q->mq_ops);
	ret = -EOPNOTSUPP;
	if (q->mq_ops != gate->queue_original)
		goto out_unlock;

	gate->queue_gated = true;
	/* Pairs with the READ_ONCE() and address dependency in srlock_queue_rq(). */
	smp_store_release(&q->mq_ops, &gate->queue_ops);
	ret = 0;
out_unlock:
	mutex_unlock(&gate->mutex);

	return ret;
}

static void srlock_restore_queue_ops(struct srlock_gate *gate)
{
	struct request_queue *q = gate->queue;

	lockdep_assert_held(&gate->mutex);

	if (!gate->queue_gated)
		return;
	if (READ_ONCE(q->mq_ops) != &gate->queue_ops) {
		srlock_stay_pinned(gate, "queue operations");
		return;
	}

	gate->queue_gated = false;
	/* Not with anything of ours: for the block layer's plain reads. */
	smp_store_release(&q->mq_ops, gate->queue_original);
}

static bool srlock_is_mounted_writable(struct gendisk *disk)
{
	struct super_block *sb;

	lockdep_assert_held(&disk->open_mutex);

	sb = srlock_mounted(disk->part0);

	return sb && !sb_rdonly(sb);
}

/* Step 2 of the order above; takes over the references to the disk on success. */
static int srlock_close_disk(struct srlock_gate *gate, struct gendisk *disk, bool forced)
{
	int ret;

	mutex_lock(&disk->open_mutex);
	if (READ_ONCE(gate->abandoned))
		ret = -EINTR;
	else if (forced && srlock_is_mounted_writable(disk))
		ret = -EBUSY;
	else
		ret = srlock_swap_fops(gate, disk, false);
	mutex_unlock(&disk->open_mutex);

	return ret;
}

/**
 * srlock_gate_close_disk() - let nobody but the holder open the disk: steps 1 to 3
 * @gate: an open one
 * @force: although the drive is mounted read-only or open with O_EXCL
 *
 * May wait for as long as somebody's command takes. It does not use the SCSI device, so
 * that a detach need not wait for it; what a detach finds done it undoes, and after that
 * nothing is done.
 *
 * Context: Process context, sleeps.
 * Return: 0; -EBUSY mounted, or open with O_EXCL; -ENODEV; -ENOMEM; -EINTR abandoned;
 * -EOPNOTSUPP. After an error the gate is open.
 */
int srlock_gate_close_disk(struct srlock_gate *gate, bool force)
{
	struct block_device *bdev;
	struct gendisk *disk;
	bool claimed;
	int ret;

	disk = srlock_get_disk(gate);
	if (!disk)
		return -ENODEV;

	bdev = disk->part0;
	ret = srlock_prepare_to_claim(bdev, gate);
	claimed = !ret;
	if (!ret || force) {
		WRITE_ONCE(gate->forced, !claimed);
		ret = srlock_close_disk(gate, disk, gate->forced);
	}
	if (claimed)
		bd_abort_claiming(bdev, gate);
	if (ret)
		srlock_put_disk(disk);

	return ret;
}

/* With the module that its real fops lie in: an unbind lets go of that as well. */
static struct gendisk *srlock_get_gated_disk(struct srlock_gate *gate)
{
	struct gendisk *disk;

	mutex_lock(&gate->mutex);
	disk = gate->gated_disk;
	if (disk && !try_module_get(disk->fops->owner))
		disk = NULL;
	if (disk)
		get_device(disk_to_dev(disk));
	mutex_unlock(&gate->mutex);

	return disk;
}

static void srlock_drop_cache(struct srlock_gate *gate)
{
	struct gendisk *disk = srlock_get_gated_disk(gate);

	if (!disk)
		return;

	invalidate_bdev(disk->part0);
	srlock_put_disk(disk);
}

/**
 * srlock_gate_close_queue() - let nobody but the holder through: steps 4 to 6
 * @gate: its disk is closed
 * @deadline: time in jiffies by which foreign commands must have finished
 *
 * On success no foreign command is in flight, and none will be until
 * srlock_gate_open(). There is no holder yet; what the caller sends needs a pass.
 *
 * Context: Process context, sleeps.
 * Return: 0; -ENODEV; -ETIMEDOUT; -EINTR abandoned; -EOPNOTSUPP. After an error it is for
 * the caller to open the gate.
 */
int srlock_gate_close_queue(struct srlock_gate *gate, unsigned long deadline)
{
	int ret;

	ret = srlock_swap_queue_ops(gate);
	if (!ret)
		ret = srlock_gate_fence(gate, deadline);
	if (!ret && !gate->forced)
		srlock_drop_cache(gate);

	return ret;
}

/* If it is not sure, a claim that just ends may look as if there was none. */
static bool srlock_is_claimed(struct gendisk *disk, bool *sure)
{
	struct block_device *bdev = disk->part0;

	*sure = true;
	if (READ_ONCE(bdev->bd_claiming))
		return true;
	/*
	 * A claim that ends between the two looks turns into a holder, not vice versa.
	 * The kernel writes the two in no order that others could rely on, but under
	 * open_mutex: who has found it free sees both.
	 */
	*sure = mutex_trylock(&disk->open_mutex);
	if (*sure)
		mutex_unlock(&disk->open_mutex);

	return READ_ONCE(bdev->bd_holder);
}

/**
 * srlock_gate_is_claimed() - whether somebody has the disk mounted or O_EXCL
 * @gate: a closed one, whose hold is over
 *
 * No claim is taken for that, as it could mean to wait for an opener that waits for
 * the drive. None is needed: who starts to claim after the look at bd_claiming gets
 * to the gate after that, and is refused there. Who is just leaving, as the files of
 * a process that was killed are closed one by one, is given a moment, and so is who is
 * just opening. Who hangs in an open without a claim does not count.
 *
 * Context: Process context, sleeps.
 * Return: true if so.
 */
bool srlock_gate_is_claimed(struct srlock_gate *gate)
{
	unsigned long give_up = jiffies + SRLOCK_CLAIM_WAIT;
	struct gendisk *disk;
	bool claimed, sure;

	disk = srlock_get_gated_disk(gate);
	if (!disk)
		return false;

	do {
		claimed = srlock_is_claimed(disk, &sure);
		/* A mount stays, and so does what was there before a forced hold. */
		if (claimed ? gate->forced || srlock_mounted(disk->part0) : sure)
			break;
		usleep_range(500, 1000);
	} while (time_before(jiffies, give_up));
	srlock_put_disk(disk);

	return claimed;
}

/**
 * srlock_gate_is_dirty() - whether there is something in the page cache to be written yet
 * @gate: a closed one, whose hold is over
 *
 * sr fails all I/O while the medium may be another one, and what the last holder has
 * written block by block and not synchronized would be lost, without an error at close().
 * A foreigner with a file from before the hold can write to the cache as well, and nobody's
 * gets to the disc then.
 *
 * Context: Process context, sleeps.
 * Return: true if so.
 */
bool srlock_gate_is_dirty(struct srlock_gate *gate)
{
	struct gendisk *disk = srlock_get_gated_disk(gate);
	struct address_space *mapping;
	bool dirty;

	if (!disk)
		return false;

	mapping = srlock_mapping(disk->part0);
	dirty = !READ_ONCE(gate->prior_opens) &&
		(mapping_tagged(mapping, PAGECACHE_TAG_DIRTY) ||
		 mapping_tagged(mapping, PAGECACHE_TAG_WRITEBACK));
	srlock_put_disk(disk);

	return dirty;
}

/**
 * srlock_gate_renew() - forget the medium, it may be another one now
 * @gate: a closed one whose disk nobody has claimed, and nobody has yet to write to
 *
 * sr looks at the medium at the next open, as after a tray cycle. If that were said
 * after the gate is open, a fresh open would find its reads refused.
 *
 * Context: Process context, sleeps.
 */
void srlock_gate_renew(struct srlock_gate *gate)
{
	struct scsi_device *sdev = gate->queue->queuedata;

	sdev->changed = 1;
	srlock_drop_cache(gate);
}

/**
 * srlock_gate_announce() - tell udev that there may be another medium
 * @gate: an open one
 *
 * udev opens the disk at once, so this must not be said before the gate is open.
 *
 * Context: Process context, sleeps.
 * Return: 0, or a negative errno: -ENOMEM if it may be tried again.
 */
int srlock_gate_announce(struct srlock_gate *gate)
{
	char *envp[2] = { };
	struct gendisk *disk;
	int ret;

	disk = srlock_get_disk(gate);
	if (!disk)
		return -ENODEV;

	envp[0] = "DISK_MEDIA_CHANGE=1";
	ret = srlock_send_change(&disk_to_dev(disk)->kobj, envp);
	srlock_put_disk(disk);

	return ret;
}

static void srlock_open_locked(struct srlock_gate *gate)
{
	lockdep_assert_held(&gate->mutex);

	WRITE_ONCE(gate->closed, false);
	WRITE_ONCE(gate->prior_opens, 0);
	WRITE_ONCE(gate->uncounted, false);
	WRITE_ONCE(gate->forced, false);
	srlock_restore_queue_ops(gate);
	srlock_restore_fops(gate);
}

/**
 * srlock_gate_open() - let everybody through again
 * @gate: a closed one, or one that is open already
 *
 * Context: Process context, sleeps, but not for long.
 */
void srlock_gate_open(struct srlock_gate *gate)
{
	mutex_lock(&gate->mutex);
	srlock_open_locked(gate);
	mutex_unlock(&gate->mutex);
}

/**
 * srlock_gate_probing() - the calling task begins to bind a driver to the drive
 * @gate: the drive's
 *
 * It alone is let through then: a window for all would let opens slip in before the
 * new disk is gated. It is also if the hold ends meanwhile, as sr would take the drive for
 * one that can do nothing if it were refused.
 *
 * Context: Process context, device_lock() is held.
 */
void srlock_gate_probing(struct srlock_gate *gate)
{
	mutex_lock(&gate->mutex);
	if (gate->queue_gated) {
		WRITE_ONCE(gate->uncounted, true);
		WRITE_ONCE(gate->prober, (unsigned long)task_stack_page(current));
	}
	mutex_unlock(&gate->mutex);
}

/**
 * srlock_gate_probed() - the calling task has bound a driver, or failed to
 * @gate: the drive's
 *
 * Context: Process context, device_lock() is held.
 */
void srlock_gate_probed(struct srlock_gate *gate)
{
	mutex_lock(&gate->mutex);
	WRITE_ONCE(gate->prober, 0);
	mutex_unlock(&gate->mutex);
}

/* A disk that appears during a hold is gated at once. */
static void srlock_gate_new_disk(struct srlock_gate *gate)
{
	struct gendisk *disk = srlock_get_disk(gate);
	int ret;

	if (!disk)
		return;

	mutex_lock(&disk->open_mutex);
	ret = srlock_swap_fops(gate, disk, true);
	mutex_unlock(&disk->open_mutex);
	if (ret == -EALREADY) {
		srlock_put_disk(disk);
	} else if (ret) {
		/*
		 * The queue is gated, and stays closed to all that the page cache sends;
		 * what is lost is the holder's own access.
		 */
		dev_warn(&srlock_gate_to_drive(gate)->dev,
			 "cannot gate the disk again: %d\n", ret);
		srlock_put_disk(disk);
	}
}

/**
 * srlock_gate_bind() - sr has got the drive
 * @gate: the drive's
 *
 * Context: Process context, device_lock() is held.
 */
void srlock_gate_bind(struct srlock_gate *gate)
{
	struct gendisk *disk = gate->queue->disk;
	bool held;

	mutex_lock(&gate->mutex);
	if (disk && !gate->disk && !gate->dead) {
		get_device(disk_to_dev(disk));
		gate->disk = disk;
	}
	held = gate->closed;
	mutex_unlock(&gate->mutex);

	if (held)
		srlock_gate_new_disk(gate);
}

static void srlock_drop_disk(struct srlock_gate *gate)
{
	lockdep_assert_held(&gate->mutex);

	srlock_restore_fops(gate);
	if (gate->disk)
		put_device(disk_to_dev(gate->disk));
	gate->disk = NULL;
}

/**
 * srlock_gate_unbind() - sr is about to lose the drive
 * @gate: the drive's
 *
 * The disk gets its fops back and is let go; the queue stays as it is.
 *
 * Context: Process context, device_lock() is held.
 */
void srlock_gate_unbind(struct srlock_gate *gate)
{
	mutex_lock(&gate->mutex);
	/* Before the fops go back, from where on nobody counts. */
	if (gate->closed)
		WRITE_ONCE(gate->uncounted, true);
	srlock_drop_disk(gate);
	mutex_unlock(&gate->mutex);
}

/**
 * srlock_gate_die() - the drive is being detached
 * @gate: the drive's
 *
 * Everything is as it was, and stays so.
 *
 * Context: Process context, sleeps, but not for long.
 */
void srlock_gate_die(struct srlock_gate *gate)
{
	mutex_lock(&gate->mutex);
	WRITE_ONCE(gate->dead, true);
	srlock_open_locked(gate);
	srlock_drop_disk(gate);
	mutex_unlock(&gate->mutex);
}
