/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Faults: commands that are to be answered in another way than the drive would
 *
 * A fault waits for commands that match its pattern, lets the first ones pass,
 * strikes as often as it was told to, and is gone.
 */
#ifndef RECORDER_FAULTS_H
#define RECORDER_FAULTS_H

#include <stdio.h>

#include "../model/sense.h"
#include "../model/types.h"

#define FAULT_PATTERN_LENGTH	16
#define FAULTS_MAX		32
#define FAULT_FOREVER		0

enum fault_action {
	FAULT_NONE,
	FAULT_DELAY,		/* carried out, but later */
	FAULT_STATUS,		/* a status, not carried out */
	FAULT_SENSE,		/* CHECK CONDITION, not carried out */
	FAULT_HANG,		/* no answer until released, aborted or reset */
	FAULT_DEAF,		/* no answer until released, whatever the host does */
};

/**
 * struct fault - one rule
 * @value: bytes that the CDB must have where @mask is set
 * @mask: which bits of it matter
 * @pass: matching commands still to let through
 * @times: how often to strike yet, FAULT_FOREVER for no end
 * @action: what to do
 * @delay_ms: before anything else
 * @status: for FAULT_STATUS
 * @sense: for FAULT_SENSE
 * @text: as it was given
 */
struct fault {
	u8 value[FAULT_PATTERN_LENGTH];
	u8 mask[FAULT_PATTERN_LENGTH];
	unsigned int pass;
	unsigned int times;
	enum fault_action action;
	unsigned int delay_ms;
	u8 status;
	sense_t sense;
	char text[128];
};

struct faults {
	struct fault list[FAULTS_MAX];
	unsigned int count;
};

const char *faults_add(struct faults *faults, const char *text);
struct fault faults_strike(struct faults *faults, const u8 *cdb, size_t length);
void faults_clear(struct faults *faults);
void faults_print(const struct faults *faults, FILE *to);

#endif
