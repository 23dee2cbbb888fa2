// SPDX-License-Identifier: GPL-2.0-or-later
/* The drive: INQUIRY and its vital product data */
#include <stdio.h>
#include <string.h>

#include "drive_internal.h"

#define PERIPHERAL_TYPE_MMC	0x05
#define VENDOR			"SRLOCK  "
#define PRODUCT			"DVD RECORDER    "
#define REVISION		"1.00"

static void standard_inquiry(struct command *command, size_t allocated)
{
	u8 data[96] = { 0 };

	data[0] = PERIPHERAL_TYPE_MMC;
	data[1] = 0x80;		/* removable medium */
	data[2] = 0x05;		/* SPC-3 */
	data[3] = 0x02;
	data[4] = sizeof(data) - 5;
	memcpy(data + 8, VENDOR, 8);
	memcpy(data + 16, PRODUCT, 16);
	memcpy(data + 32, REVISION, 4);
	put_be16(data + 58, 0x0300);	/* SPC-3 */
	put_be16(data + 60, 0x03e0);	/* MMC-5 */
	reply(command, data, sizeof(data), allocated);
}

static size_t device_identification(const struct drive *drive, u8 *data)
{
	size_t serial = strlen(drive->serial);

	data[4] = 0x02;		/* ASCII */
	data[5] = 0x01;		/* T10 vendor identification */
	data[7] = (u8)(8 + 16 + serial);
	memcpy(data + 8, VENDOR, 8);
	memcpy(data + 16, PRODUCT, 16);
	memcpy(data + 32, drive->serial, serial);
	return 4 + 8 + 16 + serial;
}

static void vital_product_data(struct drive *drive, struct command *command, u8 page,
			       size_t allocated)
{
	static const u8 pages[] = { 0x00, 0x80, 0x83 };
	u8 data[64] = { PERIPHERAL_TYPE_MMC, page };
	size_t length;

	switch (page) {
	case 0x00:
		length = sizeof(pages);
		memcpy(data + 4, pages, length);
		break;
	case 0x80:
		length = strlen(drive->serial);
		memcpy(data + 4, drive->serial, length);
		break;
	case 0x83:
		length = device_identification(drive, data);
		break;
	default:
		command_check_condition(command, SENSE_INVALID_FIELD_IN_CDB);
		return;
	}
	put_be16(data + 2, (u16)length);
	reply(command, data, 4 + length, allocated);
}

void inquiry(struct drive *drive, struct command *command)
{
	size_t allocated = get_be16(command->cdb + 3);

	if (command->cdb[1] & 0x01)
		vital_product_data(drive, command, command->cdb[2], allocated);
	else if (command->cdb[2])
		command_check_condition(command, SENSE_INVALID_FIELD_IN_CDB);
	else
		standard_inquiry(command, allocated);
}
