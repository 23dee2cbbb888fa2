// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tray; see door.h
 *
 * The module's own commands take the same way as the holder's: blk_execute_rq() from
 * a task that has a pass. So the first one of a hold is also the proof that an
 * admitted command gets through this kernel's closed gate.
 *
 * Who acquires or releases must not hang behind a drive that does not answer, and an
 * ordinary command can do nothing but wait. So these commands are sent by a work
 * item each, which is left alone if it takes too long, and a PREVENT that succeeds
 * when its hold is over is taken back by whoever sent it.
 */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/kref.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <scsi/scsi.h>
#include <scsi/scsi_cmnd.h>
#include <scsi/scsi_eh.h>
#include <scsi/scsi_ioctl.h>

#include "compat.h"
#include "drive.h"

/* How long the drive itself is given: sr's own time for the same commands. */
#define SRLOCK_REQUEST_TIMEOUT	(10 * HZ)

/* A command that a unit attention ate is sent again so often. */
#define SRLOCK_ATTENTIONS_MAX	5

/*
 * So many commands that were never answered, and a drive is sent no more of them. Each
 * keeps a worker, of which there are some hundred for all drives, and anybody who may
 * use the drive can have its tags in use for as long as it likes.
 */
#define SRLOCK_UNANSWERED_MAX	4

/* Between two looks whether a gate that has refused ALLOW is open by now. */
#define SRLOCK_TAKE_BACK_MS	10

/* A drive that has an error for an ALLOW which nobody waits for is asked so often. */
#define SRLOCK_TAKE_BACK_MAX	5
#define SRLOCK_TAKE_BACK_ERROR_MS	1000

/* Between two tries to get a request. */
#define SRLOCK_REQUEST_MIN_US		100U
#define SRLOCK_REQUEST_MAX_US		20000U

/* Between two looks whether the tray is still being locked that is to be ejected. */
#define SRLOCK_EJECT_POLL_US		500

/* The drive knows no such command. */
#define SRLOCK_COMMAND_UNKNOWN	1

/* UNIT ATTENTION: NOT READY TO READY CHANGE, MEDIUM MAY HAVE CHANGED (SPC-4 D.2) */
#define SRLOCK_ASC_MEDIUM_CHANGED	0x28
/* NOT READY: MEDIUM NOT PRESENT */
#define SRLOCK_ASC_NO_MEDIUM		0x3a

static void srlock_fill_cdb(struct scsi_cmnd *cmd, enum srlock_command_kind kind)
{
	memset(cmd->cmnd, 0, sizeof(cmd->cmnd));
	cmd->cmd_len = 6;
	switch (kind) {
	case SRLOCK_COMMAND_PREVENT:
		cmd->cmnd[0] = ALLOW_MEDIUM_REMOVAL;
		cmd->cmnd[4] = SCSI_REMOVAL_PREVENT;
		break;
	case SRLOCK_COMMAND_ALLOW:
		cmd->cmnd[0] = ALLOW_MEDIUM_REMOVAL;
		cmd->cmnd[4] = SCSI_REMOVAL_ALLOW;
		break;
	case SRLOCK_COMMAND_TEST:
		cmd->cmnd[0] = TEST_UNIT_READY;
		break;
	}
}

/* -EAGAIN: try again. -ENOMEDIUM: the drive says that it is empty. */
static int srlock_sense_error(struct scsi_device *sdev, const struct scsi_cmnd *cmd)
{
	struct scsi_sense_hdr sense;

	if (!scsi_normalize_sense(cmd->sense_buffer, SCSI_SENSE_BUFFERSIZE, &sense))
		return -EIO;

	switch (sense.sense_key) {
	case UNIT_ATTENTION:
		/* sr would have looked at the disc again, had it seen this. */
		if (sense.asc == SRLOCK_ASC_MEDIUM_CHANGED)
			sdev->changed = 1;
		return -EAGAIN;
	case ILLEGAL_REQUEST:
		return SRLOCK_COMMAND_UNKNOWN;
	case NOT_READY:
		return sense.asc == SRLOCK_ASC_NO_MEDIUM ? -ENOMEDIUM : -EIO;
	default:
		return -EIO;
	}
}

