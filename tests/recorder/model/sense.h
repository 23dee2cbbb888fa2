/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sense codes: why a drive says no
 *
 * A code is key, additional sense code and qualifier in one number; zero
 * means that there is nothing to complain about.
 */
#ifndef RECORDER_SENSE_H
#define RECORDER_SENSE_H

#include "types.h"

typedef u32 sense_t;

#define SENSE(key, asc, ascq) \
	((sense_t)((key) << 16 | (asc) << 8 | (ascq)))
#define SENSE_KEY(code)		((u8)((code) >> 16 & 0x0f))
#define SENSE_ASC(code)		((u8)((code) >> 8))
#define SENSE_ASCQ(code)	((u8)(code))

#define SENSE_NONE			SENSE(0x0, 0x00, 0x00)

/* 2: not ready */
#define SENSE_BECOMING_READY		SENSE(0x2, 0x04, 0x01)
#define SENSE_FORMAT_IN_PROGRESS	SENSE(0x2, 0x04, 0x04)
#define SENSE_OPERATION_IN_PROGRESS	SENSE(0x2, 0x04, 0x07)
#define SENSE_LONG_WRITE_IN_PROGRESS	SENSE(0x2, 0x04, 0x08)
#define SENSE_NO_MEDIUM_TRAY_CLOSED	SENSE(0x2, 0x3a, 0x01)
#define SENSE_NO_MEDIUM_TRAY_OPEN	SENSE(0x2, 0x3a, 0x02)

/* 3: medium error, 4: hardware error */
#define SENSE_WRITE_ERROR		SENSE(0x3, 0x0c, 0x00)
#define SENSE_READ_ERROR		SENSE(0x3, 0x11, 0x00)

/* 5: illegal request */
#define SENSE_PARAMETER_LIST_LENGTH	SENSE(0x5, 0x1a, 0x00)
#define SENSE_INVALID_OPCODE		SENSE(0x5, 0x20, 0x00)
#define SENSE_LBA_OUT_OF_RANGE		SENSE(0x5, 0x21, 0x00)
#define SENSE_INVALID_WRITE_ADDRESS	SENSE(0x5, 0x21, 0x02)
#define SENSE_INVALID_FIELD_IN_CDB	SENSE(0x5, 0x24, 0x00)
#define SENSE_INVALID_PARAMETER		SENSE(0x5, 0x26, 0x00)
#define SENSE_SEQUENCE_ERROR		SENSE(0x5, 0x2c, 0x00)
#define SENSE_INCOMPATIBLE_MEDIUM	SENSE(0x5, 0x30, 0x00)
#define SENSE_INCOMPATIBLE_FORMAT	SENSE(0x5, 0x30, 0x05)
#define SENSE_SAVING_NOT_SUPPORTED	SENSE(0x5, 0x39, 0x00)
#define SENSE_REMOVAL_PREVENTED		SENSE(0x5, 0x53, 0x02)
#define SENSE_END_OF_TRACK		SENSE(0x5, 0x63, 0x00)
#define SENSE_ILLEGAL_MODE_FOR_TRACK	SENSE(0x5, 0x64, 0x00)
#define SENSE_INCOMPLETE_TRACK		SENSE(0x5, 0x72, 0x03)
#define SENSE_NO_TRACK_RESERVATIONS	SENSE(0x5, 0x72, 0x05)

/* 6: unit attention */
#define SENSE_MEDIUM_CHANGED		SENSE(0x6, 0x28, 0x00)
#define SENSE_RESET_OCCURRED		SENSE(0x6, 0x29, 0x00)

/* 7: data protect */
#define SENSE_WRITE_PROTECTED		SENSE(0x7, 0x27, 0x00)

/* Statuses */
#define STATUS_GOOD			0x00
#define STATUS_CHECK_CONDITION		0x02
#define STATUS_BUSY			0x08
#define STATUS_TASK_ABORTED		0x40

#endif
