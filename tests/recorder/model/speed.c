// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The drive: speeds and the write buffer
 *
 * Selected speeds are kept and reported, but data moves as fast as it can.
 */
#include "drive_internal.h"

#define TYPE_PERFORMANCE	0x00
#define TYPE_WRITE_SPEED	0x03

static const u32 speeds[] = { 16 * DVD_SPEED, 8 * DVD_SPEED, 4 * DVD_SPEED };

static u32 last_sector(const struct drive *drive)
{
	struct medium *medium = drive_loaded(drive);

	return medium ? medium->sectors - 1 : medium_type(MEDIUM_DVD_PLUS_RW)->sectors - 1;
}

static size_t put_performance(const struct drive *drive, bool write, u8 *to)
{
	u32 speed = write ? drive->write_speed : drive->read_speed;

	put_be32(to, 0);
	put_be32(to + 4, speed);
	put_be32(to + 8, last_sector(drive));
	put_be32(to + 12, speed);
	return 16;
}

static size_t put_write_speeds(const struct drive *drive, u16 maximum, u8 *to)
{
	size_t length = 0;

	for (size_t i = 0; i < ARRAY_SIZE(speeds) && i < maximum; i++) {
		to[length] = 0x02;	/* suits reading and writing mixed */
		put_be32(to + length + 4, last_sector(drive));
		put_be32(to + length + 8, drive->read_speed);
		put_be32(to + length + 12, speeds[i]);
		length += 16;
	}
	return length;
}

void get_performance(struct drive *drive, struct command *command)
{
	u16 maximum = get_be16(command->cdb + 8);
	bool write = command->cdb[1] & 0x04;
	u8 data[8 + 16 * ARRAY_SIZE(speeds)] = { 0 };
	size_t length = 8;

	switch (command->cdb[10]) {
	case TYPE_PERFORMANCE:
		if (maximum)
			length += put_performance(drive, write, data + length);
		data[4] = write ? 0x02 : 0x00;
		break;
	case TYPE_WRITE_SPEED:
		length += put_write_speeds(drive, maximum, data + length);
		break;
	default:
		command_check_condition(command, SENSE_INVALID_FIELD_IN_CDB);
		return;
	}
	put_be32(data, (u32)(length - 4));
	reply(command, data, length, 8 + (size_t)maximum * 16);
}

static u32 clamp_speed(u32 speed)
{
	return speed > MAX_SPEED ? MAX_SPEED : speed;
}

/* Size in kB within a time in ms */
static bool get_rate(const u8 *data, u32 *speed)
{
	u32 size = get_be32(data);
	u32 time = get_be32(data + 4);

	if (!size || !time)
		return false;
	*speed = clamp_speed((u32)((u64)size * 1000 / time));
	return true;
}

void set_streaming(struct drive *drive, struct command *command)
{
	u8 data[28] = { 0 };
	u32 read_speed, write_speed;

	if (get_be16(command->cdb + 9) != sizeof(data) ||
	    fetch(command, data, sizeof(data)) < sizeof(data)) {
		command_check_condition(command, SENSE_PARAMETER_LIST_LENGTH);
		return;
	}
	if (data[0] & 0x04) {	/* restore the defaults */
		drive->read_speed = MAX_SPEED;
		drive->write_speed = MAX_SPEED;
		return;
	}
	if (get_be32(data + 4) > get_be32(data + 8) ||
	    !get_rate(data + 12, &read_speed) || !get_rate(data + 20, &write_speed)) {
		command_check_condition(command, SENSE_INVALID_PARAMETER);
		return;
	}
	drive->read_speed = read_speed;
	drive->write_speed = write_speed;
}

void set_cd_speed(struct drive *drive, struct command *command)
{
	u16 read_speed = get_be16(command->cdb + 2);
	u16 write_speed = get_be16(command->cdb + 4);

	if (read_speed)
		drive->read_speed = clamp_speed(read_speed);
	if (write_speed)
		drive->write_speed = clamp_speed(write_speed);
}

void read_buffer_capacity(struct drive *drive, struct command *command)
{
	bool blocks = command->cdb[1] & 0x01;
	u8 data[12] = { 0 };

	(void)drive;
	put_be16(data, sizeof(data) - 2);
	data[3] = blocks;
	if (!blocks)
		put_be32(data + 4, BUFFER_SIZE);
	put_be32(data + 8, blocks ? BUFFER_SIZE / SECTOR_SIZE : BUFFER_SIZE);
	reply(command, data, sizeof(data), get_be16(command->cdb + 7));
}
