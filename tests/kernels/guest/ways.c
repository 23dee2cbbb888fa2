// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The ways for a command to get to a drive; see ways.h
 */
#include <errno.h>
#include <linux/bsg.h>
#include <linux/io_uring.h>
#include <scsi/sg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ways.h"

enum { TIMEOUT_MS = 10000 };

static unsigned char test_unit_ready[6];

static struct sg_io_hdr sg_header(unsigned char *sense, size_t size)
{
	return (struct sg_io_hdr) {
		.interface_id = 'S',
		.dxfer_direction = SG_DXFER_NONE,
		.cmd_len = sizeof(test_unit_ready),
		.cmdp = test_unit_ready,
		.mx_sb_len = size,
		.sbp = sense,
		.timeout = TIMEOUT_MS,
	};
}

int ready_by_sg_io(int fd)
{
	unsigned char sense[32];
	struct sg_io_hdr header = sg_header(sense, sizeof(sense));

	if (ioctl(fd, SG_IO, &header))
		return -errno;
	return header.status;
}

int ready_by_sg_write(int fd)
{
	unsigned char sense[32];
	struct sg_io_hdr header = sg_header(sense, sizeof(sense));

	if (write(fd, &header, sizeof(header)) < 0)
		return -errno;
	if (read(fd, &header, sizeof(header)) < 0)
		return -errno;
	return header.status;
}

int ready_by_bsg(int fd)
{
	unsigned char sense[32];
	struct sg_io_v4 header = {
		.guard = 'Q',
		.protocol = BSG_PROTOCOL_SCSI,
		.subprotocol = BSG_SUB_PROTOCOL_SCSI_CMD,
		.request_len = sizeof(test_unit_ready),
		.request = (uintptr_t)test_unit_ready,
		.max_response_len = sizeof(sense),
		.response = (uintptr_t)sense,
		.timeout = TIMEOUT_MS,
	};

	if (ioctl(fd, SG_IO, &header))
		return -errno;
	return header.device_status;
}

/* As in <linux/bsg.h> since bsg can be used by io_uring. */
struct uring_command {
	__u64 request;
	__u32 request_len;
	__u32 protocol;
	__u32 subprotocol;
	__u32 max_response_len;
	__u64 response;
	__u64 dout_xferp;
	__u32 dout_xfer_len;
	__u32 dout_iovec_count;
	__u64 din_xferp;
	__u32 din_xfer_len;
	__u32 din_iovec_count;
	__u32 timeout_ms;
	__u8 reserved[12];
};

/* Submission entries of 128 bytes and completion entries of 32. */
enum { SQE_SIZE = 128, CQE_SIZE = 32 };

static void fill_submission(struct io_uring_sqe *sqe, int fd, unsigned char *sense,
			    size_t size)
{
	struct uring_command *command = (void *)sqe->cmd;

	memset(sqe, 0, SQE_SIZE);
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = fd;
	command->request = (uintptr_t)test_unit_ready;
	command->request_len = sizeof(test_unit_ready);
	command->protocol = BSG_PROTOCOL_SCSI;
	command->subprotocol = BSG_SUB_PROTOCOL_SCSI_CMD;
	command->response = (uintptr_t)sense;
	command->max_response_len = size;
	command->timeout_ms = TIMEOUT_MS;
}

/* Put in the only entry, wait for the only result. */
static int submit(int ring, char *rings, char *entries, const struct io_uring_params *params,
		  int fd)
{
	unsigned char sense[32];
	unsigned int *tail = (void *)(rings + params->sq_off.tail);
	unsigned int *array = (void *)(rings + params->sq_off.array);
	struct io_uring_cqe *cqe = (void *)(rings + params->cq_off.cqes);

	fill_submission((void *)entries, fd, sense, sizeof(sense));
	array[0] = 0;
	__atomic_store_n(tail, 1, __ATOMIC_RELEASE);
	if (syscall(__NR_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		return -errno;
	if (cqe->res)
		return cqe->res;
	return cqe->big_cqe[0] & 0xff;
}

int ready_by_uring(int fd)
{
	struct io_uring_params params = { .flags = IORING_SETUP_SQE128 | IORING_SETUP_CQE32 };
	int ring = syscall(__NR_io_uring_setup, 1, &params);
	size_t size;
	char *rings;
	char *entries;
	int ret;

	if (ring < 0)
		return -errno;
	if (!(params.features & IORING_FEAT_SINGLE_MMAP)) {
		close(ring);
		return -EOPNOTSUPP;
	}
	size = params.cq_off.cqes + params.cq_entries * CQE_SIZE;
	if (size < params.sq_off.array + params.sq_entries * sizeof(unsigned int))
		size = params.sq_off.array + params.sq_entries * sizeof(unsigned int);
	rings = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	entries = mmap(NULL, params.sq_entries * SQE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		       ring, IORING_OFF_SQES);
	if (rings == MAP_FAILED || entries == MAP_FAILED)
		ret = -ENOMEM;
	else
		ret = submit(ring, rings, entries, &params, fd);
	if (rings != MAP_FAILED)
		munmap(rings, size);
	if (entries != MAP_FAILED)
		munmap(entries, params.sq_entries * SQE_SIZE);
	close(ring);
	return ret;
}
