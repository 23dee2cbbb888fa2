// SPDX-License-Identifier: GPL-2.0-or-later
/* Writing by commands: as burners do it, and as they must not */
#include <string.h>

#include "bench.h"

#define TEST_UNIT_READY		"00 00 00 00 00 00"
#define FLUSH			"35 00 00000000 00 00 00 00"
#define FLUSH_IMMEDIATE		"35 02 00000000 00 00 00 00"
#define CLOSE_TRACK_1		"5b 01 01 00 00 01 00 00 00 00"
#define CLOSE_SESSION		"5b 01 02 00 00 00 00 00 00 00"
#define FINALIZE		"5b 01 06 00 00 00 00 00 00 00"
#define STOP_FORMAT		"5b 01 00 00 00 00 00 00 00 00"
#define BLANK_FAST		"a1 11 00000000 00 00 00 00 00 00"

static void wait_ready(struct bench *bench)
{
	bench->drive.now_ms += bench->drive.operation_ms;
	CHECK_EQ(bench_send(bench, TEST_UNIT_READY), SENSE_NONE);
}

static sense_t format_unit(struct bench *bench, u8 type, u8 restart, bool immediate)
{
	u8 list[12] = { 0, immediate ? 0x02 : 0, 0, 8 };

	list[8] = (u8)(type << 2);
	list[11] = restart;
	memcpy(bench->data, list, sizeof(list));
	bench->length = sizeof(list);
	return bench_send(bench, "04 11 00 00 00 00");
}

static void plus_r(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	CHECK_EQ(bench_send(&bench, "53 00 00 00 00 00000028 00"), SENSE_NONE);
	for (u32 lba = 0; lba < 32; lba += 16)
		CHECK_EQ(bench_write(&bench, lba, 16, (u8)(lba + 1)), SENSE_NONE);
	CHECK_EQ(bench_write(&bench, 32, 8, 33), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, FLUSH), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, CLOSE_TRACK_1), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, TEST_UNIT_READY), SENSE_LONG_WRITE_IN_PROGRESS);
	wait_ready(&bench);
	CHECK_EQ(bench_send(&bench, FINALIZE), SENSE_NONE);
	wait_ready(&bench);
	CHECK_TEXT(medium_state_name(bench.drive.medium), "complete");
	CHECK_EQ(bench_read(&bench, 31, 2), SENSE_NONE);
	CHECK_EQ(bench.command.returned, 2 * SECTOR_SIZE);
	CHECK_EQ(bench.data[0], 17);
	CHECK_EQ(bench.data[SECTOR_SIZE], 33);
	bench_close(&bench);
}

static void dash_r_disc_at_once(void)
{
	struct bench bench;

	bench_open(&bench, "dvd-r");
	bench_write_parameters(&bench, WRITE_DISC_AT_ONCE, false);
	CHECK_EQ(bench_send(&bench, "53 00 00 00 00 00000020 00"), SENSE_NONE);
	CHECK_EQ(bench_write(&bench, 0, 32, 5), SENSE_NONE);
	CHECK_EQ(bench_write(&bench, 32, 1, 5), SENSE_INVALID_WRITE_ADDRESS);
	CHECK_EQ(bench_send(&bench, FLUSH_IMMEDIATE), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, TEST_UNIT_READY), SENSE_LONG_WRITE_IN_PROGRESS);
	wait_ready(&bench);
	CHECK_TEXT(medium_state_name(bench.drive.medium), "complete");
	bench_close(&bench);
}

static void dash_r_incremental(void)
{
	struct bench bench;

	bench_open(&bench, "dvd-r");
	bench_write_parameters(&bench, WRITE_INCREMENTAL, true);
	CHECK_EQ(bench_write(&bench, 0, 16, 5), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, FLUSH), SENSE_NONE);
	CHECK_TEXT(medium_state_name(bench.drive.medium), "appendable");
	CHECK_EQ(bench_send(&bench, CLOSE_TRACK_1), SENSE_NONE);
	wait_ready(&bench);
	CHECK_EQ(bench_send(&bench, CLOSE_SESSION), SENSE_NONE);
	wait_ready(&bench);
	CHECK_EQ(medium_sessions(bench.drive.medium), 2);
	CHECK_EQ(bench_send(&bench, FINALIZE), SENSE_INVALID_FIELD_IN_CDB);
	bench_write_parameters(&bench, WRITE_INCREMENTAL, false);
	CHECK_EQ(bench_send(&bench, CLOSE_SESSION), SENSE_NONE);
	CHECK_TEXT(medium_state_name(bench.drive.medium), "complete");
	bench_close(&bench);
}

