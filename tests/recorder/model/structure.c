// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The drive: READ DISC STRUCTURE
 *
 * What is pressed into a disc before anybody writes on it, as far as burners look:
 * physical format (00h), copyright (01h), the media identification of dash discs (0Eh)
 * and plus discs (11h), and the list of these (FFh).
 */
#include <string.h>

#include "drive_internal.h"

#define PHYSICAL_START	0x030000u	/* physical sector number of LBA 0 */
#define MEDIA_ID	"SRLOCK"

#define FORMAT_PHYSICAL		0x00
#define FORMAT_COPYRIGHT	0x01
#define FORMAT_PRE_RECORDED	0x0e
#define FORMAT_ADIP		0x11
#define FORMAT_LIST		0xff

static void put_physical(const struct drive *drive, u8 *data)
{
	const struct medium *medium = drive->medium;
	u32 end = medium_is_blank(medium) ? medium->sectors : medium_capacity(medium);

	data[0] = (u8)(medium->type->book_type << 4 | 0x01);
	data[1] = 0x0f;		/* 120 mm, no maximum rate */
	data[2] = medium->type->erasable ? 0x04 : medium->type->writable ? 0x02 : 0x01;
	put_be32(data + 4, PHYSICAL_START);
	if (end)
		put_be32(data + 8, PHYSICAL_START + end - 1);
}

static void put_pre_recorded(u8 *data)
{
	data[0] = 0x01;		/* field of the disc application code */
	data[1] = 0x40;
	data[16] = 0x03;	/* fields of the manufacturer */
	memcpy(data + 17, MEDIA_ID, 6);
	data[24] = 0x04;
	memcpy(data + 25, "01    ", 6);
}

static void put_adip(const struct drive *drive, u8 *data)
{
	put_physical(drive, data);
	memcpy(data + 19, MEDIA_ID "\0\0", 8);
	memcpy(data + 27, "001", 3);
}

static bool has_structure(const struct drive *drive, u8 format)
{
	switch (format) {
	case FORMAT_PHYSICAL:
	case FORMAT_COPYRIGHT:
	case FORMAT_LIST:
		return true;
	case FORMAT_PRE_RECORDED:
		return profile_is_dash(drive);
	case FORMAT_ADIP:
		return profile_is_plus(drive);
	default:
		return false;
	}
}

static size_t structure_length(u8 format)
{
	switch (format) {
	case FORMAT_PHYSICAL:
		return 2048;
	case FORMAT_COPYRIGHT:
		return 4;
	case FORMAT_PRE_RECORDED:
		return 44;
	case FORMAT_ADIP:
		return 256;
	default:
		return 0;
	}
}

static size_t put_list(const struct drive *drive, u8 *data)
{
	size_t length = 0;

	for (unsigned int format = 0; format < FORMAT_LIST; format++) {
		if (!has_structure(drive, (u8)format))
			continue;
		data[length] = (u8)format;
		data[length + 1] = 0x40;	/* can be read */
		put_be16(data + length + 2, (u16)(structure_length((u8)format) + 4));
		length += 4;
	}
	return length;
}

void read_disc_structure(struct drive *drive, struct command *command)
{
	u8 format = command->cdb[7];
	size_t length = structure_length(format);
	u8 data[4 + 2048] = { 0 };

	if ((command->cdb[1] & 0x0f) || !has_structure(drive, format)) {
		command_check_condition(command, SENSE_INVALID_FIELD_IN_CDB);
		return;
	}
	switch (format) {
	case FORMAT_PHYSICAL:
		put_physical(drive, data + 4);
		break;
	case FORMAT_PRE_RECORDED:
		put_pre_recorded(data + 4);
		break;
	case FORMAT_ADIP:
		put_adip(drive, data + 4);
		break;
	case FORMAT_LIST:
		length = put_list(drive, data + 4);
		break;
	default:
		break;		/* copyright: none */
	}
	put_be16(data, (u16)(length + 2));
	reply(command, data, 4 + length, get_be16(command->cdb + 8));
}
