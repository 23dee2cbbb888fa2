// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Each call with faults; see calls.h
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/cdrom.h>
#include <linux/srlock.h>
#include <poll.h>
#include <pthread.h>
#include <scsi/sg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "calls.h"
#include "lock.h"
#include "log.h"
#include "sites.h"
#include "stranger.h"
#include "tap.h"
#include "ways.h"

enum { MAX_FAULTS = 1500, INQUIRY_SIZE = 96, TYPE_ROM = 5, READ_SIZE = 128 << 10 };

/* Not a value of errno: a call that succeeded has not done what it should. */
enum { WRONG_RESULT = -1000 };

/* What is there for a call. */
struct trial {
	const struct drive *drive;
	enum inject_mode mode;
	unsigned int nth;
	bool met;
	/* the client that is looked at, and another one */
	int lock;
	int other;
	/* a file of the drive itself, or of what the call needs */
	int fd;
	const char *attribute;
	char before[256];
};

/* What a call that succeeds makes of the count of its file. */
enum effect { SAME, ONE_MORE, ONE_LESS, GONE };

struct call {
	const char *name;
	/* how often the drive is held before the call */
	int held;
	enum effect effect;
	/* 0 or the negative errno; arms and disarms by itself */
	int (*run)(struct trial *trial);
	/* further errors that are right, with a 0 at the end */
	int errors[4];
	/* needs neither memory nor anything of the caller's */
	bool harmless;
	/* so far from the lock that a look at all around it is enough at the end */
	bool far;
};

static void begin(struct trial *trial)
{
	inject_arm(trial->nth, trial->mode);
}

static void end(struct trial *trial)
{
	trial->met = !inject_disarm();
}

/* --- the lock file ------------------------------------------------------- */

