// SPDX-License-Identifier: GPL-2.0-or-later
/* The drive around the disc: gates, unit attentions, tray, prevention, events */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define TEST_UNIT_READY		"00 00 00 00 00 00"
#define EJECT			"1b 00 00 00 02 00"
#define LOAD			"1b 00 00 00 03 00"
#define PREVENT			"1e 00 00 00 01 00"
#define ALLOW			"1e 00 00 00 00 00"
#define PERSISTENT_PREVENT	"1e 00 00 00 03 00"
#define PERSISTENT_ALLOW	"1e 00 00 00 02 00"
#define GET_MEDIA_EVENT		"4a 01 00 00 10 00 00 00 08 00"
#define WRITE_16_AT_0		"2a 00 00000000 00 0010 00"

/* Event code and, in the low byte, media status */
static unsigned int media_event(struct bench *bench)
{
	CHECK_EQ(bench_send(bench, GET_MEDIA_EVENT), SENSE_NONE);
	CHECK_EQ(bench->command.returned, 8);
	CHECK_EQ(bench->data[2], EVENT_MEDIA);
	return get_be16(bench->data + 4);
}

static void no_disc(void)
{
	struct bench bench;

	bench_open(&bench, "none");
	CHECK_EQ(bench_send(&bench, TEST_UNIT_READY), SENSE_NO_MEDIUM_TRAY_CLOSED);
	CHECK_EQ(bench_send(&bench, EJECT), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, TEST_UNIT_READY), SENSE_NO_MEDIUM_TRAY_OPEN);
	CHECK_EQ(bench_send(&bench, "25 00 00000000 00 00 00 00"), SENSE_NO_MEDIUM_TRAY_OPEN);
	CHECK_EQ(drive_profile(&bench.drive), 0);
	CHECK_EQ(bench_send(&bench, LOAD), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, TEST_UNIT_READY), SENSE_NO_MEDIUM_TRAY_CLOSED);
	bench_close(&bench);
}

static void unknown_commands(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	CHECK_EQ(bench_send(&bench, "be 00 00000000 000001 10 00 00"), SENSE_INVALID_OPCODE);
	CHECK_EQ(bench_send(&bench, "ff"), SENSE_INVALID_OPCODE);
	CHECK_EQ(bench_send(&bench, "5f 00"), SENSE_INVALID_OPCODE);
	CHECK_TEXT(drive_opcode_name(0xff), "-");
	CHECK_TEXT(drive_opcode_name(0x2a), "WRITE_10");
	bench_close(&bench);
}

static void attention_before_anything_else(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	drive_reset(&bench.drive, true);
	drive_raise_attention(&bench.drive, SENSE_MEDIUM_CHANGED);
	/* These four are answered as if nothing was */
	CHECK_EQ(bench_send(&bench, "12 00 00 00 60 00"), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, "46 00 00 00 00 00 00 00 08 00"), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, GET_MEDIA_EVENT), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, WRITE_16_AT_0), SENSE_RESET_OCCURRED);
	CHECK(medium_is_blank(bench.drive.medium));
	CHECK_EQ(bench_send(&bench, EJECT), SENSE_MEDIUM_CHANGED);
	CHECK(!bench.drive.tray_open);
	CHECK_EQ(bench_send(&bench, TEST_UNIT_READY), SENSE_NONE);
	bench_close(&bench);
}

static void request_sense_takes_the_attention(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	drive_raise_attention(&bench.drive, SENSE_MEDIUM_CHANGED);
	CHECK_EQ(bench_send(&bench, "03 00 00 00 12 00"), SENSE_NONE);
	CHECK_EQ(bench.data[0], 0x70);
	CHECK_EQ(bench.data[2], 0x06);
	CHECK_EQ(bench.data[12], 0x28);
	CHECK_EQ(bench_send(&bench, "03 00 00 00 12 00"), SENSE_NONE);
	CHECK_EQ(bench.data[2], 0x00);
	CHECK_EQ(bench_send(&bench, TEST_UNIT_READY), SENSE_NONE);
	bench_close(&bench);
}

static void attentions_do_not_overflow(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	for (int i = 0; i < 100; i++)
		drive_raise_attention(&bench.drive, SENSE_MEDIUM_CHANGED);
	for (int i = 0; i < MAX_UNIT_ATTENTIONS; i++)
		CHECK_EQ(bench_send(&bench, TEST_UNIT_READY), SENSE_MEDIUM_CHANGED);
	CHECK_EQ(bench_send(&bench, TEST_UNIT_READY), SENSE_NONE);
	bench_close(&bench);
}

