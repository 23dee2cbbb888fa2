/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Drives that come and go
 */
#ifndef SCSI_H
#define SCSI_H

#include <stdbool.h>

#include "drives.h"

enum { ADDRESS_SIZE = 32 };

/* H:C:T:L of the drive that scsi_debug makes. */
bool scsi_find(char *address);
/* Its lock and its other nodes, all of them there. */
bool scsi_drive(const char *address, struct drive *drive);
/* Whether it has a lock at all. */
bool scsi_has_lock(const char *address);
bool scsi_is_bound(const char *address);
bool scsi_exists(const char *address);

/* 0 or the negative errno; nothing is allocated but by the kernel. */
int scsi_delete(const char *address);
int scsi_scan(const char *address);
/* A drive that the module has never held, in the old one's place; NULL or what is wrong. */
const char *scsi_renew(const char *address, struct drive *drive);
int scsi_bind(const char *address);
int scsi_unbind(const char *address);
/* Whether drives are bound when they or their driver appear. */
bool scsi_set_autoprobe(bool on);
/* Whatever sr takes. */
void scsi_bind_all(void);
/* Opened before, so that an armed task need not. */
int scsi_open(const char *address, const char *what);
int scsi_write(int file, const char *text);

#endif