static void wrong_write_type(void)
{
	struct bench bench;

	bench_open(&bench, "dvd-r");
	bench_write_parameters(&bench, WRITE_TRACK_AT_ONCE, false);
	CHECK_EQ(bench_write(&bench, 0, 16, 1), SENSE_ILLEGAL_MODE_FOR_TRACK);
	bench_close(&bench);
}

static void plus_rw(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+rw");
	CHECK_EQ(bench_write(&bench, 0, 16, 1), SENSE_INCOMPATIBLE_FORMAT);
	CHECK_EQ(format_unit(&bench, 0x26, 0, true), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, TEST_UNIT_READY), SENSE_FORMAT_IN_PROGRESS);
	wait_ready(&bench);
	CHECK_EQ(bench_write(&bench, 1000, 16, 1), SENSE_NONE);
	CHECK_EQ(bench_write(&bench, 1000, 16, 2), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, FLUSH), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, STOP_FORMAT), SENSE_NONE);
	wait_ready(&bench);
	CHECK_EQ(bench.drive.medium->format, FORMAT_STOPPED);
	CHECK_EQ(format_unit(&bench, 0x26, 1, true), SENSE_NONE);
	wait_ready(&bench);
	CHECK_EQ(bench.drive.medium->format, FORMAT_RUNNING);
	CHECK_EQ(bench_read(&bench, 1015, 1), SENSE_NONE);
	CHECK_EQ(bench.data[0], 2);
	CHECK_EQ(bench_send(&bench, CLOSE_TRACK_1), SENSE_INVALID_FIELD_IN_CDB);
	bench_close(&bench);
}

static void dash_rw_again(void)
{
	struct bench bench;

	bench_open(&bench, "dvd-rw");
	for (u8 round = 1; round < 4; round++) {
		CHECK_EQ(bench_write(&bench, 0, 16, round), SENSE_NONE);
		CHECK_EQ(bench_send(&bench, CLOSE_SESSION), SENSE_NONE);
		wait_ready(&bench);
		CHECK_EQ(bench_read(&bench, 0, 1), SENSE_NONE);
		CHECK_EQ(bench.data[0], round);
		CHECK_EQ(bench_send(&bench, BLANK_FAST), SENSE_NONE);
		CHECK_EQ(bench_send(&bench, TEST_UNIT_READY), SENSE_OPERATION_IN_PROGRESS);
		wait_ready(&bench);
		CHECK_EQ(bench_read(&bench, 0, 1), SENSE_LBA_OUT_OF_RANGE);
	}
	CHECK_EQ(bench_send(&bench, "a1 12 00000000 00 00 00 00 00 00"),
		 SENSE_INVALID_FIELD_IN_CDB);
	bench_close(&bench);
}

static void wrong_disc_for_the_command(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	CHECK_EQ(bench_send(&bench, BLANK_FAST), SENSE_INCOMPATIBLE_MEDIUM);
	CHECK_EQ(format_unit(&bench, 0x26, 0, true), SENSE_INCOMPATIBLE_MEDIUM);
	CHECK_EQ(bench_send(&bench, TEST_UNIT_READY), SENSE_NONE);
	bench_close(&bench);
	bench_open(&bench, "dvd+rw");
	CHECK_EQ(bench_send(&bench, BLANK_FAST), SENSE_INCOMPATIBLE_MEDIUM);
	CHECK_EQ(bench_send(&bench, "53 00 00 00 00 00000028 00"), SENSE_INCOMPATIBLE_MEDIUM);
	bench_close(&bench);
}

