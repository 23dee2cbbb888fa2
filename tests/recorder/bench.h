/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The test bench: a drive on the table, and checks reported in TAP
 *
 * A test is a function in a table; it goes on after a failed check, which is printed
 * with its place and both values.
 */
#ifndef RECORDER_BENCH_H
#define RECORDER_BENCH_H

#include "model/drive.h"

#define BENCH_DATA	(64 * SECTOR_SIZE)

/**
 * struct bench - a drive, and the buffer of its commands
 * @drive: the drive; its clock stands still unless a test moves it
 * @data: what was sent or has come back
 * @length: bytes of @data offered with the next command
 * @command: the latest one
 */
struct bench {
	struct drive drive;
	u8 data[BENCH_DATA];
	size_t length;
	struct command command;
};

struct test {
	const char *name;
	void (*run)(void);
};

int run_tests(const struct test *tests, size_t count);
void bench_open(struct bench *bench, const char *kind);
void bench_close(struct bench *bench);
__printf(2, 3)
sense_t bench_send(struct bench *bench, const char *cdb, ...);
sense_t bench_write(struct bench *bench, u32 lba, u32 count, u8 fill);
sense_t bench_read(struct bench *bench, u32 lba, u32 count);
void bench_write_parameters(struct bench *bench, enum write_type type, bool multi_session);
int bench_file(void);
struct medium *bench_medium(const char *kind, u32 sectors);

void check_equal(unsigned long long is, unsigned long long should, const char *what,
		 const char *file, int line);
void check_text(const char *is, const char *should, const char *what, const char *file,
		int line);

#define CHECK_EQ(is, should) \
	check_equal(is, should, #is, __FILE__, __LINE__)
#define CHECK(condition) \
	check_equal(!!(condition), 1, #condition, __FILE__, __LINE__)
#define CHECK_TEXT(is, should) \
	check_text(is, should, #is, __FILE__, __LINE__)

#endif
