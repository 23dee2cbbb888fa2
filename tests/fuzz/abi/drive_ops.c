// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Commands to the drive, through the lock file and beside it
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bsg.h>
#include <linux/cdrom.h>
#include <linux/fs.h>
#include <scsi/sg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "ops.h"
#include "runner.h"

/* scsi/scsi.h and scsi/scsi_ioctl.h, which user space has not got in full */
enum {
	SCSI_IOCTL_SEND_COMMAND = 1,
	SCSI_IOCTL_TEST_UNIT_READY = 2,
	SCSI_IOCTL_GET_IDLUN = 0x5382,
	SCSI_IOCTL_DOORLOCK = 0x5380,
	SCSI_IOCTL_DOORUNLOCK = 0x5381,
	SCSI_IOCTL_PROBE_HOST = 0x5385,
	SCSI_IOCTL_GET_BUS_NUMBER = 0x5386,
	SCSI_IOCTL_GET_PCI = 0x5387,
};

enum { CONFLICT = 0x18, CDB_SIZE = 16, TIMEOUT_MS = 10000, SENSE_SIZE = 32 };

struct cdb {
	unsigned char bytes[CDB_SIZE];
	unsigned char length;
	unsigned short transfer;	/* to the caller */
};

static const struct cdb cdbs[] = {
	{ { 0x00 }, 6, 0 },					/* TEST UNIT READY */
	{ { 0x12, 0, 0, 0, 36 }, 6, 36 },			/* INQUIRY */
	{ { 0x03, 0, 0, 0, 18 }, 6, 18 },			/* REQUEST SENSE */
	{ { 0x25 }, 10, 8 },					/* READ CAPACITY */
	{ { 0x28, 0, 0, 0, 0, 1, 0, 0, 1 }, 10, 2048 },		/* READ (10) */
	{ { 0x28, 0, 0xff, 0xff, 0xff, 1, 0, 0, 1 }, 10, 2048 },/* ... beyond the end */
	{ { 0xa8, 0, 0, 0, 0, 0, 0, 0, 0, 2 }, 12, 4096 },	/* READ (12) */
	{ { 0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 64 }, 10, 64 },	/* MODE SENSE (10) */
	{ { 0x4a, 1, 0, 0, 16, 0, 0, 0, 8 }, 10, 8 },		/* GET EVENT STATUS */
	{ { 0x46, 0, 0, 0, 0, 0, 0, 0, 64 }, 10, 64 },		/* GET CONFIGURATION */
	{ { 0x43, 0, 0, 0, 0, 0, 0, 0, 64 }, 10, 64 },		/* READ TOC */
	{ { 0x1e, 0, 0, 0, 1 }, 6, 0 },				/* PREVENT */
	{ { 0x1e, 0, 0, 0, 0 }, 6, 0 },				/* ALLOW */
	{ { 0x1e, 0, 0, 0, 3 }, 6, 0 },				/* ... persistent */
	{ { 0x1b, 0, 0, 0, 3 }, 6, 0 },				/* load */
	{ { 0x1b, 0, 0, 0, 2 }, 6, 0 },				/* eject */
	{ { 0x2b }, 10, 0 },					/* SEEK */
	{ { 0x51, 0, 0, 0, 0, 0, 0, 0, 34 }, 10, 34 },		/* READ DISC INFORMATION */
	{ { 0x55, 0x10 }, 10, 0 },				/* MODE SELECT */
	{ { 0x9e, 0x10, [13] = 32 }, 16, 32 },			/* READ CAPACITY (16) */
	{ { 0xff, 0xff }, 6, 0 },
	{ { 0x7f, [7] = 24 }, 16, 0 },				/* variable length */
};

/* What is at the number is harmless, or else any operation code at all. */
static struct cdb make_cdb(__u32 arg, __u32 number)
{
	struct cdb cdb = { .bytes = { number, number >> 8, number >> 16, 0, number >> 24 },
			   .length = 6 + (number >> 4 & 1) * 4, .transfer = 64 };

	if (arg < ARRAY_SIZE(cdbs))
		return cdbs[arg];
	/* FORMAT UNIT and the like take their time */
	if (cdb.bytes[0] == 0x04 || cdb.bytes[0] == 0xa1 || cdb.bytes[0] == 0x91 ||
	    cdb.bytes[0] == 0x35)
		cdb.bytes[0] = 0;
	return cdb;
}

/* --- what has to come of it ------------------------------------------------- */