/* Without IMMED the command itself takes long, and the drive is ready after it. */
static void waiting_for_the_end(void)
{
	struct bench bench;

	bench_open(&bench, "dvd-rw");
	bench.drive.operation_ms = 700;
	CHECK_EQ(bench_write(&bench, 0, 16, 1), SENSE_NONE);
	CHECK_EQ(bench.command.duration_ms, 0);
	CHECK_EQ(bench_send(&bench, "5b 00 02 00 00 00 00 00 00 00"), SENSE_NONE);
	CHECK_EQ(bench.command.duration_ms, 700);
	CHECK_EQ(bench_send(&bench, "a1 01 00000000 00 00 00 00 00 00"), SENSE_NONE);
	CHECK_EQ(bench.command.duration_ms, 700);
	CHECK_EQ(bench_send(&bench, TEST_UNIT_READY), SENSE_NONE);
	bench_close(&bench);
	bench_open(&bench, "dvd+rw");
	CHECK_EQ(format_unit(&bench, 0x00, 0, false), SENSE_NONE);
	CHECK_EQ(bench.command.duration_ms, bench.drive.operation_ms);
	CHECK_EQ(bench_send(&bench, TEST_UNIT_READY), SENSE_NONE);
	bench_close(&bench);
}

static void bad_format_requests(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+rw");
	bench.length = 12;
	CHECK_EQ(bench_send(&bench, "04 00 00 00 00 00"), SENSE_INVALID_FIELD_IN_CDB);
	bench.length = 8;
	CHECK_EQ(bench_send(&bench, "04 11 00 00 00 00"), SENSE_PARAMETER_LIST_LENGTH);
	CHECK_EQ(format_unit(&bench, 0x15, 0, true), SENSE_INVALID_PARAMETER);
	CHECK_EQ(format_unit(&bench, 0x26, 1, true), SENSE_INVALID_PARAMETER);
	CHECK(medium_is_blank(bench.drive.medium));
	bench_close(&bench);
}

static void too_little_data(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	bench.length = 16 * SECTOR_SIZE - 1;
	CHECK_EQ(bench_send(&bench, "2a 00 00000000 00 0010 00"), SENSE_INVALID_FIELD_IN_CDB);
	CHECK(medium_is_blank(bench.drive.medium));
	bench.length = SECTOR_SIZE;
	CHECK_EQ(bench_send(&bench, "aa 00 00000000 00200000 00 00"), SENSE_INVALID_FIELD_IN_CDB);
	CHECK(medium_is_blank(bench.drive.medium));
	bench_close(&bench);
}

static void long_forms(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	memset(bench.data, 3, sizeof(bench.data));
	bench.length = 20 * SECTOR_SIZE;
	CHECK_EQ(bench_send(&bench, "aa 00 00000000 00000014 80 00"), SENSE_NONE);
	bench.length = 10 * SECTOR_SIZE;
	CHECK_EQ(bench_send(&bench, "a8 00 0000000a 0000000a 00 00"), SENSE_NONE);
	CHECK_EQ(bench.command.returned, 10 * SECTOR_SIZE);
	CHECK_EQ(bench.data[10 * SECTOR_SIZE - 1], 3);
	CHECK_EQ(bench_send(&bench, "2f 00 00000000 00 0014 00"), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, "2f 00 00000000 00 0015 00"), SENSE_LBA_OUT_OF_RANGE);
	CHECK_EQ(bench_send(&bench, "2f 02 00000000 00 0014 00"), SENSE_INVALID_FIELD_IN_CDB);
	CHECK_EQ(bench_send(&bench, "2b 00 00000014 00 00 00 00"), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, "2b 00 00000015 00 00 00 00"), SENSE_LBA_OUT_OF_RANGE);
	bench_close(&bench);
}

static void short_buffer_gets_the_beginning(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	CHECK_EQ(bench_write(&bench, 0, 16, 4), SENSE_NONE);
	memset(bench.data, 0, sizeof(bench.data));
	bench.length = 100;
	CHECK_EQ(bench_send(&bench, "28 00 00000000 00 0002 00"), SENSE_NONE);
	CHECK_EQ(bench.command.returned, 100);
	CHECK_EQ(bench.data[99], 4);
	CHECK_EQ(bench.data[100], 0);
	bench_close(&bench);
}

