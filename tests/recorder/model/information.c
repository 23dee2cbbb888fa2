// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The drive: what it tells about the disc
 *
 * READ CAPACITY, READ FORMAT CAPACITIES, READ TOC, READ DISC INFORMATION and READ
 * TRACK INFORMATION. Burners and the kernel decide from these what to do with a disc.
 */
#include <string.h>

#include "drive_internal.h"

#define DATA_TRACK	0x14	/* ADR and control of a data track in the TOC */
#define LEAD_OUT	0xaa

void read_capacity(struct drive *drive, struct command *command)
{
	u32 sectors = medium_capacity(drive->medium);
	u8 data[8];

	put_be32(data, sectors ? sectors - 1 : 0);
	put_be32(data + 4, SECTOR_SIZE);
	reply(command, data, sizeof(data), sizeof(data));
}

static size_t put_capacity(u8 *to, u32 blocks, u8 type)
{
	put_be32(to, blocks);
	to[4] = type;
	put_be24(to + 5, SECTOR_SIZE);
	return 8;
}

void read_format_capacities(struct drive *drive, struct command *command)
{
	enum { UNFORMATTED = 1, FORMATTED = 2, NO_MEDIUM = 3 };
	struct medium *medium = drive_loaded(drive);
	u8 data[32] = { 0 };
	size_t length = 4;

	if (!medium) {
		length += put_capacity(data + length,
				       medium_type(MEDIUM_DVD_PLUS_RW)->sectors, NO_MEDIUM);
	} else if (medium_is_blank(medium)) {
		length += put_capacity(data + length, medium->sectors, UNFORMATTED);
	} else {
		length += put_capacity(data + length, medium_capacity(medium), FORMATTED);
	}
	if (medium && medium->type == medium_type(MEDIUM_DVD_PLUS_RW)) {
		length += put_capacity(data + length, medium->sectors, 0x00 << 2);
		length += put_capacity(data + length, medium->sectors, 0x26 << 2);
		put_be24(data + length - 3, 0);
	}
	data[3] = (u8)(length - 4);
	reply(command, data, length, get_be16(command->cdb + 7));
}

static void put_address(u8 *to, u32 lba, bool msf)
{
	if (!msf) {
		put_be32(to, lba);
		return;
	}
	lba += 150;
	to[0] = 0;
	to[1] = (u8)(lba / 75 / 60);
	to[2] = (u8)(lba / 75 % 60);
	to[3] = (u8)(lba % 75);
}

static size_t put_toc_track(u8 *to, u8 number, u32 lba, bool msf)
{
	to[0] = 0;
	to[1] = DATA_TRACK;
	to[2] = number;
	to[3] = 0;
	put_address(to + 4, lba, msf);
	return 8;
}

/* Tracks of closed sessions; a disc without tracks of its own has one. */
static unsigned int closed_tracks(const struct medium *medium)
{
	unsigned int open_session = medium->finalized ? 0 : medium_sessions(medium);
	unsigned int number = 0;

	if (!medium->type->sequential)
		return medium_is_blank(medium) ? 0 : 1;
	while (number < medium->track_count &&
	       medium->tracks[number].session != open_session)
		number++;
	return number;
}

static u32 track_start(const struct medium *medium, unsigned int number)
{
	return medium->type->sequential ? medium_track(medium, number)->start : 0;
}

static void reply_tracks(const struct medium *medium, struct command *command, size_t allocated)
{
	u8 data[4 + 8 * (MEDIUM_MAX_TRACKS + 1)] = { 0 };
	unsigned int last = closed_tracks(medium);
	bool msf = command->cdb[1] & 0x02;
	u8 first = command->cdb[6];
	size_t length = 4;

	if (first > last && first != LEAD_OUT) {
		command_check_condition(command, SENSE_INVALID_FIELD_IN_CDB);
		return;
	}
	data[2] = 1;
	data[3] = (u8)last;
	for (unsigned int number = first ? first : 1; number <= last; number++)
		length += put_toc_track(data + length, (u8)number,
					track_start(medium, number), msf);
	length += put_toc_track(data + length, LEAD_OUT, medium_capacity(medium), msf);
	put_be16(data, (u16)(length - 2));
	reply(command, data, length, allocated);
}

static void reply_sessions(const struct medium *medium, struct command *command,
			   size_t allocated)
{
	unsigned int last = closed_tracks(medium);
	unsigned int number = last;
	u8 data[12] = { 0 };

	if (medium->type->sequential) {
		u16 session = medium_track(medium, last)->session;

		while (number > 1 && medium_track(medium, number - 1)->session == session)
			number--;
		data[3] = (u8)session;
	} else {
		data[3] = 1;
	}
	put_be16(data, sizeof(data) - 2);
	data[2] = 1;
	put_toc_track(data + 4, (u8)number, track_start(medium, number),
		      command->cdb[1] & 0x02);
	reply(command, data, sizeof(data), allocated);
}

void read_toc(struct drive *drive, struct command *command)
{
	size_t allocated = get_be16(command->cdb + 7);
	unsigned int format = command->cdb[2] & 0x0f;

	if (!format)
		format = command->cdb[9] >> 6;	/* where it was before MMC */
	if (format > 1 || !closed_tracks(drive->medium))
		command_check_condition(command, SENSE_INVALID_FIELD_IN_CDB);
	else if (format == 0)
		reply_tracks(drive->medium, command, allocated);
	else
		reply_sessions(drive->medium, command, allocated);
}