static int run_open(struct trial *trial)
{
	int fd;

	begin(trial);
	fd = open(trial->drive->lock, O_RDWR);
	if (fd < 0)
		fd = -errno;
	end(trial);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

/* What the last close fails at nobody is told. */
static int run_close(struct trial *trial)
{
	begin(trial);
	close(trial->lock);
	end(trial);
	trial->lock = lock_open(trial->drive);
	return 0;
}

static int run_acquire(struct trial *trial)
{
	int ret;

	begin(trial);
	ret = lock_acquire(trial->lock, false);
	end(trial);
	return ret;
}

/* Somebody else's file: EBUSY it is in any case. */
static int run_acquire_busy(struct trial *trial)
{
	int ret;

	begin(trial);
	ret = lock_acquire(trial->other, false);
	end(trial);
	if (!ret)
		return WRONG_RESULT;
	return ret == -EBUSY ? 0 : ret;
}

static void *wait_in_line(void *data)
{
	static int ret;
	struct trial *trial = data;

	begin(trial);
	ret = lock_acquire(trial->lock, true);
	end(trial);
	return &ret;
}

/* The other file holds the drive until this one waits. */
static int run_acquire_waiting(struct trial *trial)
{
	int ret = lock_acquire(trial->other, false);
	pthread_t thread;
	void *got;

	if (ret || pthread_create(&thread, NULL, wait_in_line, trial))
		return WRONG_RESULT;
	/* one second; then it has failed and is no longer there */
	for (int i = 0; i < 50 && !lock_waiters(trial->other); i++)
		usleep(2000 * (i + 1) / 2);
	if (lock_release(trial->other))
		ret = WRONG_RESULT;
	pthread_join(thread, &got);
	return ret ? ret : *(int *)got;
}

static int run_release(struct trial *trial)
{
	int ret;

	begin(trial);
	ret = lock_release(trial->lock);
	end(trial);
	return ret;
}

static int run_get_info(struct trial *trial)
{
	struct srlock_info info = { 0 };
	int ret;

	begin(trial);
	ret = ioctl(trial->lock, SRLOCK_IOC_GET_INFO, &info) ? -errno : 0;
	end(trial);
	return !ret && info.my_count != 1 ? WRONG_RESULT : ret;
}

static int run_break(struct trial *trial)
{
	int ret;

	begin(trial);
	ret = ioctl(trial->other, SRLOCK_IOC_BREAK) ? -errno : 0;
	end(trial);
	return ret;
}

static const unsigned char inquiry[6] = { 0x12, 0, 0, 0, INQUIRY_SIZE };

static int check_inquiry(int ret, const unsigned char *data)
{
	return !ret && (data[0] & 0x1f) != TYPE_ROM ? WRONG_RESULT : ret;
}

static int send_inquiry(struct trial *trial, void *buffer, const unsigned char *data, int pieces)
{
	unsigned char command[sizeof(inquiry)], sense[32];
	struct sg_io_hdr header = {
		.interface_id = 'S',
		.dxfer_direction = SG_DXFER_FROM_DEV,
		.cmd_len = sizeof(command),
		.cmdp = command,
		.dxfer_len = INQUIRY_SIZE,
		.dxferp = buffer,
		.iovec_count = pieces,
		.mx_sb_len = sizeof(sense),
		.sbp = sense,
		.timeout = 20000,
	};
	int ret;

	memcpy(command, inquiry, sizeof(command));
	begin(trial);
	ret = ioctl(trial->lock, SG_IO, &header) ? -errno : 0;
	end(trial);
	if (!ret && header.status)
		return WRONG_RESULT;
	return check_inquiry(ret, data);
}

static int run_sg_io(struct trial *trial)
{
	unsigned char data[INQUIRY_SIZE] = { 0xff };

	return send_inquiry(trial, data, data, 0);
}

static int run_sg_io_pieces(struct trial *trial)
{
	static unsigned char data[INQUIRY_SIZE];
	/* more than fit on the kernel's stack */
	struct iovec pieces[12];

	data[0] = 0xff;
	for (int i = 0; i < 12; i++)
		pieces[i] = (struct iovec) { data + i * 8, 8 };
	return send_inquiry(trial, pieces, data, 12);
}

static int run_send_packet(struct trial *trial)
{
	unsigned char data[INQUIRY_SIZE] = { 0xff };
	struct request_sense sense;
	struct cdrom_generic_command command = {
		.buffer = data,
		.buflen = sizeof(data),
		.sense = &sense,
		.data_direction = CGC_DATA_READ,
		.timeout = 20000,
	};
	int ret;

	memcpy(command.cmd, inquiry, sizeof(inquiry));
	begin(trial);
	ret = ioctl(trial->lock, CDROM_SEND_PACKET, &command) ? -errno : 0;
	end(trial);
	return check_inquiry(ret, data);
}

static int plain_ioctl(struct trial *trial, int fd, unsigned long command)
{
	int version, ret;

	begin(trial);
	ret = ioctl(fd, command, &version) < 0 ? -errno : 0;
	end(trial);
	return ret;
}

static int run_eject(struct trial *trial)
{
	int ret = plain_ioctl(trial, trial->lock, CDROMEJECT);

	ioctl(trial->lock, CDROMCLOSETRAY);
	return ret;
}

static int run_close_tray(struct trial *trial)
{
	int ret;

	ioctl(trial->lock, CDROMEJECT);
	ret = plain_ioctl(trial, trial->lock, CDROMCLOSETRAY);
	ioctl(trial->lock, CDROMCLOSETRAY);
	return ret;
}

static int run_version(struct trial *trial)
{
	return plain_ioctl(trial, trial->lock, SG_GET_VERSION_NUM);
}

static int run_no_such_ioctl(struct trial *trial)
{
	int ret = plain_ioctl(trial, trial->lock, CDROM_DRIVE_STATUS);

	return ret == -ENOTTY ? 0 : WRONG_RESULT;
}

/* Three records: held, released, held. What fails is read again, none is lost. */
static int run_read(struct trial *trial)
{
	static const unsigned int types[] = {
		SRLOCK_EVENT_HELD, SRLOCK_EVENT_RELEASED, SRLOCK_EVENT_HELD
	};
	struct srlock_event events[8] = { 0 };
	int fd = lock_open(trial->drive);
	ssize_t length, more;
	int ret = 0;

	if (lock_release(trial->lock) || lock_acquire(trial->lock, false) ||
	    lock_release(trial->lock) || lock_acquire(trial->lock, false))
		ret = WRONG_RESULT;
	begin(trial);
	length = read(fd, events, sizeof(events));
	if (length < 0)
		ret = -errno;
	end(trial);
	if (length < 0)
		length = 0;
	more = read(fd, (char *)events + length, sizeof(events) - length);
	length += more > 0 ? more : 0;
	close(fd);
	/* the release of before it was opened has no record here, but it may have one more */
	if (length < (ssize_t)(3 * sizeof(events[0])) || length % sizeof(events[0]))
		return WRONG_RESULT;
	length /= sizeof(events[0]);
	for (int i = 0; i < 3; i++)
		if (events[length - 3 + i].type != types[i] || events[i].lost)
			return WRONG_RESULT;
	return ret;
}

/* So many that the kernel's stack does not take them. */
static int run_poll(struct trial *trial)
{
	struct pollfd files[64];
	int ret;

	for (int i = 0; i < 64; i++)
		files[i] = (struct pollfd) { .fd = trial->lock, .events = POLLOUT | POLLIN };
	begin(trial);
	ret = poll(files, 64, 0);
	if (ret < 0)
		ret = -errno;
	end(trial);
	if (ret > 0)
		return files[63].revents & POLLOUT ? 0 : WRONG_RESULT;
	return ret ? ret : WRONG_RESULT;
}

static int run_epoll(struct trial *trial)
{
	struct epoll_event event = { .events = EPOLLOUT };
	int fd = epoll_create1(0);
	int ret;

	begin(trial);
	ret = epoll_ctl(fd, EPOLL_CTL_ADD, trial->lock, &event) ? -errno : 0;
	end(trial);
	if (!ret && epoll_wait(fd, &event, 1, 0) != 1)
		ret = WRONG_RESULT;
	close(fd);
	return ret;
}

/* --- the drive itself, by its holder ------------------------------------- */

static int open_drive(struct trial *trial, int flags)
{
	int fd;

	begin(trial);
	fd = open(trial->drive->sr, flags);
	if (fd < 0)
		fd = -errno;
	end(trial);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static int run_sr_open(struct trial *trial)
{
	return open_drive(trial, O_RDONLY | O_NONBLOCK);
}

static int run_sr_open_disc(struct trial *trial)
{
	return open_drive(trial, O_RDONLY);
}

static int run_sr_open_exclusive(struct trial *trial)
{
	return open_drive(trial, O_RDONLY | O_NONBLOCK | O_EXCL);
}

static int run_sr_close(struct trial *trial)
{
	int fd = open(trial->drive->sr, O_RDONLY);

	if (fd < 0)
		return WRONG_RESULT;
	begin(trial);
	close(fd);
	end(trial);
	return 0;
}

static int run_sr_sg_io(struct trial *trial)
{
	int fd = open(trial->drive->sr, O_RDONLY | O_NONBLOCK);
	int ret;

	if (fd < 0)
		return WRONG_RESULT;
	begin(trial);
	ret = ready_by_sg_io(fd);
	end(trial);
	close(fd);
	return ret == STATUS_CHECK_CONDITION ? 0 : ret;
}

static int run_sr_eject(struct trial *trial)
{
	int fd = open(trial->drive->sr, O_RDONLY | O_NONBLOCK);
	int ret;

	if (fd < 0)
		return WRONG_RESULT;
	ret = plain_ioctl(trial, fd, CDROMEJECT);
	ioctl(fd, CDROMCLOSETRAY);
	close(fd);
	return ret;
}

static int read_drive(struct trial *trial, int flags)
{
	/* more pages than the kernel's stack takes */
	static char block[READ_SIZE] __attribute__((aligned(4096)));
	int fd = open(trial->drive->sr, O_RDONLY | flags);
	ssize_t length;
	int ret = 0;

	if (fd < 0)
		return WRONG_RESULT;
	begin(trial);
	length = pread(fd, block, sizeof(block), 0);
	if (length < 0)
		ret = -errno;
	end(trial);
	close(fd);
	/* What comes before the page that had no memory is read. */
	if (length > 0 && trial->met)
		return 0;
	return ret || length == sizeof(block) ? ret : WRONG_RESULT;
}

static int run_sr_read(struct trial *trial)
{
	return read_drive(trial, 0);
}

static int run_sr_read_direct(struct trial *trial)
{
	return read_drive(trial, O_DIRECT);
}

/* --- attributes ---------------------------------------------------------- */

static void attribute_path(const struct trial *trial, char *path, size_t size)
{
	snprintf(path, size, "/sys/class/srlock/%s/%s", trial->drive->lock + strlen("/dev/"),
		 trial->attribute);
}

static int read_attribute(const struct trial *trial, char *text, size_t size)
{
	char path[128];
	ssize_t length;
	int fd;

	attribute_path(trial, path, sizeof(path));
	memset(text, 0, size);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return -errno;
	length = read(fd, text, size - 1);
	if (length < 0)
		length = -errno;
	close(fd);
	return length < 0 ? length : 0;
}

static int run_attribute(struct trial *trial)
{
	char wanted[256], got[256];
	int ret;

	if (read_attribute(trial, wanted, sizeof(wanted)))
		return WRONG_RESULT;
	begin(trial);
	ret = read_attribute(trial, got, sizeof(got));
	end(trial);
	return !ret && strcmp(wanted, got) ? WRONG_RESULT : ret;
}

static int write_attribute(const struct trial *trial, const char *text)
{
	char path[128];
	int ret = 0;
	int fd;

	attribute_path(trial, path, sizeof(path));
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

static int run_set_timeout(struct trial *trial)
{
	char got[16];
	int ret;

	trial->attribute = "command_timeout_ms";
	if (write_attribute(trial, "20000"))
		return WRONG_RESULT;
	begin(trial);
	ret = write_attribute(trial, "30000");
	end(trial);
	if (read_attribute(trial, got, sizeof(got)) || strcmp(got, ret ? "20000\n" : "30000\n"))
		return WRONG_RESULT;
	return ret;
}

/* --- sweeping ------------------------------------------------------------ */

static const struct call calls[] = {
	{ "open", 0, SAME, .run = run_open },
	{ "first ACQUIRE", 0, ONE_MORE, .run = run_acquire },
	{ "nested ACQUIRE", 1, ONE_MORE, .run = run_acquire },
	{ "ACQUIRE of a drive that is held", 1, SAME, .run = run_acquire_busy },
	{ "ACQUIRE that waits", 0, ONE_MORE, .run = run_acquire_waiting },
	{ "final RELEASE", 1, ONE_LESS, .run = run_release },
	{ "nested RELEASE", 2, ONE_LESS, .run = run_release },
	{ "last close", 2, GONE, .run = run_close, .harmless = true },
	{ "GET_INFO", 1, SAME, .run = run_get_info },
	{ "BREAK", 1, GONE, .run = run_break, .harmless = true },
	{ "SG_IO", 1, SAME, .run = run_sg_io },
	{ "SG_IO in pieces", 1, SAME, .run = run_sg_io_pieces },
	{ "CDROM_SEND_PACKET", 1, SAME, .run = run_send_packet },
	{ "CDROMEJECT", 1, SAME, .run = run_eject },
	{ "CDROMCLOSETRAY", 1, SAME, .run = run_close_tray },
	{ "SG_GET_VERSION_NUM", 1, SAME, .run = run_version },
	{ "no such ioctl", 1, SAME, .run = run_no_such_ioctl, .harmless = true },
	{ "read", 1, SAME, .run = run_read },
	{ "poll", 1, SAME, .run = run_poll },
	{ "epoll", 1, SAME, .run = run_epoll },
	{ "setting command_timeout_ms", 1, SAME, .run = run_set_timeout },
	{ "holder's open", 1, SAME, .run = run_sr_open },
	{ "holder's open of the disc", 1, SAME, .run = run_sr_open_disc, .errors = { EIO } },
	{ "holder's open with O_EXCL", 1, SAME, .run = run_sr_open_exclusive },
	{ "holder's close", 1, SAME, .run = run_sr_close, .harmless = true },
	{ "holder's SG_IO on the drive", 1, SAME, .run = run_sr_sg_io },
	{ "holder's CDROMEJECT on the drive", 1, SAME, .run = run_sr_eject, .errors = { EIO },
	  .harmless = true },
	{ "holder's read", 1, SAME, .run = run_sr_read, .errors = { EIO } },
	{ "holder's O_DIRECT read", 1, SAME, .run = run_sr_read_direct, .errors = { EIO } },
	{ .name = NULL },
};

static const char * const attributes[] = {
	"state", "owner", "count", "pid", "uid", "since", "waiters", "refused_opens",
	"refused_ioctls", "refused_commands", "last_refused", "command_timeout_ms",
	NULL
};

/* What a sweep has found; of each kind of mistake the first one is kept. */
struct outcome {
	int faults;
	int wrong_errors;
	int first_error;
	int first_error_nth;
	char first_error_site[LOG_SITE_SIZE];
	int bad_states;
	const char *first_bad;
	int first_bad_nth;
};

/* What the errno has to be when the module itself has failed at calling that. */
static int wanted_error(const char *callee)
{
	if (!callee)
		return 0;
	if (!strcmp(callee, "_copy_from_user") || !strcmp(callee, "_copy_to_user") ||
	    !strcmp(callee, "srlock_fault_put_user"))
		return -EFAULT;
	if (!strcmp(callee, "kmalloc_trace"))
		return -ENOMEM;
	if (!strcmp(callee, "srlock_fault_device_get"))
		return -ENODEV;
	if (!strcmp(callee, "srlock_fault_autopm"))
		return -EIO;
	return 0;
}

static bool is_right(const struct call *call, int ret, const char *site)
{
	int wanted = wanted_error(sites_callee(site));

	/* Of some records that could be read the first may have been copied. */
	if (wanted && call->run != run_read && call->effect != GONE)
		return ret == wanted;
	if (!ret || ret == wanted || ret == -ENOMEM || ret == -EFAULT)
		return true;
	for (int i = 0; call->errors[i]; i++)
		if (ret == -call->errors[i])
			return true;
	return false;
}

static int count_after(const struct call *call, int ret)
{
	if (ret)
		return call->held;
	switch (call->effect) {
	case ONE_MORE:
		return call->held + 1;
	case ONE_LESS:
		return call->held - 1;
	case GONE:
		return 0;
	case SAME:
		break;
	}
	return call->held;
}

static const char *judge_count(const struct trial *trial, int count)
{
	if (count)
		return lock_is_held(trial->drive, trial->lock, count);
	return lock_count(trial->lock) ? "the count is wrong" : NULL;
}

static const char *judge_state(const struct trial *trial, const struct call *call, int ret)
{
	const char *bad = judge_count(trial, count_after(call, ret));

	/* The count could be written before the release, and not any more after it. */
	if (bad && call->run == run_release && ret == -EFAULT)
		bad = judge_count(trial, count_after(call, 0));
	return bad;
}

/* One call with its nth allocation failing; whether it had so many. */
static bool try_nth(const struct call *call, struct trial *trial, struct outcome *outcome)
{
	const char *bad = NULL;
	struct log_seen seen;
	int ret;

	trial->met = false;
	trial->lock = lock_open(trial->drive);
	trial->other = lock_open(trial->drive);
	for (int i = 0; !bad && i < call->held; i++)
		if (lock_acquire(trial->lock, false))
			bad = "cannot be held before the call";
	log_take();
	ret = call->run(trial);
	seen = log_take();
	if (!is_right(call, ret, seen.site) && !outcome->wrong_errors++) {
		outcome->first_error = ret;
		outcome->first_error_nth = trial->nth;
		memcpy(outcome->first_error_site, seen.site, sizeof(seen.site));
	}
	if (!bad && (!call->far || !trial->met))
		bad = judge_state(trial, call, ret);
	else if (!bad && lock_count(trial->lock) != count_after(call, ret))
		bad = "the count is wrong";
	close(trial->lock);
	close(trial->other);
	if (!bad && (!call->far || !trial->met))
		bad = lock_is_free(trial->drive);
	if (bad && !outcome->bad_states++) {
		outcome->first_bad = bad;
		outcome->first_bad_nth = trial->nth;
	}
	outcome->faults += trial->met;
	return trial->met;
}

static void report(const struct call *call, const char *name, enum inject_mode mode,
		   const struct outcome *outcome)
{
	const char *how = mode == INJECT_ONE ? "" : ", all from there on";
	char text[160];

	printf("    # %s%s: %d faults\n", name, how, outcome->faults);
	if (outcome->wrong_errors)
		printf("    # fault %d in %s gives %d\n", outcome->first_error_nth,
		       outcome->first_error_site, outcome->first_error);
	if (outcome->bad_states)
		printf("    # after fault %d: %s\n", outcome->first_bad_nth, outcome->first_bad);
	snprintf(text, sizeof(text), "%s%s: the errno is right", name, how);
	tap_equal(text, outcome->wrong_errors, 0);
	snprintf(text, sizeof(text), "%s%s: count, gate and lock are right", name, how);
	tap_equal(text, outcome->bad_states, 0);
	if (call->harmless)
		return;
	snprintf(text, sizeof(text), "%s%s: something failed", name, how);
	tap_true(text, outcome->faults > 0 && outcome->faults < MAX_FAULTS);
}

static void sweep(const struct call *call, struct trial *trial, const char *name)
{
	struct outcome outcome = { 0 };

	for (trial->nth = 1; trial->nth <= MAX_FAULTS; trial->nth++)
		if (!try_nth(call, trial, &outcome))
			break;
	report(call, name, trial->mode, &outcome);
}

void test_calls(const struct drive *drive, enum inject_mode mode)
{
	static const struct call attribute = {
		"attribute", 1, SAME, .run = run_attribute, .far = true
	};
	struct trial trial = { .drive = drive, .mode = mode };
	char name[64];

	for (int i = 0; calls[i].name; i++)
		sweep(&calls[i], &trial, calls[i].name);
	for (int i = 0; attributes[i]; i++) {
		trial.attribute = attributes[i];
		snprintf(name, sizeof(name), "reading %s", attributes[i]);
		sweep(&attribute, &trial, name);
	}
}

/* --- strangers ----------------------------------------------------------- */

static const char * const ways[STRANGER_WAYS] = {
	[STRANGER_OPEN] = "open",
	[STRANGER_READ] = "read",
	[STRANGER_SG_IO] = "SG_IO on sg",
	[STRANGER_SG_WRITE] = "write on sg",
	[STRANGER_BSG] = "SG_IO on bsg",
};

void test_strangers(const struct drive *drive)
{
	int lock = lock_open(drive);
	char text[96];

	tap_equal("ACQUIRE, then strangers", lock_acquire(lock, false), 0);
	for (int way = 0; way < STRANGER_WAYS; way++) {
		int faults = 0, through = 0;

		for (unsigned int nth = 1; nth <= MAX_FAULTS; nth++) {
			struct stranger_answer got = stranger_try(drive, way, nth);

			log_take();
			through += got.ret >= 0 && got.ret != STATUS_RESERVATION_CONFLICT;
			faults += got.met;
			if (!got.met)
				break;
		}
		printf("    # a stranger's %s: %d faults\n", ways[way], faults);
		snprintf(text, sizeof(text), "a stranger's %s: never gets through", ways[way]);
		tap_equal(text, through, 0);
		snprintf(text, sizeof(text), "a stranger's %s: something failed", ways[way]);
		tap_true(text, faults > 0 && faults < MAX_FAULTS);
	}
	snprintf(text, sizeof(text), "strangers: %s", "the drive is still held");
	tap_true(text, !lock_is_held(drive, lock, 1));
	close(lock);
	tap_true("strangers: and then free", !lock_is_free(drive));
}
