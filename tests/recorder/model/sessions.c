// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A disc: tracks, sessions, blanking and formatting
 *
 * Tracks are kept for sequential discs only; DVD+RW and DVD-ROM have one track
 * from the first to the last sector.
 */
#include <unistd.h>

#include "medium_internal.h"

void medium_add_empty_track(struct medium *medium, u16 session, u32 start)
{
	struct track *track = &medium->tracks[medium->track_count++];

	track->state = TRACK_EMPTY;
	track->session = session;
	track->start = start;
	track->next = start;
	track->size = medium->sectors - start;
}

void medium_reset_tracks(struct medium *medium)
{
	medium->track_count = 0;
	medium->finalized = false;
	medium->disc_at_once = false;
	if (medium->type->sequential)
		medium_add_empty_track(medium, 1, 0);
}

/**
 * medium_reserve_track() - set aside room for a track of known size
 * @medium: a sequential disc
 * @size: sectors, rounded up to full ECC blocks
 * @type: disc-at-once makes the track the only one
 * Return: SENSE_NONE or why not
 */
sense_t medium_reserve_track(struct medium *medium, u32 size, enum write_type type)
{
	unsigned int number = medium_open_track(medium);
	struct track *track;
	u32 room;

	if (!medium->type->sequential)
		return SENSE_INCOMPATIBLE_MEDIUM;
	if (!number || medium->track_count == MEDIUM_MAX_TRACKS)
		return SENSE_NO_TRACK_RESERVATIONS;
	track = &medium->tracks[number - 1];
	if (track->state != TRACK_EMPTY)
		return SENSE_SEQUENCE_ERROR;
	room = track->size;
	if (!size || size > room)
		return SENSE_INVALID_FIELD_IN_CDB;
	size = round_up_to_ecc_block(size);
	if (size > room)
		size = room;
	if (has_write_types(medium) && type == WRITE_DISC_AT_ONCE) {
		if (!medium_is_blank(medium))
			return SENSE_ILLEGAL_MODE_FOR_TRACK;
		medium->disc_at_once = true;
	}
	track->state = TRACK_RESERVED;
	track->size = size;
	if (!medium->disc_at_once && size < room)
		medium_add_empty_track(medium, track->session, track_end(track));
	return SENSE_NONE;
}

static void pad_to_ecc_block(struct track *track)
{
	u32 next = track->start + round_up_to_ecc_block(track->next - track->start);

	track->next = next < track_end(track) ? next : track_end(track);
}

static void close_one(struct track *track)
{
	if (track->state == TRACK_OPEN) {
		pad_to_ecc_block(track);
		track->size = track->next - track->start;
	}
	track->next = track_end(track);	/* the drive fills up a reserved one */
	track->state = TRACK_CLOSED;
}

/* Whatever is open in the session is closed; the empty track at the end goes away. */
static void finish(struct medium *medium)
{
	struct track *last = &medium->tracks[medium->track_count - 1];

	if (last->state == TRACK_EMPTY && medium->track_count > 1)
		medium->track_count--;
	medium->finalized = true;
	medium->disc_at_once = false;
}

static void open_next_session(struct medium *medium)
{
	struct track *last = &medium->tracks[medium->track_count - 1];
	u16 session = last->session;
	u32 start;

	if (last->state == TRACK_EMPTY)
		last = &medium->tracks[--medium->track_count - 1];
	start = round_up_to_ecc_block(track_end(last)) + medium->type->session_gap;
	if (start >= medium->sectors || medium->track_count == MEDIUM_MAX_TRACKS)
		medium->finalized = true;
	else
		medium_add_empty_track(medium, session + 1, start);
	medium->disc_at_once = false;
}

/**
 * medium_flush() - put everything from the drive's buffer on the disc
 * @medium: the disc
 * @multi_session: a disc-at-once session may be followed by another one
 *
 * An interrupted sequential recording goes on at a full ECC block. Disc-at-once
 * ends with this: the drive writes the lead-out by itself.
 */
