/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hold.h - several drives held together: what run and hold share
 */
#ifndef SRLOCK_HOLD_H
#define SRLOCK_HOLD_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "drive.h"
#include "lock.h"
#include "tally.h"
#include "tool.h"

/**
 * struct hold_options - how drives are to be held
 * @client: the name for others to read
 * @flags: SRLOCK_ACQUIRE_*
 * @wait_ns: how long to wait; 0: not at all, SRLOCK_DEADLINE_NONE: no limit
 * @wait_given: -n or -w was there
 * @conflict: the exit status when a drive is busy
 * @quiet: say only what went wrong
 * @verbose: say what is done
 * @limit_given: --seconds was there
 * @limit_ns: for how long to hold
 */
struct hold_options {
	const char *client;
	unsigned int flags;
	uint64_t wait_ns;
	bool wait_given;
	int conflict;
	bool quiet;
	bool verbose;
	bool limit_given;
	uint64_t limit_ns;
};

#define HOLD_OPTIONS_HELP						\
	"  -n, --nonblock           do not wait when a drive is busy\n"	\
	"  -w, --wait SECS          wait no longer than that, 2.5 for example\n" \
	"  -E, --conflict-exit-code STATUS\n"				\
	"                           exit status when a drive is busy, 1 unless told\n" \
	"  -N, --name NAME          what others see as the holder\n"	\
	"      --force              take it although it is mounted read-only or\n" \
	"                           open with O_EXCL (root only)\n"	\
	"      --no-prevent         leave the tray unlocked\n"		\
	"  -q, --quiet              say only what went wrong\n"		\
	"  -v, --verbose            say what is done\n"

/* The slots of struct hold.poll; the lock nodes come after these. */
enum hold_slot {
	HOLD_SIGNALS,
	HOLD_INPUT,
	HOLD_LOCKS,
};

/**
 * struct holding - one drive of a hold
 * @drive: the drive
 * @fd: its lock node, -1 when not open
 * @held: this process holds it
 * @lost: the hold was broken or the drive is gone, and that was said
 * @tally: what was refused meanwhile
 */
struct holding {
	const struct drive *drive;
	int fd;
	bool held;
	bool lost;
	struct tally tally;
};

/**
 * struct hold - some drives, all held or none
 * @options: how
 * @drives: which, in the order in which every srlock takes them
 * @each: the state of each
 * @poll: what to wait for, see enum hold_slot
 * @taken: all are held
 */
struct hold {
	struct hold_options options;
	struct drive_list drives;
	struct holding *each;
	struct pollfd *poll;
	bool taken;
};

int hold_parse(const struct verb *verb, int argc, char **argv, bool command_follows,
	       struct hold_options *options);
int hold_take(struct hold *hold);
int hold_join(struct hold *hold);
bool hold_wait(struct hold *hold, int timeout_ms);
bool hold_lost(const struct hold *hold);
int hold_give_back(struct hold *hold);
void hold_free(struct hold *hold);

#endif
