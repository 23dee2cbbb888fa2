// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A disc: its kind, what is on it, reading and writing
 *
 * The content is in a sparse file, so that 4.7 GB cost nothing until written.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "medium_internal.h"

#define MAX_IMAGE_SECTORS	0x7fffffff

static const struct medium_type types[MEDIUM_KINDS] = {
	[MEDIUM_DVD_ROM] = {
		.name = "dvd-rom", .profile = 0x10, .book_type = 0x0,
	},
	[MEDIUM_DVD_R] = {
		.name = "dvd-r", .profile = 0x11, .book_type = 0x2, .sectors = 2298496,
		.session_gap = 12288, .writable = true, .sequential = true,
	},
	[MEDIUM_DVD_RW] = {
		.name = "dvd-rw", .profile = 0x14, .book_type = 0x3, .sectors = 2298496,
		.session_gap = 12288, .writable = true, .sequential = true, .erasable = true,
	},
	[MEDIUM_DVD_PLUS_RW] = {
		.name = "dvd+rw", .profile = 0x1a, .book_type = 0x9, .sectors = 2295104,
		.writable = true, .erasable = true,
	},
	[MEDIUM_DVD_PLUS_R] = {
		.name = "dvd+r", .profile = 0x1b, .book_type = 0xa, .sectors = 2295104,
		.session_gap = 2048, .writable = true, .sequential = true,
	},
};

const struct medium_type *medium_type(enum medium_kind kind)
{
	return &types[kind];
}

const struct medium_type *medium_type_by_name(const char *name)
{
	for (unsigned int i = 0; i < MEDIUM_KINDS; i++)
		if (!strcmp(types[i].name, name))
			return &types[i];
	return NULL;
}

/**
 * medium_new_blank() - take a blank disc out of its package
 * @type: a writable kind
 * @sectors: capacity, zero for the usual one
 * @fd: an empty file for the content; the disc owns it from here on
 * Return: the disc, NULL if there is no memory or the kind cannot be blank
 */
struct medium *medium_new_blank(const struct medium_type *type, u32 sectors, int fd)
{
	struct medium *medium;

	if (!type->writable)
		return NULL;
	medium = calloc(1, sizeof(*medium));
	if (!medium)
		return NULL;
	medium->type = type;
	medium->fd = fd;
	medium->sectors = sectors ? sectors : type->sectors;
	medium_reset_tracks(medium);
	return medium;
}

/**
 * medium_new_image() - a pressed disc with the content of a file
 * @fd: the file; the disc owns it from here on
 * Return: the disc, NULL if there is no memory or the file is empty or too large
 */
struct medium *medium_new_image(int fd)
{
	struct medium *medium;
	struct stat status;

	if (fstat(fd, &status) || status.st_size <= 0 ||
	    status.st_size > (off_t)MAX_IMAGE_SECTORS * SECTOR_SIZE)
		return NULL;
	medium = calloc(1, sizeof(*medium));
	if (!medium)
		return NULL;
	medium->type = &types[MEDIUM_DVD_ROM];
	medium->fd = fd;
	medium->sectors = (u32)((status.st_size + SECTOR_SIZE - 1) / SECTOR_SIZE);
	medium->finalized = true;
	return medium;
}

void medium_free(struct medium *medium)
{
	if (!medium)
		return;
	close(medium->fd);
	free(medium);
}

bool medium_is_blank(const struct medium *medium)
{
	if (!medium->type->writable)
		return false;
	if (!medium->type->sequential)
		return medium->format == FORMAT_NONE;
	return medium->track_count == 1 && medium->tracks[0].state == TRACK_EMPTY;
}

const char *medium_state_name(const struct medium *medium)
{
	if (medium_is_blank(medium))
		return "blank";
	if (medium->type->sequential && !medium->finalized)
		return "appendable";
	return "complete";
}

/** medium_sessions() - number of sessions, the open or empty last one included */
unsigned int medium_sessions(const struct medium *medium)
{
	if (!medium->type->sequential)
		return 1;
	return medium->tracks[medium->track_count - 1].session;
}