static int srlock_command_error(struct scsi_device *sdev, struct scsi_cmnd *cmd)
{
	if (!scsi_device_online(sdev) || host_byte(cmd->result) == DID_NO_CONNECT)
		return -ENODEV;
	if (host_byte(cmd->result) == DID_TIME_OUT)
		return -ETIMEDOUT;
	if (host_byte(cmd->result) != DID_OK)
		return -EIO;
	if (scsi_status_is_check_condition(cmd->result))
		return srlock_sense_error(sdev, cmd);
	if (get_status_byte(cmd) == SAM_STAT_RESERVATION_CONFLICT)
		return -EBADE;

	return scsi_status_is_good(cmd->result) ? 0 : -EIO;
}

/*
 * Who has a request may keep it for as long as it likes, and all of them may be taken. The
 * block layer's own wait for one does not end when the drive goes; a detach would wait for
 * it, with the mutex of the SCSI device class held. So the wait is here, but where the
 * queue takes none for now: the block layer wakes the device up then.
 */
static struct request *srlock_alloc_request(struct srlock_drive *drive, bool pm)
{
	struct request_queue *q = drive->sdev->request_queue;
	unsigned int delay_us = SRLOCK_REQUEST_MIN_US;
	blk_mq_req_flags_t flags;
	struct request *rq;

	for (;;) {
		flags = pm ? BLK_MQ_REQ_PM : 0;
		if (!blk_queue_pm_only(q))
			flags |= BLK_MQ_REQ_NOWAIT;
		rq = scsi_alloc_request(q, REQ_OP_DRV_IN, flags);
		if (!IS_ERR(rq) || !(flags & BLK_MQ_REQ_NOWAIT) ||
		    READ_ONCE(drive->gate.dead) || blk_queue_dying(q))
			return rq;
		usleep_range(delay_us, 2 * delay_us);
		delay_us = min(2 * delay_us, SRLOCK_REQUEST_MAX_US);
	}
}

static int srlock_execute_once(struct srlock_drive *drive, enum srlock_command_kind kind,
			       bool pm)
{
	struct scsi_device *sdev = drive->sdev;
	struct srlock_gate *gate = &drive->gate;
	struct scsi_cmnd *cmd;
	struct request *rq;
	blk_status_t status;
	bool watched;
	int ret;

	rq = srlock_alloc_request(drive, pm);
	if (IS_ERR(rq))
		return -ENODEV;

	cmd = blk_mq_rq_to_pdu(rq);
	srlock_fill_cdb(cmd, kind);
	cmd->allowed = 3;
	rq->timeout = SRLOCK_REQUEST_TIMEOUT;
	rq->rq_flags |= RQF_QUIET;

	/* One at a time is enough: the first one of a hold is alone. */
	watched = !cmpxchg(&gate->own_request, NULL, rq);
	if (watched)
		WRITE_ONCE(gate->own_refused, false);
	status = blk_execute_rq(rq, true);
	if (watched && READ_ONCE(gate->own_refused))
		ret = -EOPNOTSUPP;
	else if (status && !cmd->result)
		ret = -ENODEV;	/* the queue is dying */
	else
		ret = srlock_command_error(sdev, cmd);
	if (watched)
		WRITE_ONCE(gate->own_request, NULL);
	blk_mq_free_request(rq);

	return ret;
}

/* Whether a command that ended so is to be sent again. */
static bool srlock_send_again(enum srlock_command_kind kind, unsigned int attempt, int result)
{
	switch (result) {
	case -EAGAIN:
		return true;
	case -ENOMEDIUM:
		/* Empty may be what it was before the disc that it just got. */
		return !attempt;
	case -ETIMEDOUT:
		/* The error handler may have put the drive right, and locked its door again. */
		return !attempt && kind == SRLOCK_COMMAND_ALLOW;
	default:
		return false;
	}
}

