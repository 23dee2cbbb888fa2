// SPDX-License-Identifier: GPL-2.0-only
/*
 * The functions that stand in the place of sr's and SCSI's own while a drive is
 * held; how they get there and away again is in gate.c.
 *
 * They promise that a foreigner is refused at once, without a command and without
 * waiting for anybody, and that the holder goes through with as little detour as
 * possible. They take no mutex and never wait for the module's own work.
 *
 * Each is counted while somebody is in it, from within an RCU read section in which
 * it found its gate, so that the gate is not freed underneath. One that finds the
 * pointers restored already (it was called before and gets to look after) counts
 * itself as late instead and calls whatever is in place now.
 */
#include <linux/cdrom.h>
#include <linux/percpu.h>
#include <linux/sched/task_stack.h>
#include <scsi/scsi.h>
#include <scsi/scsi_cmnd.h>
#include <scsi/scsi_eh.h>
#include <scsi/scsi_host.h>
#include <scsi/scsi_ioctl.h>
#include <scsi/sg.h>

#include "compat.h"
#include "drive.h"
#include "trace.h"

atomic_t srlock_gate_late = ATOMIC_INIT(0);

/*
 * Ioctls that send the drive nothing and change nothing for the holder. All others
 * are refused; docs/ioctls.md has the reason for each.
 */
static const unsigned int srlock_harmless_ioctls[] = {
	CDROM_GET_CAPABILITY,
	CDROM_CHANGER_NSLOTS,
	SG_GET_VERSION_NUM,
	SG_GET_TIMEOUT,
	SG_GET_RESERVED_SIZE,
	SG_EMULATED_HOST,
	SCSI_IOCTL_GET_IDLUN,
	SCSI_IOCTL_GET_BUS_NUMBER,
	SCSI_IOCTL_PROBE_HOST,
	SCSI_IOCTL_GET_PCI,
};

static bool srlock_ioctl_is_harmless(unsigned int cmd)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(srlock_harmless_ioctls); i++)
		if (srlock_harmless_ioctls[i] == cmd)
			return true;

	return false;
}

static int srlock_open(srlock_open_t *opened, blk_mode_t mode);

/* The read section is of the kind that is cheap to enter in a preemptible kernel. */
static __always_inline const struct srlock_fops *srlock_enter(struct gendisk *disk)
{
	const struct block_device_operations *ops;
	const struct srlock_fops *fops = NULL;

	rcu_read_lock_sched();
	ops = READ_ONCE(disk->fops);
	if (likely(ops->open == srlock_open)) {
		fops = container_of(ops, struct srlock_fops, ops);
		this_cpu_inc(*fops->gate->inside);
	}
	rcu_read_unlock_sched();

	return fops;
}

static __always_inline void srlock_leave(const struct srlock_fops *fops)
{
	this_cpu_dec(*fops->gate->inside);
}

static __always_inline bool srlock_admit(struct srlock_gate *gate,
					 struct srlock_pass *pass,
					 unsigned int *generation, unsigned long kind)
{
	*generation = srlock_passes_generation(&gate->passes);

	return srlock_holders_has(&srlock_gate_to_drive(gate)->holders) &&
	       srlock_pass_take(&gate->passes, pass, *generation, kind);
}

static __always_inline void srlock_admitted_end(struct srlock_gate *gate,
						struct srlock_pass *pass,
						unsigned int generation)
{
	struct srlock_drive *drive = srlock_gate_to_drive(gate);

	if (unlikely(READ_ONCE(drive->door.undone)))
		srlock_door_restore(drive, generation);
	srlock_pass_drop(&gate->passes, pass);
}

static void srlock_refuse_call(struct srlock_gate *gate, enum srlock_way way, u32 code)
{
	struct srlock_drive *drive = srlock_gate_to_drive(gate);

	trace_srlock_refused(drive, way, code, task_tgid_nr(current));
	srlock_events_refused(&drive->events, way, code,
			      current->flags & PF_KTHREAD ? NULL : current, 0);
}

