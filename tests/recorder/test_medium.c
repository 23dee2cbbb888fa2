// SPDX-License-Identifier: GPL-2.0-or-later
/* What may be written where: the rules of the discs */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

static u8 sectors[64 * SECTOR_SIZE];

static sense_t write_at(struct medium *medium, u32 lba, u32 count, u8 fill)
{
	struct iovec iov = { sectors, (size_t)count * SECTOR_SIZE };

	memset(sectors, fill, sizeof(sectors));
	return medium_write(medium, lba, count, WRITE_INCREMENTAL, &iov, 1);
}

static sense_t write_once(struct medium *medium, u32 lba, u32 count)
{
	struct iovec iov = { sectors, (size_t)count * SECTOR_SIZE };

	return medium_write(medium, lba, count, WRITE_DISC_AT_ONCE, &iov, 1);
}

static u8 read_at(struct medium *medium, u32 lba)
{
	struct iovec iov = { sectors, SECTOR_SIZE };

	memset(sectors, 0xee, SECTOR_SIZE);
	if (medium_read(medium, lba, 1, &iov, 1))
		return 0xff;
	for (u32 i = 1; i < SECTOR_SIZE; i++)
		if (sectors[i] != sectors[0])
			return 0xfe;
	return sectors[0];
}

static void next_writable_address_only(void)
{
	struct medium *medium = bench_medium("dvd+r", 1024);

	CHECK_EQ(write_at(medium, 16, 16, 1), SENSE_INVALID_WRITE_ADDRESS);
	CHECK_EQ(write_at(medium, 0, 16, 1), SENSE_NONE);
	CHECK_EQ(write_at(medium, 0, 16, 2), SENSE_INVALID_WRITE_ADDRESS);
	CHECK_EQ(write_at(medium, 8, 16, 2), SENSE_INVALID_WRITE_ADDRESS);
	CHECK_EQ(write_at(medium, 17, 16, 2), SENSE_INVALID_WRITE_ADDRESS);
	CHECK_EQ(read_at(medium, 0), 1);
	CHECK_EQ(write_at(medium, 16, 32, 3), SENSE_NONE);
	CHECK_EQ(read_at(medium, 15), 1);
	CHECK_EQ(read_at(medium, 47), 3);
	CHECK_EQ(medium->sectors_written, 48);
	medium_free(medium);
}

static void no_room_no_write(void)
{
	struct medium *medium = bench_medium("dvd+r", 32);

	CHECK_EQ(write_at(medium, 0, 33, 1), SENSE_LBA_OUT_OF_RANGE);
	CHECK(medium_is_blank(medium));
	CHECK_EQ(write_at(medium, 0, 32, 1), SENSE_NONE);
	CHECK_EQ(write_at(medium, 32, 1, 1), SENSE_LBA_OUT_OF_RANGE);
	CHECK_EQ(write_at(medium, 0xffffffff, 1, 1), SENSE_LBA_OUT_OF_RANGE);
	medium_free(medium);
}

static void nothing_written_is_nothing(void)
{
	struct medium *medium = bench_medium("dvd-r", 1024);

	CHECK_EQ(write_at(medium, 0, 0, 1), SENSE_NONE);
	CHECK(medium_is_blank(medium));
	medium_free(medium);
}

static void unrecorded_cannot_be_read(void)
{
	struct medium *medium = bench_medium("dvd+r", 1024);
	struct iovec iov = { sectors, sizeof(sectors) };

	CHECK_EQ(medium_read(medium, 0, 1, &iov, 1), SENSE_LBA_OUT_OF_RANGE);
	CHECK_EQ(write_at(medium, 0, 16, 1), SENSE_NONE);
	CHECK_EQ(read_at(medium, 15), 1);
	CHECK_EQ(medium_read(medium, 15, 2, &iov, 1), SENSE_LBA_OUT_OF_RANGE);
	CHECK_EQ(medium_read(medium, 0xfffffff0, 0x20, &iov, 1), SENSE_LBA_OUT_OF_RANGE);
	medium_free(medium);
}

