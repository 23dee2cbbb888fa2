// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * hostile WAY ARGUMENT... - what an attacker of the lock does by the hundred
 *
 * Run in the machine by tests/integration/test_security_*.py. Says "ready" and what came of it on
 * standard output, and then lives until its standard input ends or it is killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/srlock.h>

#define STACK_SIZE	65536

/* The errno, 0 if it works. */
static int acquire(int fd, __u64 deadline_ns)
{
	struct srlock_acquire args = { .client = "hostile", .deadline_ns = deadline_ns };

	return ioctl(fd, SRLOCK_IOC_ACQUIRE, &args) ? errno : 0;
}

static int must_open(const char *path, int mode)
{
	int fd = open(path, mode);

	if (fd < 0) {
		perror(path);
		exit(2);
	}

	return fd;
}

/* The errno of an open, 0 if it works. */
static int try_open(const char *path)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK);

	if (fd < 0)
		return errno;
	close(fd);

	return 0;
}

static void live(void)
{
	char byte;

	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
}

static void stay(void)
{
	for (;;)
		pause();
}

/* crowd LOCK NUMBER: a holder, and so many children that join one after the other */
static int crowd(char **argv)
{
	int fd = must_open(argv[0], O_RDWR);
	int number = atoi(argv[1]);
	int i, error = acquire(fd, 0);
	int line[2];

	if (error || pipe(line))
		return 2;
	for (i = 0; i < number && !error; i++) {
		if (!fork()) {
			error = acquire(fd, 0);
			if (write(line[1], &error, sizeof(error)) < 0 || error)
				_exit(1);
			stay();
		}
		if (read(line[0], &error, sizeof(error)) != sizeof(error))
			return 2;
	}
	printf("ready %d %s\n", error ? i - 1 : i, error ? strerrorname_np(error) : "0");
	live();

	return 0;
}

static __u64 now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);

	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

/* chain SR NUMBER: the last of so many generations opens the drive; how many ns that takes */
static int chain(char **argv)
{
	int generations = atoi(argv[1]);
	__u64 start;
	int i;

	for (i = 0; i < generations; i++) {
		if (fork()) {
			wait(NULL);
			_exit(0);
		}
	}
	start = now_ns();
	for (i = 0; i < 10; i++)
		if (!try_open(argv[0]))
			_exit(1);
	printf("ready %llu\n", (unsigned long long)(now_ns() - start) / 10);
	fflush(stdout);

	return 0;
}

static void grab_for_ever(const char *path)
{
	struct pollfd polled = { .events = 0 };

	for (;;) {
		polled.fd = must_open(path, O_RDWR);
		/* Whoever is broken is told by POLLERR. */
		if (!acquire(polled.fd, SRLOCK_DEADLINE_NONE))
			poll(&polled, 1, -1);
		close(polled.fd);
	}
}

/* grab LOCK NUMBER: so many processes that want the drive, never give it back, and want it again */
static int grab(char **argv)
{
	int i, number = atoi(argv[1]);

	for (i = 0; i < number; i++)
		if (!fork())
			grab_for_ever(argv[0]);
	puts("ready");
	live();

	return 0;
}

static void multiply(int fd)
{
	int rounds;

	/* Each has some children, which have some; who is at its end makes room for others. */
	for (;;) {
		for (rounds = 0; fork() > 0 && rounds < 3; rounds++)
			usleep(30000);
		acquire(fd, 0);
		usleep(50000);
		if (rounds == 3)
			_exit(0);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
}

/* bomb LOCK NUMBER: a holder whose descendants multiply, up to so many, and all join */
static int bomb(char **argv)
{
	struct rlimit limit = { .rlim_cur = atoi(argv[1]), .rlim_max = atoi(argv[1]) };
	int fd = must_open(argv[0], O_RDWR);

	if (acquire(fd, 0) || setrlimit(RLIMIT_NPROC, &limit))
		return 2;
	if (!fork())
		multiply(fd);
	puts("ready");
	live();

	return 0;
}

/* files LOCK NUMBER: so many open files, all of them polled */
static int files(char **argv)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT };
	int i, number = atoi(argv[1]);
	struct rlimit limit = { .rlim_cur = number + 16, .rlim_max = number + 16 };
	int fd, polled = epoll_create1(0);

	if (setrlimit(RLIMIT_NOFILE, &limit))
		return 2;
	for (i = 0; i < number; i++) {
		fd = must_open(argv[0], O_RDONLY);
		if (epoll_ctl(polled, EPOLL_CTL_ADD, fd, &event))
			return 2;
	}
	printf("ready %d\n", i);
	live();

	return 0;
}