/* In phase ALONE: whether the file is a foreigner's, of sr, and the drive held. */
static bool is_refused(struct runner *runner, const struct file *file)
{
	struct model *model = &runner->worker->model;

	return is_exact(runner) && file->kind == KIND_SR && model->holder != NOBODY &&
	       !model_admits(model, runner->self);
}

static bool is_writable(const struct file *file)
{
	return (file->flags & O_ACCMODE) != O_RDONLY;
}

/* The drive may be held by whom it wants: sg and bsg are nobody's way. */
static void judge_status(struct runner *runner, const struct file *file, long result,
			 unsigned int status)
{
	if (is_exact(runner) && runner->worker->model.holder != NOBODY && !result &&
	    (file->kind == KIND_SG || file->kind == KIND_BSG) && status != CONFLICT)
		wrong(runner, "status %#x of a foreign command on a held drive", status);
}

/* A command that is an ioctl; the status is judged elsewhere. */
static void judge_command(struct runner *runner, const struct file *file, long result)
{
	const struct model *model = &runner->worker->model;
	int error;

	if (is_refused(runner, file)) {
		must_fail(runner, result, ERRORS(EBUSY));
		return;
	}
	judge_any(runner, result);
	if (file->kind != KIND_LOCK)
		return;
	if (!is_writable(file)) {
		if (result != -EBADF)
			wrong(runner, "returns %ld on a file open for reading", result);
	} else if (is_exact(runner)) {
		error = model_command(model, file->object);
		if (error && result != error)
			wrong(runner, "returns %ld, not %d", result, error);
		if (!error && (result == -EOWNERDEAD || result == -EBUSY))
			wrong(runner, "returns %ld to the holder", result);
	}
	if (result == -ENOTTY)
		wrong(runner, "is not known to the lock file");
}

/* --- SG_IO ------------------------------------------------------------------ */

static unsigned int length_of(__u32 kind, unsigned int usual)
{
	static const unsigned int lengths[] = { 0, 1, 2048, 65536, 0x7fffffff, ~0U };

	return kind < 10 ? usual : lengths[kind - 10];
}

/* file, command, length, number, pointer of the header, pointer of the data */
unsigned int run_sg_io(struct runner *runner, const struct call *call)
{
	struct file *file = runner_file(runner, call->arg[0]);
	__u32 number = call->arg[3];
	struct cdb cdb = make_cdb(call->arg[1], number);
	unsigned int length = length_of(call->arg[2], cdb.transfer);
	struct sg_io_hdr header = {
		.interface_id = number % 64 == 1 ? 'Q' : 'S',
		.dxfer_direction = length ? SG_DXFER_FROM_DEV : SG_DXFER_NONE,
		.cmd_len = number % 64 == 2 ? 255 : cdb.length,
		.mx_sb_len = number % 8 == 3 ? 0 : SENSE_SIZE,
		.iovec_count = number % 64 == 4 ? 65535 : 0,
		.dxfer_len = length,
		.cmdp = cdb.bytes,
		.sbp = (void *)runner->data.end - SENSE_SIZE,
		.timeout = number % 16 == 5 ? 1 : TIMEOUT_MS,
	};
	struct sg_io_hdr *at;
	long result;

	if (number % 32 == 6)
		header.dxfer_direction = -(int)(number >> 5 & 7);
	if (number % 32 == 7)
		header.cmdp = (void *)8;
	header.dxferp = memory_place(&runner->data, call->arg[5], NULL, cdb.transfer);
	at = memory_place(&runner->memory, call->arg[4], &header, sizeof(header));
	result = ioctl(file->fd, SG_IO, at) ? -errno : 0;
	judge_command(runner, file, result);
	if (pointer_is_writable(call->arg[4]) && file->kind != KIND_BSG) {
		memcpy(&header, at, sizeof(header));
		judge_status(runner, file, result, header.status);
	}
	return 0;
}

/* file, command, length, number, pointer of the data */
unsigned int run_bsg_io(struct runner *runner, const struct call *call)
{
	struct file *file = runner_file(runner, call->arg[0]);
	__u32 number = call->arg[3];
	struct cdb cdb = make_cdb(call->arg[1], number);
	struct sg_io_v4 header = {
		.guard = number % 64 == 1 ? 'S' : 'Q',
		.protocol = BSG_PROTOCOL_SCSI,
		.subprotocol = number % 64 == 2 ? BSG_SUB_PROTOCOL_SCSI_TRANSPORT :
			       BSG_SUB_PROTOCOL_SCSI_CMD,
		.request_len = number % 64 == 3 ? 255 : cdb.length,
		.request = (uintptr_t)cdb.bytes,
		.max_response_len = SENSE_SIZE,
		.response = (uintptr_t)runner->data.end - SENSE_SIZE,
		.din_xfer_len = length_of(call->arg[2], cdb.transfer),
		.timeout = TIMEOUT_MS,
	};
	long result;

	header.din_xferp = (uintptr_t)memory_place(&runner->data, call->arg[4], NULL,
						   cdb.transfer);
	result = ioctl(file->fd, SG_IO, &header) ? -errno : 0;
	judge_command(runner, file, result);
	if (file->kind == KIND_BSG)
		judge_status(runner, file, result, header.device_status);
	return 0;
}

