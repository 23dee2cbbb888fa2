/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * srlock - exclusive access to optical drives: the ioctl interface
 *
 * Each sr drive has a lock node, /dev/srlockN. An open file of it is a client.
 * A client takes the drive with SRLOCK_IOC_ACQUIRE and gives it back with as
 * many SRLOCK_IOC_RELEASE, or with the last close of the file, for whatever
 * reason that happens.
 *
 * Structures grow at their end only. The size is part of the command number,
 * and any size from SRLOCK_*_SIZE_VER0 up is taken: what an older caller does
 * not send counts as zero, and what a newer caller sends beyond the module's
 * own structure has to be zero, or the call fails with E2BIG. Unknown flags and
 * padding that is not zero fail with EINVAL. A call that fails changes nothing
 * but what is said of it below.
 */
#ifndef _UAPI_LINUX_SRLOCK_H
#define _UAPI_LINUX_SRLOCK_H

#include <linux/errno.h>
#include <linux/ioctl.h>
#include <linux/types.h>

#define SRLOCK_IOC_MAGIC	0xBD

/** SRLOCK_CLIENT_SIZE - bytes of a client name, with the terminating NUL */
#define SRLOCK_CLIENT_SIZE	64

/**
 * SRLOCK_DEADLINE_NONE - a deadline that never comes
 *
 * As srlock_acquire.deadline_ns: wait without limit.
 */
#define SRLOCK_DEADLINE_NONE	(~(__u64)0)

/* srlock_acquire.flags */
/**
 * SRLOCK_ACQUIRE_FORCE - take the drive although it is mounted or O_EXCL
 *
 * Takes a drive that is mounted read-only or open with O_EXCL. A writable mount
 * is EBUSY all the same. Needs CAP_SYS_ADMIN in the initial user namespace.
 */
#define SRLOCK_ACQUIRE_FORCE		(1U << 0)
/**
 * SRLOCK_ACQUIRE_NO_PREVENT - do not lock the tray
 *
 * The first acquire sends no PREVENT MEDIUM REMOVAL. The final release sends ALLOW all
 * the same, as the holder may have locked the tray itself. Ignored in a nested acquire.
 */
#define SRLOCK_ACQUIRE_NO_PREVENT	(1U << 1)

/**
 * enum srlock_busy - why ACQUIRE failed with EBUSY
 * @SRLOCK_BUSY_NOT: it did not
 * @SRLOCK_BUSY_HELD: another client holds the drive, or is about to
 * @SRLOCK_BUSY_CLAIMED: it is mounted, or open with O_EXCL
 * @SRLOCK_BUSY_QUEUED: it is free, but others wait for it
 * @SRLOCK_BUSY_RELEASING: its last holder's release is under way, or an ACQUIRE that
 *	was given up is being undone
 */
enum srlock_busy {
	SRLOCK_BUSY_NOT		= 0,
	SRLOCK_BUSY_HELD	= 1,
	SRLOCK_BUSY_CLAIMED	= 2,
	SRLOCK_BUSY_QUEUED	= 3,
	SRLOCK_BUSY_RELEASING	= 4,
};

/**
 * struct srlock_acquire - argument of SRLOCK_IOC_ACQUIRE
 * @client: in: who takes the drive, for others to read: 1 to 63 characters of
 *	A-Z a-z 0-9 space . , : ; _ - and a NUL; what follows the NUL is ignored.
 *	In a nested acquire the name is checked and then ignored
 * @flags: in: SRLOCK_ACQUIRE_*
 * @pad: in: zero
 * @deadline_ns: in: CLOCK_MONOTONIC time up to which to wait, in nanoseconds;
 *	0: do not wait; SRLOCK_DEADLINE_NONE: no limit
 * @count: out: how often the drive is held, this call included; 0 with EBUSY
 *	when nobody holds it
 * @busy_reason: out: enum srlock_busy
 * @holder_pid: out: the process that holds the drive (its first ACQUIRE), in the
 *	caller's pid namespace; 0 if nobody does or it is not visible there
 * @pad2: in: zero; out: zero
 *
 * The outputs are written on success and on EBUSY.
 */
