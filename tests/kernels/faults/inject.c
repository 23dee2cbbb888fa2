// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Make allocations fail; see inject.h
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "inject.h"

/* A kernel worker that finds nothing at all for ever might never end. */
#define LASTING_TIMES "500"

enum { MAX_WORKERS = 128 };

/* As in more_faults.h. */
enum { INSIDE = 1000000 };

struct armed {
	int fail_nth;
	int make_it_fail;
};

static const char * const allocators[] = { "failslab", "fail_page_alloc" };
static struct armed workers[MAX_WORKERS];
static int count_of_workers;
static __thread struct armed self = { -1, -1 };

static bool put(int fd, const char *text)
{
	return pwrite(fd, text, strlen(text), 0) == (ssize_t)strlen(text);
}

static bool set(const char *allocator, const char *name, const char *value)
{
	char path[96];
	bool ret;
	int fd;

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", allocator, name);
	fd = open(path, O_WRONLY);
	ret = fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value);
	if (!ret)
		perror(path);
	close(fd);
	return ret;
}

bool inject_setup(void)
{
	bool ret = set("fail_usercopy", "verbose", "2") &&
		   set("fail_page_alloc", "ignore-gfp-highmem", "N") &&
		   set("fail_page_alloc", "min-order", "0");

	for (int i = 0; i < 2; i++)
		ret = ret && set(allocators[i], "ignore-gfp-wait", "N") &&
		      set(allocators[i], "verbose", "2") &&
		      set(allocators[i], "task-filter", "Y");
	/* A page fault in here would be one more allocation. */
	return ret && !mlockall(MCL_CURRENT | MCL_FUTURE);
}

/* What is in force for tasks that are to fail and are not counting. */
static void set_mode(enum inject_mode mode)
{
	static enum inject_mode now = INJECT_ONE;

	for (int i = 0; i < 2; i++) {
		if (mode == INJECT_ALL_FROM)
			set(allocators[i], "times", LASTING_TIMES);
		if (mode == now)
			continue;
		set(allocators[i], "probability", mode == INJECT_ALL_FROM ? "100" : "0");
		/* Where one fault is the first of hundreds, stacks are too much. */
		set(allocators[i], "verbose", mode == INJECT_ALL_FROM ? "0" : "2");
	}
	now = mode;
}

static bool open_task(struct armed *task, const char *folder)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%.32s/fail-nth", folder);
	task->fail_nth = open(path, O_RDWR);
	snprintf(path, sizeof(path), "/proc/%.32s/make-it-fail", folder);
	task->make_it_fail = open(path, O_RDWR);
	return task->fail_nth >= 0 && task->make_it_fail >= 0;
}

static void arm(const struct armed *task, unsigned int nth, enum inject_mode mode)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", nth);
	put(task->make_it_fail, mode == INJECT_ALL_FROM ? "1" : "0");
	/* Last, as the copies that the writes make would count. */
	put(task->fail_nth, text);
}

static unsigned int disarm(const struct armed *task)
{
	char text[16] = "";
	unsigned int left = 1;

	/* If the next one would have been the nth, this fails in its place. */
	if (pread(task->fail_nth, text, sizeof(text) - 1, 0) > 0)
		left = strtoul(text, NULL, 10);

	if (!put(task->fail_nth, "0"))
		put(task->fail_nth, "0");
	put(task->make_it_fail, "0");
	return left;
}

void inject_arm(unsigned int nth, enum inject_mode mode)
{
	if (self.fail_nth < 0 && !open_task(&self, "thread-self"))
		perror("fail-nth");
	set_mode(mode);
	arm(&self, nth, mode);
}

void inject_arm_inside(unsigned int nth)
{
	inject_arm(nth * INSIDE, INJECT_ONE);
}

unsigned int inject_disarm(void)
{
	return disarm(&self);
}

static bool is_worker(const char *pid)
{
	char path[64], name[32] = "";
	int fd;

	if (pid[0] < '0' || pid[0] > '9')
		return false;
	snprintf(path, sizeof(path), "/proc/%.16s/comm", pid);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return false;
	if (read(fd, name, sizeof(name) - 1) < 0)
		name[0] = '\0';
	close(fd);
	return !strncmp(name, "kworker/", strlen("kworker/"));
}

void inject_arm_works(unsigned int nth, enum inject_mode mode)
{
	DIR *folder = opendir("/proc");
	struct dirent *entry;

	set_mode(mode);
	while (folder && count_of_workers < MAX_WORKERS && (entry = readdir(folder)))
		if (is_worker(entry->d_name) &&
		    open_task(&workers[count_of_workers], entry->d_name))
			count_of_workers++;
	if (folder)
		closedir(folder);
	for (int i = 0; i < count_of_workers; i++)
		arm(&workers[i], nth, mode);
}

void inject_disarm_works(void)
{
	while (count_of_workers) {
		struct armed *task = &workers[--count_of_workers];

		disarm(task);
		close(task->fail_nth);
		close(task->make_it_fail);
	}
}