/* Write and read, on sg: file, command, how, pointer */
unsigned int run_sg_write(struct runner *runner, const struct call *call)
{
	struct file *file = runner_file(runner, call->arg[0]);
	struct cdb cdb = make_cdb(call->arg[1], 0);
	struct sg_io_hdr header = {
		.interface_id = 'S',
		.dxfer_direction = cdb.transfer ? SG_DXFER_FROM_DEV : SG_DXFER_NONE,
		.dxfer_len = cdb.transfer,
		.cmd_len = cdb.length,
		.cmdp = cdb.bytes,
		.timeout = TIMEOUT_MS,
	};
	long result;

	if (file->kind != KIND_SG)
		return 0;
	header.dxferp = memory_place(&runner->data, call->arg[3], NULL, cdb.transfer);
	result = write(file->fd, &header, sizeof(header));
	if (!judge_any(runner, result < 0 ? -errno : result) || call->arg[2] == 1)
		return 0;
	interrupt_soon(runner);
	do
		result = read(file->fd, &header, sizeof(header));
	while (result < 0 && errno == EINTR && !runner->shared->stop);
	interrupt_no_more(runner);
	if (result == sizeof(header) && header.cmdp == cdb.bytes)
		judge_status(runner, file, 0, header.status);
	return 0;
}

/* CDROM_SEND_PACKET: file, command, length, number, pointer */
unsigned int run_packet(struct runner *runner, const struct call *call)
{
	struct file *file = runner_file(runner, call->arg[0]);
	__u32 number = call->arg[3];
	struct cdb cdb = make_cdb(call->arg[1], number);
	struct request_sense sense;
	struct cdrom_generic_command packet = {
		.buflen = length_of(call->arg[2], cdb.transfer),
		.sense = number % 4 ? &sense : NULL,
		.data_direction = cdb.transfer ? CGC_DATA_READ : CGC_DATA_NONE,
		.quiet = number % 2,
		.timeout = number % 3 ? 0 : 1000,
	};
	long result;

	if (number % 16 == 5)
		packet.data_direction = number >> 4 & 0xff;
	memcpy(packet.cmd, cdb.bytes, sizeof(packet.cmd));
	packet.buffer = memory_place(&runner->data, call->arg[4], NULL, cdb.transfer);
	result = ioctl(file->fd, CDROM_SEND_PACKET, &packet);
	judge_command(runner, file, result < 0 ? -errno : result);
	return 0;
}

/* --- other ioctls of sr and sg ---------------------------------------------- */

enum verdict {
	REFUSED,		/* to a foreigner, see docs/ioctls.md */
	HARMLESS,
	BOTH_FILES,		/* and known to the lock file */
	BOTH_HARMLESS,
};

struct known_ioctl {
	unsigned int cmd;
	enum verdict verdict;
};