struct srlock_acquire {
	__u8	client[SRLOCK_CLIENT_SIZE];
	__u32	flags;
	__u32	pad;
	__u64	deadline_ns;
	__u32	count;
	__u32	busy_reason;
	__s32	holder_pid;
	__u32	pad2;
};

#define SRLOCK_ACQUIRE_SIZE_VER0	96

/**
 * struct srlock_release - argument of SRLOCK_IOC_RELEASE
 * @flags: in: zero, none are defined
 * @count: out: how often the drive is still held; 0: it was the final release
 *
 * The final release returns what became of ALLOW MEDIUM REMOVAL; the drive is
 * free and @count is written whatever that was.
 */
struct srlock_release {
	__u32	flags;
	__u32	count;
};

#define SRLOCK_RELEASE_SIZE_VER0	8

/**
 * enum srlock_state - what a lock is doing
 * @SRLOCK_STATE_FREE: nobody holds the drive
 * @SRLOCK_STATE_ACQUIRING: a first acquire is under way
 * @SRLOCK_STATE_HELD: a client holds the drive
 * @SRLOCK_STATE_RELEASING: ownership has ended and the tray is being unlocked, or an
 *	acquire that was given up is being undone
 * @SRLOCK_STATE_GONE: the drive is unplugged
 */
enum srlock_state {
	SRLOCK_STATE_FREE	= 0,
	SRLOCK_STATE_ACQUIRING	= 1,
	SRLOCK_STATE_HELD	= 2,
	SRLOCK_STATE_RELEASING	= 3,
	SRLOCK_STATE_GONE	= 4,
};

/* srlock_info.features: what this module can do */
#define SRLOCK_FEATURE_FORCE		(1ULL << 0)
#define SRLOCK_FEATURE_NO_PREVENT	(1ULL << 1)
#define SRLOCK_FEATURE_BREAK		(1ULL << 2)
#define SRLOCK_FEATURE_COMMANDS		(1ULL << 3)
#define SRLOCK_FEATURE_EVENTS		(1ULL << 4)

/* srlock_info.status */
/** SRLOCK_STATUS_PREVENTED - the module's PREVENT MEDIUM REMOVAL is in force */
#define SRLOCK_STATUS_PREVENTED		(1U << 0)
/** SRLOCK_STATUS_FORCED - the hold was taken over a mount or an O_EXCL opener */
#define SRLOCK_STATUS_FORCED		(1U << 1)
/** SRLOCK_STATUS_MINE - the calling process is one of the holder's */
#define SRLOCK_STATUS_MINE		(1U << 2)
/** SRLOCK_STATUS_BROKEN - this file's hold was taken away by BREAK */
#define SRLOCK_STATUS_BROKEN		(1U << 3)

/**
 * struct srlock_info - argument of SRLOCK_IOC_GET_INFO
 * @features: out: SRLOCK_FEATURE_*
 * @flags: in: zero, none are defined; out: zero
 * @state: out: enum srlock_state
 * @count: out: how often the drive is held, by whatever client
 * @my_count: out: how often it is held by this file
 * @pid: out: the holder's process (its first ACQUIRE, or when that process is no
 *	more, the next that joined) in the caller's pid namespace; 0 if nobody holds, if
 *	it is not visible there, or if none of them is left
 * @uid: out: its real user in the caller's user namespace, the overflow uid if
 *	that has no name for it; 0 if nobody holds
 * @waiters: out: ACQUIRE calls that wait
 * @prior_opens: out: files of the drive's block device that were opened before
 *	the hold, as far as known still open; while not zero, reads through the
 *	page cache fail for everybody
 * @since_ns: out: CLOCK_MONOTONIC time of the first acquire in nanoseconds; 0 if
 *	nobody holds
 * @refused_opens: out: opens refused since the drive was attached
 * @refused_ioctls: out: ioctls refused
 * @refused_commands: out: commands refused at the drive's queue
 * @status: out: SRLOCK_STATUS_*
 * @pad: in: zero; out: zero
 * @client: out: the holder's name, filled up with NUL; empty if nobody holds
 *
 * May be asked with any open mode; sends nothing to the drive.
 */