static void speeds(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	CHECK_EQ(bench_send(&bench, "bb 00 0000 15a4 00 00 00 00 00 00"), SENSE_NONE);
	CHECK_EQ(bench.drive.write_speed, 5540);
	CHECK_EQ(bench_send(&bench, "ac 04 00000000 0000 0001 00 00"), SENSE_NONE);
	CHECK_EQ(get_be32(bench.data), 20);
	CHECK_EQ(get_be32(bench.data + 8 + 4), 5540);
	CHECK_EQ(bench_send(&bench, "ac 00 00000000 0000 0009 03 00"), SENSE_NONE);
	CHECK_EQ(get_be32(bench.data), 4 + 3 * 16);
	CHECK_EQ(get_be32(bench.data + 8 + 12), 16 * 1385);
	CHECK_EQ(bench_send(&bench, "ac 00 00000000 0000 0001 03 00"), SENSE_NONE);
	CHECK_EQ(bench.command.returned, 24);
	CHECK_EQ(bench_send(&bench, "ac 00 00000000 0000 0001 07 00"), SENSE_INVALID_FIELD_IN_CDB);
	memset(bench.data, 0, 28);
	put_be32(bench.data + 8, 1000);
	put_be32(bench.data + 12, 11080);
	put_be32(bench.data + 16, 1000);
	put_be32(bench.data + 20, 11080);
	put_be32(bench.data + 24, 1000);
	bench.length = 28;
	CHECK_EQ(bench_send(&bench, "b6 00 00 00 00 00 00 00 00 001c 00"), SENSE_NONE);
	CHECK_EQ(bench.drive.write_speed, 11080);
	put_be32(bench.data + 24, 0);
	bench.length = 28;
	CHECK_EQ(bench_send(&bench, "b6 00 00 00 00 00 00 00 00 001c 00"), SENSE_INVALID_PARAMETER);
	bench.length = 20;
	CHECK_EQ(bench_send(&bench, "b6 00 00 00 00 00 00 00 00 001c 00"),
		 SENSE_PARAMETER_LIST_LENGTH);
	CHECK_EQ(bench.drive.write_speed, 11080);
	bench_close(&bench);
}

static void buffer_capacity(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	CHECK_EQ(bench_send(&bench, "5c 00 00 00 00 00 00 000c 00"), SENSE_NONE);
	CHECK_EQ(get_be16(bench.data), 10);
	CHECK_EQ(get_be32(bench.data + 4), get_be32(bench.data + 8));
	CHECK_EQ(bench_send(&bench, "5c 01 00 00 00 00 00 000c 00"), SENSE_NONE);
	CHECK_EQ(bench.data[3], 1);
	CHECK_EQ(get_be32(bench.data + 8), (2u << 20) / SECTOR_SIZE);
	bench_close(&bench);
}

static void mode_pages(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	CHECK_EQ(bench_send(&bench, "5a 00 3f 00 00 00 00 0100 00"), SENSE_NONE);
	CHECK_EQ(get_be16(bench.data), bench.command.returned - 2);
	CHECK_EQ(bench_send(&bench, "1a 00 05 00 ff 00"), SENSE_NONE);
	CHECK_EQ(bench.data[0] + 1u, bench.command.returned);
	CHECK_EQ(bench.data[4], 0x05);
	CHECK_EQ(bench_send(&bench, "5a 00 45 00 00 00 00 0100 00"), SENSE_NONE);
	CHECK_EQ(bench.data[8 + 2], 0x7f);	/* changeable */
	CHECK_EQ(bench_send(&bench, "5a 00 c5 00 00 00 00 0100 00"), SENSE_SAVING_NOT_SUPPORTED);
	CHECK_EQ(bench_send(&bench, "5a 00 0e 00 00 00 00 0100 00"), SENSE_INVALID_FIELD_IN_CDB);
	bench_close(&bench);
}

