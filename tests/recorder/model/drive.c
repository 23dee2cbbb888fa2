// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The drive: which commands there are, and when they are refused
 *
 * Every command passes the same gates in the order that MMC gives: unit
 * attention, medium present, medium ready. The table says which gates each
 * command has to pass; what it then does is in the file of its group.
 */
#include <stdio.h>
#include <string.h>

#include "drive_internal.h"

#define ANY_TIME	0x01	/* neither unit attention nor readiness matters */
#define NEEDS_MEDIUM	0x02
#define WHILE_BUSY	0x04	/* also during a long operation */

static void test_unit_ready(struct drive *drive, struct command *command)
{
	(void)drive;
	(void)command;	/* the gates have said it all */
}

static void request_sense(struct drive *drive, struct command *command);

static const struct operation {
	u8 opcode;
	u8 gates;
	handler_t handler;
	const char *name;
} operations[] = {
	{ 0x00, NEEDS_MEDIUM, test_unit_ready, "TEST_UNIT_READY" },
	{ 0x03, ANY_TIME, request_sense, "REQUEST_SENSE" },
	{ 0x04, NEEDS_MEDIUM, format_unit, "FORMAT_UNIT" },
	{ 0x12, ANY_TIME, inquiry, "INQUIRY" },
	{ 0x15, WHILE_BUSY, mode_select_6, "MODE_SELECT_6" },
	{ 0x1a, WHILE_BUSY, mode_sense_6, "MODE_SENSE_6" },
	{ 0x1b, 0, start_stop_unit, "START_STOP_UNIT" },
	{ 0x1e, WHILE_BUSY, prevent_allow_medium_removal, "PREVENT_ALLOW_MEDIUM_REMOVAL" },
	{ 0x23, 0, read_format_capacities, "READ_FORMAT_CAPACITIES" },
	{ 0x25, NEEDS_MEDIUM, read_capacity, "READ_CAPACITY" },
	{ 0x28, NEEDS_MEDIUM, read_data, "READ_10" },
	{ 0x2a, NEEDS_MEDIUM, write_data, "WRITE_10" },
	{ 0x2b, NEEDS_MEDIUM, seek, "SEEK_10" },
	{ 0x2e, NEEDS_MEDIUM, write_data, "WRITE_AND_VERIFY_10" },
	{ 0x2f, NEEDS_MEDIUM, verify, "VERIFY_10" },
	{ 0x35, NEEDS_MEDIUM, synchronize_cache, "SYNCHRONIZE_CACHE" },
	{ 0x43, NEEDS_MEDIUM, read_toc, "READ_TOC" },
	{ 0x46, ANY_TIME, get_configuration, "GET_CONFIGURATION" },
	{ 0x4a, ANY_TIME, get_event_status_notification, "GET_EVENT_STATUS_NOTIFICATION" },
	{ 0x51, NEEDS_MEDIUM | WHILE_BUSY, read_disc_information, "READ_DISC_INFORMATION" },
	{ 0x52, NEEDS_MEDIUM, read_track_information, "READ_TRACK_INFORMATION" },
	{ 0x53, NEEDS_MEDIUM, reserve_track, "RESERVE_TRACK" },
	{ 0x54, NEEDS_MEDIUM, send_opc_information, "SEND_OPC_INFORMATION" },
	{ 0x55, WHILE_BUSY, mode_select_10, "MODE_SELECT_10" },
	{ 0x5a, WHILE_BUSY, mode_sense_10, "MODE_SENSE_10" },
	{ 0x5b, NEEDS_MEDIUM, close_track_session, "CLOSE_TRACK_SESSION" },
	{ 0x5c, NEEDS_MEDIUM | WHILE_BUSY, read_buffer_capacity, "READ_BUFFER_CAPACITY" },
	{ 0xa1, NEEDS_MEDIUM, blank, "BLANK" },
	{ 0xa8, NEEDS_MEDIUM, read_data, "READ_12" },
	{ 0xaa, NEEDS_MEDIUM, write_data, "WRITE_12" },
	{ 0xac, 0, get_performance, "GET_PERFORMANCE" },
	{ 0xad, NEEDS_MEDIUM, read_disc_structure, "READ_DISC_STRUCTURE" },
	{ 0xb6, 0, set_streaming, "SET_STREAMING" },
	{ 0xbb, 0, set_cd_speed, "SET_CD_SPEED" },
	{ 0xbd, WHILE_BUSY, mechanism_status, "MECHANISM_STATUS" },
};

