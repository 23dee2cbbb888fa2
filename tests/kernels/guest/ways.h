/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ways for a command to get to a drive
 *
 * Each sends TEST UNIT READY and returns the SCSI status, or a negative errno
 * when the call itself failed.
 */
#ifndef WAYS_H
#define WAYS_H

enum {
	STATUS_GOOD = 0x00,
	STATUS_CHECK_CONDITION = 0x02,
	STATUS_RESERVATION_CONFLICT = 0x18,
};

/* SG_IO, on an sr, sg or lock file */
int ready_by_sg_io(int fd);
/* write and read, on an sg file */
int ready_by_sg_write(int fd);
/* SG_IO version 4, on a bsg file */
int ready_by_bsg(int fd);
/* io_uring, on a bsg file; -EOPNOTSUPP on kernels without it */
int ready_by_uring(int fd);

#endif