static u32 srlock_open_code(blk_mode_t mode)
{
	return (mode & BLK_OPEN_READ ? SRLOCK_OPEN_READ : 0) |
	       (mode & BLK_OPEN_WRITE ? SRLOCK_OPEN_WRITE : 0) |
	       (mode & BLK_OPEN_EXCL ? SRLOCK_OPEN_EXCL : 0) |
	       (mode & BLK_OPEN_NDELAY ? SRLOCK_OPEN_NONBLOCK : 0);
}

static noinline int srlock_late_open(srlock_open_t *opened, blk_mode_t mode)
{
	int ret;

	atomic_inc(&srlock_gate_late);
	ret = READ_ONCE(srlock_opened_disk(opened)->fops)->open(opened, mode);
	atomic_dec(&srlock_gate_late);

	return ret;
}

/* Called with gendisk.open_mutex held. */
static int srlock_open(srlock_open_t *opened, blk_mode_t mode)
{
	const struct srlock_fops *fops = srlock_enter(srlock_opened_disk(opened));
	struct srlock_gate *gate;
	struct srlock_pass pass;
	unsigned int generation;
	int ret;

	if (unlikely(!fops))
		return srlock_late_open(opened, mode);

	gate = fops->gate;
	if (srlock_admit(gate, &pass, &generation, SRLOCK_PASS_KERNEL)) {
		ret = fops->original->open(opened, mode);
		srlock_admitted_end(gate, &pass, generation);
	} else if (READ_ONCE(gate->closed)) {
		srlock_refuse_call(gate, SRLOCK_WAY_OPEN, srlock_open_code(mode));
		ret = -EBUSY;
	} else {
		ret = fops->original->open(opened, mode);
	}
	srlock_leave(fops);

	return ret;
}

/*
 * Which file was closed is not told. But as many as are still open is an upper
 * bound for those that are open from before, and it never rises again.
 */
static void srlock_count_release(struct srlock_gate *gate, struct gendisk *disk)
{
	unsigned int openers = atomic_read(&disk->part0->bd_openers);

	if (openers < READ_ONCE(gate->prior_opens))
		WRITE_ONCE(gate->prior_opens, openers);
}

static noinline void srlock_late_release(SRLOCK_RELEASE_PARAMS)
{
	atomic_inc(&srlock_gate_late);
	READ_ONCE(disk->fops)->release(SRLOCK_RELEASE_ARGS);
	atomic_dec(&srlock_gate_late);
}

/* Called with gendisk.open_mutex held. What a foreigner's close sends is refused. */
static void srlock_release(SRLOCK_RELEASE_PARAMS)
{
	const struct srlock_fops *fops = srlock_enter(disk);
	struct srlock_gate *gate;
	struct srlock_pass pass;
	unsigned int generation;

	if (unlikely(!fops)) {
		srlock_late_release(SRLOCK_RELEASE_ARGS);
		return;
	}

	gate = fops->gate;
	if (srlock_admit(gate, &pass, &generation, SRLOCK_PASS_KERNEL)) {
		fops->original->release(SRLOCK_RELEASE_ARGS);
		srlock_admitted_end(gate, &pass, generation);
	} else {
		fops->original->release(SRLOCK_RELEASE_ARGS);
	}
	srlock_count_release(gate, disk);
	srlock_leave(fops);
}

typedef int (*srlock_ioctl_fn)(struct block_device *bdev, blk_mode_t mode,
			       unsigned int cmd, unsigned long arg);

/* For everybody and every command. */
static noinline int srlock_any_ioctl(struct srlock_gate *gate, srlock_ioctl_fn original,
				     struct block_device *bdev, blk_mode_t mode,
				     unsigned int cmd, unsigned long arg)
{
	struct srlock_drive *drive = srlock_gate_to_drive(gate);
	struct srlock_pass pass;
	unsigned int generation;
	bool ejecting;
	int ret;

	if (srlock_admit(gate, &pass, &generation, 0)) {
		/* sr does not unlock first. */
		ejecting = cmd == CDROMEJECT &&
			   srlock_door_eject_begin(drive, generation);
		ret = original(bdev, mode, cmd, arg);
		if (ejecting)
			srlock_door_eject_end(drive, generation);
		srlock_admitted_end(gate, &pass, generation);
		return ret;
	}
	if (!READ_ONCE(gate->closed) || srlock_ioctl_is_harmless(cmd))
		return original(bdev, mode, cmd, arg);

	srlock_refuse_call(gate, SRLOCK_WAY_IOCTL, cmd);
	return -EBUSY;
}