static void gap_between_sessions_cannot_be_read(void)
{
	struct medium *medium = bench_medium("dvd+r", 8192);
	struct iovec iov = { sectors, sizeof(sectors) };
	u32 second;

	CHECK_EQ(write_at(medium, 0, 16, 1), SENSE_NONE);
	CHECK_EQ(medium_close_session(medium, false), SENSE_NONE);
	second = medium_track(medium, 2)->next;
	CHECK_EQ(second, 16 + 2048);
	CHECK_EQ(write_at(medium, second, 16, 2), SENSE_NONE);
	CHECK_EQ(medium_read(medium, 0, 17, &iov, 1), SENSE_ILLEGAL_MODE_FOR_TRACK);
	CHECK_EQ(medium_read(medium, second - 1, 2, &iov, 1), SENSE_ILLEGAL_MODE_FOR_TRACK);
	CHECK_EQ(read_at(medium, second), 2);
	medium_free(medium);
}

static void capacity_is_that_of_closed_sessions(void)
{
	struct medium *medium = bench_medium("dvd-r", 100000);

	CHECK_EQ(medium_capacity(medium), 0);
	CHECK_EQ(write_at(medium, 0, 20, 1), SENSE_NONE);
	CHECK_EQ(medium_capacity(medium), 0);
	CHECK_EQ(medium_close_session(medium, false), SENSE_NONE);
	CHECK_EQ(medium_capacity(medium), 32);	/* filled up to an ECC block */
	CHECK_EQ(medium_sessions(medium), 2);
	CHECK_TEXT(medium_state_name(medium), "appendable");
	CHECK_EQ(write_at(medium, medium_track(medium, 2)->next, 16, 2), SENSE_NONE);
	CHECK_EQ(medium_capacity(medium), 32);
	CHECK_EQ(medium_close_session(medium, true), SENSE_NONE);
	CHECK_EQ(medium_capacity(medium), 32 + 12288 + 16);
	CHECK_EQ(medium_sessions(medium), 2);
	CHECK_TEXT(medium_state_name(medium), "complete");
	medium_free(medium);
}

static void finalized_takes_nothing(void)
{
	struct medium *medium = bench_medium("dvd+r", 100000);

	CHECK_EQ(write_at(medium, 0, 16, 1), SENSE_NONE);
	CHECK_EQ(medium_close_session(medium, true), SENSE_NONE);
	CHECK_EQ(medium_open_track(medium), 0);
	CHECK_EQ(write_at(medium, 16, 16, 1), SENSE_INVALID_WRITE_ADDRESS);
	CHECK_EQ(write_at(medium, 0, 16, 1), SENSE_INVALID_WRITE_ADDRESS);
	CHECK_EQ(medium_reserve_track(medium, 16, WRITE_INCREMENTAL), SENSE_NO_TRACK_RESERVATIONS);
	CHECK_EQ(medium_close_track(medium, 1), SENSE_INVALID_FIELD_IN_CDB);
	CHECK_EQ(medium_close_session(medium, true), SENSE_NONE);
	CHECK_EQ(read_at(medium, 0), 1);
	medium_free(medium);
}

static void flush_fills_up_the_ecc_block(void)
{
	struct medium *medium = bench_medium("dvd-r", 1024);

	CHECK_EQ(write_at(medium, 0, 5, 1), SENSE_NONE);
	CHECK_EQ(medium_track(medium, 1)->next, 5);
	medium_flush(medium, false);
	CHECK_EQ(medium_track(medium, 1)->next, 16);
	medium_flush(medium, false);
	CHECK_EQ(medium_track(medium, 1)->next, 16);
	CHECK_EQ(write_at(medium, 5, 1, 1), SENSE_INVALID_WRITE_ADDRESS);
	CHECK_EQ(read_at(medium, 4), 1);
	CHECK_EQ(read_at(medium, 5), 0);
	medium_free(medium);
}

