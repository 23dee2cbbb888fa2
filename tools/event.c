// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * event.c - the records that a lock node delivers, in words
 *
 * The names are those of MMC-6 and SPC-4 for commands and of linux/cdrom.h for
 * ioctls; what is not listed is shown as a number.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <linux/cdrom.h>
#include <linux/fs.h>
#include <scsi/scsi_ioctl.h>
#include <scsi/sg.h>

#include "event.h"
#include "tool.h"

struct name {
	unsigned int code;
	const char *text;
};

static const struct name commands[] = {
	{ 0x00, "TEST UNIT READY" },
	{ 0x01, "REZERO UNIT" },
	{ 0x03, "REQUEST SENSE" },
	{ 0x04, "FORMAT UNIT" },
	{ 0x12, "INQUIRY" },
	{ 0x15, "MODE SELECT (6)" },
	{ 0x1a, "MODE SENSE (6)" },
	{ 0x1b, "START STOP UNIT" },
	{ 0x1e, "PREVENT ALLOW MEDIUM REMOVAL" },
	{ 0x23, "READ FORMAT CAPACITIES" },
	{ 0x25, "READ CAPACITY" },
	{ 0x28, "READ (10)" },
	{ 0x2a, "WRITE (10)" },
	{ 0x2b, "SEEK (10)" },
	{ 0x2e, "WRITE AND VERIFY (10)" },
	{ 0x2f, "VERIFY (10)" },
	{ 0x35, "SYNCHRONIZE CACHE" },
	{ 0x3b, "WRITE BUFFER" },
	{ 0x3c, "READ BUFFER" },
	{ 0x42, "READ SUB-CHANNEL" },
	{ 0x43, "READ TOC/PMA/ATIP" },
	{ 0x44, "READ HEADER" },
	{ 0x45, "PLAY AUDIO (10)" },
	{ 0x46, "GET CONFIGURATION" },
	{ 0x47, "PLAY AUDIO MSF" },
	{ 0x4a, "GET EVENT STATUS NOTIFICATION" },
	{ 0x4b, "PAUSE/RESUME" },
	{ 0x4e, "STOP PLAY/SCAN" },
	{ 0x51, "READ DISC INFORMATION" },
	{ 0x52, "READ TRACK INFORMATION" },
	{ 0x53, "RESERVE TRACK" },
	{ 0x54, "SEND OPC INFORMATION" },
	{ 0x55, "MODE SELECT (10)" },
	{ 0x58, "REPAIR TRACK" },
	{ 0x5a, "MODE SENSE (10)" },
	{ 0x5b, "CLOSE TRACK/SESSION" },
	{ 0x5c, "READ BUFFER CAPACITY" },
	{ 0x5d, "SEND CUE SHEET" },
	{ 0xa0, "REPORT LUNS" },
	{ 0xa1, "BLANK" },
	{ 0xa3, "SEND KEY" },
	{ 0xa4, "REPORT KEY" },
	{ 0xa6, "LOAD/UNLOAD MEDIUM" },
	{ 0xa7, "SET READ AHEAD" },
	{ 0xa8, "READ (12)" },
	{ 0xaa, "WRITE (12)" },
	{ 0xac, "GET PERFORMANCE" },
	{ 0xad, "READ DISC STRUCTURE" },
	{ 0xb6, "SET STREAMING" },
	{ 0xb9, "READ CD MSF" },
	{ 0xbb, "SET CD SPEED" },
	{ 0xbd, "MECHANISM STATUS" },
	{ 0xbe, "READ CD" },
	{ 0xbf, "SEND DISC STRUCTURE" },
};