struct srlock_info {
	__u64	features;
	__u32	flags;
	__u32	state;
	__u32	count;
	__u32	my_count;
	__s32	pid;
	__u32	uid;
	__u32	waiters;
	__u32	prior_opens;
	__u64	since_ns;
	__u64	refused_opens;
	__u64	refused_ioctls;
	__u64	refused_commands;
	__u32	status;
	__u32	pad;
	__u8	client[SRLOCK_CLIENT_SIZE];
};

#define SRLOCK_INFO_SIZE_VER0		144

/**
 * enum srlock_event_type - what an event record tells
 * @SRLOCK_EVENT_HELD: a first acquire
 * @SRLOCK_EVENT_RELEASED: a final release
 * @SRLOCK_EVENT_BROKEN: the hold was taken away by BREAK
 * @SRLOCK_EVENT_REFUSED: an open, an ioctl or a command was refused
 * @SRLOCK_EVENT_UNPLUGGED: the drive is gone; no record follows
 */
enum srlock_event_type {
	SRLOCK_EVENT_HELD	= 1,
	SRLOCK_EVENT_RELEASED	= 2,
	SRLOCK_EVENT_BROKEN	= 3,
	SRLOCK_EVENT_REFUSED	= 4,
	SRLOCK_EVENT_UNPLUGGED	= 5,
};

/**
 * enum srlock_way - where a refusal happened
 * @SRLOCK_WAY_NONE: the record is not about a refusal
 * @SRLOCK_WAY_OPEN: open of the block device; the code is a set of SRLOCK_OPEN_*
 * @SRLOCK_WAY_IOCTL: ioctl on the block device; the code is the ioctl's number
 * @SRLOCK_WAY_COMMAND: at the queue; the code is the command's operation code
 */
enum srlock_way {
	SRLOCK_WAY_NONE		= 0,
	SRLOCK_WAY_OPEN		= 1,
	SRLOCK_WAY_IOCTL	= 2,
	SRLOCK_WAY_COMMAND	= 3,
};

/* srlock_event.code of SRLOCK_WAY_OPEN: how it was opened */
#define SRLOCK_OPEN_READ	(1U << 0)
#define SRLOCK_OPEN_WRITE	(1U << 1)
#define SRLOCK_OPEN_EXCL	(1U << 2)
#define SRLOCK_OPEN_NONBLOCK	(1U << 3)

/**
 * SRLOCK_EVENT_GUESS - the process named by a record may be the wrong one
 *
 * A command that is seen at the queue only is put down to the process that was
 * running then.
 */
#define SRLOCK_EVENT_GUESS	(1U << 0)

/**
 * struct srlock_event - a record that read() delivers
 * @time_ns: CLOCK_MONOTONIC time in nanoseconds, of the latest of @repeats
 * @type: enum srlock_event_type
 * @repeats: how many equal refusals within a second the record stands for, 1 or
 *	more
 * @lost: how many records this reader lost immediately before this one
 * @flags: SRLOCK_EVENT_*
 * @pid: the process, in the reader's pid namespace; 0 if unknown or not visible
 * @uid: its real user in the reader's user namespace; ~0 if unknown
 * @way: enum srlock_way
 * @code: see enum srlock_way
 * @name: the client's name; for a refusal the refused process's command name;
 *	filled up with NUL, empty if unknown
 *
 * read() delivers whole records only, as many as fit, and fails with EINVAL if
 * the buffer takes none.
 */
struct srlock_event {
	__u64	time_ns;
	__u32	type;
	__u32	repeats;
	__u32	lost;
	__u32	flags;
	__s32	pid;
	__u32	uid;
	__u32	way;
	__u32	code;
	__u8	name[SRLOCK_CLIENT_SIZE];
};

#define SRLOCK_EVENT_SIZE_VER0		104