static sense_t select_page(struct bench *bench, const u8 *page, size_t length)
{
	memset(bench->data, 0, 8);
	memcpy(bench->data + 8, page, length);
	bench->length = 8 + length;
	return bench_send(bench, "55 10 00 00 00 00 00 %04zx 00", 8 + length);
}

static void bad_mode_selects(void)
{
	u8 caching[12] = { 0x08, 10, 0x00 };
	u8 pages[12 + 52] = { 0x08, 10, 0x00, [12] = 0x05, [13] = 50, [14] = 0x03 };
	struct bench bench;

	bench_open(&bench, "dvd-r");
	CHECK_EQ(select_page(&bench, caching, 11), SENSE_PARAMETER_LIST_LENGTH);
	caching[1] = 9;
	CHECK_EQ(select_page(&bench, caching, 12), SENSE_INVALID_PARAMETER);
	caching[0] = 0x2a;
	CHECK_EQ(select_page(&bench, caching, 12), SENSE_INVALID_PARAMETER);
	/* Raw writing in the second page: the first one must not be changed either */
	CHECK_EQ(select_page(&bench, pages, sizeof(pages)), SENSE_INVALID_PARAMETER);
	CHECK_EQ(bench_send(&bench, "5a 00 08 00 00 00 00 0100 00"), SENSE_NONE);
	CHECK_EQ(bench.data[8 + 2], 0x04);
	pages[14] = 0x10;	/* test writing */
	CHECK_EQ(select_page(&bench, pages, sizeof(pages)), SENSE_INVALID_PARAMETER);
	pages[14] = 0x00;
	CHECK_EQ(select_page(&bench, pages, sizeof(pages)), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, "5a 00 08 00 00 00 00 0100 00"), SENSE_NONE);
	CHECK_EQ(bench.data[8 + 2], 0x00);
	bench.length = 8;
	CHECK_EQ(bench_send(&bench, "55 00 00 00 00 00 00 0008 00"), SENSE_INVALID_FIELD_IN_CDB);
	CHECK_EQ(bench_send(&bench, "55 11 00 00 00 00 00 0008 00"), SENSE_INVALID_FIELD_IN_CDB);
	bench_close(&bench);
}

static void power_calibration(void)
{
	struct bench bench;

	bench_open(&bench, "dvd-r");
	CHECK_EQ(bench_send(&bench, "54 01 00 00 00 00 00 00 00 00"), SENSE_NONE);
	bench_close(&bench);
	bench_open(&bench, "none");
	CHECK_EQ(bench_send(&bench, "54 01 00 00 00 00 00 00 00 00"),
		 SENSE_NO_MEDIUM_TRAY_CLOSED);
	bench_close(&bench);
}

static const struct test tests[] = {
	{ "DVD+R: reserve, write, close, finalize, read", plus_r },
	{ "DVD-R: disc-at-once ends with the flush", dash_r_disc_at_once },
	{ "DVD-R: incremental, multi-session, then complete", dash_r_incremental },
	{ "DVD-R: another write type is refused", wrong_write_type },
	{ "DVD+RW: format, overwrite, stop and restart the format", plus_rw },
	{ "DVD-RW: write, blank, write", dash_rw_again },
	{ "a command for another kind of disc is refused", wrong_disc_for_the_command },
	{ "without IMMED a long operation answers late", waiting_for_the_end },
	{ "bad format requests change nothing", bad_format_requests },
	{ "a write with too little data writes nothing", too_little_data },
	{ "READ 12, WRITE 12, VERIFY and SEEK", long_forms },
	{ "a short buffer gets the beginning", short_buffer_gets_the_beginning },
	{ "speeds: SET CD SPEED, SET STREAMING, GET PERFORMANCE", speeds },
	{ "READ BUFFER CAPACITY in bytes and blocks", buffer_capacity },
	{ "mode pages: all, short form, changeable bits", mode_pages },
	{ "a bad MODE SELECT changes nothing", bad_mode_selects },
	{ "SEND OPC INFORMATION wants a disc to write", power_calibration },
};

int main(void)
{
	return run_tests(tests, ARRAY_SIZE(tests));
}
