// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The actors: what holders, waiters, breakers and strangers do, again and again
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/cdrom.h>
#include <linux/srlock.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "torture.h"
#include "ways.h"

enum { DISC_BYTES = 1 << 20, BLOCK = 2048 };

const char *const stage_names[STAGES] = {
	"born", "open", "ACQUIRE", "nested ACQUIRE", "SG_IO", "sr open", "sr SG_IO",
	"sr close", "data open", "data read", "data close", "eject", "load", "holding",
	"nested RELEASE", "RELEASE", "close", "at rest", "BREAK",
};

const char *const role_names[ROLES] = {
	"holder", "family", "waiter", "breaker", "stranger",
};

static void at(struct actor *actor, enum stage stage)
{
	atomic_store_explicit(&actor->stage, stage, memory_order_relaxed);
}

static void note_unexpected(struct actor *actor, long result)
{
	actor->unexpected++;
	actor->last_unexpected = result;
	actor->unexpected_stage = actor->stage;
}

static bool is_gone(int error)
{
	return error == ENODEV || error == ENXIO || error == ENOENT || error == EIO;
}

/* The errors that everybody has to expect for what is going on around. */
static void check_errno(struct actor *actor, int error, int also)
{
	if (error == also || (shared->unplug && is_gone(error)))
		return;
	/* the hold ends before the disk goes, and its holder is a stranger from then on */
	if (shared->unplug && error == EBUSY)
		return;
	if (shared->breaking && (error == EOWNERDEAD || error == EBUSY))
		return;
	note_unexpected(actor, -error);
}

/* A command of the holder's own: GOOD, or what a drive says after an eject. */
static void check_own(struct actor *actor, int result)
{
	if (result == STATUS_GOOD || result == STATUS_CHECK_CONDITION)
		return;
	if (result < 0)
		check_errno(actor, -result, 0);
	else if (!shared->unplug && !(shared->breaking && result == STATUS_RESERVATION_CONFLICT))
		note_unexpected(actor, result);
}

static bool acquire(struct actor *actor, int lock, __u64 deadline)
{
	struct srlock_acquire arg = {
		.client = "torture",
		.flags = random_below(4) ? 0 : SRLOCK_ACQUIRE_NO_PREVENT,
		.deadline_ns = deadline,
	};

	if (!ioctl(lock, SRLOCK_IOC_ACQUIRE, &arg)) {
		actor->acquired++;
		return true;
	}
	check_errno(actor, errno, EBUSY);
	return false;
}

static __u64 some_deadline(void)
{
	switch (random_below(4)) {
	case 0:
		return 0;
	case 1:
		return now_ns() + random_below(20000000);
	default:
		return SRLOCK_DEADLINE_NONE;
	}
}

static void release(struct actor *actor, int lock)
{
	struct srlock_release arg = { 0 };

	if (ioctl(lock, SRLOCK_IOC_RELEASE, &arg))
		check_errno(actor, errno, 0);
}