static noinline void srlock_quick_restore(struct srlock_gate *gate)
{
	struct srlock_drive *drive = srlock_gate_to_drive(gate);
	unsigned int generation = srlock_passes_generation(&gate->passes);

	if (srlock_holders_has(&drive->holders))
		srlock_door_restore(drive, generation);
}

/*
 * A burner's commands come this way by the thousand, so what is usual (the process
 * that made the first ACQUIRE, or took it over by an exec; nobody else inside) is done
 * in place and everything else elsewhere.
 */
static __always_inline int srlock_gated_ioctl(struct srlock_gate *gate,
					      srlock_ioctl_fn original,
					      struct block_device *bdev,
					      blk_mode_t mode, unsigned int cmd,
					      unsigned long arg)
{
	struct srlock_drive *drive = srlock_gate_to_drive(gate);
	int ret;

	if (cmd == CDROMEJECT || !srlock_pass_take_quick(&gate->passes))
		return srlock_any_ioctl(gate, original, bdev, mode, cmd, arg);
	if (unlikely(task_tgid(current) != READ_ONCE(drive->holders.first))) {
		srlock_pass_drop_quick(&gate->passes);
		return srlock_any_ioctl(gate, original, bdev, mode, cmd, arg);
	}

	ret = original(bdev, mode, cmd, arg);
	if (unlikely(READ_ONCE(drive->door.undone)))
		srlock_quick_restore(gate);
	srlock_pass_drop_quick(&gate->passes);

	return ret;
}

static noinline int srlock_late_ioctl(struct block_device *bdev, blk_mode_t mode,
				      unsigned int cmd, unsigned long arg)
{
	int ret;

	atomic_inc(&srlock_gate_late);
	ret = READ_ONCE(bdev->bd_disk->fops)->ioctl(bdev, mode, cmd, arg);
	atomic_dec(&srlock_gate_late);

	return ret;
}

static int srlock_ioctl(struct block_device *bdev, blk_mode_t mode, unsigned int cmd,
			unsigned long arg)
{
	const struct srlock_fops *fops = srlock_enter(bdev->bd_disk);
	int ret;

	if (unlikely(!fops))
		return srlock_late_ioctl(bdev, mode, cmd, arg);

	ret = srlock_gated_ioctl(fops->gate, fops->original->ioctl, bdev, mode, cmd, arg);
	srlock_leave(fops);

	return ret;
}

#ifdef CONFIG_COMPAT
static noinline int srlock_late_compat_ioctl(struct block_device *bdev,
					     blk_mode_t mode, unsigned int cmd,
					     unsigned long arg)
{
	int ret;

	atomic_inc(&srlock_gate_late);
	ret = READ_ONCE(bdev->bd_disk->fops)->compat_ioctl(bdev, mode, cmd, arg);
	atomic_dec(&srlock_gate_late);

	return ret;
}

/* sr's own comes back through disk->fops->ioctl, so this is met twice then. */
static int srlock_compat_ioctl(struct block_device *bdev, blk_mode_t mode,
			       unsigned int cmd, unsigned long arg)
{
	const struct srlock_fops *fops = srlock_enter(bdev->bd_disk);
	int ret;

	if (unlikely(!fops))
		return srlock_late_compat_ioctl(bdev, mode, cmd, arg);

	ret = srlock_gated_ioctl(fops->gate, fops->original->compat_ioctl, bdev, mode,
				 cmd, arg);
	srlock_leave(fops);

	return ret;
}
#endif

static noinline unsigned int srlock_late_check_events(struct gendisk *disk,
						      unsigned int clearing)
{
	unsigned int events;

	atomic_inc(&srlock_gate_late);
	events = READ_ONCE(disk->fops)->check_events(disk, clearing);
	atomic_dec(&srlock_gate_late);

	return events;
}