/**
 * SRLOCK_IOC_ACQUIRE - take the drive, or nest
 *
 * Errors: EBADF the file is not open for writing; EINVAL bad name, flags,
 * padding or size; E2BIG; EFAULT; EPERM FORCE without privilege, or the caller
 * is the global init; EBUSY see enum srlock_busy; ENODEV the drive is gone or
 * has no driver; EOWNERDEAD this file's hold was broken; EIO the drive refused
 * PREVENT or could not be woken; ETIMEDOUT foreign commands in flight did not
 * finish, or PREVENT did not; EOPNOTSUPP this kernel cannot be gated; ENOMEM;
 * EOVERFLOW too deep, or too many processes; EINTR a signal came (a call that
 * was to wait is restarted where SA_RESTART says so, at the end of the line).
 */
#define SRLOCK_IOC_ACQUIRE	_IOWR(SRLOCK_IOC_MAGIC, 0x01, struct srlock_acquire)
/**
 * SRLOCK_IOC_RELEASE - take one off the count, at zero free the drive
 *
 * Errors: EBADF; EINVAL; E2BIG; EFAULT; EPERM this file holds nothing;
 * EOWNERDEAD; ENODEV the drive is gone, and the hold with it; EIO and ETIMEDOUT
 * became of ALLOW, the drive is free.
 */
#define SRLOCK_IOC_RELEASE	_IOWR(SRLOCK_IOC_MAGIC, 0x02, struct srlock_release)
/**
 * SRLOCK_IOC_GET_INFO - who holds the drive
 *
 * Errors: EINVAL; E2BIG; EFAULT.
 */
#define SRLOCK_IOC_GET_INFO	_IOWR(SRLOCK_IOC_MAGIC, 0x03, struct srlock_info)
/**
 * SRLOCK_IOC_BREAK - take the drive from its holder
 *
 * Errors: EBADF; EPERM no CAP_SYS_ADMIN in the initial user namespace, or nobody
 * holds the drive; ENODEV; EIO and ETIMEDOUT became of ALLOW, the drive is free. Half a
 * second is waited for that; 0 if it is still under way then.
 */
#define SRLOCK_IOC_BREAK	_IO(SRLOCK_IOC_MAGIC, 0x04)

/**
 * srlock_hresult() - what IMAPI2 calls the outcome of an srlock call
 * @command: the SRLOCK_IOC_* command
 * @error: 0 or the positive errno it failed with
 *
 * EPERM and EINVAL mean different things for different commands, hence
 * @command. Errors that only Linux knows are E_FAIL.
 *
 * Return: the HRESULT, from [MS-ERREF] 2.1 and imapi2error.h.
 */
static inline __u32 srlock_hresult(unsigned long command, int error)
{
	switch (error) {
	case 0:
		return 0x00000000;	/* S_OK */
	case ENOMEM:
		return 0x8007000E;	/* E_OUTOFMEMORY */
	case ETIMEDOUT:
		return 0xC0AA020D;	/* E_IMAPI_RECORDER_COMMAND_TIMEOUT */
	case EBADF:
		return 0x80070006;	/* ERROR_INVALID_HANDLE */
	case ENODEV:
		return 0x80070037;	/* ERROR_DEV_NOT_EXIST */
	case EBUSY:
		return 0xC0AA0210;	/* E_IMAPI_RECORDER_LOCKED */
	case EFAULT:
		return 0x80004003;	/* E_POINTER */
	case EPERM:
		if (_IOC_NR(command) == _IOC_NR(SRLOCK_IOC_RELEASE))
			return 0x80070006; /* ERROR_INVALID_HANDLE */
		return 0x80070005;	/* E_ACCESSDENIED */
	case EINVAL:
		if (_IOC_NR(command) == _IOC_NR(SRLOCK_IOC_ACQUIRE))
			return 0xC0AA0211; /* E_IMAPI_RECORDER_CLIENT_NAME_IS_NOT_VALID */
		return 0x80070057;	/* E_INVALIDARG */
	default:
		return 0x80004005;	/* E_FAIL */
	}
}

#endif /* _UAPI_LINUX_SRLOCK_H */
