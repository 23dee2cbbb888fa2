// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * explain.c - what a failed call means, who is in the way and what to do
 *
 * Each message says what happened, with the error's name here and in IMAPI2 so
 * that it can be looked up, then who is in the way, then what helps.
 */
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "explain.h"
#include "tool.h"
#include "who.h"

static const char *hresult_name(__u32 hresult)
{
	switch (hresult) {
	case 0x8007000E:
		return "E_OUTOFMEMORY";
	case 0xC0AA020D:
		return "E_IMAPI_RECORDER_COMMAND_TIMEOUT";
	case 0x80070006:
		return "ERROR_INVALID_HANDLE";
	case 0x80070037:
		return "ERROR_DEV_NOT_EXIST";
	case 0xC0AA0210:
		return "E_IMAPI_RECORDER_LOCKED";
	case 0x80004003:
		return "E_POINTER";
	case 0x80070005:
		return "E_ACCESSDENIED";
	case 0xC0AA0211:
		return "E_IMAPI_RECORDER_CLIENT_NAME_IS_NOT_VALID";
	case 0x80070057:
		return "E_INVALIDARG";
	default:
		return "E_FAIL";
	}
}

/* The first line: "/dev/sr0: WHAT [EBUSY, E_IMAPI_RECORDER_LOCKED]" */
static void say_failed(const struct drive *drive, unsigned long command, int error,
		       const char *what)
{
	const char *name = strerrorname_np(error);

	say("%s: %s [%s, %s]", drive->label, what, name ? name : "unknown error",
	    hresult_name(srlock_hresult(command, error)));
}

/** explain_holder() - who holds, in words, to be freed */
char *explain_holder(const struct lock_status *status)
{
	char *process = who_process(status->pid), *user = who_user(status->uid);
	char *span = format_span(monotonic_ns() - status->since_ns);
	char *text;

	if (!*status->client)
		text = format_text("another client");
	else if (!status->pid)
		text = format_text("\"%s\" (process gone or not visible from here, user %s) for %s",
				   status->client, user, span);
	else if (process)
		text = format_text("\"%s\" (pid %d, command %s, user %s) for %s",
				   status->client, (int)status->pid, process, user, span);
	else
		text = format_text("\"%s\" (pid %d, which has exited, user %s) for %s",
				   status->client, (int)status->pid, user, span);
	free(process);
	free(user);
	free(span);
	return text;
}

static char *busy_held(const struct srlock_acquire *acquire, const struct srlock_info *info)
{
	struct lock_status status = { .pid = info->pid, .uid = info->uid,
				      .since_ns = info->since_ns };
	char *holder, *text;

	snprintf(status.client, sizeof(status.client), "%.*s", SRLOCK_CLIENT_SIZE - 1,
		 (const char *)info->client);
	if (!*status.client && acquire->holder_pid)
		return format_text("held by pid %d", acquire->holder_pid);
	holder = explain_holder(&status);
	text = format_text("held by %s", holder);
	free(holder);
	return text;
}

static char *busy_claimed(const struct drive *drive)
{
	char *mounts = who_mounts(drive, ", ", true), *opened, *text;
	bool all_seen;

	if (mounts) {
		text = format_text("mounted on %s", mounts);
		free(mounts);
		return text;
	}
	opened = who_opened(drive, &all_seen);
	if (opened)
		text = format_text("open with O_EXCL: %s", opened);
	else if (all_seen)
		text = format_text("mounted or open with O_EXCL, out of sight from here");
	else
		text = format_text("mounted or open with O_EXCL; run as root to see by whom");
	free(opened);
	return text;
}

/**
 * explain_busy() - why a drive could not be had, in words
 * @drive: the drive
 * @acquire: as ACQUIRE left it
 * @info: from GET_INFO afterwards
 *
 * Return: a text to be freed.
 */
char *explain_busy(const struct drive *drive, const struct srlock_acquire *acquire,
		   const struct srlock_info *info)
{
	switch (acquire->busy_reason) {
	case SRLOCK_BUSY_HELD:
		return busy_held(acquire, info);
	case SRLOCK_BUSY_CLAIMED:
		return busy_claimed(drive);
	case SRLOCK_BUSY_QUEUED:
		return format_text("free, but %u other client%s for it", info->waiters,
				   info->waiters == 1 ? " waits" : "s wait");
	case SRLOCK_BUSY_RELEASING:
		return format_text("a release or the undoing of an acquire is still under way");
	default:
		return format_text("for a reason that this version does not know (%u)",
				   acquire->busy_reason);
	}
}

static int no_permission(const struct drive *drive)
{
	const struct group *group = NULL;
	struct stat node;

	say("%s: no permission to open its lock, %s", drive->label, drive->lock_node);
	if (!stat(drive->lock_node, &node) && node.st_gid && (node.st_mode & 0060))
		group = getgrgid(node.st_gid);
	if (group) {
		hint("it is for group %s: usermod -aG %s USER as root, then log in again",
		     group->gr_name, group->gr_name);
		return EX_NOPERM;
	}
	hint("it is for root only: run this as root, or install the udev rule that gives it");
	hint("to group cdrom (60-srlock.rules) and run: udevadm trigger -s srlock");
	return EX_NOPERM;
}

static int drive_gone(const struct drive *drive)
{
	say("%s: the drive is gone: unplugged, or its driver was taken away", drive->label);
	hint("'srlock list' shows the drives that there are");
	return EX_UNAVAILABLE;
}