static void reserved_track_has_an_end(void)
{
	struct medium *medium = bench_medium("dvd+r", 1024);

	CHECK_EQ(medium_reserve_track(medium, 20, WRITE_INCREMENTAL), SENSE_NONE);
	CHECK_EQ(medium->track_count, 2);
	CHECK_EQ(medium_track(medium, 1)->size, 32);
	CHECK_EQ(medium_open_track(medium), 2);
	CHECK_EQ(write_at(medium, 0, 33, 1), SENSE_END_OF_TRACK);
	CHECK_EQ(write_at(medium, 0, 16, 1), SENSE_NONE);
	CHECK_EQ(medium_close_session(medium, false), SENSE_INCOMPLETE_TRACK);
	CHECK_EQ(write_at(medium, 32, 16, 2), SENSE_NONE);	/* the one behind it */
	CHECK_EQ(write_at(medium, 16, 16, 1), SENSE_NONE);
	CHECK_EQ(medium_close_session(medium, true), SENSE_NONE);
	CHECK_EQ(medium_capacity(medium), 48);
	CHECK_EQ(read_at(medium, 31), 1);
	CHECK_EQ(read_at(medium, 32), 2);
	medium_free(medium);
}

static void only_an_empty_track_can_be_reserved(void)
{
	struct medium *medium = bench_medium("dvd+r", 1024);

	CHECK_EQ(medium_reserve_track(medium, 0, WRITE_INCREMENTAL), SENSE_INVALID_FIELD_IN_CDB);
	CHECK_EQ(medium_reserve_track(medium, 1025, WRITE_INCREMENTAL),
		 SENSE_INVALID_FIELD_IN_CDB);
	CHECK_EQ(write_at(medium, 0, 16, 1), SENSE_NONE);
	CHECK_EQ(medium_reserve_track(medium, 16, WRITE_INCREMENTAL), SENSE_SEQUENCE_ERROR);
	CHECK_EQ(medium_close_track(medium, 1), SENSE_NONE);
	CHECK_EQ(medium_reserve_track(medium, 16, WRITE_INCREMENTAL), SENSE_NONE);
	CHECK_EQ(medium->track_count, 3);
	medium_free(medium);
}

static void closing_a_track(void)
{
	struct medium *medium = bench_medium("dvd+r", 1024);

	CHECK_EQ(medium_close_track(medium, 0), SENSE_INVALID_FIELD_IN_CDB);
	CHECK_EQ(medium_close_track(medium, 1), SENSE_INVALID_FIELD_IN_CDB);
	CHECK_EQ(medium_close_track(medium, 2), SENSE_INVALID_FIELD_IN_CDB);
	CHECK_EQ(write_at(medium, 0, 20, 1), SENSE_NONE);
	CHECK_EQ(medium_close_track(medium, 1), SENSE_NONE);
	CHECK_EQ(medium_close_track(medium, 1), SENSE_NONE);
	CHECK_EQ(medium_track(medium, 1)->size, 32);
	CHECK_EQ(medium_track(medium, 2)->next, 32);
	CHECK_EQ(medium_track(medium, 2)->session, 1);
	CHECK_EQ(write_at(medium, 20, 12, 1), SENSE_INVALID_WRITE_ADDRESS);
	medium_free(medium);
}

static void empty_session_cannot_be_closed(void)
{
	struct medium *medium = bench_medium("dvd+r", 100000);

	CHECK_EQ(medium_close_session(medium, false), SENSE_INCOMPLETE_TRACK);
	CHECK_EQ(medium_close_session(medium, true), SENSE_INCOMPLETE_TRACK);
	CHECK_EQ(write_at(medium, 0, 16, 1), SENSE_NONE);
	CHECK_EQ(medium_close_session(medium, false), SENSE_NONE);
	CHECK_EQ(medium_close_session(medium, false), SENSE_INCOMPLETE_TRACK);
	CHECK_EQ(medium_close_session(medium, true), SENSE_NONE);
	CHECK_EQ(medium_sessions(medium), 1);
	CHECK_EQ(medium->track_count, 1);
	medium_free(medium);
}