static void prevented_tray_stays_shut(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	CHECK_EQ(bench_send(&bench, PREVENT), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, EJECT), SENSE_REMOVAL_PREVENTED);
	CHECK_EQ(bench.command.sense[2], 0x05);
	CHECK_EQ(bench.command.sense[12], 0x53);
	CHECK_EQ(bench.command.sense[13], 0x02);
	CHECK(!bench.drive.tray_open);
	CHECK(!drive_press_eject(&bench.drive));
	CHECK(!bench.drive.tray_open);
	CHECK_EQ(bench_send(&bench, ALLOW), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, EJECT), SENSE_NONE);
	CHECK(bench.drive.tray_open);
	bench_close(&bench);
}

/* Each of the two is set and cleared by itself. */
static void prevention_is_of_two_kinds(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	CHECK_EQ(bench_send(&bench, PREVENT), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, PERSISTENT_PREVENT), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, ALLOW), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, EJECT), SENSE_REMOVAL_PREVENTED);
	CHECK_EQ(bench_send(&bench, PERSISTENT_ALLOW), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, EJECT), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, LOAD), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, EJECT), SENSE_MEDIUM_CHANGED);
	CHECK_EQ(bench_send(&bench, PREVENT), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, PERSISTENT_ALLOW), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, EJECT), SENSE_REMOVAL_PREVENTED);
	bench_close(&bench);
}

static void prevention_does_not_add_up(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	CHECK_EQ(bench_send(&bench, PREVENT), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, PREVENT), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, ALLOW), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, EJECT), SENSE_NONE);
	bench_close(&bench);
}

static void mode_page_shows_the_lock(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	CHECK_EQ(bench_send(&bench, "5a 00 2a 00 00 00 00 00 80 00"), SENSE_NONE);
	CHECK_EQ(bench.data[8], 0x2a);
	CHECK_EQ(bench.data[8 + 6] & 0x02, 0x00);
	CHECK_EQ(bench_send(&bench, PREVENT), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, "5a 00 2a 00 00 00 00 00 80 00"), SENSE_NONE);
	CHECK_EQ(bench.data[8 + 6] & 0x02, 0x02);
	bench_close(&bench);
}

static void reset_unlocks_the_tray(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	CHECK_EQ(bench_send(&bench, PREVENT), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, PERSISTENT_PREVENT), SENSE_NONE);
	bench_write_parameters(&bench, WRITE_DISC_AT_ONCE, false);
	drive_reset(&bench.drive, true);
	CHECK_EQ(bench_send(&bench, TEST_UNIT_READY), SENSE_RESET_OCCURRED);
	CHECK_EQ(bench_send(&bench, "5a 00 05 00 00 00 00 00 3c 00"), SENSE_NONE);
	CHECK_EQ(bench.data[8 + 2] & 0x0f, WRITE_INCREMENTAL);
	CHECK_EQ(bench_send(&bench, EJECT), SENSE_NONE);
	bench_close(&bench);
}

/* A transport that reports resets itself must not have them reported twice. */
static void silent_reset(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	CHECK_EQ(bench_send(&bench, PREVENT), SENSE_NONE);
	drive_reset(&bench.drive, false);
	CHECK_EQ(bench_send(&bench, EJECT), SENSE_NONE);
	bench_close(&bench);
}

static void loading_a_disc(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	bench.drive.spin_up_ms = 3000;
	CHECK_EQ(bench_send(&bench, EJECT), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, LOAD), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, TEST_UNIT_READY), SENSE_MEDIUM_CHANGED);
	CHECK_EQ(bench_send(&bench, TEST_UNIT_READY), SENSE_BECOMING_READY);
	bench.drive.now_ms += 2999;
	CHECK_EQ(bench_send(&bench, WRITE_16_AT_0), SENSE_BECOMING_READY);
	bench.drive.now_ms += 1;
	CHECK_EQ(bench_send(&bench, TEST_UNIT_READY), SENSE_NONE);
	bench_close(&bench);
}

static void loading_what_is_loaded(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	CHECK_EQ(bench_send(&bench, LOAD), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, TEST_UNIT_READY), SENSE_NONE);
	CHECK_EQ(media_event(&bench), 0x0002);
	bench_close(&bench);
}