static void *wait_in_line(void *data)
{
	int *fd = data;

	acquire(*fd, SRLOCK_DEADLINE_NONE);
	stay();

	return NULL;
}

/* threads LOCK NUMBER: so many threads of one process that wait in line, all on one file */
static int threads(char **argv)
{
	int fd = must_open(argv[0], O_RDWR);
	int i, number = atoi(argv[1]);
	pthread_attr_t attributes;
	pthread_t thread;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	for (i = 0; i < number; i++)
		if (pthread_create(&thread, &attributes, wait_in_line, &fd))
			return 2;
	puts("ready");
	live();

	return 0;
}

static int open_and_exit(void *path)
{
	_exit(try_open(path));
}

static int clone_and_open(int flags, char *path)
{
	static char stack[STACK_SIZE] __attribute__((aligned(16)));
	int status, child;

	child = clone(open_and_exit, stack + sizeof(stack), flags | SIGCHLD, path);
	if (child < 0)
		return -1;
	/* A child of the parent's is for that one to wait for; init in the end. */
	if (flags & CLONE_PARENT) {
		sleep(1);
		return 0;
	}
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return -1;

	return WEXITSTATUS(status);
}

static int clone_sibling(char *path)
{
	int status = -1, middle = fork();

	if (middle < 0)
		return -1;
	/* The parent of both is the one that asks, so that it gets the answer. */
	if (!middle) {
		clone_and_open(CLONE_PARENT, path);
		_exit(0);
	}
	while ((middle = wait(&status)) > 0)
		if (WIFEXITED(status) && WEXITSTATUS(status))
			return WEXITSTATUS(status);

	return 0;
}

/* clones LOCK SR: whether the drive lets in a vfork()'s child, one that shares memory, a sibling */
static int clones(char **argv)
{
	int fd = must_open(argv[0], O_RDWR);
	int outside, line[2], shared, forked;

	/* The sibling of a holder is the child of a process that is none. */
	if (pipe(line))
		return 2;
	if (!fork()) {
		if (acquire(fd, 0))
			_exit(2);
		shared = clone_and_open(CLONE_VM, argv[1]);
		forked = clone_and_open(CLONE_VM | CLONE_VFORK, argv[1]);
		printf("ready %d %d", shared, forked);
		printf(" %d", clone_sibling(argv[1]));
		fflush(stdout);
		clone_and_open(CLONE_PARENT, argv[1]);
		_exit(0);
	}
	outside = 0;
	while (wait(&shared) > 0)
		if (WIFEXITED(shared) && WEXITSTATUS(shared))
			outside = WEXITSTATUS(shared);
	printf(" %d\n", outside);
	live();

	return 0;
}

static void *exec_open(void *data)
{
	char **argv = data;

	execl("/proc/self/exe", "hostile", "open", argv[1], NULL);
	_exit(2);
}

/* exec LOCK SR: a holder, one of whose threads executes a program that opens the drive */
static int exec_in_thread(char **argv)
{
	int fd = must_open(argv[0], O_RDWR);
	pthread_t thread;

	if (acquire(fd, 0) || pthread_create(&thread, NULL, exec_open, argv))
		return 2;
	stay();

	return 0;
}

/* open PATH */
static int open_path(char **argv)
{
	printf("ready %d %d\n", try_open(argv[0]), getuid());
	live();

	return 0;
}

/* break LOCK: the errno */
static int break_hold(char **argv)
{
	int fd = must_open(argv[0], O_RDWR);

	printf("ready %d\n", ioctl(fd, SRLOCK_IOC_BREAK) ? errno : 0);
	live();

	return 0;
}

/* call PATH COMMAND: the errno of an ioctl with a zero argument of some size */
static int call(char **argv)
{
	int fd = open(argv[0], O_RDWR | O_NONBLOCK);
	char argument[256] = "call";

	if (fd < 0) {
		printf("ready open %d\n", errno);
		return 0;
	}
	printf("ready %d\n", ioctl(fd, strtoul(argv[1], NULL, 0), argument) < 0 ? errno : 0);
	live();

	return 0;
}

struct ring {
	int fd;
	unsigned int *tail, *array, *completed, *head, *flags;
	struct io_uring_cqe *completions;
	struct io_uring_sqe *entry;
};

static bool ring_create(struct ring *ring, unsigned int flags, int attach)
{
	struct io_uring_params params = { .flags = flags, .sq_thread_idle = 1000, .wq_fd = attach };
	char *queues;

	ring->fd = syscall(SYS_io_uring_setup, 1, &params);
	if (ring->fd < 0)
		return false;
	queues = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd,
		      IORING_OFF_SQ_RING);
	ring->entry = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd,
			   IORING_OFF_SQES);
	ring->tail = (void *)(queues + params.sq_off.tail);
	ring->array = (void *)(queues + params.sq_off.array);
	ring->flags = (void *)(queues + params.sq_off.flags);
	ring->head = (void *)(queues + params.cq_off.head);
	ring->completed = (void *)(queues + params.cq_off.tail);
	ring->completions = (void *)(queues + params.cq_off.cqes);

	return queues != MAP_FAILED && ring->entry != MAP_FAILED;
}