/* The caller has a pass, or needs none. */
static int srlock_execute(struct srlock_drive *drive, enum srlock_command_kind kind,
			  bool pm)
{
	unsigned int attempt;
	int ret;

	for (attempt = 0; attempt < SRLOCK_ATTENTIONS_MAX; attempt++) {
		ret = srlock_execute_once(drive, kind, pm);
		if (!srlock_send_again(kind, attempt, ret))
			break;
	}
	if (ret == -EAGAIN)
		ret = -EIO;
	/* A drive that is being deleted takes nothing else. */
	if (ret < 0 && kind == SRLOCK_COMMAND_ALLOW && !pm &&
	    READ_ONCE(drive->sdev->sdev_state) == SDEV_CANCEL)
		return srlock_execute(drive, kind, true);
	/* Some drives lock no door that has nothing behind it. */
	if (ret == -ENOMEDIUM)
		ret = SRLOCK_COMMAND_UNKNOWN;

	/* The error handler locks the door again after a reset if this says so. */
	if (!ret && kind != SRLOCK_COMMAND_TEST)
		drive->sdev->locked = kind == SRLOCK_COMMAND_PREVENT;

	return ret;
}

/*
 * Unlock a tray that was locked for a hold which is over. While the gate is closed for
 * the rest of that release, or for an acquire that may yet fail, ALLOW is refused; so
 * it is sent until it gets through, or until there is a hold, which ends in an ALLOW. A
 * drive that has an error for it may not have one the next time.
 */
static void srlock_take_back(struct srlock_drive *drive)
{
	struct srlock_gate *gate = &drive->gate;
	unsigned int failed = 0;
	bool closed, refused;
	int ret;

	for (;;) {
		closed = READ_ONCE(gate->closed);
		ret = srlock_execute(drive, SRLOCK_COMMAND_ALLOW, false);
		if (ret >= 0 || ret == -ENODEV ||
		    READ_ONCE(drive->lock.state) == SRLOCK_STATE_HELD)
			return;
		/* Refused though open: by the drive, or by a gate that was just closed. */
		closed |= READ_ONCE(gate->closed);
		refused = ret == -EBADE || ret == -EOPNOTSUPP;
		if (!(refused && closed) && ++failed == SRLOCK_TAKE_BACK_MAX)
			break;
		/* A drive that is deaf would have others wait for long, and so would a detach. */
		if (!refused && (ret == -ETIMEDOUT || READ_ONCE(gate->dead)))
			break;
		msleep(refused ? SRLOCK_TAKE_BACK_MS : SRLOCK_TAKE_BACK_ERROR_MS);
	}
	dev_warn(&drive->dev, "the tray may be left locked: error %d\n", ret);
}

static int srlock_prevent(struct srlock_drive *drive, unsigned int generation)
{
	struct srlock_door *door = &drive->door;
	int ret;

	ret = srlock_execute(drive, SRLOCK_COMMAND_PREVENT, false);
	/* One that was never answered may have been carried out. */
	if (ret && ret != -ETIMEDOUT) {
		WRITE_ONCE(door->prevented, false);
		return ret;
	}

	/* The hold may have ended meanwhile, with an ALLOW that came too early. */
	if (READ_ONCE(drive->gate.passes.generation) != generation) {
		srlock_take_back(drive);
		return -EINTR;
	}
	WRITE_ONCE(door->prevented, !ret);

	return ret;
}

/**
 * struct srlock_command - one of the module's own commands, on its way
 * @ref: one for the work, one for whoever waits
 * @work: sends it
 * @done: it has been answered
 * @drive: a reference
 * @kind: which one
 * @pm: it has to pass a device that is being deleted
 * @generation: of the passes, when it was made
 * @over: the answer has come, or the wait for it has ended, whatever was first
 * @result: 0, SRLOCK_COMMAND_UNKNOWN, or a negative errno; valid after @done
 */
struct srlock_command {
	struct kref ref;
	struct work_struct work;
	struct completion done;
	struct srlock_drive *drive;
	enum srlock_command_kind kind;
	bool pm;
	unsigned int generation;
	bool over;
	int result;
};

static void srlock_command_free(struct kref *ref)
{
	struct srlock_command *command = container_of(ref, struct srlock_command, ref);

	put_device(&command->drive->dev);
	kfree(command);
}

