/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * event.h - the records that a lock node delivers, in words
 */
#ifndef SRLOCK_EVENT_H
#define SRLOCK_EVENT_H

#include <stdbool.h>

#include <linux/srlock.h>

bool event_read(int fd, struct srlock_event *event);
const char *event_type(const struct srlock_event *event);
const char *event_way(unsigned int way);
char *event_operation(unsigned int way, unsigned int code);
char *event_process(const struct srlock_event *event);
char *event_text(const struct srlock_event *event);

#endif
