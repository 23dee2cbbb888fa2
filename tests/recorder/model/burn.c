// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The drive: reading, writing, and bringing a recording to its end
 *
 * The rules of the disc are in medium.c and sessions.c; here is what the drive adds:
 * where address and length stand in the CDB, which functions fit which kind of disc,
 * and how long they take.
 */
#include "drive_internal.h"

struct extent {
	u32 lba;
	u32 count;
};

/* The 12 byte commands have longer transfers than the 10 byte ones. */
static struct extent get_extent(const u8 *cdb)
{
	struct extent extent = { .lba = get_be32(cdb + 2) };

	extent.count = cdb[0] >= 0xa0 ? get_be32(cdb + 6) : get_be16(cdb + 7);
	return extent;
}

static void conclude(struct command *command, sense_t sense)
{
	if (sense)
		command_check_condition(command, sense);
}

void read_data(struct drive *drive, struct command *command)
{
	struct extent extent = get_extent(command->cdb);
	size_t length = (size_t)extent.count * SECTOR_SIZE;
	sense_t sense;

	sense = medium_read(drive->medium, extent.lba, extent.count, command->iov,
			    command->iov_count);
	if (!sense)
		command->returned = length < command->length ? length : command->length;
	conclude(command, sense);
}

void write_data(struct drive *drive, struct command *command)
{
	struct extent extent = get_extent(command->cdb);

	if ((size_t)extent.count * SECTOR_SIZE > command->length) {
		command_check_condition(command, SENSE_INVALID_FIELD_IN_CDB);
		return;
	}
	conclude(command, medium_write(drive->medium, extent.lba, extent.count,
				       mode_write_type(drive), command->iov,
				       command->iov_count));
}

void verify(struct drive *drive, struct command *command)
{
	struct extent extent = get_extent(command->cdb);

	if (command->cdb[1] & 0x02)	/* byte check */
		command_check_condition(command, SENSE_INVALID_FIELD_IN_CDB);
	else
		conclude(command, medium_read(drive->medium, extent.lba, extent.count, NULL, 0));
}

void seek(struct drive *drive, struct command *command)
{
	if (get_be32(command->cdb + 2) > medium_readable_end(drive->medium))
		command_check_condition(command, SENSE_LBA_OUT_OF_RANGE);
}

void synchronize_cache(struct drive *drive, struct command *command)
{
	struct medium *medium = drive->medium;
	bool was_at_once = medium->disc_at_once;

	medium_flush(medium, mode_multi_session(drive));
	if (was_at_once && !medium->disc_at_once)	/* the drive wrote the lead-out */
		start_operation(drive, command, SENSE_LONG_WRITE_IN_PROGRESS,
				command->cdb[1] & 0x02);
}

void reserve_track(struct drive *drive, struct command *command)
{
	if (command->cdb[1] & 0x03)	/* rounding by the host, end address */
		command_check_condition(command, SENSE_INVALID_FIELD_IN_CDB);
	else
		conclude(command, medium_reserve_track(drive->medium,
						       get_be32(command->cdb + 5),
						       mode_write_type(drive)));
}

static sense_t close_overwritable(struct medium *medium, unsigned int function)
{
	if (medium->type != medium_type(MEDIUM_DVD_PLUS_RW))
		return SENSE_INCOMPATIBLE_MEDIUM;
	if (function != 0 && function != 2)	/* stop formatting, with or without lead-out */
		return SENSE_INVALID_FIELD_IN_CDB;
	medium_stop_format(medium);
	return SENSE_NONE;
}

static sense_t close_sequential(struct drive *drive, unsigned int function, unsigned int track)
{
	bool plus = profile_is_plus(drive);

	switch (function) {
	case 1:
		return medium_close_track(drive->medium, track);
	case 2:		/* on dash discs the multi-session field says what follows */
		return medium_close_session(drive->medium, !plus && !mode_multi_session(drive));
	case 5:		/* with a minimal radius of 30 mm */
	case 6:
		if (plus)
			return medium_close_session(drive->medium, true);
		return SENSE_INVALID_FIELD_IN_CDB;
	default:
		return SENSE_INVALID_FIELD_IN_CDB;
	}
}

void close_track_session(struct drive *drive, struct command *command)
{
	unsigned int function = command->cdb[2] & 0x07;
	sense_t sense;

	if (drive->medium->type->sequential)
		sense = close_sequential(drive, function, get_be16(command->cdb + 4));
	else
		sense = close_overwritable(drive->medium, function);
	conclude(command, sense);
	if (!sense)
		start_operation(drive, command, SENSE_LONG_WRITE_IN_PROGRESS,
				command->cdb[1] & 0x01);
}

void blank(struct drive *drive, struct command *command)
{
	unsigned int type = command->cdb[1] & 0x07;
	sense_t sense = SENSE_INVALID_FIELD_IN_CDB;

	if (type <= 1)		/* the whole disc, or as little as will do */
		sense = medium_blank(drive->medium);
	conclude(command, sense);
	if (!sense)
		start_operation(drive, command, SENSE_OPERATION_IN_PROGRESS,
				command->cdb[1] & 0x10);
}

void format_unit(struct drive *drive, struct command *command)
{
	u8 list[12] = { 0 };
	u8 type;
	bool restart;
	sense_t sense;

	if ((command->cdb[1] & 0x1f) != 0x11) {		/* format data, code 1 */
		command_check_condition(command, SENSE_INVALID_FIELD_IN_CDB);
		return;
	}
	if (fetch(command, list, sizeof(list)) < sizeof(list) || get_be16(list + 2) != 8) {
		command_check_condition(command, SENSE_PARAMETER_LIST_LENGTH);
		return;
	}
	type = list[8] >> 2;
	restart = type == 0x26 && (list[11] & 0x01);
	if (type != 0x00 && type != 0x26)
		sense = SENSE_INVALID_PARAMETER;
	else
		sense = medium_format(drive->medium, restart);
	conclude(command, sense);
	if (sense)
		return;
	if (drive->medium->format == FORMAT_RUNNING)
		drive->format_started_ms = drive->now_ms;
	start_operation(drive, command, SENSE_FORMAT_IN_PROGRESS, list[1] & 0x02);
}

void send_opc_information(struct drive *drive, struct command *command)
{
	if (!drive->medium->type->writable)
		command_check_condition(command, SENSE_INCOMPATIBLE_MEDIUM);
}
