// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Lock nodes without the module, to be preloaded into srlock
 *
 * For what a real drive hardly ever does on demand: every errno of every call, a
 * drive that vanishes at a given moment, any record in any order. The rules of the
 * lock itself are tested with the module, not here.
 *
 * /dev/srlockN becomes the file $SRLOCK_FAKE/srlockN. Who holds it is an open file
 * description lock on that file, which is what a hold is: shared by duplicates,
 * gone with the last close. Beside it may be
 *
 *	srlockN.events	records for read(), as many as are there; may grow
 *	srlockN.revents	what poll() reports besides, as a number
 *	srlockN.log	written here: one line a call, "acquire CLIENT FLAGS DEADLINE"
 *
 * SRLOCK_FAKE_ACQUIRE, _JOIN (a nested acquire), _RELEASE, _BREAK: the errno that
 * these fail with; SRLOCK_FAKE_BUSY: the reason then; SRLOCK_FAKE_PRIOR: the
 * prior opens; SRLOCK_FAKE_OPEN: the errno of open.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <linux/srlock.h>

#define STEP_MS	10

typedef int (*open_function)(const char *path, int flags, ...);
typedef int (*ioctl_function)(int fd, unsigned long command, void *argument);
typedef ssize_t (*read_function)(int fd, void *buffer, size_t size);
typedef int (*poll_function)(struct pollfd *slots, nfds_t count, int timeout);

/* What is in srlockN. */
struct fake {
	__u32 count;
	__s32 pid;
	__u64 since_ns;
	__u8 client[SRLOCK_CLIENT_SIZE];
};

static long long from_environment(const char *name)
{
	const char *text = getenv(name);

	return text ? strtoll(text, NULL, 0) : 0;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

static int real_open(const char *path, int flags)
{
	open_function next = (open_function)dlsym(RTLD_NEXT, "open");

	return next(path, flags, 0600);
}

/* The path of a lock's file, with an ending; false if @fd is no lock node. */
static bool path_of(int fd, const char *ending, char *path, size_t size)
{
	const char *folder = getenv("SRLOCK_FAKE");
	char link[64], target[512];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, target, sizeof(target) - 1);
	if (length < 0 || !folder)
		return false;
	target[length] = '\0';
	if (strncmp(target, folder, strlen(folder)) || strchr(target + strlen(folder), '.'))
		return false;
	return snprintf(path, size, "%s%s", target, ending) < (int)size;
}

static bool is_lock(int fd)
{
	char path[600];

	return path_of(fd, "", path, sizeof(path));
}

static void write_log(int fd, const char *format, ...)
{
	char path[600];
	va_list arguments;
	FILE *file;

	if (!path_of(fd, ".log", path, sizeof(path)))
		return;
	file = fopen(path, "ae");
	if (!file)
		return;
	va_start(arguments, format);
	vfprintf(file, format, arguments);
	va_end(arguments);
	fclose(file);
}

static int fail(int error)
{
	errno = error;
	return -1;
}

int open(const char *path, int flags, ...)
{
	const char *folder = getenv("SRLOCK_FAKE");
	char file[600];

	if (!folder || strncmp(path, "/dev/srlock", 11)) {
		va_list arguments;
		mode_t mode;
		open_function next = (open_function)dlsym(RTLD_NEXT, "open");

		va_start(arguments, flags);
		mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(arguments, mode_t) : 0;
		va_end(arguments);
		return next(path, flags, mode);
	}
	if (from_environment("SRLOCK_FAKE_OPEN"))
		return fail((int)from_environment("SRLOCK_FAKE_OPEN"));
	snprintf(file, sizeof(file), "%s/%s", folder, path + 5);
	/* An exclusive lock wants a file that is open for writing. */
	flags = (flags & ~O_ACCMODE) | O_RDWR | O_CREAT;
	return real_open(file, flags);
}

