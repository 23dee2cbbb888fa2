/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints for the same facts that the event record has
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM srlock

#if !defined(SRLOCK_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define SRLOCK_TRACE_H

#include <linux/tracepoint.h>

#include "compat.h"
#include "drive.h"

TRACE_EVENT(srlock_state,
	TP_PROTO(struct srlock_drive *drive, enum srlock_event_type type,
		 const char *client),
	TP_ARGS(drive, type, client),
	TP_STRUCT__entry(
		__string(drive, dev_name(&drive->dev))
		__field(u32, type)
		__array(char, client, SRLOCK_CLIENT_SIZE)
	),
	TP_fast_assign(
		SRLOCK_ASSIGN_STR(drive, dev_name(&drive->dev));
		__entry->type = type;
		memcpy(__entry->client, client, SRLOCK_CLIENT_SIZE);
	),
	TP_printk("%s %s client=\"%s\"", __get_str(drive),
		  __print_symbolic(__entry->type,
				   { SRLOCK_EVENT_HELD, "held" },
				   { SRLOCK_EVENT_RELEASED, "released" },
				   { SRLOCK_EVENT_BROKEN, "broken" },
				   { SRLOCK_EVENT_UNPLUGGED, "unplugged" }),
		  __entry->client)
);

TRACE_EVENT(srlock_refused,
	TP_PROTO(struct srlock_drive *drive, enum srlock_way way, u32 code, pid_t pid),
	TP_ARGS(drive, way, code, pid),
	TP_STRUCT__entry(
		__string(drive, dev_name(&drive->dev))
		__field(u32, way)
		__field(u32, code)
		__field(pid_t, pid)
	),
	TP_fast_assign(
		SRLOCK_ASSIGN_STR(drive, dev_name(&drive->dev));
		__entry->way = way;
		__entry->code = code;
		__entry->pid = pid;
	),
	TP_printk("%s %s code=%#x pid=%d", __get_str(drive),
		  __print_symbolic(__entry->way,
				   { SRLOCK_WAY_OPEN, "open" },
				   { SRLOCK_WAY_IOCTL, "ioctl" },
				   { SRLOCK_WAY_COMMAND, "command" }),
		  __entry->code, __entry->pid)
);

#endif /* SRLOCK_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
