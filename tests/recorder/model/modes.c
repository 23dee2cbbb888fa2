// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The drive: mode pages
 *
 * 01h error recovery, 05h write parameters, 08h caching, 1Ah power condition,
 * 1Dh timeout and protect, 2Ah capabilities. The last is made up on request.
 */
#include <string.h>

#include "drive_internal.h"

#define PAGE_WRITE_PARAMETERS	0x05
#define PAGE_CAPABILITIES	0x2a
#define PAGE_ALL		0x3f

static const struct mode_page pages[MODE_PAGES] = {
	{
		.code = 0x01, .length = 12,
		.initial = { 0x01, 10, 0x00, 0x20, 0, 0, 0, 0, 0x05 },
		.changeable = { 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0xff },
	}, {
		.code = PAGE_WRITE_PARAMETERS, .length = 52,
		.initial = { 0x05, 50, 0x40, 0x05, 0x08, 0x10, 0, 0, 0, 0,
			     0, 0, 0, 0x10, 0, 0x96 },
		.changeable = { 0, 0, 0x7f, 0xff, 0x0f, 0xff, 0, 0x3f, 0xff, 0,
				0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	}, {
		.code = 0x08, .length = 12,
		.initial = { 0x08, 10, 0x04 },
		.changeable = { 0, 0, 0x05 },
	}, {
		.code = 0x1a, .length = 12,
		.initial = { 0x1a, 10 },
		.changeable = { 0, 0, 0, 0x03, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	}, {
		.code = 0x1d, .length = 12,
		.initial = { 0x1d, 10, 0, 0, 0, 0, 0x01, 0x2c, 0x01, 0x2c },
		.changeable = { 0, 0, 0, 0, 0x03, 0, 0xff, 0xff, 0xff, 0xff },
	}, {
		.code = PAGE_CAPABILITIES, .length = 40,
	},
};

static struct mode_page *find_page(struct drive *drive, u8 code)
{
	for (size_t i = 0; i < MODE_PAGES; i++)
		if (drive->pages[i].code == code)
			return &drive->pages[i];
	return NULL;
}

void modes_init(struct drive *drive)
{
	memcpy(drive->pages, pages, sizeof(pages));
	modes_reset(drive);
}

void modes_reset(struct drive *drive)
{
	for (size_t i = 0; i < MODE_PAGES; i++)
		memcpy(drive->pages[i].current, drive->pages[i].initial,
		       sizeof(drive->pages[i].initial));
}

static const struct mode_page *write_parameters(const struct drive *drive)
{
	return find_page((struct drive *)drive, PAGE_WRITE_PARAMETERS);
}

enum write_type mode_write_type(const struct drive *drive)
{
	return write_parameters(drive)->current[2] & 0x0f;
}

bool mode_multi_session(const struct drive *drive)
{
	return write_parameters(drive)->current[3] >> 6 == 3;
}

/* Speeds that a disc of this kind can be written with, fastest first */
static const u16 write_speeds[] = { 16 * DVD_SPEED, 8 * DVD_SPEED, 4 * DVD_SPEED };

static void fill_capabilities(const struct drive *drive, u8 *page)
{
	page[0] = PAGE_CAPABILITIES;
	page[1] = 38;
	page[2] = 0x18;			/* reads DVD-ROM, DVD-R */
	page[3] = 0x10;			/* writes DVD-R */
	page[4] = 0x80;			/* buffer underrun free */
	page[6] = 0x29;			/* tray, eject, lock */
	if (drive_is_locked(drive))
		page[6] |= 0x02;
	put_be16(page + 8, MAX_SPEED);
	put_be16(page + 12, BUFFER_SIZE >> 10);
	put_be16(page + 14, (u16)drive->read_speed);
	put_be16(page + 18, MAX_SPEED);
	put_be16(page + 20, (u16)drive->write_speed);
	put_be16(page + 22, 0x0001);
	put_be16(page + 28, (u16)drive->write_speed);
	put_be16(page + 30, 2);
	put_be16(page + 34, write_speeds[0]);
	put_be16(page + 38, write_speeds[1]);
}

/* Page control: 0 current, 1 changeable, 2 default */
static size_t put_page(struct drive *drive, struct mode_page *page, unsigned int control,
		       u8 *to)
{
	if (page->code == PAGE_CAPABILITIES)
		fill_capabilities(drive, page->current);
	switch (control) {
	case 0:
		memcpy(to, page->current, page->length);
		break;
	case 1:
		memcpy(to, page->changeable, page->length);
		break;
	default:
		memcpy(to, page->code == PAGE_CAPABILITIES ? page->current : page->initial,
		       page->length);
	}
	to[0] = page->code;
	to[1] = page->length - 2;
	return page->length;
}

/* Header of 4 bytes for the short form, of 8 for the long one; no block descriptors. */
static void mode_sense(struct drive *drive, struct command *command, size_t header,
		       size_t allocated)
{
	unsigned int control = command->cdb[2] >> 6;
	u8 wanted = command->cdb[2] & 0x3f;
	size_t length = header;
	u8 data[256] = { 0 };

	if (control == 3) {
		command_check_condition(command, SENSE_SAVING_NOT_SUPPORTED);
		return;
	}
	for (size_t i = 0; i < MODE_PAGES; i++)
		if (wanted == PAGE_ALL || wanted == drive->pages[i].code)
			length += put_page(drive, &drive->pages[i], control, data + length);
	if (length == header) {
		command_check_condition(command, SENSE_INVALID_FIELD_IN_CDB);
		return;
	}
	if (header == 8) {
		put_be16(data, (u16)(length - 2));
		data[2] = drive_loaded(drive) ? 0x01 : 0x70;
	} else {
		data[0] = (u8)(length - 1);
		data[1] = drive_loaded(drive) ? 0x01 : 0x70;
	}
	reply(command, data, length, allocated);
}

void mode_sense_6(struct drive *drive, struct command *command)
{
	mode_sense(drive, command, 4, command->cdb[4]);
}

void mode_sense_10(struct drive *drive, struct command *command)
{
	mode_sense(drive, command, 8, get_be16(command->cdb + 7));
}

/* What the drive cannot do must not be selected: raw writing, test writing. */
static bool is_acceptable(const struct mode_page *page, const u8 *wanted)
{
	if (page->code == PAGE_WRITE_PARAMETERS)
		return (wanted[2] & 0x0f) <= WRITE_DISC_AT_ONCE && !(wanted[2] & 0x10);
	return true;
}

static sense_t check_page(struct drive *drive, const u8 *wanted, size_t left)
{
	const struct mode_page *page = find_page(drive, wanted[0] & 0x3f);

	if (!page || page->code == PAGE_CAPABILITIES)
		return SENSE_INVALID_PARAMETER;
	if (left < page->length)
		return SENSE_PARAMETER_LIST_LENGTH;
	if (wanted[1] != page->length - 2 || !is_acceptable(page, wanted))
		return SENSE_INVALID_PARAMETER;
	return SENSE_NONE;
}

static void select_page(struct drive *drive, const u8 *wanted)
{
	struct mode_page *page = find_page(drive, wanted[0] & 0x3f);

	for (size_t i = 2; i < page->length; i++)
		page->current[i] = (u8)((page->current[i] & ~page->changeable[i]) |
					(wanted[i] & page->changeable[i]));
}

/* All pages are checked before the first one is changed. */
static sense_t select_pages(struct drive *drive, const u8 *data, size_t length)
{
	sense_t sense;
	size_t at;

	for (at = 0; at < length; at += 2u + data[at + 1]) {
		if (length - at < 2)
			return SENSE_PARAMETER_LIST_LENGTH;
		sense = check_page(drive, data + at, length - at);
		if (sense)
			return sense;
	}
	for (at = 0; at < length; at += 2u + data[at + 1])
		select_page(drive, data + at);
	return SENSE_NONE;
}

static void mode_select(struct drive *drive, struct command *command, size_t header,
			size_t length)
{
	size_t descriptors;
	u8 data[256] = { 0 };
	sense_t sense;

	if (!(command->cdb[1] & 0x10) || (command->cdb[1] & 0x01)) {
		command_check_condition(command, SENSE_INVALID_FIELD_IN_CDB);
		return;
	}
	if (!length)
		return;
	if (length > sizeof(data) || fetch(command, data, length) < length || length < header) {
		command_check_condition(command, SENSE_PARAMETER_LIST_LENGTH);
		return;
	}
	descriptors = header == 8 ? get_be16(data + 6) : data[3];
	if (header + descriptors > length) {
		command_check_condition(command, SENSE_PARAMETER_LIST_LENGTH);
		return;
	}
	sense = select_pages(drive, data + header + descriptors, length - header - descriptors);
	if (sense)
		command_check_condition(command, sense);
}

void mode_select_6(struct drive *drive, struct command *command)
{
	mode_select(drive, command, 4, command->cdb[4]);
}

void mode_select_10(struct drive *drive, struct command *command)
{
	mode_select(drive, command, 8, get_be16(command->cdb + 7));
}
