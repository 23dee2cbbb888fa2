// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The drive: GET CONFIGURATION, the profiles and features
 *
 * A feature is current when the disc in the drive makes it usable now. Burners
 * choose how to write by these bits, so they follow the disc's state.
 */
#include <string.h>

#include "drive_internal.h"

static bool always(const struct drive *drive)
{
	(void)drive;
	return true;
}

static bool any_disc(const struct drive *drive)
{
	return drive_loaded(drive);
}

static bool plus_rw(const struct drive *drive)
{
	return drive_profile(drive) == 0x1a;
}

static bool plus_r(const struct drive *drive)
{
	return drive_profile(drive) == 0x1b;
}

static bool writable_disc(const struct drive *drive)
{
	return drive_loaded(drive) && drive_loaded(drive)->type->writable;
}

/**
 * struct feature - one feature descriptor
 * @code: feature code
 * @version_flags: version and persistent bit, as in byte 2
 * @current: is it current now
 * @length: additional bytes
 * @data: and what they are; a few are filled in while replying
 */
static const struct feature {
	u16 code;
	u8 version_flags;
	bool (*current)(const struct drive *drive);
	u8 length;
	u8 data[12];
} features[] = {
	/* Core: SCSI, device busy events */
	{ 0x0001, 0x0b, always, 8, { 0, 0, 0, 1, 1 } },
	/* Morphing: operational change events */
	{ 0x0002, 0x07, always, 4, { 0x02 } },
	/* Removable medium: tray, load, eject, lock */
	{ 0x0003, 0x07, always, 4, { 0x39 } },
	/* Random readable: 2048 bytes, ECC block of 16 */
	{ 0x0010, 0x00, any_disc, 8, { 0, 0, 0x08, 0, 0, 0x10, 0x01 } },
	/* DVD read */
	{ 0x001f, 0x04, any_disc, 4, { 0x01 } },
	/* Random writable; last LBA is filled in */
	{ 0x0020, 0x04, plus_rw, 12, { 0, 0, 0, 0, 0, 0, 0x08, 0, 0, 0x10, 0x01 } },
	/* Incremental streaming writable: mode 1, buffer underrun free, link size 16 */
	{ 0x0021, 0x04, profile_is_dash, 8, { 0x01, 0x00, 0x01, 0x01, 0x10 } },
	/* Formattable */
	{ 0x0023, 0x04, plus_rw, 8, { 0 } },
	/* DVD+RW: write, quick start, close only */
	{ 0x002a, 0x04, plus_rw, 4, { 0x01, 0x03 } },
	/* DVD+R: write */
	{ 0x002b, 0x00, plus_r, 4, { 0x01 } },
	/* DVD-R/-RW write: buffer underrun free, DVD-RW */
	{ 0x002f, 0x08, profile_is_dash, 4, { 0x42 } },
	/* Power management */
	{ 0x0100, 0x03, always, 0, { 0 } },
	/* Timeout */
	{ 0x0105, 0x07, always, 4, { 0 } },
	/* Real-time streaming: all of it */
	{ 0x0107, 0x10, writable_disc, 4, { 0x1f } },
	/* Logical unit serial number, filled in */
	{ 0x0108, 0x03, always, 0, { 0 } },
};

static const u16 profiles[] = { 0x1b, 0x1a, 0x14, 0x11, 0x10 };

/* Which features are wanted: the RT field */
enum {
	WANT_ALL = 0,
	WANT_CURRENT = 1,
	WANT_ONE = 2,
};

static size_t put_profile_list(const struct drive *drive, u8 *to)
{
	put_be16(to, 0x0000);
	to[2] = 0x03;
	to[3] = 4 * ARRAY_SIZE(profiles);
	for (size_t i = 0; i < ARRAY_SIZE(profiles); i++) {
		u8 *profile = to + 4 + 4 * i;

		put_be16(profile, profiles[i]);
		profile[2] = drive_profile(drive) == profiles[i];
	}
	return 4 + to[3];
}

static size_t put_feature(const struct drive *drive, const struct feature *feature, u8 *to)
{
	put_be16(to, feature->code);
	to[2] = feature->version_flags | feature->current(drive);
	to[3] = feature->length;
	memcpy(to + 4, feature->data, feature->length);
	if (feature->code == 0x0020 && drive_loaded(drive))
		put_be32(to + 4, drive->medium->sectors - 1);
	if (feature->code == 0x0108) {
		to[3] = (u8)((strlen(drive->serial) + 3) & ~3u);
		memset(to + 4, ' ', to[3]);
		memcpy(to + 4, drive->serial, strlen(drive->serial));
	}
	return 4 + to[3];
}

static bool is_wanted(const struct drive *drive, const struct feature *feature,
		      unsigned int which, u16 first)
{
	if (which == WANT_ONE)
		return feature->code == first;
	if (feature->code < first)
		return false;
	return which == WANT_ALL || feature->current(drive);
}

void get_configuration(struct drive *drive, struct command *command)
{
	unsigned int which = command->cdb[1] & 0x03;
	u16 first = get_be16(command->cdb + 2);
	u8 data[512] = { 0 };
	size_t length = 8;

	if (which > WANT_ONE) {
		command_check_condition(command, SENSE_INVALID_FIELD_IN_CDB);
		return;
	}
	if (first == 0)
		length += put_profile_list(drive, data + length);
	for (size_t i = 0; i < ARRAY_SIZE(features); i++)
		if (is_wanted(drive, &features[i], which, first))
			length += put_feature(drive, &features[i], data + length);
	put_be32(data, (u32)(length - 4));
	put_be16(data + 6, drive_profile(drive));
	reply(command, data, length, get_be16(command->cdb + 7));
}