static void media_events(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	CHECK_EQ(media_event(&bench), 0x0002);		/* nothing, disc present */
	CHECK_EQ(bench_send(&bench, EJECT), SENSE_NONE);
	CHECK_EQ(media_event(&bench), 0x0301);		/* removal, tray open */
	CHECK_EQ(media_event(&bench), 0x0001);
	CHECK_EQ(bench_send(&bench, LOAD), SENSE_NONE);
	CHECK_EQ(media_event(&bench), 0x0202);		/* new disc */
	CHECK_EQ(media_event(&bench), 0x0002);
	CHECK_EQ(bench_send(&bench, TEST_UNIT_READY), SENSE_MEDIUM_CHANGED);
	bench_close(&bench);
}

static void eject_button(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	CHECK(drive_press_eject(&bench.drive));
	CHECK(bench.drive.tray_open);
	CHECK_EQ(media_event(&bench), 0x0301);
	CHECK(drive_press_eject(&bench.drive));
	CHECK(!bench.drive.tray_open);
	CHECK_EQ(bench_send(&bench, PREVENT), SENSE_MEDIUM_CHANGED);
	CHECK_EQ(bench_send(&bench, PREVENT), SENSE_NONE);
	CHECK_EQ(media_event(&bench), 0x0202);
	CHECK(!drive_press_eject(&bench.drive));
	CHECK_EQ(media_event(&bench), 0x0102);		/* eject request, disc present */
	CHECK_EQ(media_event(&bench), 0x0002);
	bench_close(&bench);
}

static void operational_change_comes_first(void)
{
	struct bench bench;

	bench_open(&bench, "none");
	drive_insert(&bench.drive, bench_medium("dvd+rw", 0));
	CHECK_EQ(bench_send(&bench, "4a 01 00 00 12 00 00 00 08 00"), SENSE_NONE);
	CHECK_EQ(bench.data[2], EVENT_OPERATIONAL_CHANGE);
	CHECK_EQ(bench.data[4], EVENT_FEATURE_CHANGE);
	CHECK_EQ(get_be16(bench.data + 6), 0x0001);
	CHECK_EQ(bench_send(&bench, "4a 01 00 00 12 00 00 00 08 00"), SENSE_NONE);
	CHECK_EQ(bench.data[2], EVENT_MEDIA);
	CHECK_EQ(bench.data[4], EVENT_MEDIA_NEW);
	CHECK_EQ(bench_send(&bench, "4a 01 00 00 12 00 00 00 08 00"), SENSE_NONE);
	CHECK_EQ(bench.data[2], EVENT_OPERATIONAL_CHANGE);
	CHECK_EQ(bench.data[4], EVENT_NONE);
	bench_close(&bench);
}

static void event_is_kept_if_there_is_no_room(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	CHECK_EQ(bench_send(&bench, EJECT), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, "4a 01 00 00 10 00 00 00 04 00"), SENSE_NONE);
	CHECK_EQ(bench.command.returned, 4);
	CHECK_EQ(media_event(&bench), 0x0301);
	bench_close(&bench);
}

static void event_classes(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	CHECK_EQ(bench_send(&bench, "4a 00 00 00 10 00 00 00 08 00"), SENSE_INVALID_FIELD_IN_CDB);
	CHECK_EQ(bench_send(&bench, "4a 01 00 00 81 00 00 00 08 00"), SENSE_NONE);
	CHECK_EQ(bench.command.returned, 4);
	CHECK_EQ(bench.data[2], 0x80);	/* none of these */
	CHECK_EQ(bench.data[3], 0x5e);
	CHECK_EQ(bench_send(&bench, "4a 01 00 00 04 00 00 00 08 00"), SENSE_NONE);
	CHECK_EQ(bench.data[2], EVENT_POWER);
	CHECK_EQ(bench.data[5], 0x01);
	bench_close(&bench);
}

