// SPDX-License-Identifier: GPL-2.0-or-later
/* The transport: reading the ring, answering, task management */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tcmu.h"

/* That header wants linux/uio.h, which defines struct iovec a second time. */
#define __LINUX_UIO_H
#include <linux/target_core_user.h>

static struct tcmu_mailbox *mailbox(const struct tcmu *tcmu)
{
	return tcmu->ring;
}

static void *entry_at(const struct tcmu *tcmu, u32 offset)
{
	return (char *)tcmu->ring + mailbox(tcmu)->cmdr_off + offset;
}

/* The pair of smp_store_release() of the kernel's UPDATE_HEAD */
static u32 ring_head(const struct tcmu *tcmu)
{
	return __atomic_load_n(&mailbox(tcmu)->cmd_head, __ATOMIC_ACQUIRE);
}

/* The kernel reads an entry after it has seen the tail beyond it */
static void advance_tail(struct tcmu *tcmu, const struct tcmu_cmd_entry_hdr *header)
{
	struct tcmu_mailbox *mb = mailbox(tcmu);
	u32 tail = (mb->cmd_tail + tcmu_hdr_get_len(header->len_op)) % mb->cmdr_size;

	__atomic_store_n(&mb->cmd_tail, tail, __ATOMIC_RELEASE);
}

