// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The table of operations; see ops.h. What the numbers mean stands with each
 * function.
 */
#include <string.h>

#include "argument.h"
#include "ops.h"

enum { ANY = 0 };

#define S	SLOTS
#define P	POINTERS

const struct op ops[] = {
	{ "open_lock", 18, 3, { S, 16, 16 }, run_open_lock },
	{ "open_sr", 10, 3, { S, 16, 8 }, run_open_sr },
	{ "open_sg", 4, 3, { S, 16, 4 }, run_open_sg },
	{ "open_bsg", 3, 3, { S, 16, 4 }, run_open_bsg },
	{ "acquire", 50, 6, { S, 16, 16, 8, SIZES, P }, run_acquire },
	{ "release", 35, 4, { S, 8, SIZES, P }, run_release },
	{ "info", 30, 4, { S, 8, SIZES, P }, run_info },
	{ "break", 6, 2, { S, P }, run_break },
	{ "ioctl", 20, 6, { S, 4, 8, ANY, ANY, P }, run_ioctl },
	{ "read", 20, 3, { S, 10, P }, run_read },
	{ "poll", 10, 3, { S, ANY, 4 }, run_poll },
	{ "epoll", 6, 3, { S, ANY, 4 }, run_epoll },
	{ "close", 12, 1, { S }, run_close },
	{ "dup", 10, 3, { S, S, 3 }, run_dup },
	{ "pass", 6, 3, { S, S, 4 }, run_pass },
	{ "other", 15, 3, { S, 16, ANY }, run_other },
	{ "sysfs_read", 8, 3, { 16, 13, 4 }, run_sysfs_read },
	{ "sysfs_write", 4, 3, { 16, 4, 12 }, run_sysfs_write },
	{ "sg_io", 14, 6, { S, 32, 16, ANY, P, P }, run_sg_io },
	{ "bsg_io", 4, 5, { S, 32, 16, ANY, P }, run_bsg_io },
	{ "sg_write", 4, 4, { S, 32, 4, P }, run_sg_write },
	{ "packet", 5, 5, { S, 32, 16, ANY, P }, run_packet },
	{ "cdrom", 12, 3, { S, 64, P }, run_cdrom },
	{ "block_read", 5, 4, { S, 6, 6, P }, run_block_read },
	{ "mount", 1, 2, { 16, 4 }, run_mount },
	{ "fork", 6, 3, { 6, 8, 8 }, run_fork },
	{ "thread", 4, 2, { 6, 4 }, run_thread },
	{ "repeat", 20, 2, { 7, 3 }, run_repeat },
	{ "sleep", 4, 1, { 6 }, run_sleep },
};

const unsigned int op_count = ARRAY_SIZE(ops);

int op_by_name(const char *name)
{
	for (unsigned int op = 0; op < op_count; op++)
		if (!strcmp(name, ops[op].name))
			return op;
	return -1;
}