/* In an opener's context it is the open's business, else it is the poll. */
static unsigned int srlock_check_events(struct gendisk *disk, unsigned int clearing)
{
	const struct srlock_fops *fops = srlock_enter(disk);
	struct srlock_gate *gate;
	struct srlock_pass pass;
	unsigned int generation;
	unsigned int events = 0;

	if (unlikely(!fops))
		return srlock_late_check_events(disk, clearing);

	gate = fops->gate;
	if (srlock_admit(gate, &pass, &generation, SRLOCK_PASS_KERNEL)) {
		events = fops->original->check_events(disk, clearing);
		srlock_admitted_end(gate, &pass, generation);
	} else if (!READ_ONCE(gate->closed)) {
		events = fops->original->check_events(disk, clearing);
	}
	srlock_leave(fops);

	return events;
}

/**
 * srlock_gate_is_ours() - whether a disk's operations are one of our copies
 * @ops: what a disk's fops point to
 *
 * Context: Any.
 * Return: true if so.
 */
bool srlock_gate_is_ours(const struct block_device_operations *ops)
{
	return ops->open == srlock_open;
}

/**
 * srlock_gate_copy_fops() - build the copy for a disk
 * @fops: original and gate are set
 *
 * Context: Any.
 */
void srlock_gate_copy_fops(struct srlock_fops *fops)
{
	fops->ops = *fops->original;
	fops->ops.open = srlock_open;
	fops->ops.release = srlock_release;
	fops->ops.ioctl = srlock_ioctl;
#ifdef CONFIG_COMPAT
	if (fops->original->compat_ioctl)
		fops->ops.compat_ioctl = srlock_compat_ioctl;
#endif
	fops->ops.check_events = srlock_check_events;
}

/* As srlock_passes_find(); who binds a driver is inside for longer than the hold may last. */
static unsigned long srlock_find_stack(struct srlock_gate *gate, unsigned long address)
{
	unsigned long prober = READ_ONCE(gate->prober);

	if (prober && srlock_pass_covers(prober, address))
		return prober | SRLOCK_PASS_KERNEL;

	return srlock_passes_find(&gate->passes, address);
}

/* The error handler locks the door again after a reset, and waits for no answer. */
static bool srlock_is_relock(struct request *rq)
{
	const struct scsi_cmnd *cmd = blk_mq_rq_to_pdu(rq);

	return blk_rq_is_passthrough(rq) && !rq->end_io_data &&
	       cmd->cmnd[0] == ALLOW_MEDIUM_REMOVAL &&
	       cmd->cmnd[4] == SCSI_REMOVAL_PREVENT;
}

static void srlock_note_refused_request(struct srlock_gate *gate, struct request *rq,
					u8 opcode)
{
	struct srlock_drive *drive = srlock_gate_to_drive(gate);
	unsigned long here = (unsigned long)&drive;
	bool unknown;

	/* It may not lock what the holder has unlocked; nobody has asked for it. */
	if (srlock_is_relock(rq))
		return;
	/* This is no refusal of anybody, but the proof that there can be no hold. */
	if (rq == READ_ONCE(gate->own_request)) {
		WRITE_ONCE(gate->own_refused, true);
		return;
	}
	/* Who is inside an admitted call has run the queue for somebody else. */
	unknown = !in_task() || current->flags & PF_KTHREAD ||
		  srlock_find_stack(gate, here);
	trace_srlock_refused(drive, SRLOCK_WAY_COMMAND, opcode,
			     unknown ? 0 : task_tgid_nr(current));
	srlock_events_refused(&drive->events, SRLOCK_WAY_COMMAND, opcode,
			      unknown ? NULL : current, SRLOCK_EVENT_GUESS);
}

/*
 * What scsi_queue_rq() does for a request that it fails, where that is not for
 * modules to call: without it a neighbour that waits for the budget stalls.
 */
