// SPDX-License-Identifier: GPL-2.0-or-later
/* What the drive tells about itself and the disc, in every state that a burn goes through */
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define READ_CAPACITY		"25 00 00000000 00 00 00 00"
#define READ_DISC_INFORMATION	"51 00 00 00 00 00 00 00 22 00"
#define READ_FORMAT_CAPACITIES	"23 00 00 00 00 00 00 00 ff 00"
#define READ_TOC		"43 00 00 00 00 00 00 03 24 00"
#define READ_SESSIONS		"43 00 01 00 00 00 00 00 0c 00"
#define CLOSE_SESSION		"5b 00 02 00 00 00 00 00 00 00"
#define FINALIZE		"5b 00 06 00 00 00 00 00 00 00"

static u32 capacity(struct bench *bench)
{
	CHECK_EQ(bench_send(bench, READ_CAPACITY), SENSE_NONE);
	CHECK_EQ(get_be32(bench->data + 4), SECTOR_SIZE);
	return get_be32(bench->data);
}

/* Byte 2: erasable, state of the last session, disc status */
static u8 disc_state(struct bench *bench)
{
	CHECK_EQ(bench_send(bench, READ_DISC_INFORMATION), SENSE_NONE);
	CHECK_EQ(bench->command.returned, 34);
	CHECK_EQ(get_be16(bench->data), 32);
	return bench->data[2];
}

static sense_t track(struct bench *bench, unsigned int type, u32 address)
{
	return bench_send(bench, "52 %02x %08x 00 0030 00", type, address);
}

static void check_feature(struct bench *bench, u16 feature, bool current)
{
	CHECK_EQ(bench_send(bench, "46 02 %04x 00 00 00 0100 00", feature), SENSE_NONE);
	CHECK_EQ(get_be16(bench->data + 8), feature);
	CHECK_EQ(bench->data[10] & 0x01, current);
	CHECK_EQ(bench->command.returned, 8u + 4 + bench->data[11]);
}

static void profiles(void)
{
	static const struct {
		const char *kind;
		u16 profile;
	} kinds[] = {
		{ "none", 0x0000 }, { "dvd-r", 0x0011 }, { "dvd-rw", 0x0014 },
		{ "dvd+rw", 0x001a }, { "dvd+r", 0x001b },
	};

	for (size_t i = 0; i < 5; i++) {
		struct bench bench;

		bench_open(&bench, kinds[i].kind);
		CHECK_EQ(bench_send(&bench, "46 02 0000 00 00 00 0100 00"), SENSE_NONE);
		CHECK_EQ(get_be16(bench.data + 6), kinds[i].profile);
		CHECK_EQ(bench.data[11], 20);
		for (size_t at = 12; at < 12 + 20; at += 4)
			CHECK_EQ(bench.data[at + 2],
				 get_be16(bench.data + at) == kinds[i].profile);
		bench_close(&bench);
	}
}

static void features_follow_the_disc(void)
{
	static const char * const kinds[] = { "none", "dvd-r", "dvd-rw", "dvd+rw", "dvd+r" };
	enum { NONE = 1, DASH_R = 2, DASH_RW = 4, PLUS_RW = 8, PLUS_R = 16,
	       DASH = DASH_R | DASH_RW, DISC = DASH | PLUS_RW | PLUS_R, ALWAYS = DISC | NONE };
	static const struct {
		u16 feature;
		u8 kinds;
	} features[] = {
		{ 0x0001, ALWAYS }, { 0x0003, ALWAYS }, { 0x0010, DISC }, { 0x001f, DISC },
		{ 0x0020, PLUS_RW }, { 0x0021, DASH }, { 0x0023, PLUS_RW }, { 0x002a, PLUS_RW },
		{ 0x002b, PLUS_R }, { 0x002f, DASH }, { 0x0107, DISC },
	};

	for (size_t kind = 0; kind < 5; kind++) {
		struct bench bench;

		bench_open(&bench, kinds[kind]);
		for (size_t i = 0; i < ARRAY_SIZE(features); i++)
			check_feature(&bench, features[i].feature, features[i].kinds >> kind & 1);
		bench_close(&bench);
	}
}