static void use_sr(struct actor *actor, const struct drive *drive)
{
	int sr;

	at(actor, STAGE_SR_OPEN);
	sr = open(drive->sr, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (sr < 0) {
		check_errno(actor, errno, 0);
		return;
	}
	at(actor, STAGE_SR_COMMAND);
	check_own(actor, ready_by_sg_io(sr));
	at(actor, STAGE_SR_CLOSE);
	close(sr);
}

/* As a data open the kernel locks and unlocks the tray by itself. */
static void read_data(struct actor *actor, const struct drive *drive)
{
	char block[BLOCK];
	int sr;

	at(actor, STAGE_DATA_OPEN);
	sr = open(drive->sr, O_RDONLY | O_CLOEXEC);
	if (sr < 0) {
		check_errno(actor, errno, ENOMEDIUM);
		return;
	}
	at(actor, STAGE_DATA_READ);
	/* EIO: a stranger has had the drive open since before the hold */
	if (pread(sr, block, sizeof(block), random_below(DISC_BYTES / BLOCK) * BLOCK) < 0)
		check_errno(actor, errno, EIO);
	at(actor, STAGE_DATA_CLOSE);
	close(sr);
}

static void move_tray(struct actor *actor, int lock)
{
	at(actor, STAGE_EJECT);
	if (ioctl(lock, CDROMEJECT))
		check_errno(actor, errno, EIO);
	at(actor, STAGE_LOAD);
	if (ioctl(lock, CDROMCLOSETRAY))
		check_errno(actor, errno, EIO);
}

static void use_drive(struct actor *actor, const struct drive *drive, int lock)
{
	at(actor, STAGE_COMMAND);
	check_own(actor, ready_by_sg_io(lock));
	use_sr(actor, drive);
	if (!random_below(2))
		read_data(actor, drive);
	if (!random_below(24))
		move_tray(actor, lock);
	at(actor, STAGE_HOLD);
	usleep(random_below(2000));
}

static void hold(struct actor *actor, const struct drive *drive, int lock)
{
	at(actor, STAGE_ACQUIRE);
	if (!acquire(actor, lock, some_deadline()))
		return;
	at(actor, STAGE_NEST);
	if (acquire(actor, lock, 0)) {
		use_drive(actor, drive, lock);
		at(actor, STAGE_UNNEST);
		release(actor, lock);
	}
	at(actor, STAGE_RELEASE);
	/* or leave it to the close */
	if (random_below(4))
		release(actor, lock);
}

static int open_lock(struct actor *actor, const struct drive *drive)
{
	int lock;

	at(actor, STAGE_OPEN);
	lock = open(drive->lock, O_RDWR | O_CLOEXEC);
	if (lock < 0) {
		check_errno(actor, errno, 0);
		usleep(1000);
	}
	return lock;
}

static void close_lock(struct actor *actor, int lock)
{
	at(actor, STAGE_CLOSE);
	close(lock);
	at(actor, STAGE_REST);
	usleep(random_below(500));
}

static void holder(struct actor *actor, const struct drive *drive)
{
	int lock = open_lock(actor, drive);

	if (lock < 0)
		return;
	hold(actor, drive, lock);
	close_lock(actor, lock);
}

/* The child joins, and holds for itself from then on. */
static void child(struct actor *actor, const struct drive *drive, int lock)
{
	at(actor, STAGE_NEST);
	if (acquire(actor, lock, 0)) {
		use_drive(actor, drive, lock);
		at(actor, STAGE_UNNEST);
		release(actor, lock);
	}
	_exit(0);
}

static void family(struct actor *actor, const struct drive *drive)
{
	int lock = open_lock(actor, drive);
	pid_t pid;

	if (lock < 0)
		return;
	at(actor, STAGE_ACQUIRE);
	if (acquire(actor, lock, some_deadline())) {
		pid = fork();
		if (!pid) {
			random_seed(getpid());
			child(actor + 1, drive, lock);
		}
		actor->child = pid;
		use_drive(actor, drive, lock);
		at(actor, STAGE_HOLD);
		while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		actor->child = 0;
		at(actor, STAGE_RELEASE);
		/* a child that was killed has left its count */
		while (!shared->breaking && random_below(4)) {
			struct srlock_release arg = { 0 };

			if (ioctl(lock, SRLOCK_IOC_RELEASE, &arg) || !arg.count)
				break;
		}
	}
	close_lock(actor, lock);
}

static void waiter(struct actor *actor, const struct drive *drive)
{
	int lock = open_lock(actor, drive);

	if (lock < 0)
		return;
	at(actor, STAGE_ACQUIRE);
	if (acquire(actor, lock, now_ns() + SECOND_NS + random_below(SECOND_NS))) {
		at(actor, STAGE_HOLD);
		usleep(random_below(500));
	}
	close_lock(actor, lock);
}

static void breaker(struct actor *actor, const struct drive *drive)
{
	int lock = open_lock(actor, drive);

	if (lock < 0)
		return;
	at(actor, STAGE_BREAK);
	if (ioctl(lock, SRLOCK_IOC_BREAK))
		check_errno(actor, errno, EPERM);
	close_lock(actor, lock);
}

static int by_node(const char *node, int flags, int (*way)(int fd))
{
	int fd = open(node, flags | O_CLOEXEC);
	int result;

	if (fd < 0)
		return -errno;
	result = way(fd);
	close(fd);
	return result;
}

static void stranger(struct actor *actor, const struct drive *drive)
{
	int result;

	at(actor, STAGE_COMMAND);
	switch (random_below(4)) {
	case 0:
		result = by_node(drive->sr, O_RDONLY | O_NONBLOCK, ready_by_sg_io);
		break;
	case 1:
		result = by_node(drive->bsg, O_RDWR, ready_by_bsg);
		break;
	case 2:
		result = by_node(drive->sg, O_RDWR, ready_by_sg_write);
		break;
	default:
		result = by_node(drive->sg, O_RDWR, ready_by_sg_io);
	}
	if (result == -EBUSY || result == STATUS_RESERVATION_CONFLICT)
		actor->refused++;
	else if (result < 0)
		check_errno(actor, -result, 0);
	else if (result != STATUS_GOOD && result != STATUS_CHECK_CONDITION && !shared->unplug)
		note_unexpected(actor, result);
	at(actor, STAGE_REST);
	usleep(random_below(2000));
}

static void (*const roles[ROLES])(struct actor *actor, const struct drive *drive) = {
	holder, family, waiter, breaker, stranger,
};

void actor_play(struct actor *actor, enum role role, const struct drive *drive)
{
	while (!shared->stop) {
		roles[role](actor, drive);
		actor->cycles++;
	}
}

pid_t actor_start(struct actor *actor, enum role role, const struct drive *drive)
{
	__u64 seed = random_below(~0ULL);
	pid_t pid = fork();

	if (!pid) {
		setpgid(0, 0);
		random_seed(seed);
		actor->pid = getpid();
		actor_play(actor, role, drive);
		_exit(0);
	}
	if (pid > 0)
		setpgid(pid, pid);
	return pid;
}

static void print_stack(pid_t pid)
{
	char path[64];
	char line[256];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stack", pid);
	file = fopen(path, "re");
	printf("    # process %d hangs:\n", pid);
	while (file && fgets(line, sizeof(line), file))
		printf("    # %s", line);
	if (file)
		fclose(file);
}

bool actor_reap(pid_t pid, int *status)
{
	__u64 end = now_ns() + STUCK_S * (__u64)SECOND_NS;
	pid_t ret;

	while (!(ret = waitpid(pid, status, WNOHANG))) {
		if (now_ns() > end) {
			print_stack(pid);
			return false;
		}
		usleep(300);
	}
	return ret == pid;
}

bool actor_wait(const struct actor *actor, unsigned long cycles)
{
	__u64 end = now_ns() + STUCK_S * (__u64)SECOND_NS;

	while (actor->cycles < cycles || actor->stage == STAGE_BORN) {
		if (now_ns() > end)
			return false;
		usleep(200);
	}
	return true;
}

void reap_orphans(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

static int compare(const void *one, const void *other)
{
	const __u64 *a = one, *b = other;

	return (*a > *b) - (*a < *b);
}

/* The median, as an eject now and then takes a second. */
__u64 actor_duration(enum role role, const struct drive *drive)
{
	enum { CYCLES = 9 };
	struct actor *actor = &shared->actors[MAX_ACTORS - 2];
	__u64 times[CYCLES];
	__u64 start;
	pid_t pid;

	memset(actor, 0, 2 * sizeof(*actor));
	pid = actor_start(actor, role, drive);
	actor_wait(actor, 2);
	for (int i = 0; i < CYCLES; i++) {
		start = now_ns();
		actor_wait(actor, actor->cycles + 1);
		times[i] = now_ns() - start;
	}
	kill(-pid, SIGKILL);
	if (!actor_reap(pid, NULL))
		verdict.stuck++;
	reap_orphans();
	qsort(times, CYCLES, sizeof(*times), compare);
	return times[CYCLES / 2];
}

void actors_collect(struct actor *from, int count)
{
	for (int i = 0; i < count; i++) {
		if (from[i].unexpected && verdict.unexpected < 5)
			printf("    # unexpected at %s: %ld\n",
			       stage_names[from[i].unexpected_stage], from[i].last_unexpected);
		verdict.unexpected += from[i].unexpected;
	}
	memset(from, 0, count * sizeof(*from));
}