static void disc_too_full_for_another_session(void)
{
	struct medium *medium = bench_medium("dvd-r", 64);

	CHECK_EQ(write_at(medium, 0, 16, 1), SENSE_NONE);
	CHECK_EQ(medium_close_session(medium, false), SENSE_NONE);
	CHECK_TEXT(medium_state_name(medium), "complete");
	medium_free(medium);
}

static void so_many_tracks_and_no_more(void)
{
	struct medium *medium = bench_medium("dvd+r", 100000);
	unsigned int tracks = 0;

	while (medium_reserve_track(medium, 16, WRITE_INCREMENTAL) == SENSE_NONE)
		tracks++;
	CHECK_EQ(tracks, MEDIUM_MAX_TRACKS - 1);
	CHECK_EQ(medium->track_count, MEDIUM_MAX_TRACKS);
	for (u32 lba = 0; lba < tracks * 16; lba += 16)
		CHECK_EQ(write_at(medium, lba, 16, 1), SENSE_NONE);
	CHECK_EQ(write_at(medium, tracks * 16, 16, 1), SENSE_NONE);
	CHECK_EQ(medium_close_track(medium, MEDIUM_MAX_TRACKS), SENSE_NONE);
	CHECK_EQ(medium->track_count, MEDIUM_MAX_TRACKS);
	CHECK_EQ(medium_open_track(medium), 0);
	CHECK_EQ(medium_close_session(medium, false), SENSE_NONE);
	CHECK_TEXT(medium_state_name(medium), "complete");
	medium_free(medium);
}

static void disc_at_once_ends_with_a_flush(void)
{
	struct medium *medium = bench_medium("dvd-r", 1024);

	CHECK_EQ(medium_reserve_track(medium, 32, WRITE_DISC_AT_ONCE), SENSE_NONE);
	CHECK_EQ(medium->track_count, 1);
	medium_flush(medium, false);
	CHECK_TEXT(medium_state_name(medium), "appendable");
	CHECK_EQ(write_at(medium, 0, 16, 1), SENSE_ILLEGAL_MODE_FOR_TRACK);
	CHECK_EQ(write_once(medium, 0, 32), SENSE_NONE);
	medium_flush(medium, false);
	CHECK_TEXT(medium_state_name(medium), "complete");
	CHECK_EQ(medium_capacity(medium), 32);
	CHECK_EQ(write_once(medium, 32, 1), SENSE_INVALID_WRITE_ADDRESS);
	medium_free(medium);
}

static void disc_at_once_needs_a_blank_disc(void)
{
	struct medium *medium = bench_medium("dvd-r", 1024);

	CHECK_EQ(write_at(medium, 0, 16, 1), SENSE_NONE);
	CHECK_EQ(write_once(medium, 16, 16), SENSE_ILLEGAL_MODE_FOR_TRACK);
	CHECK_EQ(medium_close_track(medium, 1), SENSE_NONE);
	CHECK_EQ(medium_reserve_track(medium, 16, WRITE_DISC_AT_ONCE),
		 SENSE_ILLEGAL_MODE_FOR_TRACK);
	medium_free(medium);
}

static void plus_discs_know_no_write_type(void)
{
	struct medium *medium = bench_medium("dvd+r", 1024);

	CHECK_EQ(write_once(medium, 0, 16), SENSE_NONE);
	CHECK_EQ(write_at(medium, 16, 16, 1), SENSE_NONE);
	medium_flush(medium, false);
	CHECK_TEXT(medium_state_name(medium), "appendable");
	medium_free(medium);
}

