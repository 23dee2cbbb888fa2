// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The layout of the interface, written down a second time: what a program was built with
 * years ago must still be right. Compiled as C and as C++, for 64 and for 32 bits; there is
 * nothing to run.
 *
 * A number in here changes never, new fields are added. For C, static_assert comes from the
 * command line, as a header of the C library would be needed for it.
 */
#include <linux/srlock.h>
#include <linux/srlock.h> /* once more: it guards itself */

/* Where each field is; how large it is follows, as there are no holes (-Wpadded). */
#define FIELD(type, field, offset) \
	static_assert(__builtin_offsetof(struct type, field) == (offset), #type)

static_assert(SRLOCK_CLIENT_SIZE == 64, "");
static_assert(SRLOCK_DEADLINE_NONE == 0xFFFFFFFFFFFFFFFFULL, "");

static_assert(sizeof(struct srlock_acquire) >= 96, "");
static_assert(SRLOCK_ACQUIRE_SIZE_VER0 == 96, "");
FIELD(srlock_acquire, client, 0);
FIELD(srlock_acquire, flags, 64);
FIELD(srlock_acquire, pad, 68);
FIELD(srlock_acquire, deadline_ns, 72);
FIELD(srlock_acquire, count, 80);
FIELD(srlock_acquire, busy_reason, 84);
FIELD(srlock_acquire, holder_pid, 88);
FIELD(srlock_acquire, pad2, 92);

static_assert(sizeof(struct srlock_release) >= 8, "");
static_assert(SRLOCK_RELEASE_SIZE_VER0 == 8, "");
FIELD(srlock_release, flags, 0);
FIELD(srlock_release, count, 4);

static_assert(sizeof(struct srlock_info) >= 144, "");
static_assert(SRLOCK_INFO_SIZE_VER0 == 144, "");
FIELD(srlock_info, features, 0);
FIELD(srlock_info, flags, 8);
FIELD(srlock_info, state, 12);
FIELD(srlock_info, count, 16);
FIELD(srlock_info, my_count, 20);
FIELD(srlock_info, pid, 24);
FIELD(srlock_info, uid, 28);
FIELD(srlock_info, waiters, 32);
FIELD(srlock_info, prior_opens, 36);
FIELD(srlock_info, since_ns, 40);
FIELD(srlock_info, refused_opens, 48);
FIELD(srlock_info, refused_ioctls, 56);
FIELD(srlock_info, refused_commands, 64);
FIELD(srlock_info, status, 72);
FIELD(srlock_info, pad, 76);
FIELD(srlock_info, client, 80);

static_assert(sizeof(struct srlock_event) >= 104, "");
static_assert(SRLOCK_EVENT_SIZE_VER0 == 104, "");
FIELD(srlock_event, time_ns, 0);
FIELD(srlock_event, type, 8);
FIELD(srlock_event, repeats, 12);
FIELD(srlock_event, lost, 16);
FIELD(srlock_event, flags, 20);
FIELD(srlock_event, pid, 24);
FIELD(srlock_event, uid, 28);
FIELD(srlock_event, way, 32);
FIELD(srlock_event, code, 36);
FIELD(srlock_event, name, 40);

/* Direction, magic and number; the size grows with the structure. */
#define SIZELESS(command) ((command) & ~(0x3FFFU << 16))

static_assert(SIZELESS(SRLOCK_IOC_ACQUIRE) == 0xC000BD01U, "");
static_assert(SIZELESS(SRLOCK_IOC_RELEASE) == 0xC000BD02U, "");
static_assert(SIZELESS(SRLOCK_IOC_GET_INFO) == 0xC000BD03U, "");
static_assert(SRLOCK_IOC_BREAK == 0xBD04U, "");
static_assert(_IOC_SIZE(SRLOCK_IOC_ACQUIRE) == sizeof(struct srlock_acquire), "");
static_assert(_IOC_SIZE(SRLOCK_IOC_RELEASE) == sizeof(struct srlock_release), "");
static_assert(_IOC_SIZE(SRLOCK_IOC_GET_INFO) == sizeof(struct srlock_info), "");

static_assert(SRLOCK_ACQUIRE_FORCE == 1, "");
static_assert(SRLOCK_ACQUIRE_NO_PREVENT == 2, "");
static_assert(SRLOCK_BUSY_NOT == 0 && SRLOCK_BUSY_HELD == 1 && SRLOCK_BUSY_CLAIMED == 2, "");
static_assert(SRLOCK_BUSY_QUEUED == 3 && SRLOCK_BUSY_RELEASING == 4, "");
static_assert(SRLOCK_STATE_FREE == 0 && SRLOCK_STATE_ACQUIRING == 1 && SRLOCK_STATE_HELD == 2, "");
static_assert(SRLOCK_STATE_RELEASING == 3 && SRLOCK_STATE_GONE == 4, "");
static_assert(SRLOCK_FEATURE_FORCE == 1 && SRLOCK_FEATURE_NO_PREVENT == 2, "");
static_assert(SRLOCK_FEATURE_BREAK == 4 && SRLOCK_FEATURE_COMMANDS == 8, "");
static_assert(SRLOCK_FEATURE_EVENTS == 16, "");
static_assert(SRLOCK_STATUS_PREVENTED == 1 && SRLOCK_STATUS_FORCED == 2, "");
static_assert(SRLOCK_STATUS_MINE == 4 && SRLOCK_STATUS_BROKEN == 8, "");
static_assert(SRLOCK_EVENT_HELD == 1 && SRLOCK_EVENT_RELEASED == 2 && SRLOCK_EVENT_BROKEN == 3, "");
static_assert(SRLOCK_EVENT_REFUSED == 4 && SRLOCK_EVENT_UNPLUGGED == 5, "");
static_assert(SRLOCK_WAY_NONE == 0 && SRLOCK_WAY_OPEN == 1 && SRLOCK_WAY_IOCTL == 2, "");
static_assert(SRLOCK_WAY_COMMAND == 3, "");
static_assert(SRLOCK_OPEN_READ == 1 && SRLOCK_OPEN_WRITE == 2, "");
static_assert(SRLOCK_OPEN_EXCL == 4 && SRLOCK_OPEN_NONBLOCK == 8, "");
static_assert(SRLOCK_EVENT_GUESS == 1, "");