static u8 disc_status(const struct medium *medium)
{
	if (medium_is_blank(medium))
		return 0;
	return medium->type->sequential && !medium->finalized ? 1 : 2;
}

static u8 last_session_status(const struct medium *medium)
{
	unsigned int session = medium_sessions(medium);

	if (!medium->type->sequential)
		return medium_is_blank(medium) ? 0 : 3;
	if (medium->finalized)
		return 3;
	for (unsigned int i = 0; i < medium->track_count; i++)
		if (medium->tracks[i].session == session &&
		    medium->tracks[i].state != TRACK_EMPTY)
			return 1;
	return 0;
}

static void put_last_session_tracks(const struct medium *medium, u8 *data)
{
	unsigned int session = medium_sessions(medium);
	unsigned int last = medium->type->sequential ? medium->track_count : 1;
	unsigned int first = last;

	while (first > 1 && medium_track(medium, first - 1)->session == session)
		first--;
	data[5] = (u8)first;
	data[6] = (u8)last;
	data[10] = (u8)(first >> 8);
	data[11] = (u8)(last >> 8);
}

void read_disc_information(struct drive *drive, struct command *command)
{
	const struct medium *medium = drive->medium;
	u8 data[34] = { 0 };

	if (command->cdb[1] & 0x07) {	/* track and POW resources */
		command_check_condition(command, SENSE_INVALID_FIELD_IN_CDB);
		return;
	}
	put_be16(data, sizeof(data) - 2);
	data[2] = (u8)(disc_status(medium) | last_session_status(medium) << 2 |
		       (medium->type->erasable ? 0x10 : 0));
	data[3] = 1;
	data[4] = (u8)medium_sessions(medium);
	put_last_session_tracks(medium, data);
	data[7] = 0x20 | (u8)medium->format;	/* unrestricted use */
	put_be32(data + 16, disc_status(medium) == 2 ? 0xffffffff : 0);
	put_be32(data + 20, disc_status(medium) == 2 ? 0xffffffff : medium->sectors);
	reply(command, data, sizeof(data), get_be16(command->cdb + 7));
}

static void put_sequential_track(const struct medium *medium, unsigned int number, u8 *data)
{
	const struct track *track = medium_track(medium, number);
	bool plus = !medium->type->erasable && medium->type == medium_type(MEDIUM_DVD_PLUS_R);
	bool blank = track->next == track->start && track->state != TRACK_CLOSED;

	put_be16(data + 2, (u16)(number & 0xff) << 8 | (track->session & 0xff));
	if (track->state == TRACK_RESERVED)
		data[6] |= 0x80;
	if (blank)
		data[6] |= 0x40;
	if (!plus && !medium->disc_at_once)
		data[6] |= 0x20;	/* incremental */
	if (track->state != TRACK_CLOSED && !medium->finalized) {
		data[7] |= 0x01;	/* next writable address is valid */
		put_be32(data + 12, track->next);
		put_be32(data + 16, track->start + track->size - track->next);
	}
	if (!blank) {
		data[7] |= 0x02;	/* last recorded address is valid */
		put_be32(data + 28, track->next - 1);
	}
	put_be32(data + 8, track->start);
	put_be32(data + 24, track->size);
	data[32] = (u8)(number >> 8);
	data[33] = (u8)(track->session >> 8);
}

static void put_only_track(const struct medium *medium, u8 *data)
{
	data[2] = 1;
	data[3] = 1;
	if (medium_is_blank(medium))
		data[6] |= 0x40;
	if (medium->type->writable)
		put_be32(data + 16, medium_is_blank(medium) ? medium->sectors : 0);
	put_be32(data + 24, medium->sectors);
}

/* Address type: 0 an LBA, 1 a track, 2 a session. Return: zero if there is none such. */
static unsigned int find_track(const struct medium *medium, unsigned int type, u32 address)
{
	if (type == 1 && address == 0xff)
		return medium_open_track(medium);
	if (!medium->type->sequential)
		return type == 0 ? address < medium->sectors : address == 1;
	if (type == 0)
		return medium_track_at(medium, address);
	if (type == 1)
		return medium_track(medium, address) ? address : 0;
	for (unsigned int i = 0; i < medium->track_count; i++)
		if (medium->tracks[i].session == address)
			return i + 1;
	return 0;
}

void read_track_information(struct drive *drive, struct command *command)
{
	const struct medium *medium = drive->medium;
	unsigned int type = command->cdb[1] & 0x03;
	unsigned int number = 0;
	u8 data[48] = { 0 };

	if (type < 3)
		number = find_track(medium, type, get_be32(command->cdb + 2));
	if (!number) {
		command_check_condition(command, SENSE_INVALID_FIELD_IN_CDB);
		return;
	}
	put_be16(data, sizeof(data) - 2);
	data[5] = 0x04;		/* data track */
	data[6] = 0x01;		/* mode 1 */
	put_be32(data + 20, ECC_BLOCK_SECTORS);
	if (medium->type->sequential)
		put_sequential_track(medium, number, data);
	else
		put_only_track(medium, data);
	reply(command, data, sizeof(data), get_be16(command->cdb + 7));
}