/**
 * medium_capacity() - sectors that READ CAPACITY counts
 * @medium: the disc
 * Return: the end of the last closed session, zero if there is none
 */
u32 medium_capacity(const struct medium *medium)
{
	unsigned int open_session = medium->finalized ? 0 : medium_sessions(medium);
	u32 end = 0;

	if (!medium->type->sequential)
		return medium_is_blank(medium) ? 0 : medium->sectors;
	for (unsigned int i = 0; i < medium->track_count; i++)
		if (medium->tracks[i].session != open_session)
			end = track_end(&medium->tracks[i]);
	return end;
}

/** medium_readable_end() - one past the last sector that a READ may ask for */
u32 medium_readable_end(const struct medium *medium)
{
	u32 end = medium_capacity(medium);

	for (unsigned int i = 0; i < medium->track_count; i++)
		if (medium->tracks[i].state != TRACK_EMPTY && medium->tracks[i].next > end)
			end = medium->tracks[i].next;
	return end;
}

/**
 * medium_track() - look up a track
 * @medium: a sequential disc
 * @number: its number, from 1
 * Return: the track, NULL if there is none
 */
const struct track *medium_track(const struct medium *medium, unsigned int number)
{
	if (number < 1 || number > medium->track_count)
		return NULL;
	return &medium->tracks[number - 1];
}

/** medium_track_at() - number of the track that an address belongs to, 0 for none */
unsigned int medium_track_at(const struct medium *medium, u32 lba)
{
	for (unsigned int i = 0; i < medium->track_count; i++)
		if (lba >= medium->tracks[i].start && lba < track_end(&medium->tracks[i]))
			return i + 1;
	return 0;
}

/** medium_open_track() - number of the empty or open track at the end, 0 for none */
unsigned int medium_open_track(const struct medium *medium)
{
	if (medium->finalized || !medium->track_count ||
	    medium->tracks[medium->track_count - 1].state > TRACK_OPEN)
		return 0;
	return medium->track_count;
}

/* The recorded parts only: a gap between sessions and what was never written fail. */
static bool is_recorded(const struct medium *medium, u32 lba, u32 count)
{
	while (count) {
		unsigned int number = medium_track_at(medium, lba);
		const struct track *track = medium_track(medium, number);
		u32 end, part;

		if (!track || track->state == TRACK_EMPTY)
			return false;
		end = track->state == TRACK_CLOSED ? track_end(track) : track->next;
		if (lba >= end)
			return false;
		part = end - lba < count ? end - lba : count;
		lba += part;
		count -= part;
	}
	return true;
}

static bool move_all(bool out, int fd, struct iovec *iov, int iov_count, off_t offset)
{
	while (iov_count) {
		int batch = iov_count < 512 ? iov_count : 512;
		ssize_t moved = out ? pwritev(fd, iov, batch, offset) :
				      preadv(fd, iov, batch, offset);

		if (moved < 0 && errno == EINTR)
			continue;
		if (moved < 0 || (out && !moved))
			return false;
		if (!moved)
			break;	/* beyond the end of the sparse file: zeros */
		offset += moved;
		while (iov_count && (size_t)moved >= iov->iov_len) {
			moved -= (ssize_t)iov->iov_len;
			iov++;
			iov_count--;
		}
		if (moved) {
			iov->iov_base = (char *)iov->iov_base + moved;
			iov->iov_len -= (size_t)moved;
		}
	}
	for (; iov_count; iov++, iov_count--)
		memset(iov->iov_base, 0, iov->iov_len);
	return true;
}