static void busy_events_and_progress(void)
{
	struct bench bench;

	bench_open(&bench, "dvd-rw");
	bench.drive.operation_ms = 1000;
	CHECK_EQ(bench_send(&bench, "a1 11 00000000 00 00 00 00 00 00"), SENSE_NONE);
	bench.drive.now_ms += 500;
	CHECK_EQ(bench_send(&bench, "4a 01 00 00 40 00 00 00 08 00"), SENSE_NONE);
	CHECK_EQ(bench.data[2], EVENT_BUSY);
	CHECK_EQ(bench.data[5], 0x01);
	CHECK_EQ(get_be16(bench.data + 6), 5);
	CHECK_EQ(bench_send(&bench, TEST_UNIT_READY), SENSE_OPERATION_IN_PROGRESS);
	CHECK_EQ(bench.command.sense[15], 0x80);
	CHECK_EQ(get_be16(bench.command.sense + 16), 0x7fff);
	CHECK_EQ(bench_send(&bench, "03 00 00 00 12 00"), SENSE_NONE);
	CHECK_EQ(bench.data[12], 0x04);
	CHECK_EQ(bench.data[13], 0x07);
	CHECK_EQ(get_be16(bench.data + 16), 0x7fff);
	CHECK_EQ(bench_send(&bench, EJECT), SENSE_OPERATION_IN_PROGRESS);
	CHECK_EQ(bench_send(&bench, PREVENT), SENSE_NONE);
	bench.drive.now_ms += 500;
	CHECK_EQ(bench_send(&bench, TEST_UNIT_READY), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, "4a 01 00 00 40 00 00 00 08 00"), SENSE_NONE);
	CHECK_EQ(bench.data[5], 0x00);
	bench_close(&bench);
}

static void mechanism(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	CHECK_EQ(bench_send(&bench, "bd 00 00 00 00 00 00 00 00 08 00 00"), SENSE_NONE);
	CHECK_EQ(bench.command.returned, 8);
	CHECK_EQ(bench.data[1], 0x00);
	CHECK_EQ(bench_send(&bench, EJECT), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, "bd 00 00 00 00 00 00 00 00 08 00 00"), SENSE_NONE);
	CHECK_EQ(bench.data[1], 0x10);
	bench_close(&bench);
}

static void spinning_moves_no_tray(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	CHECK_EQ(bench_send(&bench, "1b 00 00 00 00 00"), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, "1b 00 00 00 01 00"), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, "1b 00 00 00 32 00"), SENSE_NONE);	/* sleep */
	CHECK(!bench.drive.tray_open);
	bench_close(&bench);
}

static void new_disc_is_another_one(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	CHECK_EQ(bench_write(&bench, 0, 16, 1), SENSE_NONE);
	drive_insert(&bench.drive, bench_medium("dvd-r", 0));
	CHECK_EQ(bench_send(&bench, TEST_UNIT_READY), SENSE_MEDIUM_CHANGED);
	CHECK_EQ(drive_profile(&bench.drive), 0x11);
	CHECK(medium_is_blank(bench.drive.medium));
	drive_insert(&bench.drive, NULL);
	CHECK_EQ(bench_send(&bench, TEST_UNIT_READY), SENSE_NO_MEDIUM_TRAY_CLOSED);
	CHECK_EQ(media_event(&bench), 0x0300);
	bench_close(&bench);
}

static void eject_keeps_what_was_written(void)
{
	struct bench bench;

	bench_open(&bench, "dvd+r");
	CHECK_EQ(bench_write(&bench, 0, 5, 9), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, EJECT), SENSE_NONE);
	CHECK_EQ(bench_send(&bench, LOAD), SENSE_NONE);
	bench.drive.attention_count = 0;
	CHECK_EQ(bench_read(&bench, 4, 1), SENSE_NONE);
	CHECK_EQ(bench.data[0], 9);
	CHECK_EQ(bench_write(&bench, 5, 1, 9), SENSE_INVALID_WRITE_ADDRESS);
	CHECK_EQ(bench_write(&bench, 16, 1, 9), SENSE_NONE);
	bench_close(&bench);
}

static void inquiry_data(void)
{
	struct bench bench;

	bench_open(&bench, "none");
	CHECK_EQ(bench_send(&bench, "12 00 00 00 60 00"), SENSE_NONE);
	CHECK_EQ(bench.command.returned, 96);
	CHECK_EQ(bench.data[0], 0x05);
	CHECK_EQ(bench.data[1], 0x80);
	CHECK_EQ(bench.data[4], 91);
	CHECK(!memcmp(bench.data + 8, "SRLOCK  DVD RECORDER    1.00", 28));
	CHECK_EQ(bench_send(&bench, "12 00 00 00 24 00"), SENSE_NONE);
	CHECK_EQ(bench.command.returned, 36);
	CHECK_EQ(bench_send(&bench, "12 01 80 00 ff 00"), SENSE_NONE);
	CHECK_EQ(get_be16(bench.data + 2), 5);
	CHECK(!memcmp(bench.data + 4, "bench", 5));
	CHECK_EQ(bench_send(&bench, "12 01 83 00 ff 00"), SENSE_NONE);
	CHECK_EQ(bench.command.returned, 4u + get_be16(bench.data + 2));
	CHECK_EQ(bench.data[7] + 4u, get_be16(bench.data + 2));
	CHECK_EQ(bench_send(&bench, "12 01 b0 00 ff 00"), SENSE_INVALID_FIELD_IN_CDB);
	CHECK_EQ(bench_send(&bench, "12 00 80 00 ff 00"), SENSE_INVALID_FIELD_IN_CDB);
	bench_close(&bench);
}