static void which_features(void)
{
	struct bench bench;
	size_t all, current, at, count = 0;
	u16 previous = 0;

	bench_open(&bench, "dvd+r");
	CHECK_EQ(bench_send(&bench, "46 01 0000 00 00 00 0400 00"), SENSE_NONE);
	current = bench.command.returned;
	CHECK_EQ(bench_send(&bench, "46 00 0000 00 00 00 0400 00"), SENSE_NONE);
	all = bench.command.returned;
	CHECK(current < all);
	CHECK_EQ(get_be32(bench.data), all - 4);
	for (at = 8; at < all; at += 4u + bench.data[at + 3]) {
		CHECK(at == 8 || get_be16(bench.data + at) > previous);
		CHECK_EQ(bench.data[at + 3] % 4, 0);
		previous = get_be16(bench.data + at);
		count++;
	}
	CHECK_EQ(at, all);
	CHECK_EQ(count, 16);
	CHECK_EQ(bench_send(&bench, "46 00 0107 00 00 00 0400 00"), SENSE_NONE);
	CHECK_EQ(get_be16(bench.data + 8), 0x0107);
	CHECK_EQ(bench_send(&bench, "46 02 0099 00 00 00 0400 00"), SENSE_NONE);
	CHECK_EQ(bench.command.returned, 8);
	CHECK_EQ(bench_send(&bench, "46 00 0000 00 00 00 0008 00"), SENSE_NONE);
	CHECK_EQ(bench.command.returned, 8);
	CHECK_EQ(get_be32(bench.data), all - 4);
	CHECK_EQ(bench_send(&bench, "46 03 0000 00 00 00 0400 00"), SENSE_INVALID_FIELD_IN_CDB);
	bench_close(&bench);
}

static void blank_disc(void)
{
	static const char * const kinds[] = { "dvd-r", "dvd-rw", "dvd+rw", "dvd+r" };

	for (size_t i = 0; i < 4; i++) {
		struct bench bench;
		bool erasable = i == 1 || i == 2;

		bench_open(&bench, kinds[i]);
		CHECK_EQ(capacity(&bench), 0);
		CHECK_EQ(disc_state(&bench), erasable ? 0x10 : 0x00);
		CHECK_EQ(bench.data[4], 1);		/* one session, empty */
		CHECK_EQ(bench.data[5], 1);
		CHECK_EQ(bench.data[6], 1);
		CHECK_EQ(bench.data[7] & 0x03, FORMAT_NONE);
		CHECK_EQ(bench_send(&bench, READ_TOC), SENSE_INVALID_FIELD_IN_CDB);
		CHECK_EQ(bench_send(&bench, READ_SESSIONS), SENSE_INVALID_FIELD_IN_CDB);
		CHECK_EQ(track(&bench, 1, 1), SENSE_NONE);
		CHECK_EQ(bench.data[6] & 0x40, 0x40);	/* blank */
		CHECK_EQ(get_be32(bench.data + 16), bench.drive.medium->sectors);
		CHECK_EQ(bench_send(&bench, READ_FORMAT_CAPACITIES), SENSE_NONE);
		CHECK_EQ(bench.data[8] & 0x03, 1);	/* unformatted */
		CHECK_EQ(bench_read(&bench, 0, 1), SENSE_LBA_OUT_OF_RANGE);
		bench_close(&bench);
	}
}

static void sequential_disc_through_two_sessions(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	CHECK_EQ(bench_write(&bench, 0, 32, 1), SENSE_NONE);
	CHECK_EQ(capacity(&bench), 0);
	CHECK_EQ(disc_state(&bench), 0x05);	/* incomplete, incomplete */
	CHECK_EQ(track(&bench, 1, 1), SENSE_NONE);
	CHECK_EQ(bench.data[6] & 0x40, 0x00);
	CHECK_EQ(bench.data[7], 0x03);		/* both addresses are valid */
	CHECK_EQ(get_be32(bench.data + 12), 32);
	CHECK_EQ(get_be32(bench.data + 28), 31);

	CHECK_EQ(bench_send(&bench, CLOSE_SESSION), SENSE_NONE);
	CHECK_EQ(capacity(&bench), 31);
	CHECK_EQ(disc_state(&bench), 0x01);	/* incomplete, empty */
	CHECK_EQ(bench.data[4], 2);
	CHECK_EQ(bench.data[5], 2);
	CHECK_EQ(bench.data[6], 2);
	CHECK_EQ(track(&bench, 1, 1), SENSE_NONE);
	CHECK_EQ(bench.data[7], 0x02);
	CHECK_EQ(get_be32(bench.data + 24), 32);
	CHECK_EQ(track(&bench, 1, 0xff), SENSE_NONE);
	CHECK_EQ(bench.data[2], 2);
	CHECK_EQ(bench.data[3], 2);
	CHECK_EQ(bench.data[7], 0x01);
	CHECK_EQ(get_be32(bench.data + 12), 32 + 2048);

	CHECK_EQ(bench_write(&bench, 32 + 2048, 16, 2), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, FINALIZE), SENSE_NONE);
	CHECK_EQ(capacity(&bench), 32 + 2048 + 15);
	CHECK_EQ(disc_state(&bench), 0x0e);	/* complete, complete */
	CHECK_EQ(bench.data[4], 2);
	CHECK_EQ(bench_send(&bench, READ_TOC), SENSE_NONE);
	CHECK_EQ(get_be16(bench.data), 26);
	CHECK_EQ(bench.data[3], 2);
	CHECK_EQ(bench.data[4 + 2], 1);
	CHECK_EQ(get_be32(bench.data + 4 + 4), 0);
	CHECK_EQ(get_be32(bench.data + 12 + 4), 32 + 2048);
	CHECK_EQ(bench.data[20 + 2], 0xaa);
	CHECK_EQ(get_be32(bench.data + 20 + 4), 32 + 2048 + 16);
	CHECK_EQ(bench_send(&bench, READ_SESSIONS), SENSE_NONE);
	CHECK_EQ(bench.data[3], 2);
	CHECK_EQ(bench.data[6], 2);
	CHECK_EQ(get_be32(bench.data + 8), 32 + 2048);
	CHECK_EQ(track(&bench, 1, 0xff), SENSE_INVALID_FIELD_IN_CDB);
	bench_close(&bench);
}

