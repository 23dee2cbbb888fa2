/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files that implement the drive share with each other and with nobody else. */
#ifndef RECORDER_DRIVE_INTERNAL_H
#define RECORDER_DRIVE_INTERNAL_H

#include "drive.h"

#define DVD_SPEED	1385u	/* kB/s of 1x */
#define MAX_SPEED	(16 * DVD_SPEED)
#define BUFFER_SIZE	(2u << 20)

typedef void (*handler_t)(struct drive *drive, struct command *command);

/* The disc that commands can work on: in the drive, not on an open tray. */
static inline struct medium *drive_loaded(const struct drive *drive)
{
	return drive->tray_open ? NULL : drive->medium;
}

static inline bool profile_is_dash(const struct drive *drive)
{
	u16 profile = drive_profile(drive);

	return profile == 0x11 || profile == 0x14;
}

static inline bool profile_is_plus(const struct drive *drive)
{
	u16 profile = drive_profile(drive);

	return profile == 0x1a || profile == 0x1b;
}

/* Data from and to the initiator: drive.c */
void reply(struct command *command, const void *data, size_t length, size_t allocated);
size_t fetch(const struct command *command, void *data, size_t length);
void start_operation(struct drive *drive, struct command *command, sense_t sense,
		     bool immediate);
void post_event(struct drive *drive, enum event_class class, enum event_code code);
bool operation_in_progress(const struct drive *drive);
u16 operation_progress(const struct drive *drive);

/* Mode pages: modes.c */
void modes_init(struct drive *drive);
void modes_reset(struct drive *drive);
enum write_type mode_write_type(const struct drive *drive);
bool mode_multi_session(const struct drive *drive);

/* Handlers, by file */
void inquiry(struct drive *drive, struct command *command);
void get_configuration(struct drive *drive, struct command *command);

void mode_sense_6(struct drive *drive, struct command *command);
void mode_sense_10(struct drive *drive, struct command *command);
void mode_select_6(struct drive *drive, struct command *command);
void mode_select_10(struct drive *drive, struct command *command);

void start_stop_unit(struct drive *drive, struct command *command);
void prevent_allow_medium_removal(struct drive *drive, struct command *command);
void get_event_status_notification(struct drive *drive, struct command *command);
void mechanism_status(struct drive *drive, struct command *command);

void read_capacity(struct drive *drive, struct command *command);
void read_format_capacities(struct drive *drive, struct command *command);
void read_toc(struct drive *drive, struct command *command);
void read_disc_information(struct drive *drive, struct command *command);
void read_track_information(struct drive *drive, struct command *command);
void read_disc_structure(struct drive *drive, struct command *command);

void read_data(struct drive *drive, struct command *command);
void write_data(struct drive *drive, struct command *command);
void verify(struct drive *drive, struct command *command);
void seek(struct drive *drive, struct command *command);
void synchronize_cache(struct drive *drive, struct command *command);
void reserve_track(struct drive *drive, struct command *command);
void close_track_session(struct drive *drive, struct command *command);
void blank(struct drive *drive, struct command *command);
void format_unit(struct drive *drive, struct command *command);
void send_opc_information(struct drive *drive, struct command *command);

void get_performance(struct drive *drive, struct command *command);
void set_streaming(struct drive *drive, struct command *command);
void set_cd_speed(struct drive *drive, struct command *command);
void read_buffer_capacity(struct drive *drive, struct command *command);

#endif