static void srlock_put_budget(const struct blk_mq_ops *ops, struct request *rq)
{
	struct scsi_cmnd *cmd = blk_mq_rq_to_pdu(rq);
	/* The command's own is set by scsi_queue_rq() only. */
	struct scsi_device *sdev = rq->q->queuedata;
	int old;

	ops->put_budget(rq->q, cmd->budget_token);
	cmd->budget_token = -1;

	if (scsi_target(sdev)->single_lun || !list_empty(&sdev->host->starved_list)) {
		kblockd_schedule_work(&sdev->requeue_work);
		return;
	}
	/* Pairs with the one between counting a restart and asking for budget. */
	smp_mb();
	old = atomic_read(&sdev->restarts);
	if (old && atomic_cmpxchg(&sdev->restarts, old, 0) == old)
		blk_mq_run_hw_queues(sdev->request_queue, true);
}

static u8 srlock_request_opcode(struct request *rq)
{
	if (blk_rq_is_passthrough(rq))
		return ((struct scsi_cmnd *)blk_mq_rq_to_pdu(rq))->cmnd[0];

	return rq_data_dir(rq) == WRITE ? WRITE_10 : READ_10;
}

/*
 * sr and the cdrom layer take each command for done that does not end in CHECK CONDITION,
 * with a buffer full of zeros. They are known by the flag that scsi_execute() sets, which
 * those who have their own sense buffer to look at do not. What SCSI_IOCTL_* on sg sends, and
 * the kernel's PREVENT and ALLOW, goes by the status, and would tell the log of the sense.
 */
static bool srlock_needs_sense(struct request *rq, const struct scsi_cmnd *cmd)
{
	return blk_rq_is_passthrough(rq) && rq->rq_flags & RQF_QUIET &&
	       cmd->cmnd[0] != ALLOW_MEDIUM_REMOVAL && cmd->cmnd[0] != START_STOP;
}

/* ABORTED COMMAND is what none of them tries again, or takes for news of the disc. */
static void srlock_build_sense(struct scsi_cmnd *cmd)
{
	scsi_build_sense(cmd, 0, ABORTED_COMMAND, 0, 0);
	/* Its header and as much as that says (SPC-4 4.5.3). */
	cmd->sense_len = 8 + cmd->sense_buffer[7];
}

/*
 * End a request as a drive would that another initiator has reserved (SAM-5 5.3.1).
 * Whatever an earlier life of the request has left in it must not be taken for an
 * answer of the drive.
 */
static noinline blk_status_t srlock_refuse_request(struct srlock_gate *gate,
						   struct request *rq)
{
	struct scsi_cmnd *cmd = blk_mq_rq_to_pdu(rq);

	srlock_note_refused_request(gate, rq, srlock_request_opcode(rq));

	if (rq->rq_flags & RQF_DONTPREP)
		gate->queue_original->cleanup_rq(rq);
	if (!blk_rq_is_passthrough(rq))
		cmd->flags &= ~SCMD_INITIALIZED;
	memset(cmd->sense_buffer, 0, SCSI_SENSE_BUFFERSIZE);
	cmd->sense_len = 0;
	cmd->resid_len = blk_rq_bytes(rq);
	cmd->result = SAM_STAT_RESERVATION_CONFLICT;
	if (srlock_needs_sense(rq, cmd))
		srlock_build_sense(cmd);
	srlock_put_budget(gate->queue_original, rq);

	return SRLOCK_STS_RESERVATION_CONFLICT;
}

/*
 * A mount that looks for a session calls sr with no swapped function in between, so there
 * is no pass. But the task that waits sends the command itself, unless the host's driver
 * may sleep; then this does not find it. Nothing but READ TOC: what sg's own ioctls and
 * pktcdvd send looks the same, and is not for the holder. If the hold ends just here, the
 * next one's fence waits for the command as for any that has no pass.
 */
static bool srlock_looks_for_session(struct srlock_gate *gate, struct request *rq)
{
	const struct scsi_cmnd *cmd = blk_mq_rq_to_pdu(rq);

	if (cmd->cmnd[0] != READ_TOC)
		return false;

	return rq->rq_flags & RQF_QUIET && rq->end_io_data && in_task() &&
	       object_is_on_stack(rq->end_io_data) &&
	       srlock_holders_has(&srlock_gate_to_drive(gate)->holders);
}