/* The errno of an open by io_uring, 0 if it works. */
static int ring_open(struct ring *ring, const char *path, unsigned int entry_flags, bool polled)
{
	unsigned int before = *ring->completed;
	int result;

	*ring->entry = (struct io_uring_sqe){
		.opcode = IORING_OP_OPENAT,
		.flags = entry_flags,
		.fd = AT_FDCWD,
		.addr = (unsigned long)path,
		.open_flags = O_RDONLY | O_NONBLOCK,
	};
	ring->array[0] = 0;
	__atomic_store_n(ring->tail, *ring->tail + 1, __ATOMIC_SEQ_CST);
	if (!polled)
		syscall(SYS_io_uring_enter, ring->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0);
	else if (__atomic_load_n(ring->flags, __ATOMIC_SEQ_CST) & IORING_SQ_NEED_WAKEUP)
		syscall(SYS_io_uring_enter, ring->fd, 1, 0, IORING_ENTER_SQ_WAKEUP, NULL, 0);
	while (__atomic_load_n(ring->completed, __ATOMIC_SEQ_CST) == before)
		usleep(1000);
	result = ring->completions[before & 1].res;
	__atomic_store_n(ring->head, before + 1, __ATOMIC_SEQ_CST);
	if (result >= 0)
		close(result);

	return result < 0 ? -result : 0;
}

static int rings_open(const char *path, int attach)
{
	unsigned int flags = attach < 0 ? 0 : IORING_SETUP_ATTACH_WQ;
	struct ring plain, polled;

	if (!ring_create(&plain, flags, attach) ||
	    !ring_create(&polled, flags | IORING_SETUP_SQPOLL, attach))
		return 2;
	printf(" %d", ring_open(&plain, path, 0, false));
	printf(" %d", ring_open(&plain, path, IOSQE_ASYNC, false));
	printf(" %d", ring_open(&polled, path, 0, true));
	printf(" %d", ring_open(&polled, path, IOSQE_ASYNC, true));

	return 0;
}

/* ring LOCK SR: opens by io_uring, of the holder, and of a foreigner that attaches to its ring */
static int ring(char **argv)
{
	int fd, line[2], status = 0;
	struct ring polled;
	pid_t child;

	if (pipe(line))
		return 2;
	/* Both have one table of files, so that the ring's number is good for both. */
	child = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	if (!child) {
		fd = must_open(argv[0], O_RDWR);
		if (acquire(fd, 0) || !ring_create(&polled, IORING_SETUP_SQPOLL, -1))
			_exit(2);
		printf("ready");
		status = rings_open(argv[1], -1);
		fflush(stdout);
		if (status || write(line[1], &polled.fd, sizeof(polled.fd)) < 0)
			_exit(2);
		stay();
	}
	if (child < 0 || read(line[0], &fd, sizeof(fd)) != sizeof(fd))
		return 2;
	status = rings_open(argv[1], fd);
	puts("");
	live();
	kill(child, SIGKILL);

	return status;
}

/* keep LOCK: a holder whose file is in a ring only */
static int keep(char **argv)
{
	int fd = must_open(argv[0], O_RDWR);
	struct ring holding;

	if (acquire(fd, 0) || !ring_create(&holding, 0, -1) ||
	    syscall(SYS_io_uring_register, holding.fd, IORING_REGISTER_FILES, &fd, 1))
		return 2;
	close(fd);
	puts("ready");
	live();

	return 0;
}

static const struct {
	const char *name;
	int arguments;
	int (*go)(char **argv);
} ways[] = {
	{ "crowd", 2, crowd },
	{ "chain", 2, chain },
	{ "grab", 2, grab },
	{ "bomb", 2, bomb },
	{ "files", 2, files },
	{ "threads", 2, threads },
	{ "clones", 2, clones },
	{ "exec", 2, exec_in_thread },
	{ "open", 1, open_path },
	{ "break", 1, break_hold },
	{ "call", 2, call },
	{ "ring", 2, ring },
	{ "keep", 1, keep },
};

int main(int argc, char **argv)
{
	size_t i;

	for (i = 0; i < sizeof(ways) / sizeof(*ways); i++)
		if (argc == ways[i].arguments + 2 && !strcmp(argv[1], ways[i].name))
			return ways[i].go(argv + 2);

	return 2;
}