static const struct name ioctls[] = {
	{ SG_IO, "SG_IO" },
	{ SCSI_IOCTL_SEND_COMMAND, "SCSI_IOCTL_SEND_COMMAND" },
	{ SCSI_IOCTL_TEST_UNIT_READY, "SCSI_IOCTL_TEST_UNIT_READY" },
	{ SCSI_IOCTL_DOORLOCK, "SCSI_IOCTL_DOORLOCK" },
	{ SCSI_IOCTL_DOORUNLOCK, "SCSI_IOCTL_DOORUNLOCK" },
	{ SG_SCSI_RESET, "SG_SCSI_RESET" },
	{ CDROMPAUSE, "CDROMPAUSE" },
	{ CDROMRESUME, "CDROMRESUME" },
	{ CDROMPLAYMSF, "CDROMPLAYMSF" },
	{ CDROMPLAYTRKIND, "CDROMPLAYTRKIND" },
	{ CDROMREADTOCHDR, "CDROMREADTOCHDR" },
	{ CDROMREADTOCENTRY, "CDROMREADTOCENTRY" },
	{ CDROMSTOP, "CDROMSTOP" },
	{ CDROMSTART, "CDROMSTART" },
	{ CDROMEJECT, "CDROMEJECT" },
	{ CDROMVOLCTRL, "CDROMVOLCTRL" },
	{ CDROMSUBCHNL, "CDROMSUBCHNL" },
	{ CDROMREADMODE1, "CDROMREADMODE1" },
	{ CDROMREADMODE2, "CDROMREADMODE2" },
	{ CDROMREADAUDIO, "CDROMREADAUDIO" },
	{ CDROMEJECT_SW, "CDROMEJECT_SW" },
	{ CDROMMULTISESSION, "CDROMMULTISESSION" },
	{ CDROM_GET_MCN, "CDROM_GET_MCN" },
	{ CDROMRESET, "CDROMRESET" },
	{ CDROMVOLREAD, "CDROMVOLREAD" },
	{ CDROMREADRAW, "CDROMREADRAW" },
	{ CDROMSEEK, "CDROMSEEK" },
	{ CDROMPLAYBLK, "CDROMPLAYBLK" },
	{ CDROMREADALL, "CDROMREADALL" },
	{ CDROMCLOSETRAY, "CDROMCLOSETRAY" },
	{ CDROM_SET_OPTIONS, "CDROM_SET_OPTIONS" },
	{ CDROM_CLEAR_OPTIONS, "CDROM_CLEAR_OPTIONS" },
	{ CDROM_SELECT_SPEED, "CDROM_SELECT_SPEED" },
	{ CDROM_SELECT_DISC, "CDROM_SELECT_DISC" },
	{ CDROM_MEDIA_CHANGED, "CDROM_MEDIA_CHANGED" },
	{ CDROM_DRIVE_STATUS, "CDROM_DRIVE_STATUS" },
	{ CDROM_DISC_STATUS, "CDROM_DISC_STATUS" },
	{ CDROM_CHANGER_NSLOTS, "CDROM_CHANGER_NSLOTS" },
	{ CDROM_LOCKDOOR, "CDROM_LOCKDOOR" },
	{ CDROM_DEBUG, "CDROM_DEBUG" },
	{ CDROM_GET_CAPABILITY, "CDROM_GET_CAPABILITY" },
	{ CDROMAUDIOBUFSIZ, "CDROMAUDIOBUFSIZ" },
	{ DVD_READ_STRUCT, "DVD_READ_STRUCT" },
	{ DVD_WRITE_STRUCT, "DVD_WRITE_STRUCT" },
	{ DVD_AUTH, "DVD_AUTH" },
	{ CDROM_SEND_PACKET, "CDROM_SEND_PACKET" },
	{ CDROM_NEXT_WRITABLE, "CDROM_NEXT_WRITABLE" },
	{ CDROM_LAST_WRITTEN, "CDROM_LAST_WRITTEN" },
	{ BLKFLSBUF, "BLKFLSBUF" },
	{ BLKRRPART, "BLKRRPART" },
};

#define COUNT(array)	(sizeof(array) / sizeof(*(array)))

static const char *look_up(const struct name *names, size_t count, unsigned int code)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (names[i].code == code)
			return names[i].text;
	return NULL;
}

/**
 * event_read() - take one record from a lock node that was opened with O_NONBLOCK
 *
 * Return: false if there is none now.
 */