[[gnu::alias("open")]] int open64(const char *path, int flags, ...);

static bool try_lock(int fd, short type)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_len = 1 };

	return !fcntl(fd, F_OFD_SETLK, &lock);
}

/* Does a file other than @fd hold? */
static bool held_elsewhere(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };

	return !fcntl(fd, F_OFD_GETLK, &lock) && lock.l_type != F_UNLCK;
}

/* What is held by anybody; by nobody if the file is there but its lock is not. */
static void get_state(int fd, struct fake *fake)
{
	char path[600];
	int other;

	memset(fake, 0, sizeof(*fake));
	if (!path_of(fd, "", path, sizeof(path)))
		return;
	other = real_open(path, O_RDWR | O_CLOEXEC);
	if (other < 0)
		return;
	if (held_elsewhere(other) && pread(other, fake, sizeof(*fake), 0) < 0)
		fake->count = 0;
	close(other);
}

static int put_state(int fd, const struct fake *fake)
{
	return pwrite(fd, fake, sizeof(*fake), 0) == (ssize_t)sizeof(*fake) ? 0 : -1;
}

static int busy(int fd, struct srlock_acquire *acquire, __u32 reason)
{
	struct fake fake;

	get_state(fd, &fake);
	acquire->count = fake.count;
	acquire->holder_pid = fake.pid;
	acquire->busy_reason = reason;
	return fail(EBUSY);
}

static int take(int fd, struct srlock_acquire *acquire)
{
	struct fake fake = { .count = 1, .pid = getpid(), .since_ns = now_ns() };
	long long error = from_environment("SRLOCK_FAKE_ACQUIRE");

	if (error == EBUSY)
		return busy(fd, acquire, (__u32)from_environment("SRLOCK_FAKE_BUSY"));
	if (error)
		return fail((int)error);
	while (!try_lock(fd, F_WRLCK)) {
		if (now_ns() >= acquire->deadline_ns)
			return busy(fd, acquire, SRLOCK_BUSY_HELD);
		usleep(STEP_MS * 1000);
	}
	memcpy(fake.client, acquire->client, sizeof(fake.client));
	acquire->count = 1;
	return put_state(fd, &fake);
}

static int do_acquire(int fd, struct srlock_acquire *acquire)
{
	struct fake fake;

	write_log(fd, "acquire %s %u %d\n", acquire->client, acquire->flags,
		  acquire->deadline_ns != 0);
	get_state(fd, &fake);
	if (!fake.count || held_elsewhere(fd))
		return take(fd, acquire);
	if (from_environment("SRLOCK_FAKE_JOIN"))
		return fail((int)from_environment("SRLOCK_FAKE_JOIN"));
	acquire->count = ++fake.count;
	return put_state(fd, &fake);
}

static int do_release(int fd, struct srlock_release *release)
{
	long long error = from_environment("SRLOCK_FAKE_RELEASE");
	struct fake fake;

	get_state(fd, &fake);
	write_log(fd, "release %u\n", fake.count);
	if (!fake.count || held_elsewhere(fd))
		return fail(EPERM);
	if (error == ENODEV || error == EOWNERDEAD)
		return fail((int)error);
	release->count = --fake.count;
	if (put_state(fd, &fake))
		return -1;
	if (release->count)
		return 0;
	try_lock(fd, F_UNLCK);
	return error ? fail((int)error) : 0;
}

static int do_info(int fd, struct srlock_info *info)
{
	struct fake fake;

	get_state(fd, &fake);
	info->state = fake.count ? SRLOCK_STATE_HELD : SRLOCK_STATE_FREE;
	info->count = fake.count;
	info->pid = fake.pid;
	info->since_ns = fake.since_ns;
	info->prior_opens = (__u32)from_environment("SRLOCK_FAKE_PRIOR");
	info->status = (__u32)from_environment("SRLOCK_FAKE_STATUS");
	memcpy(info->client, fake.client, sizeof(info->client));
	return 0;
}

