// SPDX-License-Identifier: GPL-2.0-or-later
/* The test bench: sending commands, and reporting in TAP */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench.h"

static unsigned int failures;

void check_equal(unsigned long long is, unsigned long long should, const char *what,
		 const char *file, int line)
{
	if (is == should)
		return;
	failures++;
	printf("# %s:%d: %s is %llx, should be %llx\n", file, line, what, is, should);
}

void check_text(const char *is, const char *should, const char *what, const char *file,
		int line)
{
	if (is && !strcmp(is, should))
		return;
	failures++;
	printf("# %s:%d: %s is \"%s\", should be \"%s\"\n", file, line, what, is ? is : "(null)",
	       should);
}

/** run_tests() - run a table of tests. Return: the exit status of the program */
int run_tests(const struct test *tests, size_t count)
{
	size_t failed = 0;

	printf("TAP version 13\n1..%zu\n", count);
	for (size_t i = 0; i < count; i++) {
		failures = 0;
		tests[i].run();
		failed += !!failures;
		printf("%s %zu - %s\n", failures ? "not ok" : "ok", i + 1, tests[i].name);
	}
	printf("%zu passed, %zu failed, 0 skipped\n", count - failed, failed);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void stop_if(bool condition, const char *what)
{
	if (!condition)
		return;
	perror(what);
	exit(EXIT_FAILURE);
}

/** bench_file() - an empty file that goes away by itself */
int bench_file(void)
{
	int fd = memfd_create("medium", MFD_CLOEXEC);

	stop_if(fd < 0, "memfd_create");
	return fd;
}

struct medium *bench_medium(const char *kind, u32 sectors)
{
	struct medium *medium = medium_new_blank(medium_type_by_name(kind), sectors, bench_file());

	stop_if(!medium, kind);
	return medium;
}

/** bench_open() - a drive that has a disc, is ready, and has said so */
void bench_open(struct bench *bench, const char *kind)
{
	memset(bench, 0, sizeof(*bench));
	bench->length = sizeof(bench->data);
	drive_init(&bench->drive, "bench");
	if (strcmp(kind, "none"))
		drive_insert(&bench->drive, bench_medium(kind, 0));
	bench->drive.attention_count = 0;
	memset(bench->drive.events, 0, sizeof(bench->drive.events));
}

void bench_close(struct bench *bench)
{
	drive_release(&bench->drive);
}

static size_t parse_cdb(const char *text, u8 *cdb)
{
	size_t length = 0;

	while (*text) {
		unsigned int byte;

		if (isspace((unsigned char)*text)) {
			text++;
			continue;
		}
		stop_if(length == 16 || sscanf(text, "%2x", &byte) != 1, text);
		cdb[length++] = (u8)byte;
		text += 2;
	}
	return length;
}

/**
 * bench_send() - send a command
 * @bench: the bench; data goes from and to its buffer
 * @cdb: printf format of the CDB in hexadecimal, blanks where they help
 * Return: the sense code, SENSE_NONE for GOOD
 */
sense_t bench_send(struct bench *bench, const char *cdb, ...)
{
	struct iovec iov[2];
	u8 bytes[16] = { 0 };
	va_list arguments;
	char text[128];

	va_start(arguments, cdb);
	vsnprintf(text, sizeof(text), cdb, arguments);
	va_end(arguments);
	/* In two parts of odd sizes, as a transport may give it */
	iov[0] = (struct iovec){ bench->data, bench->length < 5 ? bench->length : 5 };
	iov[1] = (struct iovec){ bench->data + iov[0].iov_len, bench->length - iov[0].iov_len };
	bench->command = (struct command) {
		.cdb = bytes, .cdb_length = parse_cdb(text, bytes),
		.iov = iov, .iov_count = 2, .length = bench->length,
	};
	drive_execute(&bench->drive, &bench->command);
	bench->length = sizeof(bench->data);
	if (bench->command.status == STATUS_GOOD)
		return SENSE_NONE;
	return SENSE(bench->command.sense[2], bench->command.sense[12], bench->command.sense[13]);
}

sense_t bench_write(struct bench *bench, u32 lba, u32 count, u8 fill)
{
	memset(bench->data, fill, sizeof(bench->data));
	bench->length = (size_t)count * SECTOR_SIZE;
	return bench_send(bench, "2a 00 %08x 00 %04x 00", lba, count);
}

sense_t bench_read(struct bench *bench, u32 lba, u32 count)
{
	memset(bench->data, 0xee, sizeof(bench->data));
	bench->length = (size_t)count * SECTOR_SIZE;
	return bench_send(bench, "28 00 %08x 00 %04x 00", lba, count);
}

/** bench_write_parameters() - select the write type as burners do: read, change, write back */
void bench_write_parameters(struct bench *bench, enum write_type type, bool multi_session)
{
	CHECK_EQ(bench_send(bench, "5a 00 05 00 00 00 00 00 3c 00"), SENSE_NONE);
	CHECK_EQ(bench->command.returned, 60);
	put_be16(bench->data, 0);
	bench->data[8 + 2] = (u8)((bench->data[8 + 2] & 0xe0) | type);
	bench->data[8 + 3] = (u8)((bench->data[8 + 3] & 0x3f) | (multi_session ? 0xc0 : 0));
	bench->length = 60;
	CHECK_EQ(bench_send(bench, "55 10 00 00 00 00 00 00 3c 00"), SENSE_NONE);
}