/* Work on a copy that is exactly count sectors long. A shorter buffer gets what fits. */
static bool move_sectors(bool out, const struct medium *medium, u32 lba, u32 count,
			 const struct iovec *iov, int iov_count)
{
	size_t left = (size_t)count * SECTOR_SIZE;
	struct iovec *copy;
	bool moved;
	int used;

	copy = calloc((size_t)iov_count + 1, sizeof(*copy));
	if (!copy)
		return false;
	for (used = 0; used < iov_count && left; used++) {
		copy[used] = iov[used];
		if (copy[used].iov_len > left)
			copy[used].iov_len = left;
		left -= copy[used].iov_len;
	}
	moved = move_all(out, medium->fd, copy, used, (off_t)lba * SECTOR_SIZE);
	free(copy);
	return moved;
}

/**
 * medium_read() - read sectors
 * @medium: the disc
 * @lba: first sector
 * @count: how many
 * @iov: where to; a shorter one gets the beginning
 * @iov_count: entries of @iov
 * Return: SENSE_NONE or why not
 */
sense_t medium_read(struct medium *medium, u32 lba, u32 count,
		    const struct iovec *iov, int iov_count)
{
	u32 end = medium_readable_end(medium);

	if (lba > end || count > end - lba)
		return SENSE_LBA_OUT_OF_RANGE;
	if (medium->type->sequential && !is_recorded(medium, lba, count))
		return SENSE_ILLEGAL_MODE_FOR_TRACK;
	if (!move_sectors(false, medium, lba, count, iov, iov_count))
		return SENSE_READ_ERROR;
	return SENSE_NONE;
}

static sense_t write_overwritable(struct medium *medium, u32 lba, u32 count)
{
	if (medium->format == FORMAT_NONE)
		return SENSE_INCOMPATIBLE_FORMAT;
	if (lba > medium->sectors || count > medium->sectors - lba)
		return SENSE_LBA_OUT_OF_RANGE;
	return SENSE_NONE;
}

static bool write_type_fits(const struct medium *medium, enum write_type type)
{
	if (!has_write_types(medium))
		return true;
	if (type == WRITE_DISC_AT_ONCE)
		return medium->disc_at_once || medium_is_blank(medium);
	return type == WRITE_INCREMENTAL && !medium->disc_at_once;
}

static sense_t check_sequential(struct medium *medium, struct track *track, u32 lba,
				u32 count, enum write_type type)
{
	if (lba >= medium->sectors)
		return SENSE_LBA_OUT_OF_RANGE;
	if (!track || track->state == TRACK_CLOSED || lba != track->next)
		return SENSE_INVALID_WRITE_ADDRESS;
	if (count > track_end(track) - lba)
		return track->state == TRACK_RESERVED ? SENSE_END_OF_TRACK :
							SENSE_LBA_OUT_OF_RANGE;
	if (!write_type_fits(medium, type))
		return SENSE_ILLEGAL_MODE_FOR_TRACK;
	return SENSE_NONE;
}

/**
 * medium_write() - write sectors
 * @medium: the disc
 * @lba: first sector
 * @count: how many
 * @type: write type of the write parameters page
 * @iov: the data, at least @count sectors
 * @iov_count: entries of @iov
 * Return: SENSE_NONE or why not
 */
sense_t medium_write(struct medium *medium, u32 lba, u32 count,
		     enum write_type type, const struct iovec *iov, int iov_count)
{
	struct track *track = NULL;
	unsigned int number;
	sense_t sense;

	if (!medium->type->writable)
		return SENSE_WRITE_PROTECTED;
	if (medium->type->sequential) {
		number = medium_track_at(medium, lba);
		track = number ? &medium->tracks[number - 1] : NULL;
		sense = check_sequential(medium, track, lba, count, type);
	} else {
		sense = write_overwritable(medium, lba, count);
	}
	if (sense || !count)
		return sense;
	if (!move_sectors(true, medium, lba, count, iov, iov_count))
		return SENSE_WRITE_ERROR;
	medium->sectors_written += count;
	if (track) {
		track->next += count;
		if (track->state == TRACK_EMPTY)
			track->state = TRACK_OPEN;
		if (type == WRITE_DISC_AT_ONCE && has_write_types(medium))
			medium->disc_at_once = true;
	}
	return SENSE_NONE;
}
