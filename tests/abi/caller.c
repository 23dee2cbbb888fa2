// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * caller LOCK SR - use a drive's lock as a program does, and say how it went, in TAP
 * caller SR SG BSG - open the drive, wait for a line, and see that everything is refused
 *
 * Built for 32 bits and run on a 64-bit kernel by tests/integration/test_compat.py: its
 * pointers, and the structures of SG_IO and CDROM_SEND_PACKET, are not the kernel's.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <scsi/sg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <linux/bsg.h>
#include <linux/cdrom.h>
#include <linux/srlock.h>

static const unsigned char inquiry[6] = { 0x12, 0, 0, 0, 36, 0 };

static unsigned int number;
static unsigned int failed;

static void check(int good, const char *what)
{
	printf("%sok %u %s\n", good ? "" : "not ", ++number, what);
	if (!good)
		failed++;
}

/* The errno of a call, 0 if it works. */
static int call(int fd, unsigned long command, void *argument)
{
	return ioctl(fd, command, argument) < 0 ? errno : 0;
}

static struct srlock_acquire acquire_argument(void)
{
	struct srlock_acquire args = { .flags = 0 };

	memcpy(args.client, "32-bit", 7);

	return args;
}

static int acquire(int fd)
{
	struct srlock_acquire args = acquire_argument();

	return call(fd, SRLOCK_IOC_ACQUIRE, &args);
}

static int send_sg_io(int fd, unsigned char *data, size_t size)
{
	unsigned char cdb[sizeof(inquiry)];
	struct sg_io_hdr header = {
		.interface_id = 'S',
		.dxfer_direction = SG_DXFER_FROM_DEV,
		.cmd_len = sizeof(cdb),
		.cmdp = cdb,
		.dxferp = data,
		.dxfer_len = size,
		.timeout = 10000,
	};
	int error;

	memcpy(cdb, inquiry, sizeof(cdb));
	memset(data, 0, size);
	error = call(fd, SG_IO, &header);

	return error ? error : header.status;
}

static int send_packet(int fd, unsigned char *data, size_t size)
{
	struct cdrom_generic_command packet = {
		.buffer = data,
		.buflen = size,
		.data_direction = CGC_DATA_READ,
		.timeout = 1000,
		.quiet = 1,
	};

	memcpy(packet.cmd, inquiry, sizeof(inquiry));
	memset(data, 0, size);

	return call(fd, CDROM_SEND_PACKET, &packet);
}

/* READ(10) of a block that is not there: CHECK CONDITION, ILLEGAL REQUEST */
static void check_sense(int fd)
{
	unsigned char cdb[10] = { 0x28, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 1, 0 };
	unsigned char sense[34] = { 0 };
	unsigned char data[2048];
	struct sg_io_hdr header = {
		.interface_id = 'S',
		.dxfer_direction = SG_DXFER_FROM_DEV,
		.cmd_len = sizeof(cdb),
		.cmdp = cdb,
		.dxferp = data,
		.dxfer_len = sizeof(data),
		.sbp = sense,
		.mx_sb_len = 32,
		.timeout = 10000,
	};
	unsigned char packet_sense[64] = { 0 };
	struct cdrom_generic_command packet = {
		.buffer = data,
		.buflen = sizeof(data),
		.sense = (void *)packet_sense,
		.data_direction = CGC_DATA_READ,
		.timeout = 1000,
		.quiet = 1,
	};

	check(!call(fd, SG_IO, &header) && header.status == 2 && header.sb_len_wr >= 14 &&
	      (sense[2] & 0xf) == 5 && sense[12] == 0x21 && !sense[32] && !sense[33],
	      "SG_IO that fails has sense data");
	memcpy(packet.cmd, cdb, sizeof(cdb));
	check(call(fd, CDROM_SEND_PACKET, &packet) == EIO && (packet_sense[2] & 0xf) == 5,
	      "CDROM_SEND_PACKET that fails is EIO with sense data");
	header.interface_id = 'Q';
	check(call(fd, SG_IO, &header) == EINVAL, "SG_IO with a bad header is EINVAL");
}

static void check_pieces(int fd)
{
	unsigned char cdb[sizeof(inquiry)], first[8] = { 0 }, second[28] = { 0 };
	struct sg_iovec pieces[2] = {
		{ .iov_base = first, .iov_len = sizeof(first) },
		{ .iov_base = second, .iov_len = sizeof(second) },
	};
	struct sg_io_hdr header = {
		.interface_id = 'S',
		.dxfer_direction = SG_DXFER_FROM_DEV,
		.cmd_len = sizeof(cdb),
		.cmdp = cdb,
		.iovec_count = 2,
		.dxferp = pieces,
		.dxfer_len = sizeof(first) + sizeof(second),
		.timeout = 10000,
	};

	memcpy(cdb, inquiry, sizeof(cdb));
	check(!call(fd, SG_IO, &header) && !header.status && (first[0] & 0x1f) == 5 &&
	      !memcmp(second, "QEMU", 4), "SG_IO into two pieces");
}