/** explain_open() - the lock node could not be opened; returns an exit status */
int explain_open(const struct drive *drive, int error)
{
	switch (error) {
	case EACCES:
	case EPERM:
		return no_permission(drive);
	case ENODEV:
	case ENXIO:
		return drive_gone(drive);
	case ENOENT:
		say("%s: there is no node %s", drive->label, drive->lock_node);
		hint("it comes with the drive, from devtmpfs or udev: is one of these running?");
		return EX_UNAVAILABLE;
	default:
		return fail(EX_OSERR, "%s: cannot open %s: %s", drive->label, drive->lock_node,
			    strerror(error));
	}
}

/* What became of a command of the lock itself, and what else can befall any call. */
static int explain_other(const struct drive *drive, unsigned long command, int error)
{
	switch (error) {
	case ENODEV:
		return drive_gone(drive);
	case EOWNERDEAD:
		say_failed(drive, command, error, "the hold was taken away with 'srlock break'");
		return EX_UNAVAILABLE;
	case ENOTTY:
	case EINVAL:
	case E2BIG:
		say_failed(drive, command, error, "the loaded module does not know this call");
		hint("module and tool are of different versions: install both, reload the module");
		return EX_SOFTWARE;
	default:
		say_failed(drive, command, error, strerror(error));
		return EX_OSERR;
	}
}

static int acquire_busy(const struct drive *drive, const struct srlock_acquire *acquire,
			const struct srlock_info *info)
{
	char *reason = explain_busy(drive, acquire, info);
	char *text = format_text("busy: %s", reason);

	say_failed(drive, SRLOCK_IOC_ACQUIRE, EBUSY, text);
	free(text);
	free(reason);
	if (info->status & SRLOCK_STATUS_MINE)
		hint("this command runs under that very hold: it can use the drive as it is");
	else if (acquire->busy_reason == SRLOCK_BUSY_CLAIMED)
		hint(acquire->flags & SRLOCK_ACQUIRE_FORCE ?
		     "it is mounted for writing, which --force leaves alone: unmount it" :
		     "unmount it or end that process; root can force it: --force, unless read-write");
	else if (acquire->busy_reason == SRLOCK_BUSY_HELD)
		hint("wait for it (-w SECS, 'srlock wait'); root can take it: 'srlock break'");
	else
		hint("wait for it: -w SECS, 'srlock wait'");
	return EXIT_CONFLICT;
}

static int acquire_timed_out(const struct drive *drive)
{
	say_failed(drive, SRLOCK_IOC_ACQUIRE, ETIMEDOUT,
		   "commands of others, or the locking of the tray, did not finish in time");
	hint("try again later; the limit is in %s/command_timeout_ms", drive->lock_path);
	return EX_TEMPFAIL;
}

static int acquire_denied(const struct drive *drive, const struct srlock_acquire *acquire)
{
	say_failed(drive, SRLOCK_IOC_ACQUIRE, EPERM,
		   acquire->flags & SRLOCK_ACQUIRE_FORCE ?
		   "--force is for root only" :
		   "the first process of the system cannot hold a drive");
	return EX_NOPERM;
}

/**
 * explain_acquire() - ACQUIRE failed
 * @drive: of this drive
 * @acquire: its argument, as the call left it
 * @info: GET_INFO afterwards
 * @error: the errno
 *
 * Return: an exit status, EXIT_CONFLICT if the drive is busy.
 */
int explain_acquire(const struct drive *drive, const struct srlock_acquire *acquire,
		    const struct srlock_info *info, int error)
{
	switch (error) {
	case EBUSY:
		return acquire_busy(drive, acquire, info);
	case ETIMEDOUT:
		return acquire_timed_out(drive);
	case EPERM:
		return acquire_denied(drive, acquire);
	case EIO:
		say_failed(drive, SRLOCK_IOC_ACQUIRE, error, "the drive refused to lock its tray");
		hint("hold it with the tray unlocked: --no-prevent");
		return EX_IOERR;
	case EOPNOTSUPP:
		say_failed(drive, SRLOCK_IOC_ACQUIRE, error, "this kernel cannot keep others out");
		hint("the kernel's log says why: dmesg | grep srlock");
		return EX_UNAVAILABLE;
	default:
		return explain_other(drive, SRLOCK_IOC_ACQUIRE, error);
	}
}

/** explain_release() - RELEASE failed; the drive is free in any case */
int explain_release(const struct drive *drive, int error)
{
	switch (error) {
	case EIO:
		say_failed(drive, SRLOCK_IOC_RELEASE, error,
			   "released, but the drive refused to unlock its tray");
		break;
	case ETIMEDOUT:
		say_failed(drive, SRLOCK_IOC_RELEASE, error,
			   "released, but the drive did not unlock its tray in time");
		break;
	default:
		return explain_other(drive, SRLOCK_IOC_RELEASE, error);
	}
	hint("if the tray stays locked: eject %s", drive->label);
	return EX_IOERR;
}

/** explain_break() - BREAK failed */
int explain_break(const struct drive *drive, int error)
{
	switch (error) {
	case EPERM:
		say_failed(drive, SRLOCK_IOC_BREAK, error, "only root may take it from its holder");
		return EX_NOPERM;
	case EIO:
	case ETIMEDOUT:
		say_failed(drive, SRLOCK_IOC_BREAK, error,
			   "taken from its holder, but its tray was not unlocked");
		hint("if the tray stays locked: eject %s", drive->label);
		return EX_IOERR;
	default:
		return explain_other(drive, SRLOCK_IOC_BREAK, error);
	}
}

/** explain_prior_opens() - warn of files that were open before the hold */
void explain_prior_opens(const struct drive *drive, const struct srlock_info *info)
{
	bool all_seen;
	char *opened;

	if (!info->prior_opens)
		return;
	opened = who_opened(drive, &all_seen);
	say("%s: still open from before the hold: %s", drive->label,
	    opened ? opened : "in a process that cannot be seen from here");
	hint("until that is closed, mounts and plain reads of the disc fail; burning works");
	free(opened);
}
