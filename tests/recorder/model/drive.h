/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A DVD recorder as MMC describes it: command in, data and sense out
 *
 * It promises what burners and the kernel rely on: profiles, features, events,
 * unit attentions, a tray that stays shut while removal is prevented, write-once
 * media. It knows no transport, no thread and no clock of its own, so a test can
 * drive it command by command. It records nothing at real speed: only the long
 * operations (close, blank, format) take a time, which is told to the caller.
 */
#ifndef RECORDER_DRIVE_H
#define RECORDER_DRIVE_H

#include <sys/uio.h>

#include "medium.h"
#include "sense.h"
#include "types.h"

#define SENSE_LENGTH		18
#define MAX_UNIT_ATTENTIONS	8

/**
 * struct command - one command on its way through the drive
 * @cdb: command descriptor block
 * @cdb_length: its length
 * @iov: data buffer, for either direction
 * @iov_count: entries of @iov
 * @length: bytes in @iov
 * @status: out: SCSI status
 * @sense: out: fixed format sense data, valid if @status is CHECK CONDITION
 * @returned: out: bytes of @iov that hold data for the initiator
 * @duration_ms: out: how long the drive works on it before it answers
 */
struct command {
	const u8 *cdb;
	size_t cdb_length;
	const struct iovec *iov;
	int iov_count;
	size_t length;
	u8 status;
	u8 sense[SENSE_LENGTH];
	size_t returned;
	unsigned int duration_ms;
};

enum event_class {	/* values of GET EVENT STATUS NOTIFICATION */
	EVENT_OPERATIONAL_CHANGE = 1,
	EVENT_POWER = 2,
	EVENT_EXTERNAL_REQUEST = 3,
	EVENT_MEDIA = 4,
	EVENT_BUSY = 6,
	EVENT_CLASSES = 7,
};

enum event_code {
	EVENT_NONE = 0,
	EVENT_MEDIA_EJECT_REQUEST = 1,
	EVENT_MEDIA_NEW = 2,
	EVENT_MEDIA_REMOVAL = 3,
	EVENT_FEATURE_CHANGE = 2,
};

/**
 * struct mode_page - one page of MODE SENSE and MODE SELECT
 * @code: page code
 * @length: bytes, the two bytes in front included
 * @current: what it says now
 * @initial: what it says after a reset
 * @changeable: bits that MODE SELECT may change
 */
struct mode_page {
	u8 code;
	u8 length;
	u8 current[64];
	u8 initial[64];
	u8 changeable[64];
};

#define MODE_PAGES	6

/**
 * struct drive - one recorder
 * @serial: for INQUIRY
 * @medium: the disc in the tray or drive, NULL for none
 * @tray_open: the tray is out
 * @prevented: PREVENT MEDIUM REMOVAL in effect
 * @persistent_prevented: its persistent form
 * @attentions: unit attentions to be reported, first come first
 * @attention_count: valid entries of @attentions
 * @events: next event of each class, EVENT_NONE for none
 * @pages: mode pages
 * @now_ms: the caller's clock
 * @busy_until_ms: end of the long operation that was started with IMMED
 * @busy_started_ms: and its beginning
 * @busy_sense: what it is
 * @operation_ms: how long a long operation takes
 * @spin_up_ms: how long a loaded disc takes to become ready
 * @format_started_ms: beginning of the background format
 * @format_ms: how long a background format takes
 * @read_speed: kB/s, as selected
 * @write_speed: kB/s, as selected
 */
struct drive {
	char serial[17];
	struct medium *medium;
	bool tray_open;
	bool prevented;
	bool persistent_prevented;
	sense_t attentions[MAX_UNIT_ATTENTIONS];
	unsigned int attention_count;
	enum event_code events[EVENT_CLASSES];
	struct mode_page pages[MODE_PAGES];
	u64 now_ms;
	u64 busy_until_ms;
	u64 busy_started_ms;
	sense_t busy_sense;
	unsigned int operation_ms;
	unsigned int spin_up_ms;
	u64 format_started_ms;
	u64 format_ms;
	u32 read_speed;
	u32 write_speed;
};

void drive_init(struct drive *drive, const char *serial);
void drive_release(struct drive *drive);
void drive_execute(struct drive *drive, struct command *command);
const char *drive_opcode_name(u8 opcode);

/* What happens to a drive other than by a command */
void drive_reset(struct drive *drive, bool raise_attention);
void drive_insert(struct drive *drive, struct medium *medium);
bool drive_press_eject(struct drive *drive);
void drive_close_tray(struct drive *drive);
void drive_raise_attention(struct drive *drive, sense_t sense);

bool drive_is_locked(const struct drive *drive);
u16 drive_profile(const struct drive *drive);

/* For whoever answers in the drive's place */
void command_check_condition(struct command *command, sense_t sense);

#endif