static void wake_kernel(struct tcmu *tcmu)
{
	u32 one = 1;

	while (write(tcmu->fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static size_t map_size(const char *path)
{
	const char *name = strrchr(path, '/');
	char attribute[PATH_MAX];
	char text[32] = "";
	FILE *file;

	snprintf(attribute, sizeof(attribute), "/sys/class/uio/%s/maps/map0/size",
		 name ? name + 1 : path);
	file = fopen(attribute, "r");
	if (!file)
		return 0;
	if (!fgets(text, sizeof(text), file))
		text[0] = '\0';
	fclose(file);
	return strtoull(text, NULL, 16);
}

/**
 * tcmu_open() - open a device and map its ring
 * @tcmu: queue and drive filled in
 * @path: /dev/uioN
 * Return: whether it worked; errno says why not
 */
bool tcmu_open(struct tcmu *tcmu, const char *path)
{
	tcmu->size = map_size(path);
	if (!tcmu->size)
		return false;
	tcmu->fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (tcmu->fd < 0)
		return false;
	tcmu->ring = mmap(NULL, tcmu->size, PROT_READ | PROT_WRITE, MAP_SHARED, tcmu->fd, 0);
	if (tcmu->ring == MAP_FAILED) {
		close(tcmu->fd);
		return false;
	}
	if (mailbox(tcmu)->version != TCMU_MAILBOX_VERSION ||
	    !(mailbox(tcmu)->flags & TCMU_MAILBOX_FLAG_CAP_OOOC) ||
	    !(mailbox(tcmu)->flags & TCMU_MAILBOX_FLAG_CAP_READ_LEN)) {
		munmap(tcmu->ring, tcmu->size);
		close(tcmu->fd);
		errno = EPROTO;
		return false;
	}
	tcmu->head = mailbox(tcmu)->cmd_tail;
	return true;
}

/* As many bytes as the opcode's group says */
static size_t cdb_length(const u8 *cdb)
{
	static const u8 lengths[8] = { 6, 10, 10, 12, 16, 12, 10, 10 };

	return lengths[cdb[0] >> 5];
}

/* An entry is overwritten by the answer to an earlier one, so everything is copied. */
static struct task *copy_entry(const struct tcmu *tcmu, const struct tcmu_cmd_entry *entry)
{
	u32 count = entry->req.iov_cnt;
	struct task *task = calloc(1, sizeof(*task));

	if (!task)
		return NULL;
	task->iov = calloc(count + 1, sizeof(*task->iov));
	if (!task->iov) {
		free(task);
		return NULL;
	}
	for (u32 i = 0; i < count; i++) {
		task->iov[i].iov_base = (char *)tcmu->ring + (size_t)entry->req.iov[i].iov_base;
		task->iov[i].iov_len = entry->req.iov[i].iov_len;
		task->command.length += task->iov[i].iov_len;
	}
	task->tag = entry->hdr.cmd_id;
	task->command.cdb_length = cdb_length((u8 *)tcmu->ring + entry->req.cdb_off);
	memcpy(task->cdb, (u8 *)tcmu->ring + entry->req.cdb_off, task->command.cdb_length);
	task->command.cdb = task->cdb;
	task->command.iov = task->iov;
	task->command.iov_count = (int)count;
	return task;
}

static void receive_command(struct tcmu *tcmu, const struct tcmu_cmd_entry *entry, u64 now)
{
	struct task *task = copy_entry(tcmu, entry);

	if (!task)
		abort();	/* the kernel's time-out will tell the host */
	queue_submit(tcmu->queue, task, now);
}

/*
 * The kernel waits for the commands that it aborts. After a reset it raises the unit
 * attention (6/29/03) by itself, so the drive does not.
 */
static void manage_tasks(struct tcmu *tcmu, const struct tcmu_tmr_entry *entry, u64 now)
{
	bool reset = entry->tmr_type == TCMU_TMR_LUN_RESET;
	u32 count = entry->cmd_cnt;
	u16 tags[count + 1];

	memcpy(tags, entry->cmd_ids, count * sizeof(tags[0]));
	journal_event(tcmu->queue->journal, "%s of %u commands", reset ? "reset" : "abort", count);
	for (u32 i = 0; i < count; i++)
		queue_abort(tcmu->queue, tags[i], now);
	if (reset)
		drive_reset(tcmu->drive, false);
}

/**
 * tcmu_receive() - take in what the kernel has put on the ring
 * @tcmu: the device
 * Return: false when the device is gone
 */
bool tcmu_receive(struct tcmu *tcmu)
{
	u64 now = tcmu->queue->journal->clock_us();
	u32 events;

	if (read(tcmu->fd, &events, sizeof(events)) < 0 && errno != EAGAIN && errno != EINTR)
		return false;
	while (tcmu->head != ring_head(tcmu)) {
		struct tcmu_cmd_entry_hdr *header = entry_at(tcmu, tcmu->head);
		u32 length = tcmu_hdr_get_len(header->len_op);
		enum tcmu_opcode opcode = tcmu_hdr_get_op(header->len_op);

		tcmu->head = (tcmu->head + length) % mailbox(tcmu)->cmdr_size;
		if (opcode == TCMU_OP_CMD)
			receive_command(tcmu, (void *)header, now);
		else if (opcode == TCMU_OP_TMR)
			manage_tasks(tcmu, (void *)header, now);
	}
	return true;
}

/* Paddings and task management need no answer. */
static struct tcmu_cmd_entry *entry_to_answer(struct tcmu *tcmu)
{
	for (;;) {
		struct tcmu_cmd_entry_hdr *header = entry_at(tcmu, mailbox(tcmu)->cmd_tail);

		if (tcmu_hdr_get_op(header->len_op) == TCMU_OP_CMD)
			return (struct tcmu_cmd_entry *)header;
		advance_tail(tcmu, header);
	}
}

/* Unless told how much of the buffer is valid the kernel hands on all; zero does not count. */
static void clear_unused(const struct task *task)
{
	if (task->command.status == STATUS_GOOD && !task->command.returned)
		for (int i = 0; i < task->command.iov_count; i++)
			memset(task->iov[i].iov_base, 0, task->iov[i].iov_len);
}

/**
 * tcmu_answer() - give the kernel the answer to a command
 * @context: the device
 * @task: the command, which is freed
 */
void tcmu_answer(void *context, struct task *task)
{
	struct tcmu *tcmu = context;
	struct tcmu_cmd_entry *entry = entry_to_answer(tcmu);
	const struct command *command = &task->command;

	clear_unused(task);
	entry->hdr.cmd_id = (u16)task->tag;
	entry->hdr.uflags = command->returned ? TCMU_UFLAG_READ_LEN : 0;
	memset(&entry->rsp, 0, sizeof(entry->rsp));
	entry->rsp.scsi_status = command->status;
	entry->rsp.read_len = (u32)command->returned;
	if (command->status == STATUS_CHECK_CONDITION)
		memcpy(entry->rsp.sense_buffer, command->sense, SENSE_LENGTH);
	advance_tail(tcmu, &entry->hdr);
	wake_kernel(tcmu);
	free(task->iov);
	free(task);
}