/* Whether it has left the tray locked, and its hold does not know. */
static bool srlock_command_left_locked(const struct srlock_command *command)
{
	if (command->kind == SRLOCK_COMMAND_PREVENT)
		return !command->result || command->result == -ETIMEDOUT;
	/* At a detach there is nobody to try it again. */
	return command->kind == SRLOCK_COMMAND_ALLOW && command->result && !command->pm;
}

static int srlock_command_send(const struct srlock_command *command)
{
	struct srlock_drive *drive = command->drive;
	int ret;

	if (command->kind != SRLOCK_COMMAND_PREVENT)
		return srlock_execute(drive, command->kind, command->pm);

	ret = srlock_prevent(drive, command->generation);
	/* There will be no hold that ends in an ALLOW. */
	if (ret == -ETIMEDOUT)
		srlock_execute(drive, SRLOCK_COMMAND_ALLOW, false);

	return ret;
}

static void srlock_command_work(struct work_struct *work)
{
	struct srlock_command *command = container_of(work, struct srlock_command, work);
	struct srlock_drive *drive = command->drive;
	struct srlock_passes *passes = &drive->gate.passes;
	struct srlock_pass pass;

	command->result = -EINTR;
	if (srlock_pass_take(passes, &pass, command->generation, SRLOCK_PASS_KERNEL)) {
		command->result = srlock_command_send(command);
		srlock_pass_drop(passes, &pass);
	}
	/* Refused as its hold has ended, which is no proof of anything. */
	if (command->result == -EOPNOTSUPP &&
	    srlock_passes_generation(passes) != command->generation)
		command->result = -EINTR;
	if (xchg(&command->over, true)) {
		if (srlock_command_left_locked(command))
			srlock_take_back(drive);
		atomic_dec(&drive->door.unanswered);
	}
	complete(&command->done);
	srlock_drive_unuse(drive);
	kref_put(&command->ref, srlock_command_free);
}

static int srlock_command_wait(struct srlock_command *command)
{
	struct srlock_drive *drive = command->drive;

	if (!wait_for_completion_timeout(&command->done, srlock_drive_timeout(drive))) {
		atomic_inc(&drive->door.unanswered);
		if (!xchg(&command->over, true)) {
			/* Whatever it still does, it does as a foreigner. */
			srlock_passes_revoke(&drive->gate.passes);
			return -ETIMEDOUT;
		}
		/* It was answered in the last moment. */
		atomic_dec(&drive->door.unanswered);
		wait_for_completion(&command->done);
	}

	return command->result == -EBADE ? -EIO : command->result;
}

/* Send a command for which nobody waits longer than the drive's command timeout. */
static int srlock_command(struct srlock_drive *drive, enum srlock_command_kind kind,
			  bool pm)
{
	struct srlock_command *command;
	int ret;

	/* A tray must not stay locked for want of some bytes. */
	command = kzalloc(sizeof(*command), GFP_KERNEL | __GFP_NOFAIL);
	kref_init(&command->ref);
	kref_get(&command->ref);
	INIT_WORK(&command->work, srlock_command_work);
	init_completion(&command->done);
	get_device(&drive->dev);
	/* The caller is a user, or the detach itself. */
	atomic_inc(&drive->users);
	command->drive = drive;
	command->kind = kind;
	command->pm = pm;
	command->generation = srlock_passes_generation(&drive->gate.passes);
	queue_work(srlock_workqueue, &command->work);

	ret = srlock_command_wait(command);
	kref_put(&command->ref, srlock_command_free);

	return ret;
}

/* Whether a command that ended so leaves something for the detach to do. */
static void srlock_door_settle(struct srlock_door *door, int result)
{
	if (result != -ENODEV && result != -EINTR)
		WRITE_ONCE(door->due, false);
}

/**
 * srlock_door_begin() - lock the tray, and see that a command gets through the gate
 * @drive: its gate is closed, it has no holder yet
 * @prevent: false: leave the tray alone
 *
 * A drive that cannot lock its door is fine, too.
 *
 * Context: Process context, sleeps no longer than the drive's command timeout.
 * Return: 0; -EIO; -ETIMEDOUT; -ENODEV; -EOPNOTSUPP the gate has refused our own
 * command, so it would refuse the holder's as well.
 */
