// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The drive: tray, removal prevention, and the events that tell of them
 *
 * The two kinds of prevention are independent, as in MMC: 01b and 00b set and clear
 * the ordinary one, 11b and 10b the persistent one. While either is in effect the
 * tray stays shut, and the eject button only makes an event.
 */
#include <string.h>

#include "drive_internal.h"

#define STATE_CHANGED	0x0001	/* operational change: the feature list */

static void open_tray(struct drive *drive)
{
	struct medium *medium = drive_loaded(drive);

	if (drive->tray_open)
		return;
	if (medium) {
		medium_flush(medium, mode_multi_session(drive));
		medium_stop_format(medium);
		post_event(drive, EVENT_MEDIA, EVENT_MEDIA_REMOVAL);
		post_event(drive, EVENT_OPERATIONAL_CHANGE, EVENT_FEATURE_CHANGE);
	}
	drive->tray_open = true;
	drive->busy_until_ms = 0;
}

/**
 * drive_close_tray() - close the tray, load what is on it
 * @drive: the drive
 */
void drive_close_tray(struct drive *drive)
{
	if (!drive->tray_open)
		return;
	drive->tray_open = false;
	if (!drive->medium)
		return;
	drive_raise_attention(drive, SENSE_MEDIUM_CHANGED);
	post_event(drive, EVENT_MEDIA, EVENT_MEDIA_NEW);
	post_event(drive, EVENT_OPERATIONAL_CHANGE, EVENT_FEATURE_CHANGE);
	drive->busy_sense = SENSE_BECOMING_READY;
	drive->busy_started_ms = drive->now_ms;
	drive->busy_until_ms = drive->now_ms + drive->spin_up_ms;
}

/**
 * drive_insert() - a hand opens the tray, changes the disc, and closes it again
 * @drive: the drive, which does not mind: whoever calls has checked the lock
 * @medium: the new disc, NULL to take the old one away; the drive owns it
 */
void drive_insert(struct drive *drive, struct medium *medium)
{
	open_tray(drive);
	medium_free(drive->medium);
	drive->medium = medium;
	drive_close_tray(drive);
}

/**
 * drive_press_eject() - a finger presses the button
 * @drive: the drive
 * Return: whether the tray has moved; if not, an eject request event is pending
 */
bool drive_press_eject(struct drive *drive)
{
	if (drive->tray_open) {
		drive_close_tray(drive);
		return true;
	}
	if (drive_is_locked(drive)) {
		post_event(drive, EVENT_MEDIA, EVENT_MEDIA_EJECT_REQUEST);
		return false;
	}
	open_tray(drive);
	return true;
}

void start_stop_unit(struct drive *drive, struct command *command)
{
	bool start = command->cdb[4] & 0x01;
	bool load_or_eject = command->cdb[4] & 0x02;

	if (command->cdb[4] >> 4 || !load_or_eject)
		return;		/* a power condition, or spinning up or down */
	if (start) {
		drive_close_tray(drive);
		return;
	}
	if (drive_is_locked(drive)) {
		command_check_condition(command, SENSE_REMOVAL_PREVENTED);
		return;
	}
	open_tray(drive);
}

void prevent_allow_medium_removal(struct drive *drive, struct command *command)
{
	bool prevent = command->cdb[4] & 0x01;

	if (command->cdb[4] & 0x02)
		drive->persistent_prevented = prevent;
	else
		drive->prevented = prevent;
}

/* Supported classes that were asked for, the first with something to tell, else the first. */
static unsigned int choose_class(const struct drive *drive, u8 requested)
{
	for (unsigned int class = 0; class < EVENT_CLASSES; class++)
		if (requested & 1 << class && drive->events[class])
			return class;
	for (unsigned int class = 0; class < EVENT_CLASSES; class++)
		if (requested & 1 << class)
			return class;
	return 0;
}

static void describe_event(const struct drive *drive, unsigned int class, u8 *event)
{
	u8 persistent = drive->persistent_prevented ? 0x80 : 0x00;

	event[0] = drive->events[class];
	switch (class) {
	case EVENT_OPERATIONAL_CHANGE:
		event[1] = persistent;
		put_be16(event + 2, event[0] ? STATE_CHANGED : 0);
		break;
	case EVENT_POWER:
		event[1] = 0x01;	/* active */
		break;
	case EVENT_EXTERNAL_REQUEST:
		event[1] = persistent;
		break;
	case EVENT_MEDIA:
		event[1] = (drive->tray_open ? 0x01 : 0) | (drive_loaded(drive) ? 0x02 : 0);
		break;
	case EVENT_BUSY:
		if (!operation_in_progress(drive))
			break;
		event[1] = 0x01;
		put_be16(event + 2, (u16)((drive->busy_until_ms - drive->now_ms + 99) / 100));
		break;
	default:
		break;
	}
}

void get_event_status_notification(struct drive *drive, struct command *command)
{
	const u8 supported = 1 << EVENT_OPERATIONAL_CHANGE | 1 << EVENT_POWER |
			     1 << EVENT_EXTERNAL_REQUEST | 1 << EVENT_MEDIA | 1 << EVENT_BUSY;
	size_t allocated = get_be16(command->cdb + 7);
	u8 data[8] = { 0 };
	unsigned int class;

	if (!(command->cdb[1] & 0x01)) {	/* asynchronous: not supported */
		command_check_condition(command, SENSE_INVALID_FIELD_IN_CDB);
		return;
	}
	class = choose_class(drive, command->cdb[4] & supported);
	data[3] = supported;
	if (!class) {
		put_be16(data, 2);
		data[2] = 0x80;		/* no event available */
		reply(command, data, 4, allocated);
		return;
	}
	put_be16(data, 6);
	data[2] = (u8)class;
	describe_event(drive, class, data + 4);
	reply(command, data, sizeof(data), allocated);
	if (command->returned > 4)
		drive->events[class] = EVENT_NONE;
}

void mechanism_status(struct drive *drive, struct command *command)
{
	u8 data[8] = { 0 };

	data[1] = drive->tray_open ? 0x10 : 0x00;
	reply(command, data, sizeof(data), get_be16(command->cdb + 8));
}
