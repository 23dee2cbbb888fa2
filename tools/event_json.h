/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * event_json.h - an event record as JSON
 */
#ifndef SRLOCK_EVENT_JSON_H
#define SRLOCK_EVENT_JSON_H

#include <linux/srlock.h>

#include "drive.h"

char *event_json(const struct drive *drive, const struct srlock_event *event);

#endif