static int do_break(int fd)
{
	struct fake fake;

	if (from_environment("SRLOCK_FAKE_BREAK"))
		return fail((int)from_environment("SRLOCK_FAKE_BREAK"));
	get_state(fd, &fake);
	return fake.count ? 0 : fail(EPERM);
}

int ioctl(int fd, unsigned long command, ...)
{
	ioctl_function next = (ioctl_function)dlsym(RTLD_NEXT, "ioctl");
	va_list arguments;
	void *argument;

	va_start(arguments, command);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	if (_IOC_TYPE(command) != SRLOCK_IOC_MAGIC || !is_lock(fd))
		return next(fd, command, argument);
	switch (command) {
	case SRLOCK_IOC_ACQUIRE:
		return do_acquire(fd, argument);
	case SRLOCK_IOC_RELEASE:
		return do_release(fd, argument);
	case SRLOCK_IOC_GET_INFO:
		return do_info(fd, argument);
	case SRLOCK_IOC_BREAK:
		return do_break(fd);
	default:
		return fail(ENOTTY);
	}
}

/* How far each lock's records were read, by file number. */
static off_t positions[64];

static bool record_waits(int fd)
{
	char path[600];
	struct stat file;

	return fd < 64 && path_of(fd, ".events", path, sizeof(path)) && !stat(path, &file) &&
	       file.st_size - positions[fd] >= (off_t)sizeof(struct srlock_event);
}

ssize_t read(int fd, void *buffer, size_t size)
{
	read_function next = (read_function)dlsym(RTLD_NEXT, "read");
	char path[600];
	ssize_t got;
	int events;

	if (!is_lock(fd))
		return next(fd, buffer, size);
	if (!record_waits(fd))
		return fail(EAGAIN);
	path_of(fd, ".events", path, sizeof(path));
	events = real_open(path, O_RDONLY | O_CLOEXEC);
	if (events < 0)
		return -1;
	got = pread(events, buffer, sizeof(struct srlock_event), positions[fd]);
	close(events);
	if (got > 0)
		positions[fd] += got;
	return got;
}

static short lock_revents(int fd, short events)
{
	char path[600];
	struct fake fake;
	short revents = 0;
	int more = 0;
	FILE *file;

	if ((events & POLLIN) && record_waits(fd))
		revents |= POLLIN;
	get_state(fd, &fake);
	if ((events & POLLOUT) && (!fake.count || !held_elsewhere(fd)))
		revents |= POLLOUT;
	path_of(fd, ".revents", path, sizeof(path));
	file = fopen(path, "re");
	if (file) {
		if (fscanf(file, "%d", &more) == 1)
			revents |= (short)more;
		fclose(file);
	}
	return revents;
}

static int poll_once(struct pollfd *slots, nfds_t count, int timeout)
{
	poll_function next = (poll_function)dlsym(RTLD_NEXT, "poll");
	struct pollfd others[64];
	int ready;
	nfds_t i;

	for (i = 0; i < count; i++) {
		others[i] = slots[i];
		if (slots[i].fd >= 0 && is_lock(slots[i].fd))
			others[i].fd = -1;
	}
	ready = next(others, count, timeout);
	if (ready < 0)
		return ready;
	for (i = 0; i < count; i++) {
		slots[i].revents = others[i].revents;
		if (slots[i].fd < 0 || others[i].fd >= 0)
			continue;
		slots[i].revents = lock_revents(slots[i].fd, slots[i].events);
		ready += slots[i].revents != 0;
	}
	return ready;
}

int poll(struct pollfd *slots, nfds_t count, int timeout)
{
	unsigned long long end = now_ns() + (uint64_t)timeout * 1000000ULL;
	int ready;

	do
		ready = poll_once(slots, count, STEP_MS);
	while (!ready && (timeout < 0 || now_ns() < end));
	return ready;
}
