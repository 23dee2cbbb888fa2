/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disc: what is recorded on it, and what may still be recorded
 *
 * This is where write-once is enforced: a sequential disc takes a write only at
 * the next writable address of an open track, and that address never goes back.
 * The drive around the disc (tray, modes, unit attentions) is in drive.h.
 *
 * Every function that can be refused returns a sense code, SENSE_NONE for success.
 */
#ifndef RECORDER_MEDIUM_H
#define RECORDER_MEDIUM_H

#include <sys/uio.h>

#include "sense.h"
#include "types.h"

#define SECTOR_SIZE		2048u
#define ECC_BLOCK_SECTORS	16u
#define MEDIUM_MAX_TRACKS	153u

enum medium_kind {
	MEDIUM_DVD_ROM,
	MEDIUM_DVD_R,
	MEDIUM_DVD_RW,
	MEDIUM_DVD_PLUS_RW,
	MEDIUM_DVD_PLUS_R,
	MEDIUM_KINDS,
};

/**
 * struct medium_type - what all discs of a kind have in common
 * @name: as on the package, and on the command line
 * @profile: MMC profile number
 * @sectors: capacity of a blank one
 * @session_gap: sectors that closing a session and opening the next one takes
 * @book_type: book type of READ DISC STRUCTURE, format 00h
 * @writable: anything can be written at all
 * @sequential: written at the next writable address only
 * @erasable: can be written again (BLANK or overwriting)
 */
struct medium_type {
	const char *name;
	u16 profile;
	u32 sectors;
	u32 session_gap;
	u8 book_type;
	bool writable;
	bool sequential;
	bool erasable;
};

enum track_state {
	TRACK_EMPTY,		/* the invisible track at the end, nothing in it */
	TRACK_OPEN,		/* the same one, partly written */
	TRACK_RESERVED,		/* has a fixed size, perhaps partly written */
	TRACK_CLOSED,
};

/**
 * struct track - a track or RZone
 * @state: how far it is
 * @session: number of its session, from 1
 * @start: first sector
 * @size: sectors that belong to it; of an empty or open one: all that are left
 * @next: next writable address
 */
struct track {
	enum track_state state;
	u16 session;
	u32 start;
	u32 size;
	u32 next;
};

enum format_state {
	FORMAT_NONE = 0,	/* values of READ DISC INFORMATION */
	FORMAT_STOPPED = 1,
	FORMAT_RUNNING = 2,
	FORMAT_COMPLETE = 3,
};

enum write_type {
	WRITE_INCREMENTAL = 0,	/* values of the write parameters page */
	WRITE_TRACK_AT_ONCE = 1,
	WRITE_DISC_AT_ONCE = 2,
};

/**
 * struct medium - one disc
 * @type: its kind
 * @fd: backing file, sparse; sector n is at n * SECTOR_SIZE
 * @sectors: capacity
 * @finalized: nothing can be added any more
 * @disc_at_once: the track being written is to be the only one
 * @format: background format, DVD+RW only
 * @tracks: sequential discs; the last one is empty or open unless finalized
 * @track_count: valid entries of @tracks
 * @sectors_written: sectors that WRITE put on it, for the tests
 */
struct medium {
	const struct medium_type *type;
	int fd;
	u32 sectors;
	bool finalized;
	bool disc_at_once;
	enum format_state format;
	struct track tracks[MEDIUM_MAX_TRACKS];
	unsigned int track_count;
	u64 sectors_written;
};

const struct medium_type *medium_type(enum medium_kind kind);
const struct medium_type *medium_type_by_name(const char *name);

struct medium *medium_new_blank(const struct medium_type *type, u32 sectors, int fd);
struct medium *medium_new_image(int fd);
void medium_free(struct medium *medium);

bool medium_is_blank(const struct medium *medium);
const char *medium_state_name(const struct medium *medium);
unsigned int medium_sessions(const struct medium *medium);
u32 medium_capacity(const struct medium *medium);
u32 medium_readable_end(const struct medium *medium);

const struct track *medium_track(const struct medium *medium, unsigned int number);
unsigned int medium_track_at(const struct medium *medium, u32 lba);
unsigned int medium_open_track(const struct medium *medium);

sense_t medium_read(struct medium *medium, u32 lba, u32 count,
		    const struct iovec *iov, int iov_count);
sense_t medium_write(struct medium *medium, u32 lba, u32 count,
		     enum write_type type, const struct iovec *iov, int iov_count);
sense_t medium_reserve_track(struct medium *medium, u32 size, enum write_type type);
void medium_flush(struct medium *medium, bool multi_session);
sense_t medium_close_track(struct medium *medium, unsigned int number);
sense_t medium_close_session(struct medium *medium, bool finalize);
sense_t medium_blank(struct medium *medium);
sense_t medium_format(struct medium *medium, bool restart);
void medium_stop_format(struct medium *medium);

#endif