static bool srlock_admits(struct srlock_gate *gate, struct request *rq)
{
	struct srlock_door *door = &srlock_gate_to_drive(gate)->door;
	unsigned long stack;

	if (!READ_ONCE(gate->closed) || blk_mq_is_reserved_rq(rq))
		return true;
	if (!blk_rq_is_passthrough(rq)) {
		/* Pairs with the release in srlock_swap_fops(). */
		return !smp_load_acquire(&gate->uncounted) &&
		       !READ_ONCE(gate->prior_opens);
	}

	stack = srlock_find_stack(gate, (unsigned long)rq->end_io_data);
	if (!stack && srlock_looks_for_session(gate, rq))
		stack = SRLOCK_PASS_KERNEL;
	if (!stack)
		return srlock_is_relock(rq) && !READ_ONCE(door->allowed);

	srlock_door_note(door, ((struct scsi_cmnd *)blk_mq_rq_to_pdu(rq))->cmnd,
			 stack & SRLOCK_PASS_KERNEL);
	return true;
}

static noinline blk_status_t srlock_queue_any_rq(struct blk_mq_hw_ctx *hctx,
						 const struct blk_mq_queue_data *bd,
						 struct srlock_gate *gate)
{
	if (srlock_admits(gate, bd->rq))
		return gate->queue_original->queue_rq(hctx, bd);

	return srlock_refuse_request(gate, bd->rq);
}

/*
 * Runs inside the read section that the block layer has around every dispatch. As
 * above, the usual is done in place.
 */
static blk_status_t srlock_queue_rq(struct blk_mq_hw_ctx *hctx,
				    const struct blk_mq_queue_data *bd)
{
	struct request *rq = bd->rq;
	const struct blk_mq_ops *ops = READ_ONCE(rq->q->mq_ops);
	struct srlock_gate *gate;
	u8 opcode;

	if (unlikely(ops->queue_rq != srlock_queue_rq))
		return ops->queue_rq(hctx, bd);

	gate = container_of(ops, struct srlock_gate, queue_ops);
	if (!blk_rq_is_passthrough(rq) ||
	    !srlock_passes_find_quick(&gate->passes, (unsigned long)rq->end_io_data))
		return srlock_queue_any_rq(hctx, bd, gate);

	opcode = ((struct scsi_cmnd *)blk_mq_rq_to_pdu(rq))->cmnd[0];
	if (unlikely(opcode == ALLOW_MEDIUM_REMOVAL || opcode == START_STOP))
		return srlock_queue_any_rq(hctx, bd, gate);

	return gate->queue_original->queue_rq(hctx, bd);
}

/*
 * A command that takes too long may end in a reset, after which the drive has
 * forgotten PREVENT. SCSI's error handler sends it again, libata's does not. No read
 * section is around this one.
 */
static enum blk_eh_timer_return srlock_timeout(struct request *rq)
{
	const struct blk_mq_ops *ops;
	enum blk_eh_timer_return ret;
	struct srlock_gate *gate = NULL;

	rcu_read_lock_sched();
	ops = READ_ONCE(rq->q->mq_ops);
	if (likely(ops->queue_rq == srlock_queue_rq)) {
		gate = container_of(ops, struct srlock_gate, queue_ops);
		this_cpu_inc(*gate->inside);
	}
	rcu_read_unlock_sched();

	if (unlikely(!gate)) {
		atomic_inc(&srlock_gate_late);
		ret = ops->timeout(rq);
		atomic_dec(&srlock_gate_late);
		return ret;
	}

	ret = gate->queue_original->timeout(rq);
	if (READ_ONCE(gate->closed))
		srlock_drive_lock_door(srlock_gate_to_drive(gate));
	this_cpu_dec(*gate->inside);

	return ret;
}

/**
 * srlock_gate_copy_queue_ops() - build the copy for a queue
 * @gate: the drive's
 * @ops: the queue's own
 *
 * Only queue_rq and timeout differ, and only in what they do besides, so that it does
 * not matter which of the two a request meets at its other stations.
 *
 * Context: Any.
 */
void srlock_gate_copy_queue_ops(struct srlock_gate *gate, const struct blk_mq_ops *ops)
{
	gate->queue_ops = *ops;
	gate->queue_ops.queue_rq = srlock_queue_rq;
	gate->queue_ops.timeout = srlock_timeout;
	gate->queue_original = ops;
}