static void random_cdb(u8 *cdb)
{
	for (size_t i = 0; i < 12; i++)
		cdb[i] = random() % 3 ? random() % 8 : (u8)random();
	if (random() % 8)	/* one that there is */
		while (!strcmp(drive_opcode_name(cdb[0]), "-"))
			cdb[0] = (u8)random();
}

/* No command may write outside its buffer or claim more than there is, whatever it says. */
static void send_random_command(struct bench *bench)
{
	size_t length = (size_t)random() % 256;
	u8 cdb[12];

	random_cdb(cdb);
	for (size_t i = 0; i < length; i++)
		bench->data[i] = random() % 4 ? 0 : (u8)random();
	bench->data[length] = 0xa5;
	bench->length = length;
	bench_send(bench, "%08x%08x%08x", get_be32(cdb), get_be32(cdb + 4), get_be32(cdb + 8));
	CHECK_EQ(bench->data[length], 0xa5);
	CHECK(bench->command.returned <= length);
	CHECK(bench->command.status == STATUS_GOOD ||
	      (bench->command.sense[0] == 0x70 && bench->command.sense[2]));
	bench->drive.now_ms += 30;
	if (bench->drive.tray_open)
		drive_close_tray(&bench->drive);
}

static void random_commands(void)
{
	static const char * const kinds[] = { "none", "dvd+r", "dvd-r", "dvd+rw", "dvd-rw" };
	static struct bench bench;

	srandom(1);
	for (int drive = 0; drive < 200; drive++) {
		bench_open(&bench, kinds[drive % 5]);
		for (int i = 0; i < 1000; i++)
			send_random_command(&bench);
		bench_close(&bench);
	}
}

static const struct test tests[] = {
	{ "without a disc the drive is not ready, and says whether the tray is open", no_disc },
	{ "an unknown command is 5/20/00", unknown_commands },
	{ "a unit attention comes before anything else, once", attention_before_anything_else },
	{ "REQUEST SENSE takes the unit attention", request_sense_takes_the_attention },
	{ "unit attentions do not overflow", attentions_do_not_overflow },
	{ "eject is refused with 5/53/02 while removal is prevented", prevented_tray_stays_shut },
	{ "ordinary and persistent prevention are independent", prevention_is_of_two_kinds },
	{ "one ALLOW ends any number of PREVENTs", prevention_does_not_add_up },
	{ "mode page 2A shows the lock", mode_page_shows_the_lock },
	{ "a reset unlocks the tray and restores the mode pages", reset_unlocks_the_tray },
	{ "a reset that the transport reports raises no attention", silent_reset },
	{ "a loaded disc is new, then becomes ready", loading_a_disc },
	{ "loading what is loaded does nothing", loading_what_is_loaded },
	{ "eject and load make media events, each told once", media_events },
	{ "the eject button moves the tray, or asks for it when prevented", eject_button },
	{ "the event class with the lowest number comes first", operational_change_comes_first },
	{ "an event that finds no room is kept", event_is_kept_if_there_is_no_room },
	{ "events: polled only, and of supported classes", event_classes },
	{ "a long operation makes the drive busy and shows its progress",
	  busy_events_and_progress },
	{ "MECHANISM STATUS shows the tray", mechanism },
	{ "START STOP UNIT without LoEj moves no tray", spinning_moves_no_tray },
	{ "a new disc is another one", new_disc_is_another_one },
	{ "eject puts everything on the disc", eject_keeps_what_was_written },
	{ "INQUIRY, standard and vital product data", inquiry_data },
	{ "random commands stay within their buffers", random_commands },
};

int main(void)
{
	return run_tests(tests, ARRAY_SIZE(tests));
}