static const struct known_ioctl known[] = {
	{ CDROMEJECT, BOTH_FILES }, { CDROMCLOSETRAY, BOTH_FILES },
	{ SG_GET_VERSION_NUM, BOTH_HARMLESS }, { CDROM_GET_CAPABILITY, HARMLESS },
	{ CDROM_CHANGER_NSLOTS, HARMLESS }, { SG_GET_TIMEOUT, HARMLESS },
	{ SG_GET_RESERVED_SIZE, HARMLESS }, { SG_EMULATED_HOST, HARMLESS },
	{ SCSI_IOCTL_GET_IDLUN, HARMLESS }, { SCSI_IOCTL_GET_BUS_NUMBER, HARMLESS },
	{ SCSI_IOCTL_PROBE_HOST, HARMLESS }, { SCSI_IOCTL_GET_PCI, HARMLESS },
	{ BLKGETSIZE64, HARMLESS }, { BLKSSZGET, HARMLESS }, { BLKROGET, HARMLESS },
	{ BLKRAGET, HARMLESS }, { BLKFLSBUF, HARMLESS },
	{ SCSI_IOCTL_SEND_COMMAND, REFUSED }, { SCSI_IOCTL_TEST_UNIT_READY, REFUSED },
	{ SCSI_IOCTL_DOORLOCK, REFUSED }, { SCSI_IOCTL_DOORUNLOCK, REFUSED },
	{ SG_SET_TIMEOUT, REFUSED }, { SG_SET_RESERVED_SIZE, REFUSED },
	{ CDROM_SET_OPTIONS, REFUSED }, { CDROM_CLEAR_OPTIONS, REFUSED },
	{ CDROMEJECT_SW, REFUSED }, { CDROM_LOCKDOOR, REFUSED }, { CDROMSTART, REFUSED },
	{ CDROMSTOP, REFUSED }, { CDROM_DRIVE_STATUS, REFUSED },
	{ CDROM_DISC_STATUS, REFUSED }, { CDROM_MEDIA_CHANGED, REFUSED },
	{ CDROM_TIMED_MEDIA_CHANGE, REFUSED }, { CDROM_SELECT_DISC, REFUSED },
	{ CDROM_SELECT_SPEED, REFUSED }, { CDROMRESET, REFUSED },
	{ CDROMREADTOCHDR, REFUSED }, { CDROMREADTOCENTRY, REFUSED },
	{ CDROMMULTISESSION, REFUSED }, { CDROMSUBCHNL, REFUSED },
	{ CDROM_GET_MCN, REFUSED }, { CDROM_LAST_WRITTEN, REFUSED },
	{ CDROM_NEXT_WRITABLE, REFUSED }, { CDROMREADMODE1, REFUSED },
	{ CDROMREADMODE2, REFUSED }, { CDROMREADCOOKED, REFUSED },
	{ CDROMREADRAW, REFUSED }, { CDROMREADALL, REFUSED }, { CDROMREADAUDIO, REFUSED },
	{ CDROMSEEK, REFUSED }, { CDROMPLAYMSF, REFUSED }, { CDROMPLAYTRKIND, REFUSED },
	{ CDROMPLAYBLK, REFUSED }, { CDROMPAUSE, REFUSED }, { CDROMRESUME, REFUSED },
	{ CDROMVOLCTRL, REFUSED }, { CDROMVOLREAD, REFUSED }, { DVD_READ_STRUCT, REFUSED },
	{ DVD_WRITE_STRUCT, REFUSED }, { DVD_AUTH, REFUSED },
};

/* file, which, pointer */
unsigned int run_cdrom(struct runner *runner, const struct call *call)
{
	struct file *file = runner_file(runner, call->arg[0]);
	const struct known_ioctl *which = &known[call->arg[1] % ARRAY_SIZE(known)];
	void *at = memory_place(&runner->data, call->arg[2], NULL, 256);
	long result;

	/* these take a number */
	if (call->arg[2] == POINTER_GOOD)
		at = NULL;
	result = ioctl(file->fd, which->cmd, at);
	if (result < 0)
		result = -errno;
	/* the first two mean something else to all files */
	if (file->kind == KIND_LOCK && which->cmd > FIGETBSZ && which->verdict < BOTH_FILES)
		must_fail(runner, result, ERRORS(ENOTTY));
	else if (which->cmd <= FIGETBSZ || which->verdict == HARMLESS ||
		 (file->kind == KIND_SR && which->verdict == BOTH_HARMLESS))
		judge_any(runner, result);
	else
		judge_command(runner, file, result);
	return 0;
}

/* --- the page cache --------------------------------------------------------- */

/* file, offset, length, pointer */
unsigned int run_block_read(struct runner *runner, const struct call *call)
{
	static const long offsets[] = { 0, 2048, 32768, 4096000, 1, -1 };
	static const unsigned int lengths[] = { 2048, 2048, 4096, 1, 40960, 0 };
	struct file *file = runner_file(runner, call->arg[0]);
	unsigned int length = lengths[call->arg[2]];
	void *at = memory_place(&runner->data, call->arg[3], NULL, length);
	long result;

	if (file->kind != KIND_SR)
		return 0;
	result = pread(file->fd, at, length, offsets[call->arg[1]]);
	judge_any(runner, result < 0 ? -errno : result);
	return 0;
}

/* drive, how */
unsigned int run_mount(struct runner *runner, const struct call *call)
{
	const char *node = runner->shared->drives[runner_drive(runner, call->arg[0])].sr;
	unsigned long flags = call->arg[1] % 2 ? 0 : MS_RDONLY;
	long result = mount(node, "/mnt", "iso9660", flags, NULL) ? -errno : 0;

	/* there is no file system on any disc */
	if (judge_any(runner, result)) {
		wrong(runner, "mounts %s", node);
		umount2("/mnt", MNT_DETACH);
	}
	return 0;
}