bool event_read(int fd, struct srlock_event *event)
{
	ssize_t got;

	do
		got = read(fd, event, sizeof(*event));
	while (got < 0 && errno == EINTR);
	if (got != (ssize_t)sizeof(*event))
		return false;
	event->name[SRLOCK_CLIENT_SIZE - 1] = '\0';
	return true;
}

/** event_type() - the word for what happened */
const char *event_type(const struct srlock_event *event)
{
	static const char * const types[] = {
		[SRLOCK_EVENT_HELD]	 = "held",
		[SRLOCK_EVENT_RELEASED]	 = "released",
		[SRLOCK_EVENT_BROKEN]	 = "broken",
		[SRLOCK_EVENT_REFUSED]	 = "refused",
		[SRLOCK_EVENT_UNPLUGGED] = "unplugged",
	};

	if (event->type < COUNT(types) && types[event->type])
		return types[event->type];
	return "unknown";
}

/** event_way() - the word for how somebody tried to reach the drive */
const char *event_way(unsigned int way)
{
	static const char * const ways[] = {
		[SRLOCK_WAY_NONE]    = "",
		[SRLOCK_WAY_OPEN]    = "open",
		[SRLOCK_WAY_IOCTL]   = "ioctl",
		[SRLOCK_WAY_COMMAND] = "command",
	};

	return way < COUNT(ways) ? ways[way] : "unknown";
}

static char *open_mode(unsigned int code)
{
	return format_text("O_%s%s%s", code & SRLOCK_OPEN_WRITE ?
			   (code & SRLOCK_OPEN_READ ? "RDWR" : "WRONLY") : "RDONLY",
			   code & SRLOCK_OPEN_EXCL ? "|O_EXCL" : "",
			   code & SRLOCK_OPEN_NONBLOCK ? "|O_NONBLOCK" : "");
}

/** event_operation() - which command or ioctl was refused, or how was opened; to be freed */
char *event_operation(unsigned int way, unsigned int code)
{
	const char *name = NULL;

	if (way == SRLOCK_WAY_OPEN)
		return open_mode(code);
	if (way == SRLOCK_WAY_COMMAND)
		name = look_up(commands, COUNT(commands), code);
	else if (way == SRLOCK_WAY_IOCTL)
		name = look_up(ioctls, COUNT(ioctls), code);
	return name ? format_text("%s", name) : format_text("0x%02x", code);
}

/** event_process() - "pid 12 (dd)", with a '?' if that is a guess; to be freed */
char *event_process(const struct srlock_event *event)
{
	const char *name = (const char *)event->name;
	const char *guess = event->flags & SRLOCK_EVENT_GUESS ? "?" : "";

	if (event->pid && *name)
		return format_text("pid %d%s (%s)", event->pid, guess, name);
	if (event->pid)
		return format_text("pid %d%s", event->pid, guess);
	if (*name)
		return format_text("%s%s", name, guess);
	return format_text("unknown");
}

static char *refusal_text(const struct srlock_event *event)
{
	char *operation = event_operation(event->way, event->code);
	char *process = event_process(event);
	char *text;

	text = format_text("refused %s %s of %s", event_way(event->way), operation, process);
	free(operation);
	free(process);
	return text;
}

static char *happening(const struct srlock_event *event)
{
	if (event->type == SRLOCK_EVENT_REFUSED)
		return refusal_text(event);
	if (*event->name)
		return format_text("%s, \"%s\" (pid %d)", event_type(event),
				   (const char *)event->name, event->pid);
	return format_text("%s", event_type(event));
}

/** event_text() - a record as one line without time and drive, to be freed */
char *event_text(const struct srlock_event *event)
{
	char *what = happening(event);
	char *times = event->repeats > 1 ? format_text(", %u times", event->repeats) : NULL;
	char *lost = event->lost ? format_text(" (%u earlier records are lost)", event->lost) :
				   NULL;
	char *text = format_text("%s%s%s", what, times ? times : "", lost ? lost : "");

	free(what);
	free(times);
	free(lost);
	return text;
}