int srlock_door_begin(struct srlock_drive *drive, bool prevent)
{
	struct srlock_door *door = &drive->door;
	struct scsi_device *sdev = drive->sdev;
	int ret;

	if (atomic_read(&door->unanswered) >= SRLOCK_UNANSWERED_MAX)
		return -ETIMEDOUT;

	door->locked_before = sdev->locked;
	WRITE_ONCE(door->prevented, false);
	WRITE_ONCE(door->allowed, false);
	WRITE_ONCE(door->undone, false);
	WRITE_ONCE(door->wanted, prevent && sdev->lockable);
	WRITE_ONCE(door->due, true);

	if (door->wanted) {
		/* What was reset before is locked now; see srlock_look_at_door(). */
		sdev->was_reset = 0;
		ret = srlock_command(drive, SRLOCK_COMMAND_PREVENT, false);
		if (ret)
			WRITE_ONCE(door->wanted, false);
	} else {
		ret = srlock_command(drive, SRLOCK_COMMAND_TEST, false);
		/* What the drive thinks of it does not matter here. */
		if (ret == -EIO)
			ret = 0;
	}
	if (ret < 0)
		srlock_door_settle(door, ret);

	return ret == SRLOCK_COMMAND_UNKNOWN ? 0 : ret;
}

/**
 * srlock_door_end() - unlock the tray
 * @drive: its gate is closed, its holder is gone
 * @keep: somebody else had it locked before and still needs that
 *
 * Context: Process context, sleeps no longer than the drive's command timeout.
 * Return: 0; -EIO; -ETIMEDOUT; -ENODEV.
 */
int srlock_door_end(struct srlock_drive *drive, bool keep)
{
	struct srlock_door *door = &drive->door;
	int ret;

	WRITE_ONCE(door->wanted, false);
	WRITE_ONCE(door->undone, false);
	/*
	 * Also if sdev->lockable says that there is no lock: a single ILLEGAL REQUEST to a
	 * command of the kernel's makes it say so.
	 */
	if (keep) {
		WRITE_ONCE(door->due, false);
		return 0;
	}

	ret = srlock_command(drive, SRLOCK_COMMAND_ALLOW, false);
	/*
	 * A detach takes the pass away, and then this is refused; it tries again itself. It
	 * says that the drive is gone before it does so.
	 */
	if (ret >= 0 || !srlock_drive_is_gone(drive))
		srlock_door_settle(door, ret);
	WRITE_ONCE(door->prevented, false);

	return ret == SRLOCK_COMMAND_UNKNOWN ? 0 : ret;
}

/**
 * srlock_door_detach() - unlock the tray of a drive that is being deleted
 * @drive: its lock is gone, its gate still closed
 *
 * Only power management requests pass a device in that state. For a drive that has
 * vanished this fails at once.
 *
 * Context: Process context, sleeps no longer than the drive's command timeout.
 */
void srlock_door_detach(struct srlock_drive *drive)
{
	struct srlock_door *door = &drive->door;

	if (!READ_ONCE(door->due))
		return;

	WRITE_ONCE(door->due, false);
	WRITE_ONCE(door->wanted, false);
	WRITE_ONCE(door->undone, false);
	srlock_command(drive, SRLOCK_COMMAND_ALLOW, true);
	WRITE_ONCE(door->prevented, false);
}

/**
 * srlock_door_note() - an admitted command is on its way
 * @door: the drive's
 * @cdb: the command; PREVENT ALLOW MEDIUM REMOVAL and START STOP UNIT are of interest
 * @by_kernel: the kernel sends it on its own account
 *
 * Context: Any; the dispatch of a request.
 */
void srlock_door_note(struct srlock_door *door, const u8 *cdb, bool by_kernel)
{
	if (cdb[0] == START_STOP) {
		/* LoEj and Start: load */
		if ((cdb[4] & 3) == 3) {
			WRITE_ONCE(door->allowed, false);
			WRITE_ONCE(door->undone, true);
		}
		return;
	}
	if (cdb[0] != ALLOW_MEDIUM_REMOVAL)
		return;

	if (cdb[4] & 1) {
		/* sr locks at every data open; the holder's word counts for more. */
		if (!by_kernel)
			WRITE_ONCE(door->allowed, false);
		WRITE_ONCE(door->prevented, true);
	} else {
		WRITE_ONCE(door->prevented, false);
		if (by_kernel)
			WRITE_ONCE(door->undone, true);
		else
			WRITE_ONCE(door->allowed, true);
	}
}