static void check_tray(int fd)
{
	int version = 0;

	check(!call(fd, SG_GET_VERSION_NUM, &version) && version >= 30000,
	      "SG_GET_VERSION_NUM");
	check(!call(fd, CDROMEJECT, NULL), "CDROMEJECT");
	check(!call(fd, CDROMCLOSETRAY, NULL), "CDROMCLOSETRAY");
	check(call(fd, SG_SCSI_RESET, &version) == ENOTTY, "SG_SCSI_RESET is ENOTTY");
	check(call(fd, CDROM_DRIVE_STATUS, NULL) == ENOTTY, "CDROM_DRIVE_STATUS is ENOTTY");
}

static void check_hold(int fd, int other)
{
	struct srlock_acquire args = acquire_argument();
	struct srlock_info info = { .flags = 0 };

	check(!call(fd, SRLOCK_IOC_ACQUIRE, &args) && args.count == 1 &&
	      args.busy_reason == SRLOCK_BUSY_NOT && args.holder_pid == getpid(),
	      "ACQUIRE");
	check(!call(fd, SRLOCK_IOC_ACQUIRE, &args) && args.count == 2, "nested ACQUIRE");
	check(!call(fd, SRLOCK_IOC_GET_INFO, &info) && info.state == SRLOCK_STATE_HELD &&
	      info.count == 2 && info.my_count == 2 && info.pid == getpid() && info.since_ns &&
	      info.status & SRLOCK_STATUS_MINE && !strcmp((char *)info.client, "32-bit"),
	      "GET_INFO");
	check(call(other, SRLOCK_IOC_ACQUIRE, &args) == EBUSY && args.count == 2 &&
	      args.busy_reason == SRLOCK_BUSY_HELD, "ACQUIRE of another file is EBUSY");
}

static void check_deadline(int other)
{
	struct srlock_acquire args = acquire_argument();
	struct timespec start, end;
	long long passed;

	clock_gettime(CLOCK_MONOTONIC, &start);
	args.deadline_ns = start.tv_sec * 1000000000ULL + start.tv_nsec + 300000000;
	check(call(other, SRLOCK_IOC_ACQUIRE, &args) == EBUSY, "ACQUIRE with a deadline");
	clock_gettime(CLOCK_MONOTONIC, &end);
	passed = (end.tv_sec - start.tv_sec) * 1000000000LL + end.tv_nsec - start.tv_nsec;
	check(passed >= 300000000, "it has waited to the deadline");
}

static void check_errors(int fd)
{
	struct srlock_acquire args = acquire_argument();
	struct {
		struct srlock_release args;
		char tail[8];
	} larger = { .tail = "!" };

	args.flags = 1U << 31;
	check(call(fd, SRLOCK_IOC_ACQUIRE, &args) == EINVAL, "an unknown flag is EINVAL");
	check(call(fd, SRLOCK_IOC_ACQUIRE, NULL) == EFAULT, "a null pointer is EFAULT");
	check(call(fd, SRLOCK_IOC_ACQUIRE, (void *)0xFFFFF000UL) == EFAULT,
	      "a pointer beyond the user's half is EFAULT");
	check(call(fd, _IOWR(SRLOCK_IOC_MAGIC, 2, larger), &larger) == E2BIG,
	      "a tail that is not zero is E2BIG");
	check(call(fd, _IOC(_IOC_READ | _IOC_WRITE, SRLOCK_IOC_MAGIC, 1,
			    SRLOCK_ACQUIRE_SIZE_VER0 - 8), &args) == EINVAL,
	      "a structure that is too small is EINVAL");
	check(call(fd, SRLOCK_IOC_RELEASE, NULL) == EFAULT &&
	      call(fd, SRLOCK_IOC_GET_INFO, NULL) == EFAULT, "so is RELEASE's and GET_INFO's");
	check(call(fd, _IO(SRLOCK_IOC_MAGIC, 99), NULL) == ENOTTY,
	      "an unknown number is ENOTTY");
}

static void check_commands(int fd, int other, const char *sr)
{
	unsigned char data[36];
	int drive;

	check(!send_sg_io(fd, data, sizeof(data)) && (data[0] & 0x1f) == 5, "SG_IO");
	check(!send_packet(fd, data, sizeof(data)) && (data[0] & 0x1f) == 5,
	      "CDROM_SEND_PACKET");
	check(send_sg_io(other, data, sizeof(data)) == EPERM,
	      "SG_IO on a file without a count is EPERM");
	drive = open(sr, O_RDWR | O_NONBLOCK);
	check(drive >= 0, "the holder opens the drive");
	check(!send_sg_io(drive, data, sizeof(data)) && (data[0] & 0x1f) == 5,
	      "the holder's SG_IO on the drive");
	check(!send_packet(drive, data, sizeof(data)), "the holder's CDROM_SEND_PACKET on it");
	close(drive);
}