static void table_of_contents_of_a_track(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	CHECK_EQ(bench_write(&bench, 0, 16, 1), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, FINALIZE), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, "43 00 00 00 00 00 aa 03 24 00"), SENSE_NONE);
	CHECK_EQ(bench.command.returned, 12);
	CHECK_EQ(bench.data[6], 0xaa);
	CHECK_EQ(get_be32(bench.data + 8), 16);
	CHECK_EQ(bench_send(&bench, "43 02 00 00 00 00 aa 03 24 00"), SENSE_NONE);
	CHECK_EQ(get_be32(bench.data + 8), 0x00000210);	/* 00:02:16 */
	CHECK_EQ(bench_send(&bench, "43 00 00 00 00 00 02 03 24 00"), SENSE_INVALID_FIELD_IN_CDB);
	/* The kernel asks for the sessions in the old way */
	CHECK_EQ(bench_send(&bench, "43 00 00 00 00 00 00 00 0c 40"), SENSE_NONE);
	CHECK_EQ(bench.data[6], 1);
	CHECK_EQ(bench_send(&bench, "43 00 02 00 00 00 00 00 0c 00"), SENSE_INVALID_FIELD_IN_CDB);
	bench_close(&bench);
}

static void tracks_are_found_in_three_ways(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	CHECK_EQ(bench_write(&bench, 0, 16, 1), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, CLOSE_SESSION), SENSE_NONE);
	CHECK_EQ(track(&bench, 0, 15), SENSE_NONE);
	CHECK_EQ(bench.data[2], 1);
	CHECK_EQ(track(&bench, 0, 16), SENSE_INVALID_FIELD_IN_CDB);
	CHECK_EQ(track(&bench, 0, 16 + 2048), SENSE_NONE);
	CHECK_EQ(bench.data[2], 2);
	CHECK_EQ(track(&bench, 2, 2), SENSE_NONE);
	CHECK_EQ(bench.data[2], 2);
	CHECK_EQ(track(&bench, 2, 3), SENSE_INVALID_FIELD_IN_CDB);
	CHECK_EQ(track(&bench, 1, 0), SENSE_INVALID_FIELD_IN_CDB);
	CHECK_EQ(track(&bench, 1, 3), SENSE_INVALID_FIELD_IN_CDB);
	CHECK_EQ(track(&bench, 3, 1), SENSE_INVALID_FIELD_IN_CDB);
	bench_close(&bench);
}

static void overwritable_disc(void)
{
	static const u8 list[12] = { 0, 0x02, 0, 8, 0, 0, 0, 0, 0x26 << 2 };
	struct bench bench;
	u32 sectors;

	bench_open(&bench, "dvd+rw");
	sectors = bench.drive.medium->sectors;
	memcpy(bench.data, list, sizeof(list));
	bench.length = sizeof(list);
	CHECK_EQ(bench_send(&bench, "04 11 00 00 00 00"), SENSE_NONE);
	bench.drive.now_ms += bench.drive.operation_ms;
	CHECK_EQ(disc_state(&bench), 0x1e);
	CHECK_EQ(bench.data[7] & 0x03, FORMAT_RUNNING);
	CHECK_EQ(capacity(&bench), sectors - 1);
	CHECK_EQ(bench_send(&bench, READ_FORMAT_CAPACITIES), SENSE_NONE);
	CHECK_EQ(bench.data[8] & 0x03, 2);	/* formatted */
	CHECK_EQ(bench.data[3], 24);
	CHECK_EQ(bench.data[24], 0x26 << 2);
	CHECK_EQ(track(&bench, 1, 1), SENSE_NONE);
	CHECK_EQ(get_be32(bench.data + 24), sectors);
	CHECK_EQ(track(&bench, 1, 2), SENSE_INVALID_FIELD_IN_CDB);
	CHECK_EQ(bench_send(&bench, READ_SESSIONS), SENSE_NONE);
	CHECK_EQ(bench.data[6], 1);
	CHECK_EQ(bench_send(&bench, READ_TOC), SENSE_NONE);
	CHECK_EQ(get_be32(bench.data + 12 + 4), sectors);
	bench.drive.now_ms += bench.drive.format_ms;
	CHECK_EQ(disc_state(&bench), 0x1e);
	CHECK_EQ(bench.data[7] & 0x03, FORMAT_COMPLETE);
	bench_close(&bench);
}