static bool srlock_is_ejecting(const struct srlock_door *door, unsigned int generation)
{
	u64 ejecting = atomic64_read(&door->ejecting);

	return upper_32_bits(ejecting) == generation && lower_32_bits(ejecting);
}

/* A call may outlive its hold; then it does not count in the next one. */
static void srlock_count_ejecting(struct srlock_door *door, unsigned int generation,
				  int change)
{
	s64 old = atomic64_read(&door->ejecting);
	s64 new;
	int age;

	do {
		age = generation - upper_32_bits(old);
		if (age < 0 || (age && change < 0))
			return;
		new = age ? (u64)generation << 32 | 1 : old + change;
	} while (!atomic64_try_cmpxchg(&door->ejecting, &old, new));
}

/**
 * srlock_door_restore() - send PREVENT again if that was undone
 * @drive: the calling task has a pass for it
 * @generation: that of the pass
 *
 * Not while somebody ejects: that call does it when it ends.
 *
 * Context: Process context, sleeps; on the holder's own account, as long as its own
 * commands may.
 */
void srlock_door_restore(struct srlock_drive *drive, unsigned int generation)
{
	struct srlock_door *door = &drive->door;

	atomic_inc(&door->restoring);
	/* Pairs with srlock_door_eject_begin(): one of the two sees the other. */
	smp_mb__after_atomic();
	if (!srlock_is_ejecting(door, generation)) {
		WRITE_ONCE(door->undone, false);
		if (READ_ONCE(door->wanted) && !READ_ONCE(door->allowed))
			srlock_prevent(drive, generation);
	}
	atomic_dec(&door->restoring);
}

/**
 * srlock_door_eject_begin() - the holder ejects, so unlock first
 * @drive: the calling task has a pass for it
 * @generation: that of the pass
 *
 * What another call of the holder's is just doing to lock the tray is waited for.
 *
 * Context: Process context, sleeps; on the holder's own account.
 * Return: true if srlock_door_eject_end() is due, and srlock_door_restore() after that.
 */
bool srlock_door_eject_begin(struct srlock_drive *drive, unsigned int generation)
{
	struct srlock_door *door = &drive->door;

	if (!READ_ONCE(door->wanted))
		return false;

	/* A full barrier; pairs with that in srlock_door_restore(). */
	srlock_count_ejecting(door, generation, 1);
	while (atomic_read(&door->restoring) && !fatal_signal_pending(current))
		usleep_range(SRLOCK_EJECT_POLL_US, 2 * SRLOCK_EJECT_POLL_US);

	if (READ_ONCE(door->allowed))
		return true;

	srlock_execute(drive, SRLOCK_COMMAND_ALLOW, false);
	/* What the next hold says is not for this call to change. */
	if (srlock_passes_generation(&drive->gate.passes) != generation)
		return true;
	WRITE_ONCE(door->undone, true);
	/* After that; pairs with the acquire in srlock_door_is_unlocked(). */
	smp_store_release(&door->allowed, false);

	return true;
}

/**
 * srlock_door_eject_end() - the eject is over, whatever came of it
 * @drive: srlock_door_eject_begin() has returned true for it
 * @generation: as it was told
 *
 * Context: Any.
 */
void srlock_door_eject_end(struct srlock_drive *drive, unsigned int generation)
{
	srlock_count_ejecting(&drive->door, generation, -1);
}

/**
 * srlock_door_is_unlocked() - whether the tray should be locked and is not
 * @door: the drive's
 *
 * Not while an admitted call is about to lock it again.
 *
 * Context: Any.
 * Return: true if so.
 */
bool srlock_door_is_unlocked(const struct srlock_door *door)
{
	/* Pairs with the release in srlock_door_eject_begin(). */
	bool allowed = smp_load_acquire(&door->allowed);

	return READ_ONCE(door->wanted) && !allowed && !READ_ONCE(door->undone) &&
	       !READ_ONCE(door->prevented);
}