static const struct operation *find_operation(u8 opcode)
{
	for (size_t i = 0; i < ARRAY_SIZE(operations); i++)
		if (operations[i].opcode == opcode)
			return &operations[i];
	return NULL;
}

/** drive_opcode_name() - for logs; an opcode that the drive does not know is "-" */
const char *drive_opcode_name(u8 opcode)
{
	const struct operation *operation = find_operation(opcode);

	return operation ? operation->name : "-";
}

/**
 * command_check_condition() - end a command with CHECK CONDITION
 * @command: the command
 * @sense: why
 */
void command_check_condition(struct command *command, sense_t sense)
{
	command->status = STATUS_CHECK_CONDITION;
	command->returned = 0;
	memset(command->sense, 0, sizeof(command->sense));
	command->sense[0] = 0x70;
	command->sense[2] = SENSE_KEY(sense);
	command->sense[7] = SENSE_LENGTH - 8;
	command->sense[12] = SENSE_ASC(sense);
	command->sense[13] = SENSE_ASCQ(sense);
}

/* Data for the initiator, cut to what it allows and to what it has room for. */
void reply(struct command *command, const void *data, size_t length, size_t allocated)
{
	const u8 *from = data;

	if (length > allocated)
		length = allocated;
	command->returned = 0;
	for (int i = 0; i < command->iov_count && length; i++) {
		size_t part = command->iov[i].iov_len;

		if (part > length)
			part = length;
		memcpy(command->iov[i].iov_base, from, part);
		from += part;
		length -= part;
		command->returned += part;
	}
}

/* Data from the initiator. Return: how much there was of it. */
size_t fetch(const struct command *command, void *data, size_t length)
{
	size_t fetched = 0;
	u8 *to = data;

	for (int i = 0; i < command->iov_count && fetched < length; i++) {
		size_t part = command->iov[i].iov_len;

		if (part > length - fetched)
			part = length - fetched;
		memcpy(to + fetched, command->iov[i].iov_base, part);
		fetched += part;
	}
	return fetched;
}

/* With IMMED the answer comes at once and the drive is busy; else it comes late. */
void start_operation(struct drive *drive, struct command *command, sense_t sense,
		     bool immediate)
{
	if (!immediate) {
		command->duration_ms = drive->operation_ms;
		return;
	}
	drive->busy_sense = sense;
	drive->busy_started_ms = drive->now_ms;
	drive->busy_until_ms = drive->now_ms + drive->operation_ms;
}

bool operation_in_progress(const struct drive *drive)
{
	return drive->now_ms < drive->busy_until_ms;
}

/* In 65536ths */
u16 operation_progress(const struct drive *drive)
{
	u64 whole = drive->busy_until_ms - drive->busy_started_ms;

	if (!operation_in_progress(drive) || !whole)
		return 0;
	return (u16)((drive->now_ms - drive->busy_started_ms) * 65535 / whole);
}

static sense_t readiness(const struct drive *drive, u8 gates)
{
	if ((gates & NEEDS_MEDIUM) && drive->tray_open)
		return SENSE_NO_MEDIUM_TRAY_OPEN;
	if ((gates & NEEDS_MEDIUM) && !drive->medium)
		return SENSE_NO_MEDIUM_TRAY_CLOSED;
	if (operation_in_progress(drive) && !(gates & WHILE_BUSY))
		return drive->busy_sense;
	return SENSE_NONE;
}

static void add_progress(const struct drive *drive, struct command *command)
{
	if (drive->busy_sense == SENSE_BECOMING_READY)
		return;
	command->sense[15] = 0x80;
	put_be16(command->sense + 16, operation_progress(drive));
}

static sense_t take_attention(struct drive *drive)
{
	sense_t sense = drive->attentions[0];

	drive->attention_count--;
	memmove(drive->attentions, drive->attentions + 1,
		drive->attention_count * sizeof(drive->attentions[0]));
	return sense;
}