static void disc_from_an_image(void)
{
	struct bench bench;
	int fd = bench_file();

	bench_open(&bench, "none");
	CHECK_EQ(ftruncate(fd, 100 * SECTOR_SIZE), 0);
	drive_insert(&bench.drive, medium_new_image(fd));
	bench.drive.attention_count = 0;
	CHECK_EQ(drive_profile(&bench.drive), 0x10);
	CHECK_EQ(capacity(&bench), 99);
	CHECK_EQ(disc_state(&bench), 0x0e);
	CHECK_EQ(bench_read(&bench, 99, 1), SENSE_NONE);
	CHECK_EQ(bench_read(&bench, 100, 1), SENSE_LBA_OUT_OF_RANGE);
	CHECK_EQ(bench_write(&bench, 0, 1, 1), SENSE_WRITE_PROTECTED);
	bench_close(&bench);
}

static void disc_structures(void)
{
	static const struct {
		const char *kind;
		u8 format;
		u16 length;	/* zero: there is none */
	} structures[] = {
		{ "dvd+r", 0x00, 2050 }, { "dvd-r", 0x00, 2050 }, { "dvd+r", 0x01, 6 },
		{ "dvd+r", 0x11, 258 }, { "dvd+rw", 0x11, 258 }, { "dvd-r", 0x11, 0 },
		{ "dvd-r", 0x0e, 46 }, { "dvd-rw", 0x0e, 46 }, { "dvd+r", 0x0e, 0 },
		{ "dvd+r", 0xff, 14 }, { "dvd+r", 0x30, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(structures); i++) {
		struct bench bench;
		sense_t sense;

		bench_open(&bench, structures[i].kind);
		sense = bench_send(&bench, "ad 00 00000000 00 %02x 1000 00 00",
				   structures[i].format);
		if (structures[i].length) {
			CHECK_EQ(sense, SENSE_NONE);
			CHECK_EQ(get_be16(bench.data), structures[i].length);
			CHECK_EQ(bench.command.returned, structures[i].length + 2u);
		} else {
			CHECK_EQ(sense, SENSE_INVALID_FIELD_IN_CDB);
		}
		bench_close(&bench);
	}
}

static void read_track_of_a_reservation(void)
{
	struct bench bench;

	bench_open(&bench, "dvd-r");
	CHECK_EQ(bench_send(&bench, "53 00 00 00 00 00000028 00"), SENSE_NONE);
	CHECK_EQ(track(&bench, 1, 1), SENSE_NONE);
	CHECK_EQ(bench.data[6] & 0xe0, 0xe0);	/* reserved, blank, incremental */
	CHECK_EQ(get_be32(bench.data + 24), 48);
	CHECK_EQ(get_be32(bench.data + 16), 48);
	CHECK_EQ(disc_state(&bench), 0x05);
	CHECK_EQ(bench.data[5], 1);
	CHECK_EQ(bench.data[6], 2);
	CHECK_EQ(track(&bench, 1, 2), SENSE_NONE);
	CHECK_EQ(get_be32(bench.data + 12), 48);
	bench_close(&bench);
}

static const struct test tests[] = {
	{ "each kind of disc has its profile", profiles },
	{ "features become current with the disc", features_follow_the_disc },
	{ "GET CONFIGURATION: all, current, one, and from where", which_features },
	{ "a blank disc: no capacity, no table of contents, an empty session", blank_disc },
	{ "a sequential disc from the first write to the second session",
	  sequential_disc_through_two_sessions },
	{ "READ TOC of one track, in both notations, in the old and new way",
	  table_of_contents_of_a_track },
	{ "READ TRACK INFORMATION by address, track and session",
	  tracks_are_found_in_three_ways },
	{ "a reserved track is told as such", read_track_of_a_reservation },
	{ "a formatted DVD+RW has its full capacity at once", overwritable_disc },
	{ "a disc made from an image is a DVD-ROM", disc_from_an_image },
	{ "READ DISC STRUCTURE has what fits the disc", disc_structures },
};

int main(void)
{
	return run_tests(tests, ARRAY_SIZE(tests));
}