/* Refused by the queue: a status, and nothing in the caller's buffers. */
static void check_refused(const char *sg, const char *bsg)
{
	unsigned char cdb[sizeof(inquiry)], data[36] = { 0 }, sense[32] = { 0 }, none[36] = { 0 };
	struct sg_io_hdr header = {
		.interface_id = 'S',
		.dxfer_direction = SG_DXFER_FROM_DEV,
		.cmd_len = sizeof(cdb),
		.cmdp = cdb,
		.dxferp = data,
		.dxfer_len = sizeof(data),
		.sbp = sense,
		.mx_sb_len = sizeof(sense),
		.timeout = 10000,
	};
	struct sg_io_v4 request = {
		.guard = 'Q',
		.request_len = sizeof(cdb),
		.request = (unsigned long)cdb,
		.max_response_len = sizeof(sense),
		.response = (unsigned long)sense,
		.din_xfer_len = sizeof(data),
		.din_xferp = (unsigned long)data,
		.timeout = 10000,
	};
	int fd = open(sg, O_RDWR);

	memcpy(cdb, inquiry, sizeof(cdb));
	check(!call(fd, SG_IO, &header) && header.status == 0x18 && !header.sb_len_wr &&
	      header.resid == sizeof(data) && !memcmp(data, none, sizeof(data)) &&
	      !memcmp(sense, none, sizeof(sense)), "a foreigner's SG_IO on sg is refused");
	close(fd);
	fd = open(bsg, O_RDWR);
	check(!call(fd, SG_IO, &request) && request.device_status == 0x18 &&
	      !request.response_len && request.din_resid == sizeof(data) &&
	      !memcmp(data, none, sizeof(data)) && !memcmp(sense, none, sizeof(sense)),
	      "a foreigner's SG_IO on bsg is refused");
	close(fd);
}

/* A file of the drive from before somebody else's hold: wait for the go, then try. */
static int be_foreign(const char *sr, const char *sg, const char *bsg)
{
	int fd = open(sr, O_RDWR | O_NONBLOCK);
	unsigned char data[36];

	if (fd < 0)
		return 2;
	puts("# open");
	fflush(stdout);
	getchar();
	check(send_sg_io(fd, data, sizeof(data)) == EBUSY, "a foreigner's SG_IO is EBUSY");
	check(send_packet(fd, data, sizeof(data)) == EBUSY,
	      "a foreigner's CDROM_SEND_PACKET is EBUSY");
	check(call(fd, CDROM_DRIVE_STATUS, (void *)CDSL_CURRENT) == EBUSY,
	      "a foreigner's CDROM_DRIVE_STATUS is EBUSY");
	check(open(sr, O_RDONLY | O_NONBLOCK) < 0 && errno == EBUSY,
	      "a foreigner's open is EBUSY");
	check_refused(sg, bsg);
	printf("1..%u\n", number);

	return failed != 0;
}

static void check_events(int fd)
{
	struct srlock_event events[4];
	struct pollfd polled = { .fd = fd, .events = POLLIN };

	check(poll(&polled, 1, 10000) == 1 && polled.revents & POLLIN, "poll");
	check(read(fd, events, sizeof(events)) == 2 * (ssize_t)sizeof(events[0]) &&
	      events[0].type == SRLOCK_EVENT_HELD && events[1].type == SRLOCK_EVENT_RELEASED &&
	      events[0].pid == getpid() && !strcmp((char *)events[0].name, "32-bit"),
	      "read");
}

int main(int argc, char **argv)
{
	struct srlock_release release = { .flags = 0 };
	int fd, other;

	printf("# %u bits\n", (unsigned int)(sizeof(long) * CHAR_BIT));
	if (argc == 4)
		return be_foreign(argv[1], argv[2], argv[3]);
	if (argc != 3)
		return 2;
	fd = open(argv[1], O_RDWR);
	other = open(argv[1], O_RDWR);
	if (fd < 0 || other < 0)
		return 2;

	check_hold(fd, other);
	check_deadline(other);
	check_errors(fd);
	check_commands(fd, other, argv[2]);
	check_sense(fd);
	check_pieces(fd);
	check_tray(fd);
	check(!call(fd, SRLOCK_IOC_RELEASE, &release) && release.count == 1, "RELEASE");
	check(!call(fd, SRLOCK_IOC_RELEASE, &release) && !release.count, "the final RELEASE");
	check(call(fd, SRLOCK_IOC_RELEASE, &release) == EPERM, "one more is EPERM");
	check_events(other);
	check(!acquire(other) && !call(fd, SRLOCK_IOC_BREAK, NULL) &&
	      acquire(other) == EOWNERDEAD, "BREAK");
	printf("1..%u\n", number);

	return failed != 0;
}
