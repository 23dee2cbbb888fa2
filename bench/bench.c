// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the calls cost
 *
 *	bench SR SG [LOCK]
 *
 * Under QEMU's -icount the time stamp counter counts instructions, so the figures are
 * exact and come again; elsewhere they are cycles. Prints one line for each call:
 * median, 99th percentile, name. Without LOCK only what needs no lock is measured.
 *
 * The holder is a child, so that the program itself is a foreigner to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>
#include <linux/srlock.h>
#include <scsi/sg.h>

#define ROUNDS	201

static const char *sr_path, *sg_path, *lock_path;
static const char *prefix = "";
static uint64_t samples[ROUNDS];
static int fd, other;
static struct srlock_acquire acquire = { .client = "bench" };
static struct srlock_release release;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void expect(bool right, const char *what)
{
	if (!right)
		die(what);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void measure(const char *name, void (*call)(void), int rounds)
{
	uint64_t before;
	int i;

	for (i = 0; i < 5; i++)
		call();
	for (i = 0; i < rounds; i++) {
		before = __rdtsc();
		call();
		samples[i] = __rdtsc() - before;
	}
	qsort(samples, rounds, sizeof(samples[0]), compare);
	printf("%10llu %10llu  %s%s\n", (unsigned long long)samples[rounds / 2],
	       (unsigned long long)samples[rounds - 1 - rounds / 100], prefix, name);
	fflush(stdout);
}

static void call_getppid(void)
{
	syscall(SYS_getppid);
}

static void call_flock(void)
{
	flock(fd, LOCK_EX);
	flock(fd, LOCK_UN);
}

static int test_unit_ready(int file)
{
	unsigned char cdb[6] = { 0 }, sense[32];
	struct sg_io_hdr hdr = {
		.interface_id = 'S',
		.dxfer_direction = SG_DXFER_NONE,
		.cmd_len = sizeof(cdb),
		.cmdp = cdb,
		.sbp = sense,
		.mx_sb_len = sizeof(sense),
		.timeout = 5000,
	};

	if (ioctl(file, SG_IO, &hdr))
		return -errno;

	return hdr.status;
}

static void call_tur(void)
{
	test_unit_ready(fd);
}

static void call_open_blocking_excl(void)
{
	int file = open(sr_path, O_RDONLY | O_EXCL);

	expect(file >= 0, "blocking open with O_EXCL");
	close(file);
}

static void call_open_nonblock_excl(void)
{
	int file = open(sr_path, O_RDONLY | O_EXCL | O_NONBLOCK);

	expect(file >= 0, "open with O_EXCL and O_NONBLOCK");
	close(file);
}

static void call_open_busy(void)
{
	expect(open(sr_path, O_RDONLY | O_NONBLOCK | other) < 0 && errno == EBUSY,
	       "an open that is to be refused");
}

static void call_get_info(void)
{
	struct srlock_info info = { .flags = 0 };

	expect(!ioctl(fd, SRLOCK_IOC_GET_INFO, &info), "GET_INFO");
}

static void call_nested(void)
{
	expect(!ioctl(fd, SRLOCK_IOC_ACQUIRE, &acquire), "ACQUIRE");
	expect(!ioctl(fd, SRLOCK_IOC_RELEASE, &release), "RELEASE");
}

static int open_file(const char *path, int flags)
{
	int file = open(path, flags | O_CLOEXEC);

	expect(file >= 0, path);
	return file;
}

static void measure_free(void)
{
	measure("getppid", call_getppid, ROUNDS);
	fd = open_file("/tmp/flock", O_RDWR | O_CREAT);
	measure("flock LOCK_EX + LOCK_UN", call_flock, ROUNDS);
	close(fd);
	measure("sr open O_EXCL O_NONBLOCK + close", call_open_nonblock_excl, 51);
	measure("sr open O_EXCL + close", call_open_blocking_excl, 51);
	fd = open_file(sr_path, O_RDWR | O_NONBLOCK);
	measure("sr SG_IO", call_tur, ROUNDS);
	close(fd);
	fd = open_file(sg_path, O_RDWR);
	measure("sg SG_IO", call_tur, ROUNDS);
	close(fd);
	fd = open_file(sr_path, O_RDONLY | O_NONBLOCK | O_EXCL);
	other = O_EXCL;
	measure("sr open O_EXCL, EBUSY by O_EXCL", call_open_busy, ROUNDS);
	other = 0;
	close(fd);
}

static void measure_as_holder(int lock)
{
	prefix = "held: ";
	fd = lock;
	measure("nested ACQUIRE + RELEASE", call_nested, ROUNDS);
	measure("GET_INFO", call_get_info, ROUNDS);
	measure("lock file SG_IO", call_tur, ROUNDS);
	fd = open_file(sr_path, O_RDWR | O_NONBLOCK);
	measure("sr SG_IO", call_tur, ROUNDS);
	close(fd);
	measure("sr open O_EXCL + close", call_open_blocking_excl, 51);
}

/* A child that holds; it measures itself first, then stays until it is told to go. */
static pid_t start_holder(int talk)
{
	char c = 0;
	pid_t child;
	int lock;

	fflush(stdout);
	child = fork();
	expect(child >= 0, "fork");
	if (child)
		return child;

	lock = open_file(lock_path, O_RDWR);
	expect(!ioctl(lock, SRLOCK_IOC_ACQUIRE, &acquire), "first ACQUIRE");
	measure_as_holder(lock);
	expect(write(talk, &c, 1) == 1 && read(talk, &c, 1) == 1, "talk to the parent");
	exit(0);
}

static void measure_as_foreigner(void)
{
	int before = open_file(sr_path, O_RDWR | O_NONBLOCK);
	int sg = open_file(sg_path, O_RDWR);
	int talk[2], status;
	char c = 0;
	pid_t child;

	expect(!socketpair(AF_UNIX, SOCK_STREAM, 0, talk), "socketpair");
	child = start_holder(talk[1]);
	expect(read(talk[0], &c, 1) == 1, "talk to the child");

	prefix = "refused: ";
	measure("sr open", call_open_busy, ROUNDS);
	fd = before;
	expect(test_unit_ready(fd) == -EBUSY, "an ioctl that is to be refused");
	measure("sr SG_IO", call_tur, ROUNDS);
	fd = sg;
	expect(test_unit_ready(fd) == 0x18, "an sg command that is to be refused");
	measure("sg SG_IO", call_tur, ROUNDS);

	expect(write(talk[0], &c, 1) == 1, "talk to the child");
	expect(waitpid(child, &status, 0) == child && !status, "the holder");
	close(before);
	close(sg);
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: bench SR SG [LOCK]\n");
		return 2;
	}
	sr_path = argv[1];
	sg_path = argv[2];
	lock_path = argv[3];

	measure_free();
	if (argc < 4)
		return 0;

	prefix = "";
	fd = open_file(lock_path, O_RDWR);
	measure("first ACQUIRE + final RELEASE", call_nested, 51);
	close(fd);
	measure_as_foreigner();

	return 0;
}