static void formatted_disc_can_be_overwritten(void)
{
	struct medium *medium = bench_medium("dvd+rw", 1024);

	CHECK_EQ(write_at(medium, 0, 16, 1), SENSE_INCOMPATIBLE_FORMAT);
	CHECK_EQ(medium_capacity(medium), 0);
	CHECK_EQ(medium_format(medium, true), SENSE_INVALID_PARAMETER);
	CHECK_EQ(medium_format(medium, false), SENSE_NONE);
	CHECK_EQ(medium_capacity(medium), 1024);
	CHECK_EQ(write_at(medium, 500, 16, 1), SENSE_NONE);
	CHECK_EQ(write_at(medium, 500, 16, 2), SENSE_NONE);
	CHECK_EQ(read_at(medium, 500), 2);
	CHECK_EQ(read_at(medium, 499), 0);
	CHECK_EQ(read_at(medium, 1023), 0);
	CHECK_EQ(write_at(medium, 1020, 5, 1), SENSE_LBA_OUT_OF_RANGE);
	CHECK_EQ(medium_close_session(medium, true), SENSE_INCOMPATIBLE_MEDIUM);
	CHECK_EQ(medium_reserve_track(medium, 16, WRITE_INCREMENTAL), SENSE_INCOMPATIBLE_MEDIUM);
	medium_free(medium);
}

static void format_goes_on_where_it_was_stopped(void)
{
	struct medium *medium = bench_medium("dvd+rw", 1024);

	CHECK_EQ(medium_format(medium, false), SENSE_NONE);
	CHECK_EQ(write_at(medium, 0, 16, 7), SENSE_NONE);
	medium_stop_format(medium);
	CHECK_EQ(medium->format, FORMAT_STOPPED);
	CHECK_EQ(medium_format(medium, true), SENSE_NONE);
	CHECK_EQ(medium->format, FORMAT_RUNNING);
	CHECK_EQ(read_at(medium, 0), 7);
	medium_free(medium);
}

static void only_erasable_discs_are_blanked(void)
{
	static const char * const kinds[] = { "dvd+r", "dvd-r", "dvd+rw", "dvd-rw" };

	for (size_t i = 0; i < 4; i++) {
		struct medium *medium = bench_medium(kinds[i], 1024);
		bool erasable = i == 3;

		if (i != 2)
			CHECK_EQ(write_at(medium, 0, 16, 1), SENSE_NONE);
		CHECK_EQ(medium_blank(medium),
			 erasable ? SENSE_NONE : SENSE_INCOMPATIBLE_MEDIUM);
		CHECK_EQ(medium_is_blank(medium), erasable || i == 2);
		if (erasable)
			CHECK_EQ(write_at(medium, 0, 16, 2), SENSE_NONE);
		medium_free(medium);
	}
}

static void image_is_read_only(void)
{
	struct medium *medium;
	int fd = bench_file();

	CHECK(!medium_new_image(fd));
	CHECK_EQ(ftruncate(fd, 3 * SECTOR_SIZE + 1), 0);
	medium = medium_new_image(fd);
	CHECK(medium);
	CHECK_EQ(medium_capacity(medium), 4);
	CHECK_EQ(read_at(medium, 3), 0);
	CHECK_EQ(write_at(medium, 0, 1, 1), SENSE_WRITE_PROTECTED);
	CHECK_EQ(medium_blank(medium), SENSE_INCOMPATIBLE_MEDIUM);
	CHECK_EQ(medium_format(medium, false), SENSE_INCOMPATIBLE_MEDIUM);
	CHECK(!medium_new_blank(medium_type_by_name("dvd-rom"), 0, 0));
	CHECK(!medium_type_by_name("floppy"));
	medium_free(medium);
}