static void request_sense(struct drive *drive, struct command *command)
{
	struct command answer = { 0 };
	sense_t sense = SENSE_NONE;

	if (drive->attention_count)
		sense = take_attention(drive);
	else if (operation_in_progress(drive))
		sense = drive->busy_sense;
	command_check_condition(&answer, sense);
	if (sense && sense == drive->busy_sense)
		add_progress(drive, &answer);
	reply(command, answer.sense, sizeof(answer.sense), command->cdb[4]);
}

static bool passes_gates(struct drive *drive, struct command *command,
			 const struct operation *operation)
{
	sense_t sense;

	if (operation->gates & ANY_TIME)
		return true;
	if (drive->attention_count) {
		command_check_condition(command, take_attention(drive));
		return false;
	}
	sense = readiness(drive, operation->gates);
	if (!sense)
		return true;
	command_check_condition(command, sense);
	if (sense == drive->busy_sense)
		add_progress(drive, command);
	return false;
}

static void finish_background_format(struct drive *drive)
{
	struct medium *medium = drive_loaded(drive);

	if (medium && medium->format == FORMAT_RUNNING &&
	    drive->now_ms - drive->format_started_ms >= drive->format_ms)
		medium->format = FORMAT_COMPLETE;
}

/**
 * drive_execute() - carry out one command
 * @drive: the drive; its @now_ms is up to date
 * @command: the command; the out fields are filled in
 */
void drive_execute(struct drive *drive, struct command *command)
{
	const struct operation *operation = find_operation(command->cdb[0]);
	const u8 *cdb = command->cdb;
	u8 padded[16] = { 0 };

	command->status = STATUS_GOOD;
	command->returned = 0;
	command->duration_ms = 0;
	memset(command->sense, 0, sizeof(command->sense));
	if (!operation) {
		command_check_condition(command, SENSE_INVALID_OPCODE);
		return;
	}
	if (command->cdb_length < sizeof(padded)) {	/* handlers need not count */
		memcpy(padded, cdb, command->cdb_length);
		command->cdb = padded;
	}
	finish_background_format(drive);
	if (passes_gates(drive, command, operation))
		operation->handler(drive, command);
	command->cdb = cdb;
}

void drive_raise_attention(struct drive *drive, sense_t sense)
{
	if (drive->attention_count < MAX_UNIT_ATTENTIONS)
		drive->attentions[drive->attention_count++] = sense;
}

void post_event(struct drive *drive, enum event_class class, enum event_code code)
{
	drive->events[class] = code;
}

bool drive_is_locked(const struct drive *drive)
{
	return drive->prevented || drive->persistent_prevented;
}

/** drive_profile() - current profile, zero if there is no disc */
u16 drive_profile(const struct drive *drive)
{
	struct medium *medium = drive_loaded(drive);

	return medium ? medium->type->profile : 0;
}

/**
 * drive_init() - a drive with an empty, closed tray
 * @drive: the drive
 * @serial: its serial number, cut to 16 characters
 */
void drive_init(struct drive *drive, const char *serial)
{
	memset(drive, 0, sizeof(*drive));
	snprintf(drive->serial, sizeof(drive->serial), "%s", serial);
	drive->operation_ms = 50;
	drive->format_ms = 15 * 60 * 1000;
	drive->read_speed = MAX_SPEED;
	drive->write_speed = MAX_SPEED;
	modes_init(drive);
	drive_raise_attention(drive, SENSE_RESET_OCCURRED);
}

void drive_release(struct drive *drive)
{
	medium_free(drive->medium);
	drive->medium = NULL;
}

/**
 * drive_reset() - what a reset of bus or unit does
 * @drive: the drive
 * @raise_attention: report it; false where the transport does so by itself
 */
void drive_reset(struct drive *drive, bool raise_attention)
{
	drive->prevented = false;
	drive->persistent_prevented = false;
	drive->attention_count = 0;
	memset(drive->events, 0, sizeof(drive->events));
	modes_reset(drive);
	if (raise_attention)
		drive_raise_attention(drive, SENSE_RESET_OCCURRED);
}