void medium_flush(struct medium *medium, bool multi_session)
{
	for (unsigned int i = 0; i < medium->track_count; i++) {
		struct track *track = &medium->tracks[i];

		if (track->state == TRACK_OPEN || track->state == TRACK_RESERVED)
			pad_to_ecc_block(track);
	}
	if (!medium->disc_at_once || medium->tracks[0].next == 0)
		return;
	close_one(&medium->tracks[0]);
	if (multi_session)
		open_next_session(medium);
	else
		finish(medium);
}

/**
 * medium_close_track() - complete a track
 * @medium: a sequential disc
 * @number: its number, from 1
 * Return: SENSE_NONE or why not
 */
sense_t medium_close_track(struct medium *medium, unsigned int number)
{
	struct track *track;
	bool was_open;

	if (!medium->type->sequential)
		return SENSE_INCOMPATIBLE_MEDIUM;
	if (medium->finalized || number < 1 || number > medium->track_count)
		return SENSE_INVALID_FIELD_IN_CDB;
	track = &medium->tracks[number - 1];
	if (track->state == TRACK_CLOSED)
		return SENSE_NONE;
	if (track->state == TRACK_EMPTY)
		return SENSE_INVALID_FIELD_IN_CDB;
	was_open = track->state == TRACK_OPEN;
	close_one(track);
	if (was_open && track_end(track) < medium->sectors &&
	    medium->track_count < MEDIUM_MAX_TRACKS)
		medium_add_empty_track(medium, track->session, track_end(track));
	return SENSE_NONE;
}

/**
 * medium_close_session() - write lead-out or border-out
 * @medium: a sequential disc
 * @finalize: no session may follow
 * Return: SENSE_NONE or why not: a reserved track that is not full, an empty session
 */
sense_t medium_close_session(struct medium *medium, bool finalize)
{
	unsigned int session = medium_sessions(medium);
	unsigned int closed = 0;
	unsigned int open = medium_open_track(medium);

	if (!medium->type->sequential)
		return SENSE_INCOMPATIBLE_MEDIUM;
	if (medium->finalized)
		return SENSE_NONE;
	for (unsigned int i = 0; i < medium->track_count; i++) {
		struct track *track = &medium->tracks[i];

		if (track->session != session || track->state == TRACK_EMPTY)
			continue;
		if (track->state == TRACK_RESERVED && track->next != track_end(track))
			return SENSE_INCOMPLETE_TRACK;
		closed++;
	}
	/* An empty session can only be left behind for good, after another one. */
	if (!closed && !(finalize && session > 1))
		return SENSE_INCOMPLETE_TRACK;
	for (unsigned int i = 0; i < medium->track_count; i++)
		if (medium->tracks[i].state == TRACK_RESERVED)
			close_one(&medium->tracks[i]);
	if (open && medium->tracks[open - 1].state == TRACK_OPEN)
		close_one(&medium->tracks[open - 1]);
	if (finalize)
		finish(medium);
	else
		open_next_session(medium);
	return SENSE_NONE;
}

/**
 * medium_blank() - erase a rewritable sequential disc
 * @medium: the disc
 * Return: SENSE_NONE or why not
 */
sense_t medium_blank(struct medium *medium)
{
	if (!medium->type->sequential || !medium->type->erasable)
		return SENSE_INCOMPATIBLE_MEDIUM;
	if (ftruncate(medium->fd, 0))
		return SENSE_WRITE_ERROR;
	medium_reset_tracks(medium);
	return SENSE_NONE;
}

/**
 * medium_format() - start formatting a DVD+RW in the background
 * @medium: the disc
 * @restart: go on with one that was stopped, the content stays
 * Return: SENSE_NONE or why not
 */
sense_t medium_format(struct medium *medium, bool restart)
{
	if (medium->type->sequential || !medium->type->erasable)
		return SENSE_INCOMPATIBLE_MEDIUM;
	if (restart) {
		if (medium->format == FORMAT_NONE)
			return SENSE_INVALID_PARAMETER;
		if (medium->format == FORMAT_STOPPED)
			medium->format = FORMAT_RUNNING;
		return SENSE_NONE;
	}
	medium->format = FORMAT_RUNNING;
	return SENSE_NONE;
}

/** medium_stop_format() - leave a background format for later */
void medium_stop_format(struct medium *medium)
{
	if (medium->format == FORMAT_RUNNING)
		medium->format = FORMAT_STOPPED;
}