static void failing_storage_is_a_medium_error(void)
{
	struct medium *medium = bench_medium("dvd+r", 1024);

	CHECK_EQ(write_at(medium, 0, 16, 1), SENSE_NONE);
	close(medium->fd);
	CHECK_EQ(write_at(medium, 16, 16, 1), SENSE_WRITE_ERROR);
	CHECK_EQ(medium_track(medium, 1)->next, 16);
	CHECK_EQ(read_at(medium, 0), 0xff);
	medium->fd = bench_file();
	medium_free(medium);
}

/* Random operations: what has once been readable stays as it is, unless blanked. */
static void written_sectors_never_change(void)
{
	static const char * const kinds[] = { "dvd+r", "dvd-r" };
	enum { SECTORS = 40000, ROUNDS = 4000 };
	static u8 written[SECTORS];

	for (unsigned int seed = 0; seed < 8; seed++) {
		struct medium *medium = bench_medium(kinds[seed % 2], SECTORS);

		memset(written, 0, sizeof(written));
		srandom(seed);
		for (unsigned int round = 0; round < ROUNDS; round++) {
			unsigned int number = (unsigned int)random() % (medium->track_count + 1);
			const struct track *track = medium_track(medium, number);
			u32 lba = track && random() % 4 ? track->next : random() % SECTORS;
			u32 count = 1 + random() % 24;
			u8 fill = 1 + random() % 200;

			switch (random() % 16) {
			case 0:
				medium_close_track(medium, number);
				break;
			case 1:
				medium_close_session(medium, random() % 8 == 0);
				break;
			case 2:
				medium_reserve_track(medium, count * 16, WRITE_INCREMENTAL);
				break;
			case 3:
				medium_flush(medium, random() % 2);
				break;
			default:
				if (write_at(medium, lba, count, fill))
					break;
				for (u32 i = lba; i < lba + count; i++) {
					CHECK_EQ(written[i], 0);
					written[i] = fill;
				}
			}
		}
		for (u32 i = 0; i < SECTORS; i++)
			if (written[i])
				CHECK_EQ(read_at(medium, i), written[i]);
		medium_free(medium);
	}
}

static const struct test tests[] = {
	{ "a sequential disc takes writes at the next writable address only",
	  next_writable_address_only },
	{ "nothing is written beyond the end of the disc", no_room_no_write },
	{ "a write of no sectors leaves the disc blank", nothing_written_is_nothing },
	{ "what is not recorded cannot be read", unrecorded_cannot_be_read },
	{ "the gap between two sessions cannot be read", gap_between_sessions_cannot_be_read },
	{ "the capacity is that of the closed sessions", capacity_is_that_of_closed_sessions },
	{ "a finalized disc takes nothing any more", finalized_takes_nothing },
	{ "a flush fills up the ECC block", flush_fills_up_the_ecc_block },
	{ "a reserved track has an end and has to be full", reserved_track_has_an_end },
	{ "only an empty track can be reserved", only_an_empty_track_can_be_reserved },
	{ "closing a track opens the next one behind it", closing_a_track },
	{ "an empty session cannot be closed", empty_session_cannot_be_closed },
	{ "a disc without room for another session becomes complete",
	  disc_too_full_for_another_session },
	{ "the number of tracks is limited", so_many_tracks_and_no_more },
	{ "disc-at-once ends with a flush", disc_at_once_ends_with_a_flush },
	{ "disc-at-once needs a blank disc", disc_at_once_needs_a_blank_disc },
	{ "plus discs know no write type", plus_discs_know_no_write_type },
	{ "a formatted DVD+RW can be overwritten", formatted_disc_can_be_overwritten },
	{ "a background format goes on where it was stopped",
	  format_goes_on_where_it_was_stopped },
	{ "only erasable sequential discs are blanked", only_erasable_discs_are_blanked },
	{ "a disc made from an image is read only", image_is_read_only },
	{ "failing storage is a medium error and changes nothing",
	  failing_storage_is_a_medium_error },
	{ "random writing never changes a written sector", written_sectors_never_change },
};

int main(void)
{
	return run_tests(tests, ARRAY_SIZE(tests));
}
